// The life of a key in the dashboard, from the form to the last region that has heard of its end; with a mouse, without
// JavaScript, and with a keyboard only. Reads ISSUER, EDGE, EMAIL, PASSWORD, PORTCULLIS_CHROMIUM and SHOTS.

import assert from "node:assert/strict";
import { launch, shoot } from "../spa/browser.mjs";
import { ISSUER, edgeAnswers, open, reloadUntil, signIn } from "./steps.mjs";

const browser = await launch();
const complaints = [];

// With a mouse.
const page = await open(browser, complaints);
await signIn(page, "/dashboard/keys");
await page.getByRole("link", { name: "New key" }).click();
await page.getByLabel("Name").fill("nightly report");
await page.getByText("Cannot change anything").click();
await page.getByRole("button", { name: "Make the key" }).click();
const key = await page.getByLabel("nightly report").inputValue();
assert.match(key, /^pc_live_/);
await page.getByRole("button", { name: "Copy" }).waitFor();
await shoot(page, "once");
await edgeAnswers(key, 200);
await page.getByRole("link", { name: "I have stored it" }).click();
const place = page.url();

// Its use arrives.
await edgeAnswers(key, 200);
await reloadUntil(page, "2 let in");
await shoot(page, "used");

// A successor, and who still uses the old one.
await page.getByRole("link", { name: "Rotate" }).click();
await page.getByRole("button", { name: "Rotate the key" }).click();
const successor = await page.getByLabel("nightly report").inputValue();
await edgeAnswers(successor, 200);
await edgeAnswers(key, 200);
await page.getByRole("link", { name: "I have stored it" }).click();
await page.goto(place);
await reloadUntil(page, "so something still uses it");

// Its end: every region says so, without a reload, and then it is dead.
await page.getByRole("link", { name: "Revoke" }).click();
await page.getByRole("button", { name: "Revoke this key" }).click();
assert.equal(page.url(), `${place}/revoke`, "the browser asks for the name");
await page.locator("#confirm").fill("nightly");
await page.getByRole("button", { name: "Revoke this key" }).click();
await page.getByText("What you typed is not the name").waitFor();
await page.locator("#confirm").fill("nightly report");
await page.getByRole("button", { name: "Revoke this key" }).click();
await page.getByText("is revoked. Below is who has heard of it").waitFor();
await page.getByText("has it").first().waitFor();
await page.getByRole("heading", { name: "Dead everywhere" }).waitFor();
assert.equal(await page.getByText("not yet").count(), 0);
await shoot(page, "dead");
await edgeAnswers(key, 401);
await edgeAnswers(successor, 200);

// Without JavaScript.
const plain = await open(browser, complaints, { javaScriptEnabled: false });
await signIn(plain, "/dashboard/keys/new");
await plain.getByLabel("Name").fill("plain");
await plain.getByRole("button", { name: "Make the key" }).click();
const other = await plain.getByLabel("plain").inputValue();
await edgeAnswers(other, 200);
await plain.getByRole("link", { name: "I have stored it" }).click();
await plain.getByRole("link", { name: "Revoke" }).click();
await plain.locator("#confirm").fill("plain");
await plain.getByRole("button", { name: "Revoke this key" }).click();
await plain.getByText("is revoked").first().waitFor();
await reloadUntil(plain, "Dead everywhere");
await edgeAnswers(other, 401);

// With a keyboard: Tab reaches everything, Enter and Space do it.
const keys = await open(browser, complaints);
await signIn(keys, "/dashboard/keys");
const focus = async (name) => {
  for (let presses = 0; presses < 80; presses += 1) {
    const found = await keys.evaluate(() => {
      const here = document.activeElement;
      // Whole regions can have the focus as well; what is meant is what one can press or fill in.
      return here.matches("a, button, input, select, summary") ? `${here.id} ${here.textContent.trim()} ${here.value}` : "";
    });
    if (found.includes(name)) return;
    await keys.keyboard.press("Tab");
  }
  assert.fail(`Tab does not reach ${name} on ${keys.url()}`);
};
await keys.keyboard.press("/");
assert.equal(await keys.evaluate(() => document.activeElement.id), "q");
await keys.locator("body").press("Escape");
await keys.goto(`${ISSUER}/dashboard/keys`);
await keys.keyboard.press("Tab");
await keys.keyboard.press("Enter");
assert.equal(await keys.evaluate(() => document.activeElement.id), "main", "the first stop skips the navigation");
await focus("New key");
await keys.keyboard.press("Enter");
await keys.waitForURL(`${ISSUER}/dashboard/keys/new`);
await focus("name ");
await keys.keyboard.type("by hand");
await focus("read");
await keys.keyboard.press("Space");
await focus("Make the key");
await keys.keyboard.press("Enter");
const third = await keys.getByLabel("by hand").inputValue();
await focus("I have stored it");
await keys.keyboard.press("Enter");
await keys.getByRole("heading", { name: "by hand" }).waitFor();
await focus("Revoke");
await keys.keyboard.press("Enter");
await keys.getByRole("heading", { name: "Revoke by hand" }).waitFor();
await focus("confirm ");
await keys.keyboard.type("by hand");
await keys.keyboard.press("Enter");
await keys.getByRole("heading", { name: "Dead everywhere" }).waitFor();
await edgeAnswers(third, 401);

assert.deepEqual(complaints, []);
await browser.close();
console.log("all good");
