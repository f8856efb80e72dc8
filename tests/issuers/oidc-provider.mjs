// npm oidc-provider as somebody else's issuer. Prints its URL. POST /control/keys?publish=RS256-1,ES256-1&sign=RS256-1 sets which
// keys its JWK Set lists and which one signs; keys are made when they are first named, after their algorithm.

import { createServer } from "node:http";
import process from "node:process";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const { AUDIENCE, SCOPE } = process.env;
const made = new Map();
async function key(kid) {
  if (!made.has(kid)) {
    const alg = kid.split("-")[0];
    const { privateKey } = await generateKeyPair(alg, { modulusLength: 2048, extractable: true });
    made.set(kid, { ...(await exportJWK(privateKey)), alg, use: "sig", kid });
  }
  return made.get(kid);
}

let serve;
const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://control");
  if (url.pathname !== "/control/keys") return serve(request, response);
  try {
    await use(url.searchParams.get("publish").split(","), url.searchParams.get("sign"));
    response.end();
  } catch (error) {
    response.writeHead(500).end(String(error?.stack ?? error));
  }
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

async function use(published, signer) {
  const keys = await Promise.all(published.map(key));
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: "app",
        client_secret: "not much of a secret",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: "client_secret_post",
        // Every client must have one, and an RS256 key need not be there.
        id_token_signed_response_alg: keys[0].alg,
      },
    ],
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA"] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: SCOPE,
          audience: AUDIENCE,
          accessTokenFormat: "jwt",
          accessTokenTTL: 3600,
          jwt: { sign: { alg: signer.split("-")[0], kid: signer } },
        }),
      },
    },
  });
  serve = provider.callback();
}

await use(["RS256-1"], "RS256-1");
console.log(issuer);
