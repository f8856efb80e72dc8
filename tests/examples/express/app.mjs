// An Express app that protects itself. The middleware takes (req, res, next), so it fits everything of that kind.
//
//   npm install @portcullis/edge express
//
// The variables are those of the Hono example.

import process from "node:process";
import { createGate, expressGate } from "@portcullis/edge";
import express from "express";

const { ISSUER, RESOURCE, CONTROL_PLANE, FEED_ID, ROOT_KEY, UPLINK_KEY, PORT } = process.env;

const gate = createGate({
  issuer: ISSUER,
  resource: RESOURCE,
  feedId: FEED_ID,
  rootKey: ROOT_KEY,
  feed: { controlPlane: CONTROL_PLANE, uplinkKey: UPLINK_KEY },
  onError: (error) => console.error("gate:", error.message),
});

const app = express();
// The policy tells /admin from /Admin; so must the router.
app.enable("case sensitive routing");
app.use(expressGate(gate));

app.get("/public/hello", (req, res) => res.json({ hello: req.portcullis.subject }));
app.all("/v1/memory/:name", (req, res) => {
  res.json({ name: req.params.name, caller: req.portcullis, headers: req.headers });
});
app.get("/admin/:page", (req, res) => res.json({ page: req.params.page, caller: req.portcullis }));

await gate.ready();
app.listen(Number(PORT), "127.0.0.1", () => console.log("listening"));
