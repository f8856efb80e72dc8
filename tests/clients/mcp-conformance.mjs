// `conformance authorization` of the MCP project against the control plane; the browser's part is done here. Every check must be a
// success, that for Client ID Metadata Documents included: a warning or a skipped check is a failure. Environment: ISSUER,
// SERVER, CLIENT_ID, EMAIL, PASSWORD, FOLDER for the results. Ends with code 0 and the line "all good" if everything held.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { Browser } from "./browser.mjs";

const { ISSUER, SERVER, CLIENT_ID, EMAIL, PASSWORD, FOLDER } = process.env;
const browser = new Browser({ issuer: ISSUER, email: EMAIL, password: PASSWORD });

// It listens where it is told to: a port that is free now.
const port = await new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
const folder = dirname(createRequire(import.meta.url).resolve("@modelcontextprotocol/conformance/package.json"));
const tool = spawn(process.execPath, [
  join(folder, "dist/index.js"), "authorization", "--url", ISSUER, "--client-id", CLIENT_ID, "--resource", SERVER,
  "--port", String(port), "--output-dir", FOLDER,
], { stdio: ["ignore", "pipe", "inherit"] });
const ended = new Promise((resolve) => tool.on("exit", resolve));

const said = [];
let callback;
for await (const line of createInterface({ input: tool.stdout })) {
  said.push(line);
  if (line.startsWith(`${ISSUER}/authorize?`)) {
    callback = await browser.authorize(line, `http://127.0.0.1:${port}/callback`);
    assert.equal((await fetch(callback)).status, 200);
  }
}
assert.equal(await ended, 0, said.join("\n"));
assert.ok(callback, said.join("\n"));

const checks = [];
for (const file of await readdir(FOLDER, { recursive: true })) {
  if (file.endsWith("checks.json")) checks.push(...JSON.parse(await readFile(join(FOLDER, file), "utf8")));
}
const outcome = Object.fromEntries(checks.map(({ id, status, errorMessage }) => [id, errorMessage ?? status]));
assert.deepEqual(outcome, {
  "authorization-server-metadata": "SUCCESS",
  "authorization-server-metadata-cimd": "SUCCESS",
  "authorization-code-grant": "SUCCESS",
});
console.log("all good");
