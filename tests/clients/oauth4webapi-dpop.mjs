// DPoP (RFC 9449) as an outside library does it: oauth4webapi makes the proofs and checks the answers.
// Reads ISSUER, EDGE, CLIENT_ID, CLIENT_SECRET (empty: a public client), REDIRECT, EMAIL and PASSWORD from the
// environment; ends with code 0 and the line "all good" if everything held.

import assert from "node:assert/strict";
import process from "node:process";
import * as oauth from "oauth4webapi";
import { authorize } from "./sign-in.mjs";

const { ISSUER, EDGE, CLIENT_ID, CLIENT_SECRET, REDIRECT, EMAIL, PASSWORD } = process.env;
const insecure = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(ISSUER);
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
const client = { client_id: CLIENT_ID };
const auth = CLIENT_SECRET ? oauth.ClientSecretBasic(CLIENT_SECRET) : oauth.None();
const holder = async (alg) => oauth.DPoP(client, await oauth.generateKeyPair(alg));

for (const alg of ["ES256", "RS256", "PS256", "EdDSA", "Ed25519"]) {
  assert.ok(server.dpop_signing_alg_values_supported.includes(alg), alg);
}
const DPoP = await holder("ES256");

// A code that only the holder of the key can exchange.
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const request = new URL(server.authorization_endpoint);
for (const [name, value] of Object.entries({
  response_type: "code",
  client_id: CLIENT_ID,
  redirect_uri: REDIRECT,
  scope: "openid email memory:read",
  resource: EDGE,
  state,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  dpop_jkt: await DPoP.calculateThumbprint(),
})) {
  request.searchParams.set(name, value);
}
const callback = await authorize(request, { issuer: ISSUER, redirect: REDIRECT, email: EMAIL, password: PASSWORD });
const parameters = oauth.validateAuthResponse(server, client, callback, state);
const exchange = async (handle) =>
  oauth.processAuthorizationCodeResponse(
    server,
    client,
    await oauth.authorizationCodeGrantRequest(server, client, auth, parameters, REDIRECT, verifier, { DPoP: handle, ...insecure }),
    { requireIdToken: true },
  );
await assert.rejects(exchange(await holder("ES256")), { error: "invalid_grant" });
const tokens = await exchange(DPoP);
assert.equal(tokens.token_type, "dpop");
const { sub } = oauth.getValidatedIdTokenClaims(tokens);

// The protected API: with a proof, and not as a bearer token.
const call = async (token, options, path = "/v1/memory/x?q=1") =>
  (await oauth.protectedResourceRequest(token, "GET", new URL(path, EDGE), undefined, undefined, { ...options, ...insecure })).status;
assert.equal(await call(tokens.access_token, { DPoP }), 200);
assert.equal(await call(tokens.access_token, { DPoP }), 200);
const challenges = async (promise) => {
  const error = await promise.then(() => assert.fail("it was let in"), (error) => error);
  assert.equal(error.status, 401, error);
  return error.cause;
};
const [bearer, dpop] = await challenges(call(tokens.access_token, {}));
assert.deepEqual([bearer.scheme, bearer.parameters.error], ["bearer", "invalid_token"]);
assert.equal(dpop.scheme, "dpop");
assert.ok(dpop.parameters.algs.split(" ").includes("ES256"));
const [wrong] = await challenges(call(tokens.access_token, { DPoP: await holder("ES256") }));
assert.deepEqual([wrong.scheme, wrong.parameters.error], ["dpop", "invalid_dpop_proof"]);

// Who is behind the token.
const userinfo = await oauth.processUserInfoResponse(
  server,
  client,
  sub,
  await oauth.userInfoRequest(server, client, tokens.access_token, { DPoP, ...insecure }),
);
assert.equal(userinfo.email, EMAIL);

// Refresh: a public client's only by its key, and its refresh token stays; a confidential client may change its key.
const refresh = async (token, handle) =>
  oauth.processRefreshTokenResponse(
    server,
    client,
    await oauth.refreshTokenGrantRequest(server, client, auth, token, { DPoP: handle, ...insecure }),
  );
const other = await holder("Ed25519");
let live;
if (CLIENT_SECRET) {
  live = await refresh(tokens.refresh_token, other);
  assert.equal(await call(live.access_token, { DPoP: other }), 200);
} else {
  await assert.rejects(refresh(tokens.refresh_token, other), { error: "invalid_grant" });
  await assert.rejects(refresh(tokens.refresh_token, undefined), { error: "invalid_dpop_proof" });
  live = await refresh(tokens.refresh_token, DPoP);
  assert.equal(live.refresh_token, tokens.refresh_token);
  assert.equal(await call(live.access_token, { DPoP }), 200);
}
assert.equal(live.token_type, "dpop");

// Every algorithm, from the token to the API.
if (CLIENT_SECRET) {
  for (const alg of ["ES256", "RS256", "PS256", "Ed25519", "EdDSA"]) {
    const handle = await holder(alg);
    const own = await oauth.processClientCredentialsResponse(
      server,
      client,
      await oauth.clientCredentialsGrantRequest(server, client, auth, {}, { DPoP: handle, ...insecure }),
    );
    assert.equal(own.token_type, "dpop", alg);
    assert.equal(await call(own.access_token, { DPoP: handle }), 200, alg);
    const seen = await oauth.processIntrospectionResponse(
      server,
      client,
      await oauth.introspectionRequest(server, client, auth, own.access_token, insecure),
    );
    assert.equal(seen.token_type, "DPoP");
    assert.equal(seen.cnf.jkt, await handle.calculateThumbprint());
  }
}

// Revoked: the very next request is refused.
await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, live.refresh_token, insecure));
const [gone] = await challenges(call(live.access_token, { DPoP: CLIENT_SECRET ? other : DPoP }));
assert.deepEqual([gone.scheme, gone.parameters.error], ["dpop", "invalid_token"]);
console.log("all good");
