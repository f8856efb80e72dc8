//! A Security Event Token (RFC 8417), read strictly: its kind, who signed it, for whom, when, and what it says.
//!
//! What it does not: say what follows, or remember its `jti` (`act` does).

use std::sync::Arc;

use serde_json::{Map, Value};
use shared::crypto::{Algorithm, sha256};
use shared::strict_json;
use shared::time::UnixSeconds;
use url::Url;

use crate::app::App;
use crate::config::SignalTransmitter;
use crate::http::fetch::FetchError;
use crate::oauth::compact::{self, Compact};

const TYPE: &str = "secevent+jwt";
/// A transmitter that could not reach us for a weekend still delivers; for so long its `jti` is remembered.
const MAX_AGE_SECONDS: u64 = 7 * 86_400;
/// A transmitter's clock may be ahead by so much.
const SKEW_SECONDS: u64 = 60;
const MAX_EVENTS: usize = 5;
const MAX_TEXT: usize = 256;

/// Why an event is not taken: `err` of RFC 8935 §2.4, and a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Not sent as one.
    #[error("the Content-Type must be application/secevent+jwt")]
    ContentType,
    /// Not three parts of strict base64url, too long, or a header that changes how the text is read.
    #[error("the body is not a compact JWS with a strict header and claims")]
    Shape,
    /// Another kind of token (RFC 8725 §3.11).
    #[error("the token's typ must be secevent+jwt")]
    Type,
    /// Nobody here listens to them.
    #[error("the token's iss is not a transmitter that is known here")]
    Issuer,
    /// None of the transmitter's.
    #[error("the token's algorithm is refused for its issuer")]
    Algorithm,
    /// No key of the transmitter's verifies it.
    #[error("no key of its issuer has signed the token")]
    Signature,
    /// For somebody else.
    #[error("the token's aud does not have this receiver's audience")]
    Audience,
    /// A claim is missing or malformed, or one that no event has (SSF 1.0 §4.1: no `sub`, no `exp`).
    #[error(
        "the token needs iss, aud, iat, jti, events with 1 to 5 objects and sub_id, and must have neither sub nor exp"
    )]
    Claims,
    /// From the future, or of long ago.
    #[error("the token is from the future, or more than seven days old")]
    Time,
}

impl Refused {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::ContentType | Self::Shape | Self::Type | Self::Claims | Self::Time => "invalid_request",
            Self::Issuer => "invalid_issuer",
            Self::Algorithm => "invalid_key",
            Self::Signature => "authentication_failed",
            Self::Audience => "invalid_audience",
        }
    }
}

/// One that could be read. Nothing about it has been verified.
pub(super) struct Token<'a> {
    jws: Compact<'a>,
    issuer: String,
}

/// What a transmitter says.
#[derive(Debug)]
pub(super) struct SecurityEvent {
    pub(super) jti: String,
    /// Whom it is about, as the token says it once for all events.
    pub(super) subject: Option<Value>,
    /// Event type and its claims.
    pub(super) events: Vec<(String, Map<String, Value>)>,
    issuer: String,
    iat: UnixSeconds,
}

/// Reads a token.
pub(super) fn parse(text: &str) -> Result<Token<'_>, Refused> {
    let jws = compact::read(text).ok_or(Refused::Shape)?;
    if jws.typ != TYPE {
        return Err(Refused::Type);
    }
    let issuer = jws
        .claims
        .get("iss")
        .and_then(Value::as_str)
        .ok_or(Refused::Claims)?;
    Ok(Token {
        issuer: issuer.to_owned(),
        jws,
    })
}

