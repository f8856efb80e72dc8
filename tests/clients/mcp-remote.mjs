// mcp-remote between a client that speaks stdio and the MCP server behind the gate, as desktop apps use it. Environment: ISSUER,
// SERVER, EMAIL, PASSWORD; CLIENT_ID of a registered client, or empty: it registers itself; FOLDER for what it keeps.
// Ends with code 0 and the line "all good" if everything held.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { createRequire } from "node:module";
import { createServer } from "node:net";
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

// Where mcp-remote waits for who comes back. Left to itself it derives the port from the server's URL: a port that anybody may
// have, among them those whom the system hands any free one, and of which mcp-remote may have spoken before it looked. So one
// below those, that is free now; for every start, since what it has registered names it.
async function freePort() {
  for (;;) {
    const port = randomInt(10_000, 30_000);
    const probe = createServer();
    const free = await new Promise((done) => {
      probe.once("error", () => done(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
}
const port = await freePort();

// mcp-remote may say where to go before it listens for who comes back: a person is slower than this script. It is there when it
// says who it is.
async function listens(redirect) {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    const answer = await fetch(new URL("/.mcp-remote/id", redirect)).catch(() => undefined);
    if (answer && (await answer.json().catch(() => undefined))?.mcpRemote) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`mcp-remote does not listen at ${redirect}`);
}

async function connect() {
  const args = [join(folder, "dist/proxy.js"), SERVER, String(port), "--host", "127.0.0.1", "--transport", "http-only"];
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
      // First, because a code does not wait for long.
      await listens(redirect);
      const answer = await fetch(await browser.authorize(request, redirect));
      assert.equal(answer.status, 200, await answer.text());
    }
  })().catch((error) => {
    console.error(error);
    process.exit(1);
  });
  const client = new Client({ name: "desktop", version: "1.0.0" });
  // It counts from before the sign-in, which waits for the machine and for everybody else on it.
  const patience = { timeout: 240_000 };
  await Promise.race([client.connect(transport, patience), authorized.then(() => assert.fail("mcp-remote ended"))]);
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
