// The runtime's own crypto for crypto.rs: synchronous, native, no key material beyond public keys.
// Bundlers rewrite `node:` imports, so the module is asked for by name.
const builtin = (name) => globalThis.process?.getBuiltinModule?.(name);
const crypto = builtin("node:crypto");
const Buffer = builtin("node:buffer")?.Buffer;
if (!crypto || !Buffer) {
  console.error("node:crypto is missing: set compatibility_flags = [\"nodejs_compat\"]. No signature will verify.");
}

const HASH = { RS256: "sha256", RS384: "sha384", RS512: "sha512", PS256: "sha256", PS384: "sha384", PS512: "sha512",
  ES256: "sha256", ES384: "sha384", ES512: "sha512", EdDSA: null };
const CURVE = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

// Slot number -> { key, hash, pss }. crypto.rs hands out the numbers and keeps them below its bound.
const slots = [];

const text = (bytes) => Buffer.from(bytes).toString("base64url");

function jwk(alg, first, second) {
  if (alg === "EdDSA") return { kty: "OKP", crv: "Ed25519", x: text(first) };
  if (alg in CURVE) return { kty: "EC", crv: CURVE[alg], x: text(first), y: text(second) };
  return { kty: "RSA", n: text(first), e: text(second) };
}

// Whether the key was put into the slot. first and second are n and e, x and y, or x and nothing.
export function import_key(slot, alg, first, second) {
  delete slots[slot];
  try {
    const hash = HASH[alg];
    if (hash === undefined) return false;
    const key = crypto.createPublicKey({ key: jwk(alg, first, second), format: "jwk" });
    const pss = alg.startsWith("PS");
    // On the KeyObject: workerd ignores these beside it.
    if (pss) Object.assign(key, { padding: 6, saltLength: Number(alg.slice(2)) / 8 });
    if (alg in CURVE) Object.assign(key, { dsaEncoding: "ieee-p1363" });
    slots[slot] = { key, hash, pss };
    return true;
  } catch {
    return false;
  }
}

export function verify(slot, message, signature) {
  try {
    const { key, hash, pss } = slots[slot];
    // One-shot verify ignores the padding: it would refuse good PSS signatures and accept PKCS #1 v1.5 ones.
    if (pss) return crypto.createVerify(hash).update(message).verify(key, signature) === true;
    return crypto.verify(hash, message, key, signature) === true;
  } catch {
    return false;
  }
}
