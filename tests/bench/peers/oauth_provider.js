// Workers OAuth provider, checking a token of its own. Its KV namespace is a map in the isolate's memory, which costs nothing.
// GET /token makes a client, a grant and a token.
import { OAuthProvider } from "@cloudflare/workers-oauth-provider";

const values = new Map();
const OAUTH_KV = {
  async get(key, options) {
    const text = values.get(key) ?? null;
    return text !== null && (options === "json" || options?.type === "json") ? JSON.parse(text) : text;
  },
  async put(key, value) { values.set(key, value); },
  async delete(key) { values.delete(key); },
  async list({ prefix = "" } = {}) {
    const keys = [...values.keys()].filter((name) => name.startsWith(prefix)).map((name) => ({ name }));
    return { keys, list_complete: true };
  },
};

let provider, origin;
const make_provider = () => new OAuthProvider({
  apiRoute: "/api",
  apiHandler: {
    fetch(request, env, context) {
      return new Response(null, { headers: { ...context.props, "cache-control": "no-store", "x-request-id": crypto.randomUUID() } });
    },
  },
  defaultHandler: { fetch: (request, env) => make_token(env) },
  authorizeEndpoint: "/authorize",
  tokenEndpoint: "/oauth/token",
  scopesSupported: ["memory:read"],
  requiredScopes: ["memory:read"],
  resourceMetadata: { resource: `${origin}/api`, authorization_servers: [origin] },
});

const redirect_uri = "https://client.example/callback";

async function make_token(env) {
  const helpers = env.OAUTH_PROVIDER;
  const client = await helpers.createClient({ redirectUris: [redirect_uri], clientName: "bench", tokenEndpointAuthMethod: "none" });
  const verifier = "v".repeat(64);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  const challenge = btoa(String.fromCharCode(...digest)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const asked = new URLSearchParams({ response_type: "code", client_id: client.clientId, redirect_uri, scope: "memory:read",
    state: "s", code_challenge: challenge, code_challenge_method: "S256", resource: `${origin}/api` });
  const request = await helpers.parseAuthRequest(new Request(`${origin}/authorize?${asked}`));
  const { redirectTo } = await helpers.completeAuthorization({ request, userId: "usr_1", metadata: {}, scope: ["memory:read"],
    props: { "x-portcullis-subject": "usr_000000000001", "x-portcullis-org": "org_000000001", "x-portcullis-workspace": "all",
      "x-portcullis-scopes": "memory:read", "x-portcullis-credential": "key_000000001" } });
  const form = new URLSearchParams({ grant_type: "authorization_code", code: new URL(redirectTo).searchParams.get("code"),
    client_id: client.clientId, redirect_uri, code_verifier: verifier });
  return provider.fetch(new Request(`${origin}/oauth/token`, { method: "POST", body: form }), { OAUTH_KV }, {
    waitUntil() {}, passThroughOnException() {}, props: {} });
}

const env_of_provider = { OAUTH_KV };
export default {
  fetch(request, _, context) {
    origin ??= new URL(request.url).origin;
    provider ??= make_provider();
    return provider.fetch(request, env_of_provider, context);
  },
};
