//! What a gate signs for origins, with the same key as the Worker's `ASSERTION_KEY`: the base64url of a 32-byte Ed25519 seed, or
//! of two with a comma between. The first signs, both are shown.

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use edge::assertion::{Assertions, Caller, Destination};
use edge::library::Allowed;
use secrecy::{ExposeSecret as _, SecretString};
use shared::assertion;
use shared::crypto::{VerifyingKey, base64url, from_base64url};
use shared::time::UnixSeconds;

use crate::settings::SettingsError;

/// Signs. Debug shows no key.
pub struct AssertionSigner {
    pair: Ed25519KeyPair,
    kid: String,
    keys: Vec<VerifyingKey>,
    made: Mutex<Assertions>,
}

impl std::fmt::Debug for AssertionSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AssertionSigner")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl AssertionSigner {
    /// Reads one key, or two.
    pub fn from_seeds(text: &SecretString) -> Result<Self, SettingsError> {
        let wrong = || {
            SettingsError::of(
                "assertion_key",
                "expected base64url of 32 bytes, or two of them with a comma between",
            )
        };
        let pair = |seed: &str| {
            let seed = from_base64url(seed.trim()).filter(|seed| seed.len() == 32)?;
            Ed25519KeyPair::from_seed_unchecked(&seed).ok()
        };
        let pairs: Option<Vec<_>> = text.expose_secret().split(',').take(3).map(pair).collect();
        let pairs = pairs.filter(|pairs| pairs.len() <= 2).ok_or_else(wrong)?;
        let public = |pair: &Ed25519KeyPair| {
            let bytes = pair.public_key().as_ref().try_into().ok()?;
            Some(VerifyingKey::ed25519(bytes))
        };
        let keys: Option<Vec<_>> = pairs.iter().map(public).collect();
        let keys = keys.ok_or_else(wrong)?;
        let kid = keys.first().map(assertion::kid).ok_or_else(wrong)?;
        Ok(Self {
            pair: pairs.into_iter().next().ok_or_else(wrong)?,
            kid,
            keys,
            made: Mutex::default(),
        })
    }

    /// The public halves as a JWKS.
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| key.jwk(&assertion::kid(key)))
            .collect();
        serde_json::json!({ "keys": keys })
    }

    /// An assertion about somebody who was let in with this method, by the gate of the resource `issuer`, for the origin of
    /// `upstream`; at most half a minute old. None on public routes, which tell no identity.
    pub(crate) fn about(
        &self,
        allowed: &Allowed,
        issuer: &str,
        upstream: &str,
        method: &str,
        now: UnixSeconds,
    ) -> Option<Arc<str>> {
        let caller = Caller {
            to: Destination::of(upstream, method, &allowed.path)?,
            subject: allowed.subject.clone()?,
            org: allowed.org.clone()?,
            workspace: allowed.workspace.clone()?,
            scope: allowed.scopes.join(" "),
            credential: allowed.credential.clone()?,
        };
        let known = self.made.lock().ok()?.find(&caller, now);
        if known.is_some() {
            return known;
        }
        let message = assertion::message(&caller.claims(issuer, now), &self.kid)?;
        let signature = self.pair.sign(message.as_bytes());
        let text: Arc<str> = format!("{message}.{}", base64url(signature.as_ref())).into();
        self.made.lock().ok()?.remember(caller, Arc::clone(&text), now);
        Some(text)
    }
}
