// Asks KV about each credential, and does nothing else.
export class Hub {}
export default {
  async fetch(request, env) {
    const revoked = await env.SNAPSHOT.get(request.headers.get("authorization").slice(7, 40));
    return new Response(null, { status: revoked === null ? 200 : 401 });
  },
};
