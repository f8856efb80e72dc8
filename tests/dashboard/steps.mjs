// What the dashboard's browser tests share: signing in, and a page that complains.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import process from "node:process";

export const { ISSUER, EDGE, EMAIL, PASSWORD, MAILS } = process.env;

/** A page of a new browser session. Errors of its scripts and breaches of its policy end up in `complaints`. */
export async function open(browser, complaints, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
  });
  return page;
}

/** Signs in where the page asks for it, and ends at `path`. */
export async function signIn(page, path, email = EMAIL, password = PASSWORD) {
  await page.goto(`${ISSUER}${path}`);
  await page.fill("#email", email);
  await page.fill("#password", password);
  await page.click("button[type=submit]");
  await page.waitForURL(`${ISSUER}${path}`);
}

/** Calls the API through the edge until it answers so, for ten seconds at most. */
export async function edgeAnswers(key, status) {
  for (const end = Date.now() + 10_000; ; ) {
    const answer = await fetch(`${EDGE}/v1/memory/retrieve`, { headers: { authorization: `Bearer ${key}` } });
    await answer.arrayBuffer();
    if (answer.status === status) return;
    assert.ok(Date.now() < end, `the edge answers ${answer.status}, not ${status}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Loads a page again until it holds a text, for twenty seconds at most. */
export async function reloadUntil(page, text) {
  for (const end = Date.now() + 20_000; ; ) {
    if ((await page.locator("main").innerText()).includes(text)) return;
    assert.ok(Date.now() < end, `no “${text}” in ${await page.locator("main").innerText()}`);
    await page.reload();
  }
}

/** The link in the first letter to somebody, who gets it within twenty seconds. */
export async function mailTo(email) {
  for (const end = Date.now() + 20_000; ; ) {
    const letter = readdirSync(MAILS).find((name) => name.startsWith(`${email}-`));
    if (letter) return readFileSync(path.join(MAILS, letter), "utf8").match(/https?:\S+\?token=\S+/)[0];
    assert.ok(Date.now() < end, `no letter to ${email}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Accepts an invitation with a new account, and ends at the dashboard. */
export async function join(page, link, name) {
  await page.goto(link);
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(`${PASSWORD} of ${name}`);
  await page.getByLabel("Password again").fill(`${PASSWORD} of ${name}`);
  await page.getByRole("button", { name: "Make the account and join" }).click();
  await page.waitForURL(`${ISSUER}/dashboard`);
}
