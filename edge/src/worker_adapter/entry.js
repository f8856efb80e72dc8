// The Worker: the fast path's JavaScript half, the other way for what is not for it, and the Durable Objects.
//
// `export default` is a plain object and not a class: the runtime would make one for every request, and show its methods to
// other Workers. Nothing is decided here; fast.rs says what may happen. What it cannot say at once goes to `fetch` in Rust.
//
// Bundled by scripts/build-edge: `edge-wasm` is what wasm-bindgen made of the crate, `edge-http` the copy of http.js there.

import { listed, pass_on, respond } from "edge-http";
import * as wasm from "edge-wasm";

const state = wasm.__worker_init_state();

// After a panic, and after a trap, the module is started anew with the next request: it has forgotten everything, and lets
// nobody in before it has read its region.
function revive() {
  if (!state.criticalError) return;
  console.log("the module is started anew");
  wasm.__wbg_reset_state();
  state.criticalError = false;
  state.instanceId++;
}

function note(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  console.error("critical", error);
  state.criticalError = true;
}

addEventListener("error", (event) => note(event.error));

async function guarded(use) {
  revive();
  try {
    return await use();
  } catch (error) {
    note(error);
    throw error;
  }
}

// As fast.rs has them.
const ANSWER = 2;
const ASKED = 32;
const [REFRESH, STATUS, HEADERS, BODY, IDENTITY, FLAGS, UPSTREAM, PATH_AT, LIFETIME, WINDOW, COUNT] = Array(11).keys();

const encoder = new TextEncoder(), decoder = new TextDecoder();
const HARMLESS = /^[A-Za-z0-9_.:-]{1,128}$/;
const VERIFY = "/.portcullis/verify";

// The window into the module's memory. When that grows, views of it end.
let instance = -1, memory, numbers, text;

function look() {
  if (instance === state.instanceId && text.byteLength !== 0) return;
  if (instance !== state.instanceId) {
    instance = state.instanceId;
    memory = wasm.gate_memory();
    identities.fill(undefined);
    upstreams.length = 0;
  }
  numbers = new Uint32Array(memory.buffer, wasm.gate_numbers(), COUNT);
  text = new Uint8Array(memory.buffer, wasm.gate_text(), wasm.gate_text_length());
}

// Who was let in, by number. A number never means anybody else, so a place that is taken by another is no matter.
const identities = new Array(4096);
const upstreams = [];

function identity(number) {
  const at = number % identities.length;
  let known = identities[at];
  if (known === undefined || known.number !== number) {
    let pairs = [];
    if (number !== 0) {
      const length = wasm.gate_identity();
      look();
      pairs = listed(decoder.decode(text.subarray(0, length)));
    }
    known = identities[at] = { number, pairs, headers: undefined };
  }
  return known;
}

// What the verify endpoint says of them; the id is another with each request.
function identity_answer(number, id) {
  const known = identity(number);
  if (known.headers === undefined) {
    known.headers = new Headers();
    for (let i = 0; i < known.pairs.length; i += 2) known.headers.set(known.pairs[i], known.pairs[i + 1]);
    known.headers.set("cache-control", "no-store");
  }
  known.headers.set("x-request-id", id);
  // The runtime takes its copy of them before anybody else is let in.
  return new Response(null, known);
}

const bodiless = (method) => method === "GET" || method === "HEAD";

// The answer, or undefined if it is for the other way.
function fast(request, env, context) {
  if (state.criticalError) return undefined;
  look();
  const { headers, url } = request;
  if (headers.has("dpop") || headers.has("portcullis-min-seq")) return undefined;
  const sent = headers.get("x-request-id");
  const id = sent !== null && HARMLESS.test(sent) ? sent : crypto.randomUUID();
  // Seldom, and for the other way, questions among them.
  if (headers.has("upgrade") || (bodiless(request.method) && request.body !== null)) return undefined;
  let lines = request.method + "\n" + url + "\n" + (headers.get("authorization") ?? "\0") + "\n"
    + (headers.get("origin") ?? "\0") + "\n" + id + "\n" + (request.cf?.country ?? "");
  // It may be in the query, or deeper in the path: whether this is a question, fast.rs says.
  if (url.includes(VERIFY)) {
    lines += "\n" + (headers.get("x-original-method") ?? "\0") + "\n" + (headers.get("x-forwarded-method") ?? "\0")
      + "\n" + (headers.get("x-original-uri") ?? "\0") + "\n" + (headers.get("x-forwarded-uri") ?? "\0");
  }
  const { read, written } = encoder.encodeInto(lines, text);
  // Too long, or not ASCII: one character must be one byte.
  if (read !== lines.length || written !== read) return undefined;
  const now = Date.now();
  const verdict = wasm.gate_decide(written, now);
  if (verdict === 0) return undefined;
  look();
  if (numbers[REFRESH] !== 0) context.waitUntil(wasm.gate_refresh(env, now));
  if (numbers[WINDOW] !== 0) context.waitUntil(wasm.gate_keep(env, numbers[WINDOW]));
  if (verdict === ANSWER) {
    const [status, end, body] = [numbers[STATUS], numbers[HEADERS], numbers[BODY]];
    return respond(status, decoder.decode(text.subarray(0, end)), decoder.decode(text.subarray(end, end + body)));
  }
  return numbers[FLAGS] & ASKED ? identity_answer(numbers[IDENTITY], id) : go_on(request, url, id);
}

// Sends a request on that was let in.
function go_on(request, url, id) {
  const [flags, number, at, end, word] = [numbers[FLAGS], numbers[UPSTREAM], numbers[PATH_AT], numbers[HEADERS], numbers[BODY]];
  const lifetime_ms = numbers[LIFETIME] * 1000;
  const cors = end === 0 ? "" : decoder.decode(text.subarray(0, end));
  const said = word === 0 ? [] : ["portcullis-assertion", decoder.decode(text.subarray(end, end + word))];
  const answer = [...listed(cors), "x-request-id", id];
  const colon = url.indexOf("://");
  const outgoing = [...identity(numbers[IDENTITY]).pairs, ...said, "x-request-id", id,
    "x-forwarded-proto", url.slice(0, colon), "x-forwarded-host", url.slice(colon + 3, at)];
  const target = (upstreams[number] ??= wasm.gate_upstream(number)) + url.slice(at);
  return pass_on(request, target, flags, outgoing, answer, lifetime_ms, 0)
    .catch((error) => wasm.gate_unreachable(cors, id, error));
}

export default {
  fetch(request, env, context) {
    let answer;
    try {
      answer = fast(request, env, context);
    } catch (error) {
      note(error);
    }
    return answer ?? guarded(() => wasm.fetch(request, env, context));
  },
};

// An object outlives the module that it was made by: it is made again by the next one, from what is on disk.
const durable = (name) => class {
  #made = -1;
  #object;
  #arguments;
  constructor(...made_with) {
    this.#arguments = made_with;
  }
  #current() {
    if (this.#made !== state.instanceId) {
      this.#object = new wasm[name](...this.#arguments);
      this.#made = state.instanceId;
    }
    return this.#object;
  }
  fetch(request) {
    return guarded(() => this.#current().fetch(request));
  }
  alarm() {
    return guarded(() => this.#current().alarm());
  }
};

export const Hub = durable("Hub"), Region = durable("Region");
