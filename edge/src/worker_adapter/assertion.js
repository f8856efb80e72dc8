// Signing for assertion.rs, with the runtime's own crypto. The only private key that the edge has (I1) is in here, as a
// key object that nothing can be read from.
const builtin = (name) => globalThis.process?.getBuiltinModule?.(name);
const crypto = builtin("node:crypto");
const Buffer = builtin("node:buffer")?.Buffer;

// PKCS #8 of an Ed25519 key (RFC 8410 §7), up to its 32 bytes.
const PKCS8 = "302e020100300506032b657004220420";
let signer;

// The public key behind a seed, 32 bytes; nothing if it is none. The first one signs.
export function import_signer(seed, signs) {
  try {
    const key = crypto.createPrivateKey({ key: Buffer.concat([Buffer.from(PKCS8, "hex"), seed]), format: "der", type: "pkcs8" });
    const { x } = crypto.createPublicKey(key).export({ format: "jwk" });
    if (signs) signer = key;
    return new Uint8Array(Buffer.from(x, "base64url"));
  } catch {
    return undefined;
  }
}

export function sign(message) {
  try {
    return new Uint8Array(crypto.sign(null, message, signer));
  } catch {
    return undefined;
  }
}
