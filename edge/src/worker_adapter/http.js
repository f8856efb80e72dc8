// What http.rs needs from the runtime's Request, Response and fetch, in as few calls across the Wasm border as possible.
// Lists of headers cross as one text: lines "name", "value", "name", "value" (neither can hold a line break).

// Connection-specific (RFC 9110 §7.6.1), and credentials for proxies, which end here.
const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
  "te", "trailer", "transfer-encoding", "upgrade"]);
// Many origins read `_`, and some any sign, as `-` in header names.
const OURS = /^(x[^a-z0-9]+)?portcullis([^a-z0-9]|$)/i;
// Some frameworks let these replace the method or path that was judged.
const OVERRIDES = new Set(["x-http-method", "x-http-method-override", "x-method", "x-method-override", "x-original-method",
  "x-original-uri", "x-original-url", "x-override-url", "x-rewrite-url", "x-forwarded-method", "x-forwarded-uri"]);
// Where a request came from, as the hop before may say it: nobody but the caller says these to us.
const CLAIMED = /^(forwarded|x-forwarded(-(?!(for|host|proto)$).*)?)$/;
// What was judged, and what origins and proxies go by. No other spelling of it passes.
const TRUSTED = /^(mcp-(method|name|protocol-version)|authorization|content-type|dpop|forwarded|x-request-id|x-real-ip|(x-forwarded|cf)-.+)$/;
// Whatever `Connection` says, these belong to the request and not to the hop.
const END_TO_END = /^(content-length|cookie|host|mcp-.+|origin)$/;
const CORS = /^access-control-/;
const SHARED_CACHES = ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"];

// Where the caller is, the data centre, and the address: continent, country, longitude, colo, address.
const place = ({ cf, headers }) =>
  [cf?.continent ?? "", cf?.country ?? "", cf?.longitude ?? "", cf?.colo ?? "", headers.get("cf-connecting-ip") ?? ""].join(" ");

// The request in fifteen lines; a header that is not there is a NUL.
export function facts(request) {
  const headers = request.headers;
  const header = (name) => headers.get(name) ?? "\0";
  return [request.method, request.url, header("authorization"), header("origin"), header("x-request-id"),
    header("upgrade"), header("access-control-request-method"), header("access-control-request-headers"),
    header("dpop"), header("mcp-method"), header("mcp-name"), header("mcp-protocol-version"), header("portcullis-min-seq"), place(request),
    crypto.randomUUID()].join("\n");
}

export function header(request, name) {
  return request.headers.get(name) ?? undefined;
}

// Lines "name", "value", … as a list.
export function listed(pairs) {
  if (!pairs) return [];
  const lines = pairs.split("\n");
  if (lines.length % 2) lines.pop();
  return lines;
}

// What becomes of a header depends on its name alone, and names come again and again. Bounded: callers choose names.
function remembered(judge) {
  const known = new Map();
  return (name) => {
    let verdict = known.get(name);
    if (verdict === undefined) {
      verdict = judge(name);
      if (known.size < 1024 && name.length < 64) known.set(name, verdict);
    }
    return verdict;
  };
}

// Headers that an origin could read as another request than the one that was judged, or as another caller's, in any spelling.
function is_disguised(name) {
  const read = name.replace(/[^a-z0-9]+/g, "-");
  return OVERRIDES.has(read) || CLAIMED.test(read) || (read !== name && TRUSTED.test(read));
}

const ends_here = (name) => HOP_BY_HOP.has(name) || OURS.test(name);
// 1: it goes; 2: it is a proof of possession.
const on_the_way_in = remembered((name) => (ends_here(name) || is_disguised(name) ? 1 : 0) | (name === "dpop" ? 2 : 0));
// 1: it goes; 2: it says who may keep the answer; 4: it is CORS.
const on_the_way_out = remembered((name) => (ends_here(name) ? 1 : 0)
  | (name === "cache-control" || name === "vary" || SHARED_CACHES.includes(name) ? 2 : 0) | (CORS.test(name) ? 4 : 0));

function delete_named_by_connection(headers, named) {
  for (const token of named.split(",")) {
    const name = token.trim().toLowerCase();
    // Or whoever sends a request could take away what it was judged by.
    if (TRUSTED.test(name) || END_TO_END.test(name)) continue;
    if (/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) headers.delete(name);
  }
}

