// A Hono app that protects itself: no gateway in front of it. It fetches the feed from the control plane.
//
//   npm install @portcullis/edge hono @hono/node-server
//
// ISSUER, RESOURCE, CONTROL_PLANE, and FEED_ID and ROOT_KEY as `portcullis feed trust` prints them; UPLINK_KEY as
// `portcullis edge key NAME` does, for an edge with mode = "pull".

import process from "node:process";
import { serve } from "@hono/node-server";
import { createGate, honoGate } from "@portcullis/edge";
import { Hono } from "hono";

const { ISSUER, RESOURCE, CONTROL_PLANE, FEED_ID, ROOT_KEY, UPLINK_KEY, PORT } = process.env;

const gate = createGate({
  issuer: ISSUER,
  resource: RESOURCE,
  feedId: FEED_ID,
  rootKey: ROOT_KEY,
  feed: { controlPlane: CONTROL_PLANE, uplinkKey: UPLINK_KEY },
  onError: (error) => console.error("gate:", error.message),
});

const app = new Hono();
app.use(honoGate(gate));

app.get("/public/hello", (c) => c.json({ hello: c.get("portcullis").subject }));
app.on(["GET", "POST"], "/v1/memory/:name", (c) => {
  const caller = c.get("portcullis");
  return c.json({ name: c.req.param("name"), caller, headers: c.req.header() });
});
app.get("/admin/:page", (c) => c.json({ page: c.req.param("page"), caller: c.get("portcullis") }));

// Nobody is let in before the feed was heard; ready() only spares the first callers a wait.
await gate.ready();
serve({ fetch: app.fetch, port: Number(PORT), hostname: "127.0.0.1" }, () => console.log("listening"));
