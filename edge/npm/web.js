// Browsers, Deno, and whatever else has fetch: the Wasm is at a URL beside this file.
import init from "./core.js";
import { loadWith } from "./gate.js";

loadWith(() => init({ module_or_path: new URL("./core_bg.wasm", import.meta.url) }));

export * from "./index.js";