// Deletes what must not go further, and gives what is left to look at, as flags. One walk: each step crosses into the runtime.
function strip(headers, fate) {
  let gone, named = null, left = 0;
  for (const name of headers.keys()) {
    const verdict = fate(name);
    if (verdict === 0) continue;
    if (name === "connection") named = headers.get(name);
    if (verdict & 1) (gone ??= []).push(name);
    else left |= verdict;
  }
  if (gone) for (const name of gone) headers.delete(name);
  if (named) delete_named_by_connection(headers, named);
  return left;
}

// `private`, unless what the origin says is as strict already (RFC 9111 §5.2.2).
function cache_privately(headers) {
  for (const name of SHARED_CACHES) headers.delete(name);
  const directives = (headers.get("cache-control") ?? "").split(",").map((part) => part.trim()).filter(Boolean);
  const has = (name) => directives.some((part) => part.toLowerCase() === name);
  if (has("no-store") || has("private")) return;
  const kept = directives.filter((part) => !/^(public|private|s-maxage)\b/i.test(part));
  headers.set("cache-control", ["private", ...kept].join(", "));
}

function vary(headers, names) {
  const present = (headers.get("vary") ?? "").split(",").map((part) => part.trim().toLowerCase()).filter(Boolean);
  if (present.includes("*")) return;
  for (const name of names) if (!present.includes(name.toLowerCase())) headers.append("vary", name);
}

// Passes messages between the caller and the origin until one of them closes, or the time is up.
function relay(origin, lifetime_ms) {
  const [client, ours] = Object.values(new WebSocketPair());
  const close = (socket, code, reason) => {
    try { code === undefined ? socket.close() : socket.close(code, reason); } catch { /* closed already */ }
  };
  const end = (code, reason) => { close(ours, code, reason); close(origin, code, reason); };
  const timer = setTimeout(() => end(1008, "max_connection"), lifetime_ms);
  for (const [from, to] of [[ours, origin], [origin, ours]]) {
    from.binaryType = "arraybuffer";
    from.addEventListener("message", (event) => {
      try { to.send(event.data); } catch { end(1011, "the other side is gone"); }
    });
    from.addEventListener("close", (event) => {
      clearTimeout(timer);
      // 1005 and 1006 say that no code was sent; they must not be sent either (RFC 6455 §7.4.1).
      if (event.code === 1005) close(to);
      else close(to, event.code === 1006 ? 1011 : event.code, event.reason);
    });
    from.addEventListener("error", () => end(1011, "error"));
  }
  origin.accept();
  ours.accept();
  return client;
}

// A body that is no longer than this is awaited: one that we pass on piece by piece costs half of a request more.
const SHORT = 16 << 10;

// The whole body; rejects when the time is up.
function whole(answer, lifetime_ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("max_connection")), lifetime_ms);
  });
  return Promise.race([answer.arrayBuffer(), late]).finally(() => clearTimeout(timer));
}

// A body may go on for ever (server-sent events), or say how long it is and take as long: it is cut when the time is up.
function limited(answer, lifetime_ms) {
  if (!answer.body) return answer.body;
  const length = answer.headers.get("content-length");
  // What the runtime unpacks on its way through us has another length.
  const fixed = length !== null && /^[0-9]{1,15}$/.test(length) && !answer.headers.has("content-encoding");
  if (fixed && Number(length) <= SHORT) return whole(answer, lifetime_ms);
  const { readable, writable } = fixed ? new FixedLengthStream(Number(length)) : new TransformStream();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(new Error("max_connection")), lifetime_ms);
  answer.body.pipeTo(writable, { signal: stop.signal }).catch(() => {}).finally(() => clearTimeout(timer));
  return readable;
}

// Sends a request on and answers with what came back. flags: 1 = a guarded route, 2 = remove Authorization,
// 4 = WebSocket upgrade, 8 = this route's CORS is ours, 16 = a DELETE has no body (MCP: it was not judged as a message).
// On guarded routes nothing stays open past lifetime_ms. Resolves to null for a body where none is allowed: fetch cannot send
// one with GET or HEAD. Rejects when the origin cannot be reached, or has not answered and ended within wait_ms (0: no limit).
export function forward(request, url, flags, request_headers, response_headers, lifetime_ms, wait_ms) {
  return pass_on(request, url, flags, listed(request_headers), listed(response_headers), lifetime_ms, wait_ms);
}

