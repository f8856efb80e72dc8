//! Secrets and signatures, by the Standard Webhooks specification.
//!
//! ```text
//! webhook-id         msg_…, the same for every attempt
//! webhook-timestamp  Unix seconds of this attempt
//! webhook-signature  v1,base64(HMAC-SHA256(secret, "<id>.<timestamp>.<body>")), one for each secret, a blank between them
//! ```

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};

const PREFIX: &str = "whsec_";

/// What a receiver checks messages with. Shown once, redacted otherwise.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(redacted)")
    }
}

impl WebhookSecret {
    /// A new one.
    pub fn draw(random: &Random) -> Result<Self, RandomError> {
        Ok(Self(Zeroizing::new(random.bytes()?)))
    }

    /// Its text, for whoever is to keep it: `whsec_…`.
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0.as_slice()))
    }

    /// One signature, with its version.
    pub(super) fn sign(&self, id: &str, seconds: u64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }
}

/// The secrets of a webhook as they are sealed: the present one first.
#[derive(Serialize, Deserialize)]
struct Kept(Vec<String>);

/// As they are sealed.
pub(super) fn pack(secrets: &[&WebhookSecret]) -> Zeroizing<Vec<u8>> {
    let texts = secrets
        .iter()
        .map(|secret| STANDARD.encode(secret.0.as_slice()))
        .collect();
    Zeroizing::new(serde_json::to_vec(&Kept(texts)).unwrap_or_default())
}

/// As they were packed; `None` if they were not.
pub(super) fn unpack(bytes: &[u8]) -> Option<Vec<WebhookSecret>> {
    let Kept(texts) = serde_json::from_slice(bytes).ok()?;
    let read = |text: String| {
        let bytes: [u8; 32] = STANDARD
            .decode(Zeroizing::new(text).as_bytes())
            .ok()?
            .try_into()
            .ok()?;
        Some(WebhookSecret(Zeroizing::new(bytes)))
    };
    texts.into_iter().map(read).collect()
}
