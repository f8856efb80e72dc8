// A check as small as jose allows: key imported once; signature, algorithm, type, issuer, audience, times and scope. Answers
// with what the origin would want to know.
import { importJWK, jwtVerify } from "jose";

let key;
export default {
  async fetch(request, env) {
    key ??= await importJWK(JSON.parse(env.JWK), env.ALG);
    const token = request.headers.get("authorization").slice(7);
    const options = { algorithms: [env.ALG], issuer: env.ISSUER, audience: env.RESOURCE, typ: "at+jwt" };
    const { payload } = await jwtVerify(token, key, options);
    if (!payload.scope.split(" ").includes("memory:read")) return new Response(null, { status: 403 });
    return new Response(null, { headers: {
      "x-portcullis-subject": payload.sub, "x-portcullis-org": payload.org, "x-portcullis-workspace": "all",
      "x-portcullis-scopes": payload.scope, "x-portcullis-credential": payload.jti, "cache-control": "no-store",
      "x-request-id": crypto.randomUUID(),
    } });
  },
};
