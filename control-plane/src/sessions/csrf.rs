//! Requests that another site made a browser send: refused by a token in every form, and by where the browser says that
//! the request comes from.
//!
//! The token is an HMAC under the cookie's secret, so it needs no storage, dies when the secret is rotated, and tells
//! nothing of it. What it does not: `/v1` and `/token`, which take no cookies.

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, header};
use shared::crypto::base64url;
use subtle::ConstantTimeEq as _;
use url::Url;

use super::Session;
use super::cookie::Secret;
use crate::config::Config;

const CONTEXT: &[u8] = b"portcullis form token 1";

/// The token of a browser's forms. Not a secret that signs in, but one all the same: no Debug.
#[derive(Clone)]
pub(crate) struct FormToken(String);

impl std::fmt::Debug for FormToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FormToken")
    }
}

impl FormToken {
    pub(crate) fn of(secret: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
        Self(base64url(hmac::sign(&key, CONTEXT).as_ref()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// The token for a form of this session: the value of a hidden field named `csrf`.
pub fn token(session: &Session) -> String {
    session.form_token.expose().to_owned()
}

/// Whether a form's `csrf` is this session's.
pub fn check(session: &Session, given: &str) -> bool {
    session.form_token.is(given)
}

/// Whether the browser says that a page of ours sent the form. Browsers that say nothing are left to the token.
pub fn is_same_origin(config: &Config, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    match text(header::ORIGIN.as_str()) {
        None => true,
        // Pages whose address holds a secret send no referrer, and with it no origin. No script can write the other header.
        Some("null") => text("sec-fetch-site") == Some("same-origin"),
        Some(origin) => Url::parse(&config.issuer).is_ok_and(|issuer| {
            issuer.origin().is_tuple() && issuer.origin().ascii_serialization() == origin
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_token_belongs_to_one_secret() {
        let draw = || Secret::draw(&Random::system()).expect("random");
        let (ours, theirs) = (draw(), draw());
        let token = FormToken::of(&ours);
        assert!(token.is(FormToken::of(&ours).expose()));
        assert!(!token.is(FormToken::of(&theirs).expose()));
        assert!(!token.is(""));
        assert_ne!(token.expose(), base64url(ours.bytes()));
        assert_eq!(format!("{token:?}"), "FormToken");
    }

    #[test]
    fn another_origin_is_refused() {
        let config = Config {
            issuer: "https://auth.example/tenant".to_owned(),
            ..Config::default()
        };
        let says = |pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    value.parse().expect("a value"),
                )
            });
            is_same_origin(&config, &headers.collect())
        };
        assert!(says(&[]));
        assert!(says(&[("origin", "https://auth.example")]));
        assert!(says(&[
            ("origin", "https://auth.example"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(says(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        assert!(!says(&[("origin", "null"), ("sec-fetch-site", "cross-site")]));
        for origin in [
            "null",
            "https://evil.example",
            "http://auth.example",
            "https://auth.example:8443",
        ] {
            assert!(!says(&[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!says(&[("sec-fetch-site", site)]), "{site}");
        }
    }
}
