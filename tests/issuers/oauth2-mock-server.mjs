// npm oauth2-mock-server as somebody else's issuer. Prints its URL.

import process from "node:process";
import { Events, OAuth2Server } from "oauth2-mock-server";

const { AUDIENCE, SCOPE } = process.env;
const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
await server.issuer.keys.generate("ES256");
server.service.on(Events.BeforeTokenSigning, (token) => {
  token.payload.aud = AUDIENCE;
  token.payload.scope = SCOPE;
  token.payload.sub = "auth0|mock";
});
await server.start(0, "127.0.0.1");
console.log(server.issuer.url);
