/** What a gate trusts, what it accepts, and where its feed comes from. */
export interface GateOptions {
  /** Our own issuer, byte for byte. */
  issuer: string;
  /** The resource identifier of the API (RFC 8707), as in the policy. */
  resource: string;
  /** `ROOT_KEY` of `portcullis feed trust`: base64url, or two with a comma between while the root is being replaced. */
  rootKey: string;
  /** `FEED_ID` of `portcullis feed trust`. */
  feedId: string;
  /** The brand of API keys; `pc` if absent. */
  brand?: string;
  /** The environments of API keys that are let in; `["live"]` if absent. */
  environments?: readonly ("live" | "test" | "dev")[];
  /** Other origins than that of `resource` under which callers reach the API: a DPoP proof names the one that was addressed. */
  publicOrigins?: readonly string[];
  /** Where the feed comes from. Without one: from `gate.load`. */
  feed?: PulledFeed | MessageFeed;
  /**
   * On strict routes a DPoP proof counts once in the whole deployment. `"process"`: there is one process. A function: remembers
   * the id for three minutes in a store that all processes share, and says whether it was new. Without either, bound tokens get
   * 503 on strict routes.
   */
  rememberProof?: "process" | ((id: string) => boolean | Promise<boolean>);
  /** A request got 503 because the state was too old. */
  onStale?: (status: GateStatus) => void;
  /** A fetch of the feed failed. It is tried again. */
  onError?: (error: Error) => void;
  /** Every decision with its exact reason: for logs and counters. Callers must never be told more than the answer says. */
  onDecision?: (decision: GateDecision) => void;
}

/** The control plane is asked: `GET /v1/edge/feed`. */
export interface PulledFeed {
  /** Its base URL. */
  controlPlane: string;
  /** The key of an edge with `mode = "pull"`: `portcullis edge key NAME`. A secret. */
  uplinkKey: string;
  /** Whether to ask all the time, or only when requests come. Absent: all the time where there are timers between requests. */
  poll?: boolean;
}

/** Feed messages come by a way of your own. Each says that it is all that there was when it came. */
export interface MessageFeed {
  messages: Uint8Array | ArrayBuffer | AsyncIterable<Uint8Array | ArrayBuffer>;
}

export type HeaderPairs = readonly (readonly [name: string, value: string])[];

/** Let in. */
export interface Allowed {
  readonly allowed: true;
  /** The route asks for no credential; `subject`, `org`, `workspace` and `credential` are null. */
  readonly public: boolean;
  /** Who acts: `usr_…`, or a client's id. */
  readonly subject: string | null;
  /** `org_…` */
  readonly org: string | null;
  /** `ws_…`, or `all`. */
  readonly workspace: string | null;
  /** Effective scopes with everything they imply. */
  readonly scopes: readonly string[];
  /** The public id of the credential. */
  readonly credential: string | null;
  /** `X-Portcullis-*`, for whoever handles the request. */
  readonly headers: HeaderPairs;
  /** For the answer: CORS and the request's id. */
  readonly responseHeaders: HeaderPairs;
  /** The one form of the path that was judged. Act on no other. */
  readonly path: string;
  /** Whether the policy lets the handler have the credential. */
  readonly forwardCredential: boolean;
  /** Whether the policy, and not the handler, answers CORS. */
  readonly ownCors: boolean;
}

/** Kept out, or a preflight that was answered (`code` is `preflight`). */
export interface Refused {
  readonly allowed: false;
  readonly status: number;
  /** Stable, and as much as the caller may know. */
  readonly code: string;
  readonly headers: [string, string][];
  /** problem+json; null for a preflight. */
  readonly body: string | null;
}

export type Result = Allowed | Refused;

export interface GateDecision {
  allowed: boolean;
  /** The exact reason, such as `revoked`, `scope_insufficient` or `state_stale`. */
  reason: string;
  credential: string | null;
  requestId: string;
}

export interface GateStatus {
  epoch: number | null;
  seq: number | null;
  /** Since the last fetch started that brought this copy to the head; null: never. */
  contactAgeMs: number | null;
  /** Since the newest heartbeat of the publisher came. */
  feedAgeMs: number | null;
  revoked: number;
  hasPolicy: boolean;
  policyRefused: string | null;
  /** It met an entry that it does not understand, and has stopped: a newer version of this package does. */
  incompatible: boolean;
  refused: string | null;
  refreshMs: number;
}

