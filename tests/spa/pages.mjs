// Every page that people see, looked at by axe and by pictures. Same environment as drive.mjs.

import assert from "node:assert/strict";
import process from "node:process";
import { assertAccessible, launch } from "./browser.mjs";

const { ISSUER, EDGE, CLIENT_ID, APP_PORT, EMAIL, PASSWORD } = process.env;
const browser = await launch();
// Pages need no JavaScript; what the debugger runs for axe is not the page's.
const context = await browser.newContext();
const page = await context.newPage();
page.setDefaultTimeout(20_000);
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));

const request = (changes) => {
  const url = new URL(`${ISSUER}/authorize`);
  url.search = new URLSearchParams({
    response_type: "code",
    client_id: CLIENT_ID,
    redirect_uri: `http://localhost:${APP_PORT}/callback`,
    scope: "openid profile email memory:read",
    resource: EDGE,
    state: "s",
    code_challenge: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
    code_challenge_method: "S256",
    ...changes,
  });
  return url.href;
};

await page.goto(request({}));
await assertAccessible(page, "sign-in");
await page.fill("#email", EMAIL);
await page.fill("#password", "not the password");
await page.click("button[type=submit]");
await page.waitForSelector("#failure");
await assertAccessible(page, "sign-in-refused");
await page.fill("#password", PASSWORD);
await page.click("button[type=submit]");
await page.waitForSelector("button[value=allow]");
await assertAccessible(page, "consent");

await page.goto(request({ redirect_uri: "https://unregistered.example/callback" }));
assert.equal(new URL(page.url()).origin, ISSUER);
await assertAccessible(page, "error");

for (const name of ["account", "account/sessions", "account/password"]) {
  await page.goto(`${ISSUER}/${name}`);
  assert.equal(page.url(), `${ISSUER}/${name}`);
  await assertAccessible(page, name.replace("/", "-"));
}
assert.deepEqual(complaints, []);
await browser.close();
console.log("all good");
