// How peers.rs reaches the hub, a region and the colo's cache. Every answer of a peer is [status, account, body].

// A peer behind a URL (base), or an object behind a binding; region "" is the hub.
function target(env, base, region) {
  if (base) {
    const root = `${base}/.portcullis/peer/${region ? `region/${region}` : "hub"}`;
    const headers = { authorization: `Bearer ${env.UPLINK_KEY}` };
    return (path, init) => fetch(root + path, { ...init, headers, redirect: "manual", cache: "no-store" });
  }
  const stub = region
    ? env.REGION.get(env.REGION.idFromName(region), { locationHint: region })
    : env.HUB.get(env.HUB.idFromName("hub"));
  return (path, init) => stub.fetch(`http://object/${region || "hub"}${path}`, init);
}

// A body may be a whole snapshot from far away; whether a peer is there at all shows much sooner.
const BODY_MS = 20_000;

// Never rejects for what the peer says, only if it does not begin to answer in time.
export async function ask(env, base, region, path, body, timeout_ms) {
  const stop = new AbortController();
  const limit = (milliseconds) => setTimeout(() => stop.abort(new Error("no answer in time")), milliseconds);
  let timer = limit(timeout_ms);
  try {
    const init = { signal: stop.signal };
    if (body !== undefined) Object.assign(init, { method: "POST", body });
    const answer = await target(env, base, region)(path, init);
    clearTimeout(timer);
    timer = limit(BODY_MS);
    return [answer.status, answer.headers.get("portcullis-account") ?? "", new Uint8Array(await answer.arrayBuffer())];
  } finally {
    clearTimeout(timer);
  }
}

// All of them, in order; undefined for one that failed.
export function all(promises) {
  return Promise.all(promises.map((promise) => promise.catch(() => undefined)));
}

// Asks a control plane for what the hub lacks: [status, ETag, body]. Rejects for a body over the limit, which is never held.
export async function poll(env, url, etag, report, timeout_ms, limit) {
  const headers = { authorization: `Bearer ${env.UPLINK_KEY}`, "portcullis-report": report };
  if (etag) headers["if-none-match"] = etag;
  const answer = await fetch(url, { headers, redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(timeout_ms) });
  const parts = [];
  let length = 0;
  for await (const part of answer.body ?? []) {
    length += part.byteLength;
    if (length > limit) throw new Error("the answer is longer than a feed message");
    parts.push(part);
  }
  const body = new Uint8Array(length);
  for (let at = 0; parts.length; at += parts.shift().byteLength) body.set(parts[0], at);
  return [answer.status, answer.headers.get("etag") ?? "", body];
}

// The platform's rate limiter, counted per data centre: optional.
export function has_brake(env) {
  return typeof env.BRAKE?.limit === "function";
}

export async function over_brake(env, key) {
  const { success } = await env.BRAKE.limit({ key });
  return !success;
}

// Posts usage to a control plane; the status of its answer.
export async function carry(env, url, body, timeout_ms) {
  const headers = { authorization: `Bearer ${env.UPLINK_KEY}`, "content-type": "application/vnd.portcullis.usage" };
  const init = { method: "POST", headers, body, redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(timeout_ms) };
  const answer = await fetch(url, init);
  await answer.body?.cancel();
  return answer.status;
}

// Passes a request of a peer on to an object of ours; undefined if there is none.
export async function pass_on(env, region, path, request) {
  if (!(region ? env.REGION : env.HUB)) return undefined;
  const init = { method: request.method };
  if (request.method === "POST") init.body = request.body ?? new Uint8Array();
  return target(env, "", region)(path, init);
}

// One per colo, under a name that no public URL has. Without a cache (bare workerd throws) there is nothing in it.
const address = (key) => `https://feed.portcullis.invalid/${key}`;

export async function cached(key) {
  try {
    const cache = await caches.open("portcullis-feed");
    const hit = await cache.match(address(key));
    if (!hit) return undefined;
    const started = Number(hit.headers.get("portcullis-started"));
    return [started, hit.headers.get("portcullis-account") ?? "", new Uint8Array(await hit.arrayBuffer())];
  } catch {
    return undefined;
  }
}

export async function keep(key, started, account, body) {
  try {
    const cache = await caches.open("portcullis-feed");
    const headers = { "cache-control": "max-age=1", "portcullis-started": String(started), "portcullis-account": account };
    await cache.put(address(key), new Response(body, { headers }));
  } catch { /* the next one asks the region */ }
}
