// An existing Worker that asks the gate's Worker about each request, through a service binding:
//
//   [[services]]
//   binding = "GATE"
//   service = "portcullis-edge"
//
// Nothing of the gate is in this Worker, and no secret: the other one has the feed, the limits and the usage counters.

const CREDENTIALS = ["authorization", "dpop"];
// Only the gate may say who it is, in any spelling that a server could read as the same name.
const IDENTITY = /^(x[^a-z0-9]+)?portcullis([^a-z0-9]|$)/;
const SENT = [...CREDENTIALS, "origin", "portcullis-min-seq", "mcp-method", "mcp-name", "mcp-protocol-version", "x-request-id"];

async function judge(request, env) {
  const { pathname, search, host } = new URL(request.url);
  const headers = new Headers({ "x-original-method": request.method, "x-original-uri": pathname + search, "x-forwarded-host": host });
  for (const name of SENT) if (request.headers.has(name)) headers.set(name, request.headers.get(name));
  return env.GATE.fetch("https://gate/.portcullis/verify", { headers });
}

export default {
  async fetch(request, env) {
    const verdict = await judge(request, env);
    // 401, 403, 400 or 503, with challenge and body: the caller's answer.
    if (verdict.status !== 200) return verdict;
    const headers = new Headers(request.headers);
    for (const name of [...headers.keys()]) if (IDENTITY.test(name) || CREDENTIALS.includes(name)) headers.delete(name);
    for (const [name, value] of verdict.headers) if (name.startsWith("x-portcullis-")) headers.set(name, value);
    return answer(new Request(request, { headers }));
  },
};

// What the Worker did before.
function answer(request) {
  const { pathname } = new URL(request.url);
  const caller = { subject: request.headers.get("x-portcullis-subject"), org: request.headers.get("x-portcullis-org") };
  return Response.json({ name: pathname.split("/").at(-1), caller, headers: Object.fromEntries(request.headers) });
}
