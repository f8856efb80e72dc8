// What http.rs needs from the runtime's Request, Response and fetch, in as few calls across the Wasm border as possible.
// Lists of headers cross as one text: lines "name", "value", "name", "value" (neither can hold a line break).

// Connection-specific (RFC 9110 §7.6.1), and credentials for proxies, which end here.
const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
  "te", "trailer", "transfer-encoding", "upgrade"]);
// Many origins read `_` as `-` in header names.
const OURS = /^(x[-_])?portcullis[-_]/i;
const CORS = /^access-control-/;
const SHARED_CACHES = ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"];

// The request in nine lines; a header that is not there is a NUL.
export function facts(request) {
  const headers = request.headers;
  const header = (name) => headers.get(name) ?? "\0";
  return [request.method, request.url, header("authorization"), header("origin"), header("x-request-id"),
    header("upgrade"), header("access-control-request-method"), header("access-control-request-headers"),
    crypto.randomUUID()].join("\n");
}

export function header(request, name) {
  return request.headers.get(name) ?? undefined;
}

function each(pairs, use) {
  if (!pairs) return;
  const lines = pairs.split("\n");
  for (let i = 0; i + 1 < lines.length; i += 2) use(lines[i], lines[i + 1]);
}

function strip(headers) {
  const named = headers.get("connection");
  for (const name of [...headers.keys()]) if (HOP_BY_HOP.has(name) || OURS.test(name)) headers.delete(name);
  for (const token of (named ?? "").split(",")) {
    const name = token.trim();
    if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) headers.delete(name);
  }
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

// Sends a request on and answers with what came back. flags: 1 = a guarded route, 2 = remove Authorization,
// 4 = WebSocket upgrade, 8 = this route's CORS is ours. Resolves to null for a GET or HEAD with a body, which fetch cannot
// send; rejects when the origin cannot be reached.
export async function forward(request, url, flags, request_headers, response_headers) {
  const guarded = (flags & 1) !== 0, upgrade = (flags & 4) !== 0;
  const bodiless = request.method === "GET" || request.method === "HEAD";
  if (bodiless && request.body && request.headers.get("content-length") !== "0") return null;
  const outgoing = new Headers(request.headers);
  strip(outgoing);
  if (flags & 2) outgoing.delete("authorization");
  each(request_headers, (name, value) => outgoing.set(name, value));
  if (upgrade) outgoing.set("upgrade", "websocket");
  const body = bodiless ? null : request.body;
  const init = { method: request.method, headers: outgoing, body, redirect: "manual" };
  // The credential is gone from the request: a cache would give one caller's answer to another.
  if (guarded && !upgrade) init.cache = "no-store";
  const answer = await fetch(url, init);

  const socket = answer.webSocket;
  const response = socket
    ? new Response(null, { status: 101, webSocket: socket, headers: answer.headers })
    : new Response(answer.body, answer);
  const headers = response.headers;
  strip(headers);
  if (guarded) {
    cache_privately(headers);
    vary(headers, ["Authorization", "Origin"]);
  }
  if (flags & 8) {
    for (const name of [...headers.keys()]) if (CORS.test(name)) headers.delete(name);
    vary(headers, ["Origin"]);
  }
  each(response_headers, (name, value) => headers.set(name, value));
  return response;
}

export function respond(status, pairs, body) {
  const headers = new Headers();
  each(pairs, (name, value) => headers.append(name, value));
  return new Response(body, { status, headers });
}

// The whole body, or undefined if it is longer than the limit; no more than the limit is ever held.
export async function read_body(request, limit) {
  if (Number(request.headers.get("content-length") ?? 0) > limit) return undefined;
  if (!request.body) return new Uint8Array(0);
  const parts = [];
  let length = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > limit) {
      await reader.cancel();
      return undefined;
    }
    parts.push(value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

// Asks the hub: resolves to [status, the hub's account of itself, body].
export async function ask(env, path, body, timeout_ms) {
  const stub = env.HUB.get(env.HUB.idFromName("hub"));
  const init = { signal: AbortSignal.timeout(timeout_ms) };
  if (body !== undefined) Object.assign(init, { method: "POST", body });
  const answer = await stub.fetch(`http://hub${path}`, init);
  return [answer.status, answer.headers.get("portcullis-hub") ?? "", new Uint8Array(await answer.arrayBuffer())];
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
