// The platform's own crypto for npm_adapter/crypto.rs. Public keys only; nothing is signed, nothing is kept secret.
//
// With node:crypto (Node.js, Workers with nodejs_compat) a signature is checked at once. Where there is only WebCrypto, which
// answers later, `verify` notes the question and answers no; `settled` gets the answers and asks the core again, until
// no question is open. A no that is wrong for a moment changes nothing in the core, and only what it says at last is used.

const builtin = (name) => {
  try {
    return globalThis.process?.getBuiltinModule?.(name);
  } catch {
    return undefined;
  }
};
// Of the two that are the same as everywhere by the golden vectors. Deno's (2.9) refuses good ES256 signatures; Bun's is unknown.
const isTested = globalThis.navigator?.userAgent === "Cloudflare-Workers" || !(globalThis.Deno || globalThis.Bun);
const node = isTested ? builtin("node:crypto") : undefined;

/** Whether signatures are checked without waiting. */
export let isSynchronous = typeof node?.createPublicKey === "function";

/** For tests: checks signatures as a platform without node:crypto does. */
export function forgetNodeCrypto() {
  isSynchronous = false;
  keys.clear();
}

const HASH = { RS256: "SHA-256", RS384: "SHA-384", RS512: "SHA-512", PS256: "SHA-256", PS384: "SHA-384", PS512: "SHA-512",
  ES256: "SHA-256", ES384: "SHA-384", ES512: "SHA-512", EdDSA: null };
const CURVE = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };
const MAX_KEYS = 1024;

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

function jwk(alg, first, second) {
  if (alg === "EdDSA") return { kty: "OKP", crv: "Ed25519", x: base64url(first) };
  if (alg in CURVE) return { kty: "EC", crv: CURVE[alg], x: base64url(first), y: base64url(second) };
  return { kty: "RSA", n: base64url(first), e: base64url(second) };
}

// Imported keys by algorithm and material: one key with two algorithms is two, for the padding is put onto the key.
const keys = new Map();

function imported(alg, first, second, importing) {
  const name = `${alg} ${base64url(first)} ${base64url(second)}`;
  let key = keys.get(name);
  if (!key) {
    key = importing(jwk(alg, first, second));
    if (keys.size >= MAX_KEYS) keys.delete(keys.keys().next().value);
    keys.set(name, key);
  }
  return key;
}

function verifyNow(alg, first, second, message, signature) {
  const pss = alg.startsWith("PS");
  const key = imported(alg, first, second, (jwk) => {
    const key = node.createPublicKey({ key: jwk, format: "jwk" });
    // On the KeyObject: workerd ignores these beside it.
    if (pss) Object.assign(key, { padding: 6, saltLength: Number(alg.slice(2)) / 8 });
    if (alg in CURVE) Object.assign(key, { dsaEncoding: "ieee-p1363" });
    return key;
  });
  const hash = HASH[alg] && HASH[alg].replace("-", "").toLowerCase();
  // One-shot verify ignores the padding: it would refuse good PSS signatures and accept PKCS #1 v1.5 ones.
  if (pss) return node.createVerify(hash).update(message).verify(key, signature) === true;
  return node.verify(hash, message, key, signature) === true;
}

function algorithms(alg) {
  const hash = HASH[alg];
  if (alg === "EdDSA") return [{ name: "Ed25519" }, { name: "Ed25519" }];
  if (alg in CURVE) return [{ name: "ECDSA", namedCurve: CURVE[alg] }, { name: "ECDSA", hash }];
  if (alg.startsWith("PS")) return [{ name: "RSA-PSS", hash }, { name: "RSA-PSS", saltLength: Number(alg.slice(2)) / 8 }];
  return [{ name: "RSASSA-PKCS1-v1_5", hash }, { name: "RSASSA-PKCS1-v1_5" }];
}

async function verifyLater({ alg, first, second, message, signature }) {
  try {
    const [kind, way] = algorithms(alg);
    const { subtle } = globalThis.crypto;
    const key = await imported(alg, first, second, (jwk) => subtle.importKey("jwk", jwk, kind, false, ["verify"]));
    return (await subtle.verify(way, key, signature, message)) === true;
  } catch {
    return false;
  }
}

// The questions and answers of the call that is running. Calls into the core do not wait, so there is one at a time.
let session;

const same = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

class Session {
  /** By the text of the signature; what else belongs to a question is compared in full. */
  #known = new Map();
  open = [];

  answer(alg, first, second, message, signature) {
    const name = String.fromCharCode(...signature);
    const asked = this.#known.get(name) ?? [];
    const found = asked.find(
      (known) => known.alg === alg && same(known.first, first) && same(known.second, second) && same(known.message, message),
    );
    if (found) return found.holds === true;
    // Copies: these are views of memory that goes on to change.
    const question = { alg, first: first.slice(), second: second.slice(), message: message.slice(), signature: signature.slice() };
    this.#known.set(name, [...asked, question]);
    this.open.push(question);
    return false;
  }
}

/** What the core calls. */
export function verify(alg, first, second, message, signature) {
  if (!(alg in HASH)) return false;
  if (!isSynchronous) return session?.answer(alg, first, second, message, signature) ?? false;
  try {
    return verifyNow(alg, first, second, message, signature);
  } catch {
    return false;
  }
}

// More rounds than any message needs: one for each key of ours in a snapshot, and some.
const MAX_ROUNDS = 256;

/** What `step`, a call into the core, says when every signature that it asked for was checked. `ahead` asks for some of them. */
export async function settled(step, ahead) {
  if (isSynchronous) return step();
  const own = new Session();
  const within = (call) => {
    session = own;
    try {
      return call();
    } finally {
      session = undefined;
    }
  };
  const answer = async () => {
    const asked = own.open.splice(0);
    await Promise.all(asked.map(async (question) => { question.holds = await verifyLater(question); }));
  };
  if (ahead) {
    within(ahead);
    await answer();
  }
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let said, error;
    try {
      said = within(step);
    } catch (thrown) {
      error = thrown;
    }
    // What it said while it was wrong about a signature is nothing, an exception too.
    if (own.open.length === 0) {
      if (error) throw error;
      return said;
    }
    await answer();
  }
  throw new Error("the core asks for ever more signatures");
}
