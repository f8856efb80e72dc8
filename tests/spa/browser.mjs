// What the browser tests share: the app's server, Chromium, screenshots, axe.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { chromium } from "playwright-core";
import * as esbuild from "esbuild";

const { PORTCULLIS_CHROMIUM, SHOTS } = process.env;
const here = import.meta.dirname;

/** Bundles app.ts and serves it; every path is the app. */
export async function serveApp(port, settings) {
  const bundled = await esbuild.build({
    entryPoints: [path.join(here, "app.ts")],
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "warning",
  });
  const files = {
    "/app.js": ["text/javascript", bundled.outputFiles[0].text],
    "/settings.json": ["application/json", JSON.stringify(settings)],
  };
  const page = ["text/html; charset=utf-8", readFileSync(path.join(here, "index.html"), "utf8")];
  const server = createServer((request, response) => {
    const [type, body] = files[new URL(request.url, "http://app").pathname] ?? page;
    response.writeHead(200, { "content-type": type, "cache-control": "no-store" }).end(body);
  });
  await new Promise((resolve) => server.listen(port, "localhost", resolve));
  return server;
}

export async function launch(more = []) {
  assert.ok(PORTCULLIS_CHROMIUM, "no Chromium: run scripts/provision browser, and . scripts/env.sh");
  mkdirSync(SHOTS, { recursive: true });
  return chromium.launch({
    executablePath: PORTCULLIS_CHROMIUM,
    // Chromium's own sandbox does not run as root, as tests in containers do.
    args: process.getuid() === 0 ? ["--no-sandbox", ...more] : more,
  });
}

let shots = 0;
/** A numbered picture of a step. */
export async function shoot(page, name) {
  shots += 1;
  const file = `${String(shots).padStart(2, "0")}-${name}.png`;
  await page.screenshot({ path: path.join(SHOTS, file), fullPage: true });
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** No violation of any rule that axe knows, in light and in dark, on a phone and on a desk. */
export async function assertAccessible(page, name) {
  const wide = page.viewportSize();
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [390, 1280]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 844 });
      // Through the debugger, which the page's policy does not bind; the policy stays in force for the page itself.
      await page.evaluate(axeSource);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const found = violations.map((rule) => `${rule.id}: ${rule.help}: ${rule.nodes.map((node) => node.html).join(" ")}`);
      assert.deepEqual(found, [], `${name}, ${colorScheme}, ${width} px`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - globalThis.innerWidth);
      assert.ok(overflow <= 0, `${name} is ${overflow} px wider than a screen of ${width} px`);
      await shoot(page, `${name}-${colorScheme}-${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(wide);
}
