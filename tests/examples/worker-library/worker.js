// A Worker that protects itself with the library, instead of standing behind the gate's Worker. The feed is fetched beside
// requests: pass the context on, which `protect` does. Needs compatibility_flags = ["nodejs_compat"].
//
// One isolate hears of news when it has requests. Where receipts must not wait for that, and for usage, limits and DPoP on
// strict routes in all isolates, put the gate's Worker in front (see ../worker-gate).

import { createGate } from "@portcullis/edge";

let api;

function protectedApi(env) {
  const gate = createGate({
    issuer: env.ISSUER,
    resource: env.RESOURCE,
    feedId: env.FEED_ID,
    rootKey: env.ROOT_KEY,
    feed: { controlPlane: env.CONTROL_PLANE, uplinkKey: env.UPLINK_KEY },
    onError: (error) => console.error("gate:", error.message),
  });
  return gate.protect((request, env, context) => {
    const caller = gate.identity(request);
    const { pathname } = new URL(request.url);
    return Response.json({ name: pathname.split("/").at(-1), caller, headers: Object.fromEntries(request.headers) });
  });
}

export default {
  fetch(request, env, context) {
    api ??= protectedApi(env);
    return api(request, env, context);
  },
};
