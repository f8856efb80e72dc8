// A Client ID Metadata Document over https on this machine, with a certificate that only the tests trust. Prints its URL.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const file = (name) => readFileSync(new URL(`tls/test_only_${name}`, import.meta.url));
const server = createServer({ cert: file("localhost.pem"), key: file("localhost.key") }, (request, response) => {
  if (request.url !== "/client.json") return response.writeHead(404).end();
  response.writeHead(200, { "content-type": "application/json", "cache-control": "max-age=60" });
  response.end(JSON.stringify({
    client_id: url(),
    client_name: "Document client",
    redirect_uris: ["http://127.0.0.1/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  }));
});
const url = () => `https://localhost:${server.address().port}/client.json`;
server.listen(0, "127.0.0.1", () => console.log(url()));
