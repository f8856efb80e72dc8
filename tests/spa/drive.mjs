// A person with a real Chromium and the app of app.ts: sign-in with PKCE, a call of the API behind the edge, refresh, sign-out.
// Reads ISSUER, EDGE, CLIENT_ID, APP_PORT, EMAIL, PASSWORD, SHOTS (the folder for pictures) and PORTCULLIS_CHROMIUM from the
// environment; ends with code 0 and the line "all good" if every step was as it should be.

import assert from "node:assert/strict";
import process from "node:process";
import { launch, serveApp, shoot } from "./browser.mjs";

const { ISSUER, EDGE, CLIENT_ID, APP_PORT, EMAIL, PASSWORD } = process.env;
const APP = `http://localhost:${APP_PORT}`;

const server = await serveApp(Number(APP_PORT), { issuer: ISSUER, edge: EDGE, clientId: CLIENT_ID });
const browser = await launch();
const context = await browser.newContext();
const page = await context.newPage();
page.setDefaultTimeout(20_000);

// Whatever a browser complains about (a blocked script, a missing CORS header) is a fault.
const complaints = [];
page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
const requests = [];
page.on("request", (request) => requests.push(request));
const sent = (method, start) =>
  requests.filter((request) => request.method() === method && request.url().startsWith(start));

const state = async (wanted) => {
  await page.waitForFunction(
    (text) => [text, "failed"].some((state) => document.getElementById("state")?.textContent === state),
    wanted,
  );
  assert.equal(await page.textContent("#state"), wanted, await page.textContent("#detail"));
};
const detail = async () => JSON.parse(await page.textContent("#detail"));
const stored = () =>
  page.evaluate(() => JSON.parse(sessionStorage[Object.keys(sessionStorage).find((key) => key.startsWith("oidc.user:"))]));

// 1. Nobody is signed in; the app leads to the sign-in page, with PKCE.
await page.goto(APP);
await state("signed out");
await shoot(page, "app-signed-out");
await page.click("#sign-in");
await page.waitForURL(`${ISSUER}/login**`);
const [authorize] = sent("GET", `${ISSUER}/authorize?`);
const asked = new URL(authorize.url()).searchParams;
assert.equal(asked.get("code_challenge_method"), "S256");
assert.match(asked.get("code_challenge"), /^[\w-]{43}$/);
await shoot(page, "sign-in");

// 2. The password page: a wrong password first.
const signIn = async (password) => {
  await page.fill("#email", EMAIL);
  await page.fill("#password", password);
  await page.click("button[type=submit]");
};
await signIn("not the password");
await page.waitForSelector("#failure");
assert.equal(await page.inputValue("#email"), EMAIL, "the address need not be typed again");
await shoot(page, "sign-in-refused");
// Chromium reports the refusal's status, and nothing else so far.
assert.ok(complaints.every((text) => text.includes("422")), complaints.join("\n"));
complaints.length = 0;
await signIn(PASSWORD);

// 3. Consent: what, for whom, and where it goes.
await page.waitForSelector("button[value=allow]");
const text = await page.innerText("main");
for (const words of ["Notes", EMAIL, "Read what is stored in memory", "an app on this computer"]) assert.ok(text.includes(words), `${words} in ${text}`);
await shoot(page, "consent");
await page.click("button[value=allow]");

// 4. Back in the app, with tokens in the app's hands only.
await page.waitForURL(`${APP}/`);
await state("signed in");
assert.equal((await detail()).profile.email, EMAIL);
const first = await stored();
assert.match(first.refresh_token, /^ref_/);
assert.deepEqual(new Set(first.scope.split(" ")), new Set(["openid", "profile", "email", "memory:read"]));
await shoot(page, "app-signed-in");
const session = (await context.cookies(ISSUER)).find((cookie) => cookie.name.includes("session"));
assert.equal(session.httpOnly, true);
assert.equal(session.sameSite, "Lax");

// 5. The API behind the edge, on a third origin: preflight and CORS.
await page.click("#call");
await state("api 200");
const echoed = await detail();
assert.equal(echoed.path, "/v1/memory/notes");
assert.match(echoed.headers["x-portcullis-subject"], /^usr_/);
assert.equal(echoed.headers["x-portcullis-scopes"], "memory:read");
assert.equal(echoed.headers.authorization, undefined, "the origin never sees the token");
await shoot(page, "app-api");

// 6. A silent refresh: by the refresh token, in the background, without leaving the page.
const before = sent("GET", `${ISSUER}/authorize`).length;
await page.click("#refresh");
await state("refreshed");
assert.equal(sent("GET", `${ISSUER}/authorize`).length, before, "no page was loaded for it");
assert.match(sent("POST", `${ISSUER}/token`).at(-1).postData(), /grant_type=refresh_token/);
const second = await stored();
await page.click("#call");
await state("api 200");
await shoot(page, "app-refreshed");

// 7. Signed out: at the app, at the issuer, at the edge.
await page.click("#sign-out");
await state("signed out");
await shoot(page, "app-signed-out-again");
assert.deepEqual(complaints, [], "the browser complains");
for (const { access_token } of [first, second]) {
  const answer = await fetch(`${EDGE}/v1/memory/notes`, { headers: { authorization: `Bearer ${access_token}` } });
  assert.equal(answer.status, 401, "a token of a signed-out app is refused");
}
// OpenID Connect RP-Initiated Logout: the session at the issuer is over too.
await page.goto(`${ISSUER}/account`);
assert.ok(page.url().startsWith(`${ISSUER}/login`), "the session is over");

await browser.close();
server.close();
console.log("all good");
