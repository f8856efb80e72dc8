// Cloudflare Workers: the Wasm is a module that was compiled at upload.
import module from "./core_bg.wasm";
import { initSync } from "./core.js";
import { loadWith } from "./gate.js";

loadWith(() => initSync({ module }));

export * from "./index.js";
