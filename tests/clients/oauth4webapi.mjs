// The code flow, pushed requests, devices and token exchange as an outside library does them: oauth4webapi checks every answer against the specifications.
// Reads ISSUER, EDGE, CLIENT_ID, CLIENT_SECRET (empty: a public client), REDIRECT, EMAIL and PASSWORD from the
// environment; ends with code 0 and the line "all good" if everything held. The browser is a cookie jar.
// Without CLIENT_ID the client makes itself known: HOW is "register" or "document", METHOD the way it authenticates, and
// ALG what it signs with where that is private_key_jwt.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import process from "node:process";
import * as oauth from "oauth4webapi";

const { ISSUER, EDGE, CLIENT_SECRET, REDIRECT, EMAIL, PASSWORD, HOW, METHOD, ALG } = process.env;
const insecure = { [oauth.allowInsecureRequests]: true };

// The authorization server, by both well-known documents.
const issuer = new URL(ISSUER);
const discover = async (algorithm) => {
  const answer = await oauth.discoveryRequest(issuer, { algorithm, ...insecure });
  return oauth.processDiscoveryResponse(issuer, answer);
};
const server = await discover("oidc");
assert.deepEqual(await discover("oauth2"), server);
assert.equal(server.issuer, ISSUER);

const metadata = {
  client_name: "Library",
  redirect_uris: [REDIRECT],
  token_endpoint_auth_method: METHOD,
  grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
};
let pair;
if (METHOD === "private_key_jwt") {
  assert.ok(server.token_endpoint_auth_signing_alg_values_supported.includes(ALG));
  pair = await oauth.generateKeyPair(ALG);
  const { kty, crv, x, y, n, e } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  metadata.jwks = { keys: [{ kty, crv, x, y, n, e }] };
}

// A client that an administrator registered, one that registers itself, or one whose name is the URL of a document.
let client = { client_id: process.env.CLIENT_ID };
let documents;
if (HOW === "register") {
  client = await oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(server, metadata, insecure),
  );
  const shown = await fetch(client.registration_client_uri, {
    headers: { authorization: `Bearer ${client.registration_access_token}` },
  });
  assert.deepEqual(await shown.json(), client);
}
if (HOW === "document") {
  assert.equal(server.client_id_metadata_document_supported, true);
  documents = createServer((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ ...metadata, client_id: client.client_id }));
  });
  await new Promise((listening) => documents.listen(0, "127.0.0.1", listening));
  client = { client_id: `http://127.0.0.1:${documents.address().port}/client.json` };
}
const CLIENT_ID = client.client_id;
const secret = CLIENT_SECRET || client.client_secret;
const auth = pair ? oauth.PrivateKeyJwt(pair.privateKey) : secret ? oauth.ClientSecretBasic(secret) : oauth.None();
const confidential = Boolean(pair || secret);

// A browser.
const jar = new Map();
const browse = async (url, form) => {
  const answer = await fetch(new URL(url, ISSUER), {
    method: form ? "POST" : "GET",
    body: form && new URLSearchParams(form),
    // What a browser says of a form of a page of ours; Node says "cors" for Sec-Fetch-Mode whatever it is.
    headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; "), ...(form && { origin: ISSUER }) },
    redirect: "manual",
  });
  for (const line of answer.headers.getSetCookie()) {
    const [name, value] = line.split(";")[0].split("=");
    jar.set(name, value);
  }
  return answer;
};
const unescape = (text) => text.replaceAll("&#38;", "&").replaceAll("&#34;", '"').replaceAll("&#39;", "'");
const hidden = (page) =>
  Object.fromEntries([...page.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)].map((m) => [m[1], unescape(m[2])]));

// Authorization request → sign-in → consent → code, following whatever comes.
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const nonce = oauth.generateRandomNonce();
const request = new URL(server.authorization_endpoint);
for (const [name, value] of Object.entries({
  response_type: "code",
  client_id: CLIENT_ID,
  redirect_uri: REDIRECT,
  scope: "openid profile email memory:read",
  resource: EDGE,
  state,
  nonce,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
})) {
  request.searchParams.set(name, value);
}
const follow = async (start) => {
  let answer = await browse(start);
  for (let steps = 0; steps < 8; steps++) {
    const location = answer.headers.get("location");
    if (location?.startsWith(REDIRECT)) {
      return new URL(location);
    }
    if (location) {
      answer = await browse(location);
      continue;
    }
    const page = await answer.text();
    assert.equal(answer.status, 200, page);
    const fields = hidden(page);
    answer = "return_to" in fields
      ? await browse("/login", { ...fields, email: EMAIL, password: PASSWORD })
      : await browse("/authorize", { ...fields, decision: "allow" });
  }
  assert.fail("the browser did not come back");
};
const callback = await follow(request);
// Checks state, and `iss` (RFC 9207).
const parameters = oauth.validateAuthResponse(server, client, callback, state);

