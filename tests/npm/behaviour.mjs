// What the package does around its core, on Node.js: once with node:crypto, and once with WebCrypto alone. Requests and feed are
// those of the golden vectors, and so is the time. Arguments: the package, the vectors. Ends with the line "all good".

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const [packaged, file] = process.argv.slice(2);
const module = (name) => import(pathToFileURL(path.join(packaged, name)));
const { createGate, expressGate } = await module("node.js");
const { forgetNodeCrypto } = await module("crypto.js");

const vectors = JSON.parse(readFileSync(file, "utf8"));
const message = Buffer.from(vectors.message, "base64url");
const find = (name) => vectors.cases.find((one) => one.name === name);
let now = find("a good key").now * 1000;
Date.now = () => now;

const options = {
  issuer: vectors.issuer,
  resource: vectors.public_origin,
  rootKey: vectors.root,
  feedId: vectors.feed,
  environments: vectors.environments,
};

function request(name, init = {}) {
  const one = find(name);
  const headers = new Headers(init.headers);
  for (const [header, value] of [["authorization", one.authorization], ["origin", one.origin], ["dpop", one.proof]]) {
    if (value) headers.set(header, value);
  }
  return new Request(vectors.public_origin + (init.path ?? one.path), { ...init, method: init.method ?? one.method, headers });
}

async function filled(more = {}) {
  const gate = createGate({ ...options, ...more });
  assert.deepEqual(await gate.load(message), { atHead: true, news: true, refused: null });
  return gate;
}

async function nothingBeforeTheFeed() {
  const stale = [];
  const gate = createGate({ ...options, onStale: (status) => stale.push(status) });
  const result = await gate.verify(request("a good key"));
  assert.deepEqual([result.allowed, result.status, result.code], [false, 503, "state_stale"]);
  assert.equal(gate.toResponse(result).headers.get("retry-after"), "1");
  assert.equal((await gate.verify(request("public without credential"))).status, 503);
  assert.equal(stale.length, 2);
  assert.equal(stale[0].contactAgeMs, null);
  // What is no feed, or another's, is not taken in.
  for (const bytes of [new Uint8Array([1, 2, 3]), forged()]) {
    assert.ok((await gate.load(bytes)).refused);
    assert.equal((await gate.verify(request("a good key"))).status, 503);
  }
  assert.equal((await createGate({ ...options, feedId: "08".repeat(16) }).load(message)).refused, "wrong_feed");
}

function forged() {
  const bytes = new Uint8Array(message);
  bytes[bytes.length - 1] ^= 1;
  return bytes;
}

async function resultsAndStaleness() {
  const decisions = [];
  const gate = await filled({ onDecision: (decision) => decisions.push(decision) });
  const result = await gate.verify(request("a good key"));
  assert.equal(result.allowed, true);
  assert.match(result.subject, /^usr_/);
  assert.ok(Object.isFrozen(result) && !("reason" in result) && !("proof" in result));
  assert.throws(() => gate.toResponse(result), TypeError);
  const revoked = await gate.verify(request("revoked"));
  assert.deepEqual([revoked.status, revoked.code, "reason" in revoked], [401, "invalid_token", false]);
  assert.deepEqual(decisions.map(({ reason }) => reason), ["allowed", "revoked"]);
  // Also in the other two forms of a request.
  const { method, path: url, authorization } = find("a good key");
  assert.equal((await gate.verify({ method, url, headers: { authorization } })).allowed, true);
  const raw = ["Authorization", authorization];
  assert.equal((await gate.verify({ method, url, rawHeaders: raw })).allowed, true);
  assert.equal((await gate.verify({ method, url: `${vectors.public_origin}${url}`, rawHeaders: raw })).allowed, true);
  assert.equal((await gate.verify({ method, url, rawHeaders: [...raw, ...raw] })).status, 400, "two credentials");
  assert.equal((await gate.verify({ method, url: "*", rawHeaders: raw })).status, 400);
  assert.equal((await gate.verify(request("a good key", { path: "/.portcullis/verify" }))).status, 404);
  // At the bound, past it, and fresh again.
  now += 2000;
  assert.equal((await gate.verify(request("a good key"))).allowed, true);
  now += 1;
  assert.equal((await gate.verify(request("a good key"))).code, "state_stale");
  assert.equal((await gate.verify(request("a patient route"))).allowed, true, "this one may go on for a minute");
  assert.equal((await gate.verify(request("revoked"))).status, 401, "what was revoked stays so");
  // A clock that jumped back lets nobody say how old this is.
  now -= 3000;
  assert.equal((await gate.verify(request("a good key"))).code, "state_stale");
  now += 999;
  await gate.load(message);
  assert.equal((await gate.verify(request("a good key"))).allowed, true);
}

