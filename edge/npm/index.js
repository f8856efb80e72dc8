export { createGate, runVectors, verifyAssertion } from "./gate.js";
export { expressGate } from "./express.js";
export { honoGate } from "./hono.js";
