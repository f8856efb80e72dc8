// Every page of the dashboard, looked at by axe in both themes on a phone and on a desk. Same environment as life.mjs.

import assert from "node:assert/strict";
import { assertAccessible, launch } from "../spa/browser.mjs";
import { ISSUER, open, signIn } from "./steps.mjs";

const browser = await launch();
const complaints = [];
const page = await open(browser, complaints);
await signIn(page, "/dashboard");
await assertAccessible(page, "overview");

// Every page that the navigation leads to, and those behind its first row and its buttons.
const links = await page.locator("nav[aria-label=Dashboard] a").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
assert.ok(links.includes("/dashboard/keys"));
const seen = new Set(["/dashboard", ...links]);
const name = (path) => path.replace(/^\/dashboard\/?/, "").replace(/[^a-z]+/gi, "-") || "overview";
for (const path of links.slice(1)) {
  await page.goto(`${ISSUER}${path}`);
  assert.equal(await page.locator("h1").count(), 1, `${path} has one heading`);
  await assertAccessible(page, name(path));
  const further = await page.locator("main a[href^='/dashboard/']").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
  // One of each kind: ids differ, pages do not.
  const kinds = new Map(further.map((href) => [href.split("?")[0].replace(/[a-z]+_[0-9a-z]+/i, "ID"), href]));
  for (const [kind, href] of kinds) {
    if (seen.has(kind) || href.includes("export")) continue;
    seen.add(kind);
    await page.goto(`${ISSUER}${href}`);
    assert.equal(await page.locator("h1").count(), 1, `${href} has one heading`);
    await assertAccessible(page, name(kind));
    if (kind.endsWith("/ID")) {
      const deeper = await page.locator("main a[href^='/dashboard/']").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
      for (const href of deeper) {
        const kind = href.split("?")[0].replace(/[a-z]+_[0-9a-z]+/i, "ID");
        if (seen.has(kind)) continue;
        seen.add(kind);
        await page.goto(`${ISSUER}${href}`);
        await assertAccessible(page, name(kind));
      }
    }
  }
}
console.log(`${seen.size} kinds of pages`);
assert.deepEqual(complaints, []);
await browser.close();
console.log("all good");