impl Token<'_> {
    /// Whose it claims to be, and that they may sign like this.
    pub(super) fn transmitter<'a>(&self, app: &'a App) -> Result<&'a SignalTransmitter, Refused> {
        let mut all = app.config.signal_transmitters.iter();
        let transmitter = all
            .find(|transmitter| transmitter.issuer == self.issuer)
            .ok_or(Refused::Issuer)?;
        let mut allowed = transmitter
            .algorithms
            .iter()
            .filter_map(|name| Algorithm::from_jose(name));
        allowed
            .any(|algorithm| algorithm == self.jws.algorithm)
            .then_some(transmitter)
            .ok_or(Refused::Algorithm)
    }

    /// Checks all of it, the signature first.
    pub(super) fn check(
        &self,
        keys: &Value,
        transmitter: &SignalTransmitter,
        our_issuer: &str,
        now: UnixSeconds,
    ) -> Result<SecurityEvent, Refused> {
        if !self.jws.is_signed_by(keys) {
            return Err(Refused::Signature);
        }
        let claims = &self.jws.claims;
        let wanted = transmitter.audience.as_deref().unwrap_or(our_issuer);
        let is_wanted = |audience: &Value| audience == wanted;
        let addressed = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_wanted),
            Some(one) => is_wanted(one),
            None => false,
        };
        if !addressed {
            return Err(Refused::Audience);
        }
        if claims.contains_key("sub") || claims.contains_key("exp") {
            return Err(Refused::Claims);
        }
        let iat = claims.get("iat").and_then(Value::as_u64).ok_or(Refused::Claims)?;
        let jti = claims.get("jti").and_then(Value::as_str).unwrap_or_default();
        let events = claims
            .get("events")
            .and_then(Value::as_object)
            .ok_or(Refused::Claims)?;
        if jti.is_empty() || jti.len() > MAX_TEXT || !(1..=MAX_EVENTS).contains(&events.len()) {
            return Err(Refused::Claims);
        }
        let events = events
            .iter()
            .map(|(name, claims)| Some((name.clone(), claims.as_object()?.clone())))
            .collect::<Option<Vec<_>>>()
            .ok_or(Refused::Claims)?;
        if iat > now.0.saturating_add(SKEW_SECONDS) || iat.saturating_add(MAX_AGE_SECONDS) < now.0 {
            return Err(Refused::Time);
        }
        Ok(SecurityEvent {
            jti: jti.to_owned(),
            subject: claims.get("sub_id").cloned(),
            events,
            issuer: self.issuer.clone(),
            iat: UnixSeconds(iat),
        })
    }
}

impl SecurityEvent {
    /// What is remembered of it, and until when. Never the digest of an assertion, which begins otherwise.
    pub(super) fn digest(&self) -> ([u8; 32], UnixSeconds) {
        let text = format!("secevent {} {} {}", self.issuer.len(), self.issuer, self.jti);
        let until = self.iat.saturating_add(MAX_AGE_SECONDS + SKEW_SECONDS);
        (sha256(text.as_bytes()), until)
    }
}

/// The transmitter's public keys, fetched anew if none of those that we have signed the token.
pub(super) async fn keys(
    app: &App,
    transmitter: &SignalTransmitter,
    token: &Token<'_>,
) -> Result<Arc<Value>, FetchError> {
    let now = app.clock.now();
    let uri = if let Some(uri) = &transmitter.jwks_uri {
        Arc::new(uri.clone())
    } else {
        let url = description(&transmitter.issuer).ok_or(FetchError::Url)?;
        let read = |body: &[u8]| described(&transmitter.issuer, body);
        app.signals.described.get(&url, now, |_| true, read).await?
    };
    let read = |body: &[u8]| {
        strict_json::from_slice(body).map_err(|_| FetchError::Content("it is not a JSON object".to_owned()))
    };
    let signed = |set: &Value| token.jws.is_signed_by(set);
    app.signals.key_sets.get(&uri, now, signed, read).await
}

/// SSF 1.0 §7.1: `/.well-known/ssf-configuration` between the host and the issuer's path.
fn description(issuer: &str) -> Option<String> {
    let mut url = Url::parse(issuer).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/ssf-configuration{path}"));
    Some(url.into())
}

/// The `jwks_uri` of a transmitter's metadata, which says whose it is.
fn described(issuer: &str, body: &[u8]) -> Result<String, FetchError> {
    let wrong = |problem: &str| FetchError::Content(problem.to_owned());
    let document: Map<String, Value> =
        strict_json::from_slice(body).map_err(|_| wrong("it is not a JSON object"))?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(wrong("the transmitter metadata is another issuer's"));
    }
    let uri = document.get("jwks_uri").and_then(Value::as_str);
    uri.map(str::to_owned)
        .ok_or_else(|| wrong("the transmitter metadata has no jwks_uri"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_transmitter_describes_itself() {
        for (issuer, expected) in [
            (
                "https://tr.example",
                "https://tr.example/.well-known/ssf-configuration",
            ),
            (
                "https://tr.example/",
                "https://tr.example/.well-known/ssf-configuration",
            ),
            (
                "https://tr.example/a/b",
                "https://tr.example/.well-known/ssf-configuration/a/b",
            ),
        ] {
            assert_eq!(description(issuer).as_deref(), Some(expected));
        }
        let body = br#"{"issuer":"https://tr.example","jwks_uri":"https://tr.example/k"}"#;
        assert_eq!(
            described("https://tr.example", body).as_deref(),
            Ok("https://tr.example/k")
        );
        assert!(described("https://tr.example/", body).is_err());
        assert!(described("https://tr.example", br#"{"issuer":"https://tr.example"}"#).is_err());
        assert!(described("https://tr.example", b"[]").is_err());
    }
}
