// A receiver of webhooks that checks signatures with the library of Standard Webhooks: webhook-receiver.mjs PORT FOLDER.
// FOLDER has `secret`; each message becomes a line in `seen`. While there is a file `hang`, it reads and does not answer; while there
// is a file `fail`, it answers 500.
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const [port, folder] = process.argv.slice(2);

createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  const line = { id: request.headers["webhook-id"], answered: false };
  const hook = new Webhook(readFileSync(`${folder}/secret`, "utf8").trim());
  try {
    line.type = hook.verify(body, request.headers).type;
  } catch (error) {
    line.refused = String(error);
  }
  const forged = body.replace("key.", "kez.");
  try {
    hook.verify(forged, request.headers);
    line.refused = "a forged message was taken";
  } catch {
    // As it should be.
  }
  const hangs = existsSync(`${folder}/hang`);
  line.answered = !hangs;
  appendFileSync(`${folder}/seen`, JSON.stringify(line) + "\n");
  if (hangs) return;
  response.writeHead(line.refused ? 400 : existsSync(`${folder}/fail`) ? 500 : 204).end();
}).listen(Number(port), "127.0.0.1");
