// Three people, and what each may: an administrator asks a member and a viewer in by mail; the member has keys of their own and
// nobody else's; the viewer looks and cannot touch; the administrator changes a route, and the edge goes by it. Then the important
// parts once more without JavaScript. Same environment as life.mjs, and MAILS: the folder where letters arrive.

import assert from "node:assert/strict";
import { launch, shoot } from "../spa/browser.mjs";
import { ISSUER, edgeAnswers, join, mailTo, open, reloadUntil, signIn } from "./steps.mjs";

const browser = await launch();
const complaints = [];
const ROUTE = "/v1/memory/**";

async function invite(page, email, role) {
  await page.goto(`${ISSUER}/dashboard/people`);
  await page.getByRole("link", { name: "Invite somebody" }).click();
  await page.getByLabel("E-mail address").fill(email);
  await page.getByRole("radio", { name: role }).check();
  await page.getByRole("button", { name: "Send the invitation" }).click();
  await page.getByText(`An invitation is on its way to ${email}`).waitFor();
  return mailTo(email);
}

async function makeKey(page, list, name) {
  await page.goto(`${ISSUER}${list}/new`);
  await page.getByLabel("Name").fill(name);
  await page.getByText("Cannot change anything").click();
  await page.getByRole("button", { name: "Make the key" }).click();
  const key = await page.getByLabel(name).inputValue();
  await page.getByRole("link", { name: "I have stored it" }).click();
  return { key, place: new URL(page.url()).pathname };
}

/** Neither the page nor the form behind it, even with a form token of one's own: the role says no. */
async function isRefused(page, path, role) {
  await page.goto(`${ISSUER}/dashboard`);
  const csrf = await page.locator("input[name=csrf]").first().inputValue();
  const headers = { origin: ISSUER };
  const looked = await page.request.get(`${ISSUER}${path}`);
  const sent = await page.request.post(`${ISSUER}${path}`, { form: { csrf, confirm: "x", name: "x" }, headers, maxRedirects: 0 });
  for (const answer of [looked, sent]) {
    assert.equal(answer.status(), 403, `${role}, ${path}`);
    assert.ok((await answer.text()).includes(`Your role here is ${role}`), `${role}, ${path}`);
  }
}

// Asked in, by letter, and come in: each in a browser of their own.
const admin = await open(browser, complaints);
await signIn(admin, "/dashboard/people");
const memberLink = await invite(admin, "mina@colleagues.example", "member");
const viewerLink = await invite(admin, "vito@colleagues.example", "viewer");
const member = await open(browser, complaints);
await join(member, memberLink, "Mina");
const viewer = await open(browser, complaints);
await join(viewer, viewerLink, "Vito");
await shoot(viewer, "viewer-overview");
await admin.goto(`${ISSUER}/dashboard/people?q=mina`);
await admin.getByRole("row").filter({ hasText: "mina@colleagues.example" }).filter({ hasText: "member" }).waitFor();
const theirs = await makeKey(admin, "/dashboard/keys", "the administrator's");

// The member has keys of their own, and sees what others have.
await member.getByRole("link", { name: "My keys" }).click();
await member.waitForURL(`${ISSUER}/account/keys`);
const own = await makeKey(member, "/account/keys", "my own");
await edgeAnswers(own.key, 200);
await member.goto(`${ISSUER}${theirs.place}`);
await member.getByRole("heading", { name: "the administrator's" }).waitFor();
for (const name of ["Rotate", "Revoke", "Rename"]) {
  assert.equal(await member.locator("main").getByText(name, { exact: true }).count(), 0, `a member is offered ${name}`);
}
await shoot(member, "member-key");
for (const path of ["/dashboard/keys/new", `${theirs.place}/revoke`, `${theirs.place}/rotate`, "/dashboard/people/invite", "/dashboard/policies/edit"]) {
  await isRefused(member, path, "member");
}
await edgeAnswers(theirs.key, 200);
// Another's key is none of theirs under their own address either.
const elsewhere = await member.goto(`${ISSUER}${theirs.place.replace("/dashboard/", "/account/")}`);
assert.equal(elsewhere.status(), 404);
await member.goto(`${ISSUER}${own.place}/revoke`);
await member.locator("#confirm").fill("my own");
await member.getByRole("button", { name: "Revoke this key" }).click();
await member.getByRole("heading", { name: "Dead everywhere" }).waitFor();
await edgeAnswers(own.key, 401);