// The same with lists of headers.
export async function pass_on(request, url, flags, request_headers, response_headers, lifetime_ms, wait_ms) {
  const method = request.method, guarded = (flags & 1) !== 0, upgrade = (flags & 4) !== 0;
  const bodiless = method === "GET" || method === "HEAD" || ((flags & 16) !== 0 && method === "DELETE");
  if (bodiless && request.body && request.headers.get("content-length") !== "0") return null;
  const outgoing = new Headers(request.headers);
  const left = strip(outgoing, on_the_way_in);
  if (flags & 2) {
    outgoing.delete("authorization");
    // A proof is part of the credential, and was spent with it.
    if (left & 2) outgoing.delete("dpop");
  }
  for (let i = 0; i < request_headers.length; i += 2) outgoing.set(request_headers[i], request_headers[i + 1]);
  if (upgrade) outgoing.set("upgrade", "websocket");
  const init = { method, headers: outgoing, body: bodiless ? null : request.body, redirect: "manual" };
  // The credential is gone from the request: a cache would give one caller's answer to another.
  if (guarded && !upgrade) init.cache = "no-store";
  if (wait_ms) init.signal = AbortSignal.timeout(wait_ms);
  // The time of who was let in begins here, and not when the origin has.
  const began = Date.now();
  const answer = await fetch(url, init);
  const rest_ms = Math.max(0, lifetime_ms - (Date.now() - began));

  const socket = guarded && answer.webSocket ? relay(answer.webSocket, rest_ms) : answer.webSocket;
  const response = socket
    ? new Response(null, { status: 101, webSocket: socket, headers: answer.headers })
    : new Response(guarded ? await limited(answer, rest_ms) : answer.body, answer);
  const headers = response.headers;
  const found = strip(headers, on_the_way_out);
  if (flags & 8 && found & 4) for (const name of [...headers.keys()]) if (CORS.test(name)) headers.delete(name);
  if (found & 2) {
    if (guarded) cache_privately(headers);
    if (guarded || flags & 8) vary(headers, guarded ? ["Authorization", "Origin"] : ["Origin"]);
  } else {
    if (guarded) headers.set("cache-control", "private");
    if (guarded || flags & 8) headers.set("vary", guarded ? "Authorization, Origin" : "Origin");
  }
  for (let i = 0; i < response_headers.length; i += 2) headers.set(response_headers[i], response_headers[i + 1]);
  return response;
}

export function respond(status, pairs, body) {
  const headers = new Headers();
  const list = listed(pairs);
  for (let i = 0; i < list.length; i += 2) headers.append(list[i], list[i + 1]);
  return new Response(body, { status, headers });
}

// A body that is read in two steps: its front, and then the rest if it is worth it.
export function open_body(request) {
  const declared = Number(request.headers.get("content-length") ?? 0);
  return { reader: request.body?.getReader(), parts: [], length: 0, done: !request.body, declared };
}

async function pull(body) {
  const { done, value } = await body.reader.read();
  body.done = done;
  if (done) return;
  body.parts.push(value);
  body.length += value.byteLength;
}

function join(body) {
  const whole = new Uint8Array(body.length);
  let at = 0;
  for (const part of body.parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

// The first bytes: as many as asked for, or fewer if there are no more.
export async function front_of_body(body, count) {
  while (!body.done && body.length < count) await pull(body);
  return join(body).subarray(0, count);
}

// All of it, or undefined if it is longer than the limit; little more than the limit is ever held.
export async function rest_of_body(body, limit) {
  while (body.declared <= limit && !body.done && body.length <= limit) await pull(body);
  if (body.declared > limit || body.length > limit) {
    await body.reader?.cancel();
    return undefined;
  }
  return join(body);
}

export function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// The optional KV namespace.
export async function load_copy(env) {
  const bytes = await env.SNAPSHOT?.get("snapshot", "arrayBuffer");
  return bytes ? new Uint8Array(bytes) : undefined;
}

export async function save_copy(env, bytes) {
  await env.SNAPSHOT?.put("snapshot", bytes);
}

export function has_copy(env) {
  return env.SNAPSHOT !== undefined;
}
