// From requests to questions, and from answers to what a handler gets and a caller sees.

// Many servers read `_`, and some any sign, as `-` in header names.
const OURS = /^(x[^a-z0-9]+)?portcullis([^a-z0-9]|$)/i;
// Some frameworks let these replace the method or path that was judged.
const OVERRIDES = new Set(["x-http-method", "x-http-method-override", "x-method", "x-method-override", "x-original-method",
  "x-original-uri", "x-original-url", "x-override-url", "x-rewrite-url", "x-forwarded-method", "x-forwarded-uri"]);
const CORS = /^access-control-/i;
const SHARED_CACHES = ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control"];
const CREDENTIALS = ["authorization", "dpop"];

/** Asks the core a question that is described in JSON. */
export const ask = (core, what, question) => JSON.parse(core[what](JSON.stringify(question)));

/** Whether a header of a request must not reach whoever handles it. */
export const isDropped = (name) => OURS.test(name) || OVERRIDES.has(name.toLowerCase().replace(/[^a-z0-9]+/g, "-"));

/** The headers of the credential that goes no further. */
export function consumed(result, authorization) {
  // Nobody looks at credentials on public routes. Ours still go no further; another scheme is the handler's business.
  const takes = result.public ? /^(bearer|dpop)( |$)/i.test(authorization ?? "") : !result.forwardCredential;
  return takes ? CREDENTIALS : [];
}

const isHarmless = (id) => id !== undefined && /^[A-Za-z0-9_.:-]{1,128}$/.test(id);

// `(authority, path)` of a target as sent, without decoding or resolving anything: that is for the core.
function split(target) {
  const bare = target.split(/[?#]/, 1)[0];
  const found = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/]*)(.*)$/s.exec(bare);
  return found ? [found[1], found[2]] : [undefined, bare];
}

/** What the core looks at in a request. */
export function questionOf(request) {
  const node = Array.isArray(request.rawHeaders);
  const header = node ? fromRaw(request.rawHeaders) : fromHeaders(request.headers);
  const [authority, path] = split(node ? (request.originalUrl ?? request.url) : request.url);
  const requestId = header("x-request-id");
  return {
    method: request.method ?? "GET",
    path,
    authority: authority ?? header("host") ?? "",
    authorization: header("authorization"),
    origin: header("origin"),
    proof: header("dpop"),
    mcpMethod: header("mcp-method"),
    mcpName: header("mcp-name"),
    mcpVersion: header("mcp-protocol-version"),
    minSeq: header("portcullis-min-seq"),
    preflightMethod: header("access-control-request-method"),
    preflightHeaders: header("access-control-request-headers"),
    upgrade: header("upgrade"),
    hasBody: node
      ? header("transfer-encoding") !== undefined || !["0", undefined].includes(header("content-length"))
      : Boolean(request.body) && header("content-length") !== "0",
    requestId: isHarmless(requestId) ? requestId : crypto.randomUUID(),
  };
}

function fromHeaders(headers) {
  const known = headers instanceof Headers ? headers : new Headers(headers);
  return (name) => known.get(name) ?? undefined;
}

// Node.js keeps only the first of two Authorization headers; the core has to see that there are two.
function fromRaw(raw) {
  const all = new Map();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at].toLowerCase();
    all.set(name, all.has(name) ? `${all.get(name)}, ${raw[at + 1]}` : raw[at + 1]);
  }
  return (name) => all.get(name);
}

/** The request that a handler gets: the path that was judged, no credential that was consumed, and who it is. */
export function forwarded(request, result) {
  const headers = new Headers(request.headers);
  for (const name of [...headers.keys()]) if (isDropped(name)) headers.delete(name);
  for (const name of consumed(result, headers.get("authorization"))) headers.delete(name);
  for (const [name, value] of result.headers) headers.set(name, value);
  const inner = new Request(request, { headers });
  const url = new URL(request.url);
  return url.pathname === result.path ? inner : new Request(`${url.origin}${result.path}${url.search}`, inner);
}

/** What the caller of a handler sees: CORS by policy, and nothing that a shared cache would give to another caller. */
export function finished(response, result) {
  // An upgrade has no headers that could be changed.
  if (response.status === 101 || response.webSocket) return response;
  const answer = new Response(response.body, response);
  finish(answer.headers, result);
  return answer;
}

/** The same for a list of headers with get, set, delete, append and keys. */
export function finish(headers, result) {
  for (const name of [...headers.keys()]) if (OURS.test(name)) headers.delete(name);
  if (!result.public) {
    cachePrivately(headers);
    vary(headers, ["Authorization", "Origin"]);
  }
  if (result.ownCors) {
    for (const name of [...headers.keys()]) if (CORS.test(name)) headers.delete(name);
    vary(headers, ["Origin"]);
  }
  for (const [name, value] of result.responseHeaders) headers.set(name, value);
}

// `private`, unless what the handler says is as strict already (RFC 9111 §5.2.2).
function cachePrivately(headers) {
  for (const name of SHARED_CACHES) headers.delete(name);
  const directives = list(headers.get("cache-control"));
  const has = (name) => directives.some((part) => part.toLowerCase() === name);
  if (has("no-store") || has("private")) return;
  const kept = directives.filter((part) => !/^(public|private|s-maxage)\b/i.test(part));
  headers.set("cache-control", ["private", ...kept].join(", "));
}

function vary(headers, names) {
  const present = list(headers.get("vary"));
  const known = new Set(present.map((name) => name.toLowerCase()));
  if (known.has("*")) return;
  headers.set("vary", [...present, ...names.filter((name) => !known.has(name.toLowerCase()))].join(", "));
}

const list = (value) => (value ?? "").split(",").map((part) => part.trim()).filter(Boolean);
