// What Lighthouse says of the two pages that are looked at most: the median of five runs, at least 95 of 100 each.
// Same environment as life.mjs.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import lighthouse, { desktopConfig } from "lighthouse";
import { launch } from "../spa/browser.mjs";
import { ISSUER, open, signIn } from "./steps.mjs";

const RUNS = 5;
const BAR = 95;
const CATEGORIES = ["performance", "accessibility", "best-practices"];

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

const port = await freePort();
const browser = await launch([`--remote-debugging-port=${port}`]);
const page = await open(browser, []);
await signIn(page, "/dashboard");
const cookies = await page.context().cookies();
const Cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");

for (const path of ["/dashboard", "/dashboard/keys"]) {
  const scores = Object.fromEntries(CATEGORIES.map((category) => [category, []]));
  let told = new Set();
  for (let run = 0; run < RUNS; run += 1) {
    const flags = { port, extraHeaders: { Cookie }, onlyCategories: CATEGORIES, logLevel: "error" };
    const { lhr } = await lighthouse(`${ISSUER}${path}`, flags, desktopConfig);
    assert.equal(new URL(lhr.finalDisplayedUrl).pathname, path, "it looked at the page, not at the sign-in");
    for (const category of CATEGORIES) scores[category].push(Math.round(lhr.categories[category].score * 100));
    const failed = Object.values(lhr.audits).filter((audit) => audit.score !== null && audit.score < 0.9);
    told = new Set([...told, ...failed.map((audit) => `${audit.id}: ${audit.title}`)]);
  }
  console.log(path, JSON.stringify(scores), [...told].join("; "));
  for (const category of CATEGORIES) {
    assert.ok(median(scores[category]) >= BAR, `${path}, ${category}: ${scores[category]}; ${[...told].join("; ")}`);
  }
}
await browser.close();
console.log("all good");