async function proofsCountOnce() {
  const bound = () => request("a bound token with its proof");
  const gate = await filled();
  assert.equal((await gate.verify(bound())).allowed, true);
  const again = await gate.verify(bound());
  assert.deepEqual([again.status, again.code], [401, "invalid_dpop_proof"]);
  const elsewhere = await filled();
  assert.equal((await elsewhere.verify(bound())).allowed, true, "each process has its own memory");
}

async function handlersGetWhatWasJudged() {
  const gate = await filled();
  let seen;
  const protect = gate.protect((request, extra) => {
    seen = { request, extra, identity: gate.identity(request) };
    return new Response("ok", {
      headers: { "cache-control": "public, max-age=60", "x-portcullis-subject": "leak", "access-control-allow-origin": "*",
        "cdn-cache-control": "public" },
    });
  });
  const headers = { "x-portcullis-org": "org_0", "x_portcullis_org": "org_0", "x-http-method-override": "DELETE", accept: "*/*" };
  const answer = await protect(request("unreserved characters may be encoded", { headers, path: "/v1/%6demory/x?q=1" }), "extra");
  assert.equal(answer.status, 200);
  assert.equal(seen.extra, "extra");
  assert.equal(seen.request.url, `${vectors.public_origin}/v1/memory/x?q=1`, "the path that was judged");
  assert.match(seen.identity.org, /^org_/);
  assert.deepEqual(
    [...seen.request.headers].filter(([name]) => name !== "accept").map(([name]) => name).sort(),
    ["x-portcullis-credential", "x-portcullis-org", "x-portcullis-scopes", "x-portcullis-subject", "x-portcullis-workspace"],
  );
  assert.equal(seen.request.headers.get("x-portcullis-org"), seen.identity.org);
  assert.equal(answer.headers.get("cache-control"), "private, max-age=60");
  assert.equal(answer.headers.get("vary"), "Authorization, Origin");
  for (const gone of ["x-portcullis-subject", "access-control-allow-origin", "cdn-cache-control"]) {
    assert.equal(answer.headers.get(gone), null, gone);
  }
  // A body goes along.
  seen = undefined;
  const token = await protect(request("a token from a listed origin"));
  assert.equal(token.headers.get("access-control-allow-origin"), "https://app.example");
  seen = undefined;
  assert.equal((await protect(request("revoked"))).status, 401);
  assert.equal(seen, undefined, "nobody is asked");
  // On public routes a credential of ours goes no further either, and caches may do as they like.
  const open = await protect(request("public ignores a bad credential"));
  assert.equal(seen.request.headers.get("authorization"), null);
  assert.equal(open.headers.get("cache-control"), "public, max-age=60");
  // Preflights are the policy's.
  const preflight = (origin) =>
    protect(new Request(`${vectors.public_origin}/browser/x`, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "GET", "access-control-request-headers": "authorization, x-portcullis-org" },
    }));
  const granted = await preflight("https://app.example");
  assert.deepEqual([granted.status, granted.headers.get("access-control-allow-headers")], [204, "authorization"]);
  const refused = await preflight("https://evil.example");
  assert.deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [403, null]);
  const document = await protect(new Request(`${vectors.public_origin}/.well-known/oauth-protected-resource`));
  assert.deepEqual((await document.json()).authorization_servers, [vectors.issuer]);
}

