//! Runs the proofs of `shared/vectors/dpop.json`: natively, and inside workerd for the parity test (I9).

use serde::{Deserialize, Serialize};

use super::{Expected, Target, check};
use crate::crypto::{base64url, sha256};
use crate::time::UnixSeconds;

/// The whole file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vectors {
    /// What the file is for.
    pub description: String,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One proof, what it has to be about, and what comes of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique.
    pub name: String,
    /// The header's value.
    pub proof: String,
    /// The method of the request.
    pub method: String,
    /// Its URI.
    pub url: String,
    /// The time, in seconds.
    pub now: u64,
    /// The access token that comes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The thumbprint of the key that it must be by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `accepted`, or the error's code.
    pub expected: String,
}

/// What came out of one case.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case.
    pub name: String,
    /// `accepted`, or the error's code.
    pub result: String,
    /// Of a proof that was accepted: its key.
    pub key: String,
    /// Of a proof that was accepted: under which to remember it, base64url.
    pub id: String,
    /// Of a proof that was accepted: when it ends.
    pub ends: u64,
}

/// Judges all cases of a file; an error says which part of the file is unusable.
pub fn run(json: &[u8]) -> Result<Vec<Outcome>, &'static str> {
    let vectors: Vectors = serde_json::from_slice(json).map_err(|_| "not a vector file")?;
    vectors.cases.iter().map(judge).collect()
}

fn judge(case: &Case) -> Result<Outcome, &'static str> {
    let target = Target::parse(&case.url).ok_or("url")?;
    let key = case
        .key
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| "key")?;
    let token = case.token.as_deref().map(|text| sha256(text.as_bytes()));
    let expected = Expected {
        method: &case.method,
        target: &target,
        now: UnixSeconds(case.now),
        token: token.as_ref(),
        key: key.as_ref(),
    };
    let name = case.name.clone();
    Ok(match check(&case.proof, &expected) {
        Ok(proof) => Outcome {
            name,
            result: "accepted".to_owned(),
            key: proof.key.to_string(),
            id: base64url(&proof.id),
            ends: proof.ends.0,
        },
        Err(error) => Outcome {
            name,
            result: error.code().to_owned(),
            key: String::new(),
            id: String::new(),
            ends: 0,
        },
    })
}
