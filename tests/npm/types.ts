// Compiled, never run: what the package's types allow, and what they do not.

import { createGate, expressGate, honoGate, verifyAssertion, type Result } from "@portcullis/edge";
import { Hono } from "hono";

const gate = createGate({
  issuer: "https://auth.example.com",
  resource: "https://api.example.com",
  rootKey: "…",
  feedId: "…",
  environments: ["live", "test"],
  feed: { controlPlane: "https://auth.example.com", uplinkKey: "…" },
  rememberProof: async (id: string) => id.length > 0,
  onDecision: ({ allowed, reason, requestId }) => console.log(allowed, reason, requestId),
});

export async function told(request: Request): Promise<string | null> {
  const result: Result = await gate.verify(request);
  if (!result.allowed) {
    // @ts-expect-error who was kept out is nobody
    void result.subject;
    void gate.toResponse(result).status;
    return result.code;
  }
  // @ts-expect-error nothing to answer to one who was let in
  gate.toResponse(result);
  // @ts-expect-error a decision is not changed
  result.subject = "usr_1";
  return result.subject;
}

const worker = gate.protect((request: Request, env: { NAME: string }, context: { waitUntil(p: Promise<unknown>): void }) => {
  context.waitUntil(Promise.resolve());
  return new Response(`${env.NAME} ${gate.identity(request)?.org}`);
});
export const answered: Promise<Response> = worker(new Request("https://api.example.com/"), { NAME: "x" }, { waitUntil() {} });

new Hono().use(honoGate(gate));
const middleware = expressGate(gate);
middleware({ method: "GET", url: "/", rawHeaders: [] }, {}, () => {});

export const claims = verifyAssertion("…", {
  keys: { keys: [] },
  issuer: "https://api.example.com",
  audience: "https://origin",
  method: "GET",
  path: "/v1/memory/x",
});

// @ts-expect-error a gate without a root trusts nobody
createGate({ issuer: "https://auth.example.com", resource: "https://api.example.com", feedId: "…" });
// @ts-expect-error no such environment
createGate({ issuer: "", resource: "", rootKey: "", feedId: "", environments: ["prod"] });