async function nodeHandlersToo() {
  const gate = await filled();
  let seen;
  const middleware = expressGate(gate);
  const server = createServer((req, res) => {
    middleware(req, res, (error) => {
      seen = { error, url: req.url, headers: req.headers, raw: req.rawHeaders, caller: req.portcullis };
      res.writeHead(200, { "cache-control": "s-maxage=60", vary: "accept" }).end("ok");
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const { authorization } = find("a good key");
  const headers = { authorization, "x-portcullis-org": "org_0", dpop: "x" };
  const answer = await fetch(`${base}/v1/%6demory/x?q=1`, { headers });
  assert.equal(answer.status, 200, await answer.text());
  assert.equal(seen.url, "/v1/memory/x?q=1");
  assert.deepEqual([seen.headers.authorization, seen.headers.dpop], [undefined, undefined]);
  assert.equal(seen.headers["x-portcullis-org"], seen.caller.org);
  assert.ok(!seen.raw.includes(authorization) && !seen.raw.includes("org_0"));
  assert.deepEqual([answer.headers.get("cache-control"), answer.headers.get("vary")], ["private", "accept, Authorization, Origin"]);
  seen = undefined;
  assert.equal((await fetch(`${base}/v1/memory/x`)).status, 401);
  assert.equal(seen, undefined);
  server.closeAllConnections();
  server.close();
}

function misuseIsAnError() {
  for (const [wrong, text] of [
    [{ rootkey: "x" }, /no option "rootkey"/],
    [{ issuer: undefined }, /issuer must be a string/],
    [{ feed: { controlPlane: "id.example", uplinkKey: "x".repeat(32) } }, /controlPlane/],
    [{ feed: { controlPlane: "https://id.example", uplinkKey: "short" } }, /uplinkKey/],
    [{ feed: { url: "https://id.example" } }, /feed takes/],
  ]) {
    assert.throws(() => createGate({ ...options, ...wrong }), text);
  }
}

// A control plane that misbehaves in every way that shows: nobody is let in, and the key is not sent on.
async function hostileControlPlanes() {
  const asked = [];
  const elsewhere = [];
  const other = createServer((req, res) => elsewhere.push(req.url) && res.end());
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  let act;
  const server = createServer((req, res) => {
    asked.push(req);
    act(res);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const uplinkKey = `pcu_${"x".repeat(43)}`;
  for (const [name, how] of [
    ["401", (res) => res.writeHead(401).end()],
    ["redirect", (res) => res.writeHead(302, { location: `http://127.0.0.1:${other.address().port}/` }).end()],
    ["garbage", (res) => res.end("garbage")],
    ["another feed", (res) => res.end(forged())],
    ["304 to one that has nothing", (res) => res.writeHead(304).end()],
    ["no heartbeat", (res) => res.end(message)],
  ]) {
    act = how;
    const errors = [];
    const gate = createGate({
      ...options,
      feed: { controlPlane: `http://127.0.0.1:${server.address().port}/`, uplinkKey, poll: false },
      onError: (error) => errors.push(error.message),
    });
    const result = await gate.verify(request("a good key"));
    assert.deepEqual([result.allowed, result.code], [false, "state_stale"], name);
    assert.ok(errors.every((text) => !text.includes(uplinkKey)));
    if (!name.startsWith("304")) assert.ok(errors.length > 0, name);
    gate.close();
  }
  assert.deepEqual(elsewhere, []);
  for (const req of asked) {
    assert.equal(req.headers.authorization, `Bearer ${uplinkKey}`);
    assert.ok(!req.url.includes("pcu_") && req.url.startsWith("/v1/edge/feed?epoch="), req.url);
  }
  for (const one of [server, other]) {
    one.closeAllConnections();
    one.close();
  }
}

async function messagesByAWayOfYourOwn() {
  const gate = createGate({ ...options, feed: { messages: message } });
  await gate.ready();
  assert.equal((await gate.verify(request("a good key"))).allowed, true);
  const errors = [];
  async function* broken() {
    yield message;
    yield forged();
  }
  const other = createGate({ ...options, feed: { messages: broken() }, onError: (error) => errors.push(error.message) });
  await other.ready();
  while (errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.match(errors[0], /refused/);
  assert.equal((await other.verify(request("a good key"))).allowed, true, "what was applied counts");
}

const tests = [misuseIsAnError, nothingBeforeTheFeed, resultsAndStaleness, proofsCountOnce, handlersGetWhatWasJudged,
  nodeHandlersToo, hostileControlPlanes, messagesByAWayOfYourOwn];
for (const synchronous of [true, false]) {
  if (!synchronous) forgetNodeCrypto();
  for (const test of tests) {
    now = find("a good key").now * 1000;
    try {
      await test();
    } catch (error) {
      error.message = `${test.name} (${synchronous ? "node:crypto" : "WebCrypto"}): ${error.message}`;
      throw error;
    }
  }
}
console.log("all good");
process.exit(0);
