//! Proof of possession (RFC 9449 §7): a token that is bound to a key counts only with a proof by that key, made for this
//! request and this token.
//!
//! What it does not: remember proofs. One that holds is handed out with the grant, and whoever lets the request in must ask
//! its memory first ([`Replays`](super::Replays), or the hub on strict routes).

use shared::crypto::sha256;
use shared::dpop::{self, Expected, Proof, ProofError, Target};
use shared::time::UnixSeconds;
use shared::verdict::Reason;

use super::{Credential, RequestFacts, Scheme, Statement};

impl Statement {
    /// Whether the statement may come under this scheme: a bound token proves itself, everything else is a bearer's.
    pub(super) fn check_scheme(&self, scheme: Scheme) -> Result<(), Reason> {
        let bound = self.kind.bound_to().is_some();
        match scheme {
            // RFC 9449 §7.2: or whoever steals the token just leaves the proof away.
            Scheme::Bearer if bound => Err(Reason::BindingIgnored),
            Scheme::Dpop if !bound => Err(Reason::BindingMissing),
            _ => Ok(()),
        }
    }
}

/// The proof of a bound token, if it holds; `None` for a statement that is bound to nothing. `path` is the canonical one.
pub(super) fn check(
    facts: &RequestFacts<'_>,
    statement: &Statement,
    path: &str,
    now: UnixSeconds,
) -> Result<Option<Proof>, Reason> {
    let Some(key) = statement.kind.bound_to() else {
        return Ok(None);
    };
    let text = facts.proof.ok_or(Reason::ProofMissing)?;
    let target = Target {
        origin: facts.public_origin.to_owned(),
        path: path.to_owned(),
    };
    let credential = Credential::from_authorization(facts.authorization)?;
    let token = sha256(credential.text().as_bytes());
    let expected = Expected {
        method: facts.method,
        target: &target,
        now,
        token: Some(&token),
        key: Some(key),
    };
    dpop::check(text, &expected)
        .map(Some)
        .map_err(|error| match error {
            ProofError::KeyMismatch => Reason::ProofKeyMismatch,
            ProofError::Method | ProofError::Uri | ProofError::AccessToken => Reason::ProofMismatch,
            ProofError::Time => Reason::ProofExpired,
            ProofError::Signature => Reason::ProofSignatureInvalid,
            _ => Reason::ProofMalformed,
        })
}
