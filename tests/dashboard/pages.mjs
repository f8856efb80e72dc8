// Every page of the dashboard, of the account and of the way in, looked at by axe in both themes on a phone and on a desk. Same
// environment as life.mjs, and MAILS: the folder where letters arrive.

import assert from "node:assert/strict";
import { assertAccessible, launch } from "../spa/browser.mjs";
import { ISSUER, mailTo, open, signIn } from "./steps.mjs";

const browser = await launch();
const complaints = [];
const page = await open(browser, complaints);
const seen = new Set();

/** What kind of page that is: ids differ, pages do not. */
const kindOf = (href) => href.split("?")[0].replace(/[a-z]+_[0-9a-z]+/i, "ID");
const name = (kind) => kind.replace(/^\/(dashboard\/?)?/, "").replace(/[^a-z]+/gi, "-") || "overview";
const hrefs = (within) => page.locator(within).evaluateAll((all) => all.map((a) => a.getAttribute("href")));

/** Looks at a page, unless one of its kind was seen. Gives where it leads to. */
async function look(href, kind = kindOf(href)) {
  if (seen.has(kind) || href.includes("export")) return [];
  seen.add(kind);
  await page.goto(new URL(href, ISSUER).href);
  assert.equal(await page.locator("h1").count(), 1, `${href} has one heading`);
  await assertAccessible(page, name(kind));
  return hrefs("main a[href^='/dashboard/'], main a[href^='/account/keys/']");
}

// Every page that the navigation leads to, those behind its rows and its buttons, and those behind these.
await signIn(page, "/dashboard");
const links = await hrefs("nav[aria-label=Dashboard] a");
assert.ok(links.includes("/dashboard/keys"));
for (const link of links) {
  for (const further of await look(link)) {
    for (const deeper of await look(further)) await look(deeper);
  }
}
await look("/dashboard/clients?show=let_in", "/dashboard/clients-let-in");
await look("/dashboard/keys?q=nothing+has+this+name", "/dashboard/keys-none");

// One's own account.
for (const part of ["", "/apps", "/sessions", "/password", "/totp", "/passkeys"]) await look(`/account${part}`);
await look("/dashboard/nothing-is-here");

// What an app asks for.
await page.goto(`${ISSUER}/dashboard/clients`);
const desk = page.getByRole("row").filter({ hasText: "Support Desk" });
const request = {
  response_type: "code",
  client_id: await desk.locator("code").innerText(),
  redirect_uri: "https://desk.acme.example/oauth/return",
  scope: "openid memory:read",
  state: "s",
  code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
  code_challenge_method: "S256",
};
await look(`/authorize?${new URLSearchParams(request)}`);
assert.ok((await page.locator("h1").innerText()).includes("Support Desk"), "an app asks");
await look("/device");

// The way in: for somebody who is invited, and for everybody.
await page.goto(`${ISSUER}/dashboard/people/invite`);
await page.getByLabel("E-mail address").fill("axe@colleagues.example");
await page.getByRole("button", { name: "Send the invitation" }).click();
const invitation = await mailTo("axe@colleagues.example");
await page.context().clearCookies();
await look(invitation, "/invitation");
for (const path of ["/login", "/signup", "/password/forgot"]) await look(path);

console.log(`${seen.size} kinds of pages`);
assert.deepEqual(complaints, []);
await browser.close();
console.log("all good");
