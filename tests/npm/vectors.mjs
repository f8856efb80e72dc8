// The golden vectors through the npm package on every platform (I9): Node.js with its own crypto and with WebCrypto alone,
// workerd, and Chromium by its own module loader. Arguments: the package, workerd's program, a folder to write to, and a JSON
// file {kind: {file, expected}}. Ends with the line "all good".

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createReadStream, readFileSync, writeFileSync, copyFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import * as esbuild from "esbuild";
import { chromium } from "playwright-core";

const [packaged, workerd, folder, table] = process.argv.slice(2);
const vectors = JSON.parse(readFileSync(table, "utf8"));

function check(platform, synchronous, kind, said) {
  assert.equal(said.synchronous, synchronous, `${platform} checks signatures ${synchronous ? "at once" : "later"}`);
  assert.equal(said.outcomes, vectors[kind].expected, `${platform}: ${kind}`);
}

async function inNode() {
  const edge = await import(pathToFileURL(path.join(packaged, "node.js")));
  const crypto = await import(pathToFileURL(path.join(packaged, "crypto.js")));
  for (const synchronous of [true, false]) {
    if (!synchronous) crypto.forgetNodeCrypto();
    for (const [kind, { file }] of Object.entries(vectors)) {
      check("Node.js", synchronous, kind, await edge.runVectors(kind, file));
    }
  }
}

const WORKER = `
import { runVectors } from "@portcullis/edge";
export default {
  async fetch(request) {
    const { kind, file } = await request.json();
    return Response.json(await runVectors(kind, file));
  },
};`;

async function inWorkerd() {
  // As wrangler bundles: the condition "workerd", and Wasm as a module of its own.
  await esbuild.build({
    stdin: { contents: WORKER, resolveDir: folder },
    alias: { "@portcullis/edge": path.join(packaged, "workerd.js") },
    bundle: true,
    format: "esm",
    external: ["*.wasm"],
    outfile: path.join(folder, "worker.js"),
    logLevel: "warning",
  });
  copyFileSync(path.join(packaged, "core_bg.wasm"), path.join(folder, "core_bg.wasm"));
  writeFileSync(
    path.join(folder, "worker.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "main", worker = .main)], sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);
const main :Workerd.Worker = (modules = [(name = "worker.js", esModule = embed "worker.js"), (name = "./core_bg.wasm", wasm = embed "core_bg.wasm")],
  compatibilityDate = "2026-11-01");`,
  );
  const child = spawn(workerd, ["serve", "worker.capnp", "--control-fd=3"], { cwd: folder, stdio: ["ignore", "inherit", "inherit", "pipe"] });
  try {
    // It says on which port it listens.
    const port = await new Promise((resolve, reject) => {
      let text = "";
      child.stdio[3].on("data", (data) => {
        text += data;
        const found = /"event":"listen".*?"port":(\d+)/.exec(text);
        if (found) resolve(found[1]);
      });
      child.on("exit", (code) => reject(new Error(`workerd ended with ${code}`)));
    });
    for (const [kind, { file }] of Object.entries(vectors)) {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: JSON.stringify({ kind, file }) });
      assert.equal(answer.status, 200, await answer.clone().text());
      check("workerd", true, kind, await answer.json());
    }
  } finally {
    child.kill("SIGKILL");
  }
}

const TYPES = { ".js": "text/javascript", ".wasm": "application/wasm" };
const PAGE = `<!doctype html><title>vectors</title>
<script type="importmap">{"imports": {"@portcullis/edge": "/npm/web.js"}}</script>
<script type="module">globalThis.edge = await import("@portcullis/edge");</script>`;

async function inChromium() {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    const type = TYPES[path.extname(pathname)];
    if (!type) return response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
    const file = createReadStream(path.join(packaged, path.basename(pathname)));
    file.on("open", () => file.pipe(response.writeHead(200, { "content-type": type })));
    file.on("error", () => response.writeHead(404).end());
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  const browser = await chromium.launch({
    executablePath: process.env.PORTCULLIS_CHROMIUM,
    // Chromium's own sandbox does not run as root, as tests in containers do.
    args: process.getuid() === 0 ? ["--no-sandbox"] : [],
  });
  try {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.goto(`http://localhost:${server.address().port}/`);
    await page.waitForFunction(() => globalThis.edge !== undefined);
    for (const [kind, { file }] of Object.entries(vectors)) {
      const said = await page.evaluate(([kind, file]) => globalThis.edge.runVectors(kind, file), [kind, file]);
      check("Chromium", false, kind, said);
    }
  } finally {
    await browser.close();
    server.close();
  }
}

await inNode();
await inWorkerd();
await inChromium();
console.log("all good");
