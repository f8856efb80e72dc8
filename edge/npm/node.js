// Node.js: the Wasm is a file beside this one.
import { readFileSync } from "node:fs";
import { initSync } from "./core.js";
import { loadWith } from "./gate.js";

loadWith(() => initSync({ module: readFileSync(new URL("./core_bg.wasm", import.meta.url)) }));

export * from "./index.js";
