//! `Portcullis-Assertion`: what the gate signs for origins, and `/.portcullis/jwks.json`, where its public keys are.
//!
//! The secret `ASSERTION_KEY` is the base64url of a 32-byte Ed25519 seed, or of two with a comma between: the first signs, both
//! are shown. To replace it: `old,new`; when origins have fetched the keys again `new,old`; when the last minute of the old
//! one is over, `new`. Without the variable there are no assertions, and origins go by the plain headers.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::json;
use shared::assertion;
use shared::crypto::{VerifyingKey, base64url, from_base64url};
use wasm_bindgen::prelude::*;

use super::config::EdgeConfig;
use super::http::{Incoming, now};
use super::{cors, response};
use crate::assertion::{Assertions, Caller};

#[wasm_bindgen(module = "/src/worker_adapter/assertion.js")]
extern "C" {
    fn import_signer(seed: &[u8], signs: bool) -> Option<Vec<u8>>;
    fn sign(message: &[u8]) -> Option<Vec<u8>>;
}

thread_local! {
    static MADE: RefCell<Assertions> = RefCell::new(Assertions::default());
}

/// The public halves of the gate's assertion keys. The first one's other half signs.
#[derive(Clone, Debug)]
pub(super) struct AssertionKeys {
    keys: Vec<(String, VerifyingKey)>,
}

impl AssertionKeys {
    /// Imports the keys of the variable; `None` if one of them is no key.
    pub(super) fn import(text: &str) -> Option<Self> {
        let import = |(position, seed): (usize, &str)| {
            let seed = from_base64url(seed.trim()).filter(|seed| seed.len() == 32)?;
            let key = VerifyingKey::ed25519(import_signer(&seed, position == 0)?.try_into().ok()?);
            Some((assertion::kid(&key), key))
        };
        let keys: Option<Vec<_>> = text.split(',').take(3).enumerate().map(import).collect();
        keys.filter(|keys| keys.len() <= 2).map(|keys| Self { keys })
    }

    /// An assertion about a caller's request, at most half a minute old. Nothing if the runtime does not sign: then the origin, which
    /// insists on it, refuses.
    fn about(&self, caller: Caller, issuer: &str) -> Option<Arc<str>> {
        let now = now().seconds();
        let known = MADE.with(|made| made.try_borrow().ok()?.find(&caller, now));
        if known.is_some() {
            return known;
        }
        let (kid, _) = self.keys.first()?;
        let message = assertion::message(&caller.claims(issuer, now), kid)?;
        let signature = sign(message.as_bytes())?;
        let text: Arc<str> = format!("{message}.{}", base64url(&signature)).into();
        MADE.with(|made| {
            if let Ok(mut made) = made.try_borrow_mut() {
                made.remember(caller, Arc::clone(&text), now);
            }
        });
        Some(text)
    }
}

/// The gate's signed word about a request that goes on to its origin.
pub(super) fn word(caller: Option<Caller>, config: &EdgeConfig) -> Option<Arc<str>> {
    config.assertion.as_ref()?.about(caller?, &config.resource)
}

/// The gate's public keys (RFC 7517 §5); none if it makes no assertions.
pub(super) fn keys(config: &EdgeConfig, incoming: &Incoming) -> Result<web_sys::Response, JsValue> {
    match incoming.method.as_str() {
        "GET" | "HEAD" => {}
        "OPTIONS" => return cors::open_preflight(incoming),
        _ => {
            let problem = response::METHOD_NOT_ALLOWED;
            return response::refuse(problem, &incoming.request_id, cors::open_headers());
        }
    }
    let keys = config.assertion.iter().flat_map(|keys| &keys.keys);
    let keys: Vec<_> = keys.map(|(kid, key)| key.jwk(kid)).collect();
    let mut headers = cors::open_headers();
    headers.push("cache-control", "public, max-age=300");
    response::json_answer(
        response::OK,
        &json!({ "keys": keys }),
        &incoming.request_id,
        headers,
    )
}
