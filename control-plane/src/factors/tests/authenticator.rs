//! An authenticator in software: makes passkeys (ES256, attestation `none`) and signs with them, as WebAuthn §6 says, or
//! wrongly in one way where a test wants it.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use shared::crypto::{base64url, from_base64url, sha256};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_CREDENTIAL: u8 = 0x40;

/// One device with one passkey.
pub(super) struct Authenticator {
    key: EcdsaKeyPair,
    id: [u8; 32],
    /// What it will say whose passkey it is.
    pub(super) handle: Vec<u8>,
    /// Its signature counter; 0 and never more if it does not count.
    pub(super) counter: u32,
    /// Whether it checks who holds it.
    pub(super) verifies: bool,
    /// Where the browser says that it is.
    pub(super) origin: String,
}

impl Authenticator {
    pub(super) fn new(number: u8) -> Self {
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"),
            id: [number; 32],
            handle: Vec::new(),
            counter: 0,
            verifies: true,
            origin: "http://localhost:7070".to_owned(),
        }
    }

    /// `navigator.credentials.create`.
    pub(super) fn create(&mut self, options: &Value) -> String {
        assert_eq!(options["rp"]["id"], "localhost");
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        let handle = options["user"]["id"].as_str().expect("a handle");
        self.handle = from_base64url(handle).expect("base64url");
        let client_data = self.client_data("webauthn.create", options);
        let mut data = self.data(HAS_CREDENTIAL);
        data.extend([0; 16]);
        data.extend(32u16.to_be_bytes());
        data.extend(self.id);
        data.extend(self.cose_key());
        // {"fmt": "none", "attStmt": {}, "authData": data}
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).expect("short"));
        object.extend(data);
        self.answer(&json!({
            "clientDataJSON": base64url(&client_data),
            "attestationObject": base64url(&object),
            "transports": ["internal"],
        }))
    }

    /// `navigator.credentials.get`.
    pub(super) fn get(&self, options: &Value) -> String {
        assert_eq!(options["rpId"], "localhost");
        assert_eq!(options["userVerification"], "required");
        let client_data = self.client_data("webauthn.get", options);
        let data = self.data(0);
        let signed = [data.as_slice(), &sha256(&client_data)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).expect("signed");
        self.answer(&json!({
            "clientDataJSON": base64url(&client_data),
            "authenticatorData": base64url(&data),
            "signature": base64url(signature.as_ref()),
            "userHandle": base64url(&self.handle),
        }))
    }

    fn answer(&self, response: &Value) -> String {
        let id = base64url(&self.id);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response }).to_string()
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let data = json!({
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": false,
        });
        data.to_string().into_bytes()
    }

    fn data(&self, more: u8) -> Vec<u8> {
        let verified = if self.verifies { USER_VERIFIED } else { 0 };
        let mut data = sha256(b"localhost").to_vec();
        data.push(USER_PRESENT | verified | more);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// RFC 9053 §7.1: {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        key.extend(x);
        key.extend([0x22, 0x58, 0x20]);
        key.extend(y);
        key
    }
}
