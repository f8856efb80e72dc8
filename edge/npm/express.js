// Express, Connect, and everything that takes (req, res, next): `app.use(expressGate(gate))`. Who it is, is in
// `req.portcullis`. Mount it first, and at the root: the policy speaks of whole paths.

import { consumed, finish, isDropped } from "./request.js";

export function expressGate(gate) {
  return (req, res, next) => {
    judge(gate, req, res).then((passes) => passes && next(), next);
  };
}

async function judge(gate, req, res) {
  const document = await gate.metadata(req);
  if (document) return answer(res, document.status, [...document.headers], await document.text());
  const result = await gate.verify(req);
  if (!result.allowed) return answer(res, result.status, result.headers, result.body);
  if (!rewrite(req, result)) return answer(res, 400, [], null);
  withIdentity(req, result);
  req.portcullis = result;
  finishAtEnd(res, result);
  return true;
}

// What is routed by is what was judged. Under a mount point only the rest of the path is.
function rewrite(req, { path }) {
  const base = req.baseUrl ?? "";
  if (!path.startsWith(base) || (base && path[base.length] !== "/" && path.length !== base.length)) return false;
  const query = req.url.indexOf("?");
  req.url = (path.slice(base.length) || "/") + (query < 0 ? "" : req.url.slice(query));
  return true;
}

function withIdentity(req, result) {
  const gone = new Set(consumed(result, req.headers.authorization));
  const kept = [];
  for (let at = 0; at + 1 < req.rawHeaders.length; at += 2) {
    const [name, value] = req.rawHeaders.slice(at, at + 2);
    if (!isDropped(name) && !gone.has(name.toLowerCase())) kept.push(name, value);
  }
  for (const name of Object.keys(req.headers)) if (isDropped(name) || gone.has(name)) delete req.headers[name];
  for (const [name, value] of result.headers) {
    req.headers[name] = value;
    kept.push(name, value);
  }
  req.rawHeaders = kept;
}

// Headers are set by the handler up to the last moment, so they are looked at then.
function finishAtEnd(res, result) {
  const { writeHead } = res;
  res.writeHead = function (status, ...rest) {
    const headers = rest.at(-1);
    if (Array.isArray(headers)) {
      const pairs = Array.isArray(headers[0]) ? headers : headers.flatMap((_, at) => (at % 2 ? [] : [headers.slice(at, at + 2)]));
      for (const [name, value] of pairs) res.setHeader(name, value);
    } else if (headers && typeof headers === "object") {
      for (const [name, value] of Object.entries(headers)) if (value !== undefined) res.setHeader(name, value);
    }
    finish(
      {
        keys: () => res.getHeaderNames(),
        get: (name) => res.getHeader(name)?.toString(),
        set: (name, value) => res.setHeader(name, value),
        delete: (name) => res.removeHeader(name),
      },
      result,
    );
    return typeof rest[0] === "string" ? writeHead.call(this, status, rest[0]) : writeHead.call(this, status);
  };
}

// Says that the request goes no further. A name may come twice: each challenge is a header of its own.
function answer(res, status, headers, body) {
  const values = new Map();
  for (const [name, value] of headers) values.set(name, [...(values.get(name) ?? []), value]);
  res.statusCode = status;
  for (const [name, several] of values) res.setHeader(name, several.length === 1 ? several[0] : several);
  res.end(body ?? undefined);
  return false;
}