// The viewer sees, and nothing that they see can be sent but filters and tests.
await viewer.goto(`${ISSUER}/dashboard`);
const links = await viewer.locator("nav[aria-label=Dashboard] a").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
assert.ok(links.includes("/dashboard/policies") && !links.includes("/account/keys") && !links.includes("/dashboard/audit"), `${links}`);
for (const path of [...links, theirs.place]) {
  await viewer.goto(`${ISSUER}${path}`);
  assert.equal(await viewer.locator("main form[method=post]").count(), 0, `${path} has a form`);
  const buttons = await viewer.locator("main button:not(form[method=get] button)").allInnerTexts();
  assert.deepEqual(buttons, [], `${path} has buttons`);
}
await shoot(viewer, "viewer-key");
for (const path of ["/dashboard/keys/new", `${theirs.place}/revoke`, "/dashboard/people/invite", "/account/keys/new"]) {
  await isRefused(viewer, path, "viewer");
}
await edgeAnswers(theirs.key, 200);

/** What the test box says of a request with a credential. */
async function tried(page, key) {
  await page.goto(`${ISSUER}/dashboard/policies`);
  const box = page.locator("section").filter({ has: page.getByRole("heading", { name: "With a credential" }) });
  await box.getByLabel("Path").fill("/v1/memory/retrieve");
  await box.getByLabel("Credential").fill(key);
  await box.getByRole("button", { name: "Test" }).click();
  return page.locator("#outcome").innerText();
}

/** Puts scopes on the route for reading, by the editor. */
async function editScopes(page, scopes) {
  const row = page.getByRole("row").filter({ hasText: ROUTE }).filter({ hasText: "GET" });
  await row.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("All of these scopes").fill(scopes);
  await page.getByRole("button", { name: "Put it into the draft" }).click();
}

/** A mistake first, then the change, and what it changes; then it is applied. */
async function changeRoute(page, scopes, reason) {
  await page.goto(`${ISSUER}/dashboard/policies`);
  await page.getByRole("link", { name: "Edit", exact: true }).click();
  await editScopes(page, "memory:reed");
  await page.getByText("has a mistake").waitFor();
  await page.getByRole("button", { name: "Check, and show what it changes" }).click();
  await page.getByRole("heading", { name: "It cannot be applied yet" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Apply" }).count(), 0);
  await editScopes(page, scopes);
  await page.getByRole("button", { name: "Check, and show what it changes" }).click();
  await page.getByRole("heading", { name: "What it changes" }).waitFor();
  const changes = await page.locator("#changes").innerText();
  assert.ok(changes.includes(scopes), changes);
  await shoot(page, "changes");
  await page.getByLabel("Why (for the history)").fill(reason);
  await page.getByRole("button", { name: "Apply" }).click();
  await page.waitForURL(/\/dashboard\/policies\/versions\//);
}

// The administrator changes a route. The edge goes by it, the test box says why, and it can be undone.
assert.match(await tried(admin, theirs.key), /passes/);
await changeRoute(admin, "memory:write", "reading needs writing today");
await admin.getByRole("heading", { name: "Every edge goes by it" }).waitFor();
await shoot(admin, "applied");
await edgeAnswers(theirs.key, 403);
const said = await tried(admin, theirs.key);
assert.match(said, /refused[^]*403/);
assert.match(said, /memory:write/);
await shoot(admin, "tested");
await admin.getByRole("link", { name: "Version 1", exact: true }).click();
await admin.getByRole("link", { name: "Put it in force again" }).click();
await admin.locator("main form button[type=submit]").click();
await admin.getByRole("heading", { name: "Every edge goes by it" }).waitFor();
await edgeAnswers(theirs.key, 200);

// Without JavaScript: asked in, come in, a route changed, and its receipt.
const without = { javaScriptEnabled: false };
const plain = await open(browser, complaints, without);
await signIn(plain, "/dashboard/people");
const plainLink = await invite(plain, "paula@colleagues.example", "viewer");
const newcomer = await open(browser, complaints, without);
await join(newcomer, plainLink, "Paula");
await changeRoute(plain, "memory:delete", "and now deleting");
await reloadUntil(plain, "Every edge goes by it");
await edgeAnswers(theirs.key, 403);
assert.match(await tried(plain, theirs.key), /memory:delete/);

assert.deepEqual(complaints, []);
await browser.close();
console.log("all good");
