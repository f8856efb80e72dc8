// The peer: npm oidc-provider with its grants in memory. The same client, PKCE, scopes, RS256 tokens and rotation as ours.
// Reads PORT, RESOURCE, REDIRECT and CHALLENGE from the environment. POST /bench/codes?count=N makes codes, as its own
// sign-in and consent would, and is not measured.

import { createServer } from "node:http";
import process from "node:process";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const { PORT, RESOURCE, REDIRECT, CHALLENGE } = process.env;

/** Its own adapter for memory keeps 1,000 entries; a round has more. This one forgets nothing within a run. */
class Memory {
  static store = new Map();
  static ofGrant = new Map();
  constructor(model) {
    this.model = model;
  }
  key(id) {
    return `${this.model}:${id}`;
  }
  async upsert(id, payload) {
    Memory.store.set(this.key(id), payload);
    if (payload.grantId && this.model !== "Grant") {
      const keys = Memory.ofGrant.get(payload.grantId) ?? [];
      Memory.ofGrant.set(payload.grantId, [...keys, this.key(id)]);
    }
  }
  async find(id) {
    return Memory.store.get(this.key(id));
  }
  async consume(id) {
    Memory.store.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) {
    Memory.store.delete(this.key(id));
  }
  async revokeByGrantId(grantId) {
    for (const key of Memory.ofGrant.get(grantId) ?? []) Memory.store.delete(key);
    Memory.ofGrant.delete(grantId);
  }
}

const { privateKey } = await generateKeyPair("RS256", { modulusLength: 2048, extractable: true });
const key = { ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: "bench" };
const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  adapter: Memory,
  jwks: { keys: [key] },
  clients: [
    {
      client_id: "bench",
      application_type: "web",
      token_endpoint_auth_method: "none",
      redirect_uris: [REDIRECT],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    },
  ],
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "memory:read",
        audience: RESOURCE,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, AuthorizationCode: 60, Grant: 86_400, IdToken: 3600, RefreshToken: 86_400 },
});

async function codes(count) {
  const client = await provider.Client.find("bench");
  const made = [];
  for (let number = 0; number < count; number++) {
    const grant = new provider.Grant({ accountId: "somebody", clientId: "bench" });
    grant.addOIDCScope("openid");
    grant.addResourceScope(RESOURCE, "memory:read");
    const code = new provider.AuthorizationCode({
      accountId: "somebody",
      client,
      grantId: await grant.save(),
      redirectUri: REDIRECT,
      scope: "openid memory:read",
      resource: RESOURCE,
      codeChallenge: CHALLENGE,
      codeChallengeMethod: "S256",
      authTime: Math.floor(Date.now() / 1000),
    });
    made.push(await code.save());
  }
  return made;
}

const serve = provider.callback();
createServer((request, response) => {
  const url = new URL(request.url, "http://bench");
  if (url.pathname !== "/bench/codes") return serve(request, response);
  codes(Number(url.searchParams.get("count"))).then(
    (made) => response.end(JSON.stringify(made)),
    (error) => response.writeHead(500).end(String(error?.stack ?? error)),
  );
}).listen(Number(PORT), "127.0.0.1");
