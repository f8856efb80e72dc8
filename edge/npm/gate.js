// The gate: asks the core, gives it a fresher state where it wants one, and makes requests and responses of what it says.
// What it does not do: decide.

import { Core, runVectors as run, verifyAssertion as verify } from "./core.js";
import { isSynchronous, settled } from "./crypto.js";
import { Feed } from "./feed.js";
import { ask, forwarded, finished, questionOf } from "./request.js";

/** Fetches that one request may wait for. */
const MAX_READS = 3;

let load;
let loading;

/** Which of the entries (node.js, workerd.js, web.js) this is: how the Wasm is come by. */
export function loadWith(how) {
  load = how;
}

// Synchronous where the platform's loader is; asynchronous loading is done once.
function ready() {
  loading ??= load();
  return loading;
}

const TEXTS = ["issuer", "resource", "rootKey", "feedId"];
const KNOWN = new Set([...TEXTS, "brand", "environments", "publicOrigins", "feed", "rememberProof", "onStale", "onError",
  "onDecision"]);

/** A gate for one API. It lets nobody in before it has heard the feed. */
export function createGate(options) {
  return new Gate(options);
}

class Gate {
  #config;
  #core;
  #feed;
  #options;
  // What each request was let in as.
  #results = new WeakMap();

  constructor(options) {
    for (const name of Object.keys(options ?? {})) {
      if (!KNOWN.has(name)) throw new TypeError(`createGate: there is no option ${JSON.stringify(name)}`);
    }
    for (const name of TEXTS) {
      if (typeof options?.[name] !== "string") throw new TypeError(`createGate: ${name} must be a string`);
    }
    const { issuer, resource, rootKey, feedId, brand, environments, publicOrigins } = options;
    this.#options = options;
    this.#config = JSON.stringify({ issuer, resource, rootKey, feedId, brand, environments, publicOrigins });
    this.#feed = new Feed(options.feed, {
      core: () => this.#opened(),
      settled,
      failed: (error) => this.#say("onError", error),
    });
  }

  // Workers give out no random numbers before the first request, so the core waits for one.
  async #opened() {
    await ready();
    this.#core ??= new Core(this.#config, crypto.getRandomValues(new Uint8Array(16)));
    return this.#core;
  }

  #say(hook, ...what) {
    try {
      this.#options[hook]?.(...what);
    } catch (error) {
      console.error(`@portcullis/edge: ${hook} threw`, error);
    }
  }

  /** Judges a request: a `Request`, a Node.js `IncomingMessage`, or `{ method, url, headers }`. */
  async verify(request, context) {
    const question = questionOf(request);
    const core = await this.#opened();
    const arrived = this.#feed.arrival(context);
    question.proofsAreShared = this.#options.rememberProof !== undefined;
    let answer;
    for (let reads = 0; reads <= MAX_READS; reads++) {
      if (reads === MAX_READS) question.exhausted = true;
      answer = await settled(() => ask(core, "verify", question));
      if (!answer.refresh) break;
      const heard = await (answer.refresh === "stale"
        ? this.#feed.refresh(arrived)
        : this.#feed.readAfter(arrived, answer.refresh === "shared"));
      if (!heard) question.exhausted = true;
      else if (answer.refresh !== "stale") question.readAfterArrival = true;
    }
    this.#feed.refreshInBackground(context);
    // On strict routes a proof counts once in all processes.
    if (answer.allowed && answer.proof && !(await this.#isNewProof(answer.proof))) answer = ask(core, "replayed", question);
    return this.#told(answer, question);
  }

  async #isNewProof(proof) {
    const { rememberProof } = this.#options;
    return rememberProof === "process" || (await rememberProof(proof)) === true;
  }

  #told({ reason, proof: _, ...result }, question) {
    if (result.code === "state_stale") this.#say("onStale", this.#status());
    this.#say("onDecision", {
      allowed: result.allowed,
      reason: result.allowed ? (result.public ? "public" : "allowed") : (reason ?? result.code),
      credential: result.credential ?? null,
      requestId: question.requestId,
    });
    return Object.freeze(result);
  }

  /** Takes a feed message in that came by a way of your own. */
  async load(bytes, { heardAt = Date.now(), complete = true } = {}) {
    const core = await this.#opened();
    return await this.#feed.take(core, bytes, heardAt, complete);
  }

  /** Protects a fetch-style handler: what it gets was let in, and in the form that was judged. */
  protect(handler) {
    return async (request, ...rest) => {
      const context = rest.find((one) => typeof one?.waitUntil === "function");
      const document = await this.metadata(request);
      if (document) return document;
      const result = await this.verify(request, context);
      if (!result.allowed) return this.toResponse(result);
      const inner = forwarded(request, result);
      this.#results.set(inner, result);
      return finished(await handler(inner, ...rest), result);
    };
  }

  /** As whom a request was let in that `protect` passed on. */
  identity(request) {
    return this.#results.get(request);
  }

  /** The answer that goes with a refusal (or to a preflight). */
  toResponse(result) {
    if (result.allowed) throw new TypeError("toResponse: this request was let in; answer it yourself");
    return new Response(result.body, { status: result.status, headers: result.headers });
  }

  /** The document of RFC 9728 if a request asks for it: where to get a token. Needs no credential. */
  async metadata(request) {
    const { method, path } = questionOf(request);
    if (!path.startsWith("/.well-known/oauth-protected-resource")) return undefined;
    const document = (await this.#opened()).metadata(path);
    if (document === undefined) return undefined;
    const headers = { "access-control-allow-origin": "*" };
    if (method === "OPTIONS") {
      return new Response(null, { status: 204, headers: { ...headers, "access-control-allow-methods": "GET, HEAD" } });
    }
    if (method !== "GET" && method !== "HEAD") return new Response(null, { status: 405, headers: { ...headers, allow: "GET, HEAD" } });
    return new Response(method === "HEAD" ? null : document, {
      headers: { ...headers, "content-type": "application/json", "cache-control": "public, max-age=300" },
    });
  }

  #status() {
    return JSON.parse(this.#core.status());
  }

  /** Where this copy of the feed stands, and how old it is. */
  async status() {
    await this.#opened();
    return this.#status();
  }

  /** Resolves when there is a state to decide with; rejects if there is none within the time. */
  async ready({ timeoutMs = 10_000 } = {}) {
    await this.#opened();
    const end = Date.now() + timeoutMs;
    while (!(this.#status().hasPolicy && this.#status().contactAgeMs !== null)) {
      if (Date.now() > end) throw new Error("the feed has not been heard yet");
      await this.#feed.refresh(this.#feed.arrival());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Stops fetching. What was learnt stays, and grows stale. */
  close() {
    this.#feed.close();
  }
}

/** The claims of a gateway's `Portcullis-Assertion`, for the origin behind it; throws if it does not hold for this request. */
export async function verifyAssertion(assertion, { keys, issuer, audience, method, path, allowUnbound = false }) {
  await ready();
  const jwks = typeof keys === "string" ? keys : JSON.stringify(keys);
  return JSON.parse(await settled(() => verify(String(assertion), jwks, issuer, audience, String(method), String(path), allowUnbound === true)));
}

/** Judges a file of this project's golden vectors here; the text is the same on every platform. */
export async function runVectors(kind, file) {
  await ready();
  return { outcomes: await settled(() => run(kind, file)), synchronous: isSynchronous };
}
