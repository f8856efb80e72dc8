// Hono: `app.use(honoGate(gate))`. Who it is, is in `c.get("portcullis")`.

import { finished, forwarded } from "./request.js";

const decoded = (path) => {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
};

export function honoGate(gate) {
  return async (c, next) => {
    const request = c.req.raw;
    const document = await gate.metadata(request);
    if (document) return document;
    const result = await gate.verify(request, contextOf(c));
    if (!result.allowed) return gate.toResponse(result);
    // Hono has chosen its handlers already, by its own reading of the path. It must be the one that was judged.
    const judged = decoded(result.path);
    if (judged === undefined || decoded(c.req.path) !== judged) return new Response(null, { status: 400 });
    // The handler's request keeps its URL: routing is done.
    c.req.raw = forwarded(request, { ...result, path: new URL(request.url).pathname });
    c.set("portcullis", result);
    await next();
    const answer = finished(c.res, result);
    // Or Hono would put the former headers back.
    c.res = undefined;
    c.res = answer;
  };
}

// Hono throws where the platform has none.
function contextOf(c) {
  try {
    return c.executionCtx;
  } catch {
    return undefined;
  }
}
