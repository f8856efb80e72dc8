// mcp-remote between a client that speaks stdio and the MCP server behind the gate, as desktop apps use it. Environment: ISSUER,
// SERVER, EMAIL, PASSWORD; CLIENT_ID of a registered client, or empty: it registers itself; FOLDER for what it keeps.
// Ends with code 0 and the line "all good" if everything held.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { Browser } from "./browser.mjs";

const { ISSUER, SERVER, CLIENT_ID, EMAIL, PASSWORD, FOLDER } = process.env;
const browser = new Browser({ issuer: ISSUER, email: EMAIL, password: PASSWORD });
const said = [];
process.on("exit", (code) => code && console.error(said.join("\n")));
const folder = dirname(createRequire(import.meta.url).resolve("mcp-remote/package.json"));

// mcp-remote may say where to go a moment before it listens for who comes back: a person is slower than this script.
async function visit(url) {
  for (let tries = 0; ; tries++) {
    try {
      return await fetch(url);
    } catch (error) {
      if (tries === 200 || error.cause?.code !== "ECONNREFUSED") throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function connect() {
  const args = [join(folder, "dist/proxy.js"), SERVER, "--host", "127.0.0.1", "--transport", "http-only"];
  if (CLIENT_ID) args.push("--static-oauth-client-info", JSON.stringify({ client_id: CLIENT_ID }));
  const transport = new StdioClientTransport({
    command: process.execPath,
    args,
    // Nothing here opens a window.
    env: { ...process.env, MCP_REMOTE_CONFIG_DIR: FOLDER, BROWSER: "true", DISPLAY: "", PATH: dirname(process.execPath) },
    stderr: "pipe",
  });
  // A connection that cannot be finished fails the test at once.
  const authorized = (async () => {
    for await (const line of createInterface({ input: transport.stderr })) {
      said.push(line);
      const request = line.match(/http\S+\/authorize\?\S+/)?.[0];
      if (!request) continue;
      const redirect = new URL(request).searchParams.get("redirect_uri");
      const answer = await visit(await browser.authorize(request, redirect));
      assert.equal(answer.status, 200, await answer.text());
    }
  })().catch((error) => {
    console.error(error);
    process.exit(1);
  });
  const client = new Client({ name: "desktop", version: "1.0.0" });
  await Promise.race([client.connect(transport), authorized.then(() => assert.fail("mcp-remote ended"))]);
  return client;
}

// It speaks an older revision, so it is asked for what any of the tools may need.
let client = await connect();
assert.equal(browser.consents.length, 1);
const call = async (name, args) => (await client.callTool({ name, arguments: args })).content[0].text;
assert.equal(await call("read_memory", { key: "a" }), "nothing");
assert.equal(await call("write_memory", { key: "a", value: "b" }), "kept");
assert.equal(browser.consents.length, 1);
await client.close();
// The next start needs nobody.
client = await connect();
assert.equal(await call("read_memory", { key: "a" }), "b");
assert.equal(browser.consents.length, 1);
await client.close();
console.log("all good");
process.exit(0);
