// How the feed comes, and who waits for it. The core says how old it may be.
//
// A promise of one request is never waited for by another: in Workers that would hang, or be cancelled with the first one.
// Whoever waits sleeps on a timer of its own and looks again, and a fetch that has not ended after a while counts as lost.

const MAX_MESSAGE = 32 << 20;
/** How long a request waits for a fetch. */
const WAIT_MS = 2500;
const NAP_MS = 5;
/** A fetch may take this long before others start their own. */
const LATCH_MS = 2000;
/** Fetches after a failure, for everybody together. */
const RETRY_MS = 1000;
const RETRY_COLD_MS = 250;
/** Callers who name a seq, or whose index is new to us, cause no more than a fetch in this time. */
const SHARED_MS = 1000;
/** How long the control plane may wait for news, in servers. Two of these and the way there stay below the usual bound. */
const POLL_MS = 500;
/** What an answer may take beyond that: it may hold a snapshot. */
const GRACE_MS = 20_000;
/** Messages in a row that one fetch may take to catch up. */
const MAX_ROUNDS = 64;

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Servers have timers between requests; Workers do not, and a page should not poll by itself.
function hasTimers() {
  if (globalThis.navigator?.userAgent === "Cloudflare-Workers") return false;
  return typeof globalThis.process?.versions?.node === "string" || typeof globalThis.Deno === "object";
}

export class Feed {
  #source;
  #host;
  #isClosed = false;
  /** Fetches that were started, and the latest of those that were answered. */
  #started = 0;
  #startedAt;
  #heard = 0;
  /** When the fetch started that is running, and when the last one failed. */
  #running;
  #failedAt;
  #heardAt = 0;
  #etag;
  #isPolling = false;