// Code → tokens; the id_token's signature too.
const exchanged = await oauth.authorizationCodeGrantRequest(server, client, auth, parameters, REDIRECT, verifier, {
  additionalParameters: { resource: EDGE },
  ...insecure,
});
const tokens = await oauth.processAuthorizationCodeResponse(server, client, exchanged, {
  expectedNonce: nonce,
  requireIdToken: true,
});
await oauth.validateApplicationLevelSignature(server, exchanged, insecure);
assert.equal(tokens.token_type, "bearer");
assert.equal(tokens.expires_in, 3600);
const { sub } = oauth.getValidatedIdTokenClaims(tokens);

// The protected API, and who is behind the token.
const call = async (token) => (await fetch(`${EDGE}/v1/memory/x`, { headers: { authorization: `Bearer ${token}` } })).status;
assert.equal(await call(tokens.access_token), 200);
const userinfo = await oauth.processUserInfoResponse(
  server,
  client,
  sub,
  await oauth.userInfoRequest(server, client, tokens.access_token, insecure),
);
assert.equal(userinfo.email, EMAIL);

// Refresh; a retry gives the very same.
const refresh = async (token) =>
  oauth.processRefreshTokenResponse(server, client, await oauth.refreshTokenGrantRequest(server, client, auth, token, insecure));
const second = await refresh(tokens.refresh_token);
const retried = await refresh(tokens.refresh_token);
assert.equal(retried.refresh_token, second.refresh_token);
assert.equal(retried.access_token, second.access_token);
assert.equal(await call(second.access_token), 200);

const introspect = async (token) =>
  oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, auth, token, insecure));
if (confidential) {
  const active = await introspect(second.access_token);
  assert.equal(active.active, true);
  assert.equal(active.sub, sub);
}

// A pushed request (RFC 9126): the browser brings its name and nothing else, once.
const pushed = await oauth.processPushedAuthorizationResponse(
  server,
  client,
  await oauth.pushedAuthorizationRequest(server, client, auth, request.searchParams, insecure),
);
const named = new URL(server.authorization_endpoint);
named.searchParams.set("client_id", CLIENT_ID);
named.searchParams.set("request_uri", pushed.request_uri);
const returned = oauth.validateAuthResponse(server, client, await follow(named), state);
const ahead = await oauth.processAuthorizationCodeResponse(
  server,
  client,
  await oauth.authorizationCodeGrantRequest(server, client, auth, returned, REDIRECT, verifier, insecure),
  { expectedNonce: nonce },
);
assert.equal(await call(ahead.access_token), 200);
assert.equal((await browse(named)).status, 400);

// A device without a browser (RFC 8628), and its person.
const device = await oauth.processDeviceAuthorizationResponse(
  server,
  client,
  await oauth.deviceAuthorizationRequest(server, client, auth, { scope: "memory:read" }, insecure),
);
const poll = async () =>
  oauth.processDeviceCodeResponse(
    server,
    client,
    await oauth.deviceCodeGrantRequest(server, client, auth, device.device_code, insecure),
  );
await assert.rejects(poll(), { error: "authorization_pending" });
await assert.rejects(poll(), { error: "slow_down" });
const prefilled = await (await browse(device.verification_uri_complete)).text();
assert.ok(prefilled.includes(device.user_code), prefilled);
const consent = await (await browse("/device", { ...hidden(prefilled), user_code: device.user_code })).text();
await browse("/device", { ...hidden(consent), decision: "allow" });
const onDevice = await poll();
assert.equal(await call(onDevice.access_token), 200);
await assert.rejects(poll(), { error: "invalid_grant" });

// Token exchange (RFC 8693): the new token dies at the edge with the one it came from.
const exchange = async (token) =>
  oauth.processGenericTokenEndpointResponse(
    server,
    client,
    await oauth.genericTokenEndpointRequest(
      server,
      client,
      auth,
      "urn:ietf:params:oauth:grant-type:token-exchange",
      { subject_token: token, subject_token_type: "urn:ietf:params:oauth:token-type:access_token", scope: "memory:read" },
      insecure,
    ),
  );
let passedOn;
if (CLIENT_SECRET) {
  passedOn = await exchange(second.access_token);
  assert.equal(await call(passedOn.access_token), 200);
} else {
  await assert.rejects(exchange(second.access_token), { error: "unauthorized_client" });
}

// Revoke: the very next requests are refused.
await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, second.refresh_token, insecure));
assert.equal(await call(tokens.access_token), 401);
assert.equal(await call(second.access_token), 401);
if (passedOn) {
  assert.equal(await call(passedOn.access_token), 401);
}
await assert.rejects(refresh(second.refresh_token), { error: "invalid_grant" });
if (confidential) {
  assert.deepEqual(await introspect(second.access_token), { active: false });
}
if (CLIENT_SECRET) {
  const own = await oauth.processClientCredentialsResponse(
    server,
    client,
    await oauth.clientCredentialsGrantRequest(server, client, auth, { scope: "memory:read" }, insecure),
  );
  assert.equal(await call(own.access_token), 200);
  await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, auth, own.access_token, insecure));
  assert.equal(await call(own.access_token), 401);
}
documents?.close();
console.log("all good");
