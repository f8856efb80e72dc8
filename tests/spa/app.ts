// A single-page app of another origin, as somebody would write it with oidc-client-ts: sign in, call the API, refresh, sign
// out. What it knows of the deployment is in /settings.json. `#state` says what it is doing; drive.mjs reads that.

import { UserManager, WebStorageStateStore, type User } from "oidc-client-ts";

interface Settings {
  issuer: string;
  edge: string;
  clientId: string;
}

const settings: Settings = await (await fetch("/settings.json")).json();
const manager = new UserManager({
  authority: settings.issuer,
  client_id: settings.clientId,
  redirect_uri: `${location.origin}/callback`,
  post_logout_redirect_uri: `${location.origin}/signed-out`,
  scope: "openid profile email memory:read",
  resource: settings.edge,
  // The id_token says who, /userinfo says more.
  loadUserInfo: true,
  automaticSilentRenew: false,
  revokeTokenTypes: ["refresh_token"],
  userStore: new WebStorageStateStore({ store: sessionStorage }),
});

const element = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;

/** What drive.mjs waits for. */
function say(state: string, detail: unknown = ""): void {
  element("detail").textContent = typeof detail === "string" ? detail : JSON.stringify(detail, null, 2);
  element("state").textContent = state;
}

function show(user: User | null): void {
  if (!user) return say("signed out");
  say("signed in", { profile: user.profile, scope: user.scope, expires_in: user.expires_in });
}

async function callApi(): Promise<void> {
  const user = await manager.getUser();
  const answer = await fetch(`${settings.edge}/v1/memory/notes?q=browser`, {
    headers: { authorization: `Bearer ${user?.access_token}` },
  });
  say(`api ${answer.status}`, await answer.json());
}

async function refresh(): Promise<void> {
  const before = await manager.getUser();
  const after = await manager.signinSilent();
  const isNew = after?.access_token !== before?.access_token && after?.refresh_token !== before?.refresh_token;
  say(isNew ? "refreshed" : "not refreshed", { expires_in: after?.expires_in });
}

/** The tokens first: their end is to be certain before the browser leaves. */
async function signOut(): Promise<void> {
  await manager.revokeTokens();
  await manager.signoutRedirect();
}

function on(id: string, work: () => Promise<void>): void {
  element(id).addEventListener("click", () => {
    say("busy");
    work().catch((error: unknown) => say("failed", String(error)));
  });
}

on("sign-in", () => manager.signinRedirect({ login_hint: "" }));
on("call", callApi);
on("refresh", refresh);
on("sign-out", signOut);

if (location.pathname === "/callback") {
  try {
    await manager.signinRedirectCallback();
    history.replaceState({}, "", "/");
    show(await manager.getUser());
  } catch (error) {
    say("failed", String(error));
  }
} else if (location.pathname === "/signed-out") {
  await manager.signoutRedirectCallback();
  history.replaceState({}, "", "/");
  show(await manager.getUser());
} else {
  show(await manager.getUser());
}