  constructor(source, host) {
    this.#host = host;
    this.#source = source ?? {};
    const { controlPlane, uplinkKey, messages, ...others } = this.#source;
    if (Object.keys(others).some((name) => name !== "poll")) {
      throw new TypeError("createGate: feed takes controlPlane and uplinkKey with poll, or messages");
    }
    if (controlPlane !== undefined) {
      if (!/^https?:\/\/[^/?#\s]/.test(controlPlane)) throw new TypeError("createGate: feed.controlPlane must be http(s)://host");
      if (typeof uplinkKey !== "string" || uplinkKey.length < 32) {
        throw new TypeError("createGate: feed.uplinkKey must be a key made by `portcullis edge key`");
      }
      if ((this.#source.poll ?? hasTimers()) === true) this.#poll();
    } else if (messages !== undefined) {
      this.#follow(messages);
    }
  }

  get #isFetched() {
    return this.#source.controlPlane !== undefined && !this.#isClosed;
  }

  close() {
    this.#isClosed = true;
  }

  /** How many fetches had started when a request arrived: those that come after it have higher numbers. */
  arrival() {
    return this.#started;
  }

  /** Takes a message in. */
  async take(core, bytes, heardAt, complete) {
    const message = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
    return this.#host.settled(
      () => JSON.parse(core.take(message, heardAt, complete)),
      () => core.foresee(message),
    );
  }

  /** Waits for a fetch that is running, or fetches. Whether anything was heard since the request arrived. */
  async refresh(arrived) {
    const before = this.#heardAt;
    const end = Date.now() + WAIT_MS;
    while (this.#isFetched && Date.now() < end) {
      if (this.#heardAt !== before || this.#heard > arrived) return true;
      if (this.#isRunning()) await sleep(NAP_MS);
      else if (this.#isTooSoon()) return false;
      else await this.#fetch(0);
    }
    return this.#heardAt !== before;
  }

  /** Waits for a fetch that started after a request arrived: of its own, or shared by all that want one within a second. */
  async readAfter(arrived, isShared) {
    const end = Date.now() + WAIT_MS;
    while (this.#isFetched && Date.now() < end) {
      if (this.#heard > arrived) return true;
      if (this.#isRunning() || (isShared && this.#isRecent())) await sleep(NAP_MS);
      else if (this.#isTooSoon()) return false;
      else await this.#fetch(0);
    }
    return this.#heard > arrived;
  }

  /** Fetches if it is due; nobody waits for it, but the platform keeps the request open for it. */
  refreshInBackground(context) {
    if (!this.#isFetched || this.#isPolling || typeof context?.waitUntil !== "function") return;
    if (this.#isRunning() || this.#isTooSoon() || Date.now() - this.#heardAt < RETRY_MS) return;
    context.waitUntil(this.#fetch(0));
  }

  #isRunning() {
    return this.#running !== undefined && Date.now() - this.#running < LATCH_MS && Date.now() >= this.#running;
  }

  #isRecent() {
    return this.#startedAt !== undefined && Date.now() - this.#startedAt < SHARED_MS && Date.now() >= this.#startedAt;
  }

  #isTooSoon() {
    const interval = this.#heardAt === 0 ? RETRY_COLD_MS : RETRY_MS;
    return this.#failedAt !== undefined && Date.now() - this.#failedAt < interval && Date.now() >= this.#failedAt;
  }

  // One at a time for all requests; resolves, whatever happens.
  async #fetch(wait) {
    const latch = Date.now();
    this.#running = latch;
    try {
      await this.#catchUp(wait);
      this.#failedAt = undefined;
    } catch (error) {
      this.#failedAt = Date.now();
      this.#host.failed(error instanceof Error ? error : new Error(String(error)));
    } finally {
      if (this.#running === latch) this.#running = undefined;
    }
  }

  // Fetches until this copy is at the head.
  async #catchUp(wait) {
    const core = await this.#host.core();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const number = ++this.#started;
      const startedAt = Date.now();
      this.#startedAt = startedAt;
      const { query, report } = JSON.parse(core.fetch());
      const answer = await this.#ask(`${query}&wait=${wait}`, report, wait);
      if (answer.status === 304) {
        core.confirm(startedAt);
        return this.#heardNow(number, startedAt);
      }
      const taken = await this.take(core, answer.body, startedAt, false);
      if (taken.refused) {
        this.#etag = undefined;
        throw new Error(`what the control plane sent is refused: ${taken.refused}`);
      }
      this.#etag = taken.atHead ? answer.etag : undefined;
      if (taken.atHead) return this.#heardNow(number, startedAt);
    }
    throw new Error("the control plane is ever further ahead");
  }

  #heardNow(number, startedAt) {
    this.#heard = Math.max(this.#heard, number);
    this.#heardAt = Math.max(this.#heardAt, startedAt);
  }

  async #ask(query, report, wait) {
    const { controlPlane, uplinkKey } = this.#source;
    const headers = { authorization: `Bearer ${uplinkKey}`, "portcullis-report": report };
    if (this.#etag) headers["if-none-match"] = this.#etag;
    const url = `${controlPlane.replace(/\/+$/, "")}/v1/edge/feed?${query}`;
    const answer = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(wait + GRACE_MS) });
    if (answer.status !== 200 && answer.status !== 304) {
      await answer.body?.cancel();
      throw new Error(`the control plane answered ${answer.status} to a fetch of the feed`);
    }
    return { status: answer.status, etag: answer.headers.get("etag") ?? undefined, body: await limited(answer) };
  }

  // Servers: always one question at the control plane, which answers when there is news.
  async #poll() {
    this.#isPolling = true;
    // After the caller's own set-up, so that hooks are there.
    await Promise.resolve();
    while (this.#isFetched) {
      const begun = Date.now();
      try {
        await this.#catchUp(this.#etag ? POLL_MS : 0);
        this.#failedAt = undefined;
        const rest = POLL_MS / 2 - (Date.now() - begun);
        if (rest > 0) await idle(rest);
      } catch (error) {
        this.#failedAt = Date.now();
        this.#host.failed(error instanceof Error ? error : new Error(String(error)));
        await idle(RETRY_MS);
      }
    }
  }

  async #follow(messages) {
    try {
      const single = messages instanceof Uint8Array || messages instanceof ArrayBuffer;
      for await (const message of single ? [messages] : messages) {
        if (this.#isClosed) return;
        const heardAt = Date.now();
        const taken = await this.take(await this.#host.core(), message, heardAt, true);
        if (taken.refused) throw new Error(`a feed message is refused: ${taken.refused}`);
        this.#heardNow(++this.#started, heardAt);
      }
    } catch (error) {
      this.#host.failed(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

// A timer that keeps no process alive.
function idle(milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    timer?.unref?.();
  });
}

async function limited(answer) {
  const parts = [];
  let length = 0;
  const reader = answer.body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) break;
    length += value.byteLength;
    if (length > MAX_MESSAGE) {
      await reader.cancel();
      throw new Error("the control plane's answer is longer than a feed message");
    }
    parts.push(value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
