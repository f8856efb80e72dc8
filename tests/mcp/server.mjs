// An example MCP server behind the gate: the official SDK, streamable HTTP, stateless, three tools over one small memory
// per person. It shows what an origin owes the gate:
//
// - who calls is what the gate says in X-Portcullis-Subject; there is no other sign-in, and no token ever arrives here;
// - the gate's rules per tool go by the headers Mcp-Method and Mcp-Name. It reads no bodies, so a request whose body says
//   something else is refused here (MCP 2026-07-28, "Server Validation"; the SDK 1.32 does not do that itself).
//
// Listens on 127.0.0.1, PORT or any free one, and prints its URL. It must be reachable through the gate only.

import { createServer } from "node:http";
import process from "node:process";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { LATEST_PROTOCOL_VERSION } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

const MAX_BODY = 64 * 1024;
const INVALID_REQUEST = -32600;
const HEADER_MISMATCH = -32020;

/** subject → key → value */
const memories = new Map();

function serverFor(subject) {
  const memory = memories.get(subject) ?? new Map();
  memories.set(subject, memory);
  const server = new McpServer({ name: "memory", version: "1.0.0" });
  const text = (text) => ({ content: [{ type: "text", text }] });
  const key = z.string().min(1).max(200);
  server.registerTool("read_memory", { description: "Reads a note", inputSchema: { key } }, ({ key }) =>
    text(memory.get(key) ?? "nothing"));
  server.registerTool("write_memory", { description: "Keeps a note", inputSchema: { key, value: z.string().max(2000) } },
    ({ key, value }) => { memory.set(key, value); return text("kept"); });
  server.registerTool("delete_memory", { description: "Forgets a note", inputSchema: { key } }, ({ key }) =>
    text(memory.delete(key) ? "forgotten" : "nothing"));
  return server;
}

// What a request is about, by its method: the member of `params` that Mcp-Name repeats.
const NAMED = { "tools/call": "name", "prompts/get": "name", "resources/read": "uri" };

/** The value of a header, which may be wrapped because it is not plain ASCII; undefined if it is not what it looks like. */
function decoded(value) {
  const inner = /^=\?base64\?(.*)\?=$/.exec(value)?.[1];
  if (inner === undefined) return value;
  const bytes = Buffer.from(inner, "base64");
  return bytes.toString("base64") === inner ? bytes.toString("utf8") : undefined;
}

/** Why headers and body do not belong together; undefined if they do. */
function mismatch(request, message) {
  const { "mcp-method": method, "mcp-name": name, "mcp-protocol-version": version } = request.headersDistinct;
  if ((method ?? name ?? []).length > 1 || (name ?? []).length > 1) return "a header came twice";
  if (!method && !name) {
    // Before this revision there were no such headers: the gate has asked for every tool's scopes.
    return (version?.[0] ?? "") >= "2026-07-28" ? "Mcp-Method is missing" : undefined;
  }
  if (Array.isArray(message) || message?.method !== method?.[0]) return "Mcp-Method is not the body's method";
  const about = NAMED[message.method] && message.params?.[NAMED[message.method]];
  if (about !== undefined && (!name || decoded(name[0]) !== about)) return "Mcp-Name is not what the body is about";
  return undefined;
}

/** The SDK 1.32 refuses the version of this revision: it gets the newest one that it knows, where only the header is new. */
function understood(request, message) {
  if (message.params?._meta?.["io.modelcontextprotocol/protocolVersion"]) return;
  const at = request.rawHeaders.findIndex((name, at) => at % 2 === 0 && name.toLowerCase() === "mcp-protocol-version");
  if (at < 0 || request.rawHeaders[at + 1] !== "2026-07-28") return;
  request.rawHeaders[at + 1] = LATEST_PROTOCOL_VERSION;
  request.headers["mcp-protocol-version"] = LATEST_PROTOCOL_VERSION;
}

async function bodyOf(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > MAX_BODY) return undefined;
    parts.push(part);
  }
  try { return JSON.parse(Buffer.concat(parts).toString("utf8")); } catch { return undefined; }
}

function refuse(response, status, code, message, id = null) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ jsonrpc: "2.0", id, error: { code, message } }));
}

async function answer(request, response) {
  const subject = request.headers["x-portcullis-subject"];
  if (!subject || request.headers.authorization) {
    return refuse(response, 500, INVALID_REQUEST, "this request did not come through the gate as it should");
  }
  // Stateless: no stream to listen to, no session to end.
  if (request.method !== "POST") return response.writeHead(405, { allow: "POST" }).end();
  const message = await bodyOf(request);
  if (message === undefined) return refuse(response, 400, INVALID_REQUEST, "no JSON, or too much");
  const problem = mismatch(request, message);
  if (problem) return refuse(response, 400, HEADER_MISMATCH, problem, message.id);
  understood(request, message);
  const server = serverFor(subject);
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  response.on("close", () => { transport.close(); server.close(); });
  await server.connect(transport);
  await transport.handleRequest(request, response, message);
}

const http = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (response.headersSent) response.destroy();
    else refuse(response, 500, -32603, "an internal error");
  });
});
http.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => console.log(`http://127.0.0.1:${http.address().port}`));