/** What became of a feed message. */
export interface Taken {
  atHead: boolean;
  news: boolean;
  refused: string | null;
}

/** A request without a runtime's class for it. `url` is a path or an absolute URL, as sent. */
export interface PlainRequest {
  method: string;
  url: string;
  headers: Headers | Record<string, string> | [string, string][];
}

/** The part of Node.js's `IncomingMessage` that is read. */
export interface NodeRequest {
  method?: string | undefined;
  url?: string | undefined;
  rawHeaders: string[];
}

/** What keeps a Worker alive after its answer. */
export interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

export interface Gate {
  /** Judges a request. In Workers pass the context, so that the feed is fetched beside requests. */
  verify(request: Request | NodeRequest | PlainRequest, context?: Context): Promise<Result>;
  /** Protects a fetch-style handler. What the handler gets was let in, without the credential, and with `X-Portcullis-*`. */
  protect<Rest extends unknown[]>(
    handler: (request: Request, ...rest: Rest) => Response | Promise<Response>,
  ): (request: Request, ...rest: Rest) => Promise<Response>;
  /** As whom a request was let in that `protect` passed on. */
  identity(request: Request): Allowed | undefined;
  /** The answer that goes with a refusal. */
  toResponse(result: Refused): Response;
  /** The document of RFC 9728, if a request asks for it. `protect` and both middlewares answer it. */
  metadata(request: Request | NodeRequest | PlainRequest): Promise<Response | undefined>;
  /** Takes a feed message in. `heardAt`: when its sender was asked. `complete: false`: there may be more. */
  load(bytes: Uint8Array | ArrayBuffer, options?: { heardAt?: number; complete?: boolean }): Promise<Taken>;
  status(): Promise<GateStatus>;
  /** Resolves when there is a state to decide with. */
  ready(options?: { timeoutMs?: number }): Promise<void>;
  /** Stops fetching. */
  close(): void;
}

/** A gate for one API. It lets nobody in before it has heard the feed. */
export function createGate(options: GateOptions): Gate;

/** The part of Hono's context that is used. */
export interface HonoContext {
  req: { raw: Request; path: string };
  res: Response;
  set(name: "portcullis", value: Allowed): void;
}

/** Hono: `app.use(honoGate(gate))`. Who it is, is in `c.get("portcullis")`. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export function honoGate(gate: Gate): (c: any, next: () => Promise<void>) => Promise<Response | void>;

/** Express and its kin: `app.use(expressGate(gate))`. Who it is, is in `req.portcullis`. */
export function expressGate(
  gate: Gate,
): // eslint-disable-next-line @typescript-eslint/no-explicit-any
(req: NodeRequest & Record<string, any>, res: any, next: (error?: unknown) => void) => void;

/** What a gateway says of a caller (see "Origins that want it signed" in the operations manual). */
export interface AssertionClaims {
  iss: string;
  aud: string;
  sub: string;
  org: string;
  workspace: string;
  scope: string;
  credential: string;
  /** The method of the request that it is for. */
  htm?: string;
  /** The hash of its path. */
  htp?: string;
  iat: number;
  exp: number;
}

/**
 * Verifies a gateway's `Portcullis-Assertion` in the origin behind it; throws if it does not hold. `keys`: the gateway's
 * `/.portcullis/jwks.json`; `issuer`: its resource identifier; `audience`: this origin, `scheme://host[:port]`; `method` and
 * `path`: those of the request that it came with, the path as the gateway sent it (a query does not count). `allowUnbound` also takes one of a
 * gateway from before they named the request, while that is upgraded.
 */
export function verifyAssertion(
  assertion: string,
  expected: { keys: string | { keys: object[] }; issuer: string; audience: string; method: string; path: string; allowUnbound?: boolean },
): Promise<AssertionClaims>;

/** Judges a file of Portcullis's golden vectors on this platform. For its own tests. */
export function runVectors(
  kind: "verdicts" | "proofs" | "assertion",
  file: string,
): Promise<{ outcomes: string; synchronous: boolean }>;
