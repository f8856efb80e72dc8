//! The npm package's Wasm: [`library::Gate`](crate::library::Gate) for JavaScript. What crosses the border is JSON and bytes;
//! the package's own files (`edge/npm`) read requests, fetch the feed and make responses.
//!
//! Nothing here may panic (I13): what cannot be read is an exception of JavaScript's, and lets nobody in.

#![expect(
    unreachable_pub,
    reason = "wasm-bindgen exports what is public, and nothing else uses it"
)]

mod crypto;

use js_sys::Date;
use shared::assertion::Expected;
use shared::time::UnixMillis;
use wasm_bindgen::prelude::*;

use crate::library::{self, Config, Question};
use crate::validator::{StatementCache, vectors};

/// Runs once, when the module starts.
#[wasm_bindgen(start)]
pub fn start() {
    crypto::install();
}

fn now() -> UnixMillis {
    millis(Date::now())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; a time in milliseconds fits"
)]
fn millis(time: f64) -> UnixMillis {
    UnixMillis(time as u64)
}

/// One gate.
#[derive(Debug)]
#[wasm_bindgen]
pub struct Core(library::Gate);

#[wasm_bindgen]
impl Core {
    /// From a configuration in JSON. `random`: 16 bytes that nobody else knows.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str, random: &[u8]) -> Result<Core, JsError> {
        let config = Config::from_json(config).map_err(|error| JsError::new(&error.to_string()))?;
        Ok(Self(library::Gate::new(config, cache(random)?)))
    }

    /// Takes a feed message in: JSON of what became of it.
    pub fn take(&mut self, message: &[u8], heard_at: f64, complete: bool) -> String {
        let taken = self.0.take(message, millis(heard_at), now(), complete);
        serde_json::to_string(&taken).unwrap_or_default()
    }

    /// Asks for the signatures that `take` will need.
    pub fn foresee(&self, message: &[u8]) {
        self.0.foresee(message);
    }

    /// Whoever was asked at this time has nothing new.
    pub fn confirm(&mut self, heard_at: f64) {
        self.0.confirm(millis(heard_at), now());
    }

    /// Query and report of the next fetch, as JSON.
    pub fn fetch(&self) -> String {
        self.0.fetch().to_string()
    }

    /// Where it stands, as JSON.
    pub fn status(&self) -> String {
        self.0.status(now()).to_string()
    }

    /// Judges a request that is described in JSON; the answer is JSON.
    pub fn verify(&mut self, question: &str) -> Result<String, JsError> {
        let question = read(question)?;
        let answer = self.0.verify(&question, now());
        serde_json::to_string(&answer).map_err(JsError::from)
    }

    /// The answer to a request whose proof was seen elsewhere.
    pub fn replayed(&self, question: &str) -> Result<String, JsError> {
        let answer = self.0.replayed(&read(question)?);
        serde_json::to_string(&answer).map_err(JsError::from)
    }

    /// Protected resource metadata for a path, as JSON, if it asks for that.
    pub fn metadata(&self, path: &str) -> Option<String> {
        self.0.metadata(path).map(|document| document.to_string())
    }
}

fn read(question: &str) -> Result<Question, JsError> {
    serde_json::from_str(question).map_err(|_| JsError::new("not a description of a request"))
}

/// Under a key of its own: nobody can make a text that is found under another's name.
fn cache(random: &[u8]) -> Result<StatementCache, JsError> {
    let key = random
        .try_into()
        .map_err(|_| JsError::new("random: expected 16 bytes"))?;
    Ok(StatementCache::with_key(key))
}

/// A gateway's word to an origin: the claims as JSON. The exception says why not.
#[wasm_bindgen(js_name = verifyAssertion)]
pub fn verify_assertion(
    text: &str,
    jwks: &str,
    issuer: &str,
    audience: &str,
    method: &str,
    path: &str,
    unbound: bool,
) -> Result<String, JsError> {
    let expected = Expected {
        issuer,
        audience,
        method,
        path,
        unbound,
    };
    library::verify_assertion(text, jwks, expected, now())
        .map(|claims| claims.to_string())
        .map_err(JsError::from)
}

/// Judges a file of golden vectors in this runtime (I9): `verdicts`, `proofs` or `assertion`. For this project's tests.
#[wasm_bindgen(js_name = runVectors)]
pub fn run_vectors(kind: &str, file: &str) -> Result<String, JsError> {
    let outcomes = match kind {
        "verdicts" => vectors::run(file.as_bytes()).and_then(|outcomes| text(&outcomes)),
        "proofs" => shared::dpop::vectors::run(file.as_bytes()).and_then(|outcomes| text(&outcomes)),
        "assertion" => library::run_assertion_vector(file.as_bytes()).map(|outcomes| outcomes.to_string()),
        _ => Err("no such vectors"),
    };
    outcomes.map_err(JsError::new)
}

fn text(outcomes: &impl serde::Serialize) -> Result<String, &'static str> {
    serde_json::to_string(outcomes).map_err(|_| "outcomes")
}
