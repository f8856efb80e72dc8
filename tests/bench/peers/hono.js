// Hono with its jwk middleware, as its documentation shows it, with the keys at hand.
import { Hono } from "hono";
import { jwk } from "hono/jwk";

const app = new Hono();
app.use("*", (c, next) => jwk({ keys: [JSON.parse(c.env.JWK)], alg: [c.env.ALG], verification: { typ: "at+jwt", iss: c.env.ISSUER, aud: c.env.RESOURCE } })(c, next));
app.get("*", (c) => {
  const payload = c.get("jwtPayload");
  return c.body(null, 200, {
    "x-portcullis-subject": payload.sub, "x-portcullis-org": payload.org, "x-portcullis-workspace": "all",
    "x-portcullis-scopes": payload.scope, "x-portcullis-credential": payload.jti, "cache-control": "no-store",
    "x-request-id": crypto.randomUUID(),
  });
});
export default app;
