// Tells a feed to the second reader, step by step, and says where it comes to something else than the vectors.
import { readFileSync } from "node:fs";
import { Refused, Replica, sha256 } from "./feed.ts";

const told = JSON.parse(readFileSync(process.argv[2], "utf8"));
const replica = new Replica(Buffer.from(told.feed, "hex"), Buffer.from(told.root, "base64url"));
let wrong = 0;
for (const step of told.steps) {
  let outcome: string;
  try {
    outcome = replica.accept(Buffer.from(step.envelope, "base64url"));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    outcome = error.message;
  }
  const found = [outcome, replica.head?.epoch, replica.head?.seq, sha256(replica.state.encode()).toString("hex")].join(" ");
  const wanted = [step.outcome, step.epoch, step.seq, step.state_digest].join(" ");
  if (found !== wanted) console.log(`${step.what}: found ${found}, expected ${wanted}`, wrong++ || "");
}
console.log(`${told.steps.length} steps, ${wrong} disagreements`);
process.exit(wrong ? 1 : 0);
