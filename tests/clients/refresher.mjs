// One of several processes that share a refresh token, as the windows of an editor or the commands of a tool do.
// Reads TOKEN_URL and CLIENT_ID from the environment. Each line on stdin is a refresh token: it is exchanged, again and again
// until an answer arrives whole, and that is printed as one line of JSON: status, body, and how many attempts it took.

import http from "node:http";
import process from "node:process";
import readline from "node:readline";

const { TOKEN_URL, CLIENT_ID } = process.env;
const MOST = 100;

const attempt = (token) =>
  new Promise((resolve, reject) => {
    const body = new URLSearchParams({ grant_type: "refresh_token", client_id: CLIENT_ID, refresh_token: token }).toString();
    const headers = { "content-type": "application/x-www-form-urlencoded", "content-length": body.length };
    const request = http.request(TOKEN_URL, { method: "POST", headers, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part) => (text += part));
      answer.on("error", reject);
      answer.on("end", () =>
        answer.complete ? resolve({ status: answer.statusCode, body: JSON.parse(text) }) : reject(new Error("half an answer")),
      );
    });
    request.on("error", reject);
    request.end(body);
  });

for await (const token of readline.createInterface({ input: process.stdin })) {
  let outcome;
  for (let attempts = 1; !outcome; attempts++) {
    try {
      outcome = { ...(await attempt(token)), attempts };
    } catch (error) {
      if (attempts === MOST) outcome = { status: 0, body: { error: String(error) }, attempts };
    }
  }
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
