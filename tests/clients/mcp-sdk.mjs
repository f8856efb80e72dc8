// The client of the official TypeScript SDK against an MCP server behind the gate: 401 → RFC 9728 → RFC 8414 → registration →
// code + PKCE + resource → tool → refresh → step-up → second tool. Environment:
//
// - SERVER, the MCP server's URL at the gate; ISSUER, EMAIL, PASSWORD for the browser's part
// - CLIENT: `registered` (CLIENT_ID says as what), `dynamic` (RFC 7591), or `document` (CLIENT_ID is the document's URL)
// - HEADERS: `yes`: requests say in Mcp-Method and Mcp-Name what they are about, as in revision 2026-07-28, which the SDK does not
//   do yet; `no`: as the SDK is.
//
// Ends with code 0 and the line "all good" if everything held.

import assert from "node:assert/strict";
import process from "node:process";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Browser } from "./browser.mjs";

const { ISSUER, SERVER, CLIENT, CLIENT_ID, HEADERS, EMAIL, PASSWORD } = process.env;
// A note of this run's own: the server's memory outlives it.
const key = crypto.randomUUID();
const REDIRECT = "http://127.0.0.1:53682/callback";
const browser = new Browser({ issuer: ISSUER, email: EMAIL, password: PASSWORD });

class Provider {
  redirectUrl = REDIRECT;
  clientMetadata = {
    client_name: "Test client",
    redirect_uris: [REDIRECT],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  clientMetadataUrl = CLIENT === "document" ? CLIENT_ID : undefined;
  client = CLIENT === "registered" ? { client_id: CLIENT_ID } : undefined;
  requests = [];

  state() { return (this.sent = crypto.randomUUID()); }
  clientInformation() { return this.client; }
  saveClientInformation(client) { this.client = client; }
  tokens() { return this.kept; }
  saveTokens(tokens) { this.kept = tokens; }
  redirectToAuthorization(url) { this.requests.push(url); }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  codeVerifier() { return this.verifier; }
}
const provider = new Provider();

// All requests of the client, in order.
const log = [];
const spy = async (url, init = {}) => {
  const headers = new Headers(init.headers);
  const message = String(url) === SERVER && init.body ? JSON.parse(init.body) : undefined;
  if (HEADERS === "yes" && message?.method) {
    headers.set("mcp-method", message.method);
    // Only with it do the other two count.
    headers.set("mcp-protocol-version", "2026-07-28");
    if (message.params?.name) headers.set("mcp-name", message.params.name);
  }
  const answer = await fetch(url, { ...init, headers });
  log.push({ url: String(url), status: answer.status, body: String(init.body ?? ""), challenge: answer.headers.get("www-authenticate") });
  return answer;
};

let client, transport;
const connect = async () => {
  transport = new StreamableHTTPClientTransport(new URL(SERVER), { authProvider: provider, fetch: spy });
  client = new Client({ name: "test", version: "1.0.0" });
  await client.connect(transport);
};
const consent = async () => {
  const callback = await browser.authorize(provider.requests.at(-1), REDIRECT);
  assert.equal(callback.searchParams.get("state"), provider.sent);
  assert.equal(callback.searchParams.get("iss"), ISSUER);
  await transport.finishAuth(callback.searchParams.get("code"));
};
const call = async (name, args) => (await client.callTool({ name, arguments: args })).content[0].text;
const asked = () => provider.requests.at(-1).searchParams;
const granted = () => provider.kept.scope.split(" ").sort();
const claims = () => JSON.parse(Buffer.from(provider.kept.access_token.split(".")[1], "base64url"));

// 1. Refused, and told where to go.
await assert.rejects(connect(), UnauthorizedError);
assert.deepEqual(log[0], {
  ...log[0], status: 401, challenge: log[0].challenge.match(/^Bearer scope="[^"]+", resource_metadata="[^"]+", DPoP algs="[^"]+"$/)?.[0],
});
const metadata = `${new URL(SERVER).origin}/.well-known/oauth-protected-resource/mcp`;
assert.ok(log[0].challenge.includes(metadata), log[0].challenge);
const discovery = [metadata, `${ISSUER}/.well-known/oauth-authorization-server`];
assert.deepEqual(log.slice(1, 3).map(({ url, status }) => [url, status]), discovery.map((url) => [url, 200]));
const registrations = log.filter(({ url }) => url.endsWith("/register"));
assert.equal(registrations.length, CLIENT === "dynamic" ? 1 : 0);
if (CLIENT !== "dynamic") assert.equal(asked().get("client_id"), CLIENT_ID);
assert.equal(asked().get("resource"), SERVER);
assert.equal(asked().get("code_challenge_method"), "S256");

// 2. Let in by a person. An old client does not say what it wants, and so asks for all of it.
const first = HEADERS === "yes" ? ["memory:read"] : ["memory:delete", "memory:read", "memory:write"];
assert.deepEqual(asked().get("scope").split(" ").sort(), first);
await consent();
assert.deepEqual(granted(), first);
assert.equal(claims().aud.toString(), SERVER);
await connect();
assert.equal(await call("read_memory", { key }), "nothing");

// 3. A token that is no longer good is refreshed, without a person.
const old = provider.kept;
provider.kept = { ...old, access_token: old.access_token.replace(/.{8}$/, "AAAAAAAA") };
assert.equal(await call("read_memory", { key }), "nothing");
assert.notEqual(provider.kept.access_token, old.access_token);
assert.notEqual(provider.kept.refresh_token, old.refresh_token);
assert.equal(claims().aud.toString(), SERVER);
assert.equal(provider.requests.length, 1);

// 4. Another tool needs more. The SDK first tries a refresh, which cannot give more; then the app asks the person again.
if (HEADERS === "yes") {
  await assert.rejects(call("write_memory", { key, value: "b" }), { code: 403 });
  const refused = log.at(-1);
  assert.match(refused.challenge, /error="insufficient_scope".*scope="memory:read memory:write"/);
  assert.ok(refused.challenge.includes(metadata), refused.challenge);
  provider.kept = undefined;
  await assert.rejects(call("write_memory", { key, value: "b" }), UnauthorizedError);
  assert.equal(asked().get("scope"), "memory:read memory:write");
  await consent();
  assert.deepEqual(granted(), ["memory:read", "memory:write"]);
}
assert.equal(await call("write_memory", { key, value: "b" }), "kept");
assert.equal(await call("read_memory", { key }), "b");
if (HEADERS === "no") assert.equal(await call("delete_memory", { key }), "forgotten");
assert.equal(browser.consents.length, HEADERS === "yes" ? 2 : 1);
await client.close();
console.log("all good");
