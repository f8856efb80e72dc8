//! Cookies: the one that is the session, the one that ties a sign-in form to its browser before there is a session, and the
//! one of somebody whose password was right and whose second factor is asked for.
//!
//! All have the `__Host-` prefix (RFC 6265bis §4.1.3.2): no other host and no plain http can set them. Browsers refuse it
//! without https, so on a developer's machine the names are plain. A value is 256 random bits, of which the database holds
//! the SHA-256 only. What it does not: decide whether a session is alive.

use axum::http::{HeaderMap, HeaderValue, header};
use shared::crypto::{base64url, from_base64url, sha256};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::random::{Random, RandomError};

/// Which cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The session itself.
    Session,
    /// A browser with a sign-in form.
    Form,
    /// A sign-in that waits for its second factor.
    Pending,
}

/// What a cookie holds: whoever has it is signed in. Wiped on drop; not printed.
pub(crate) struct Secret(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    pub(crate) fn draw(random: &Random) -> Result<Self, RandomError> {
        Ok(Self(Zeroizing::new(random.bytes()?)))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the database knows it by.
    pub(crate) fn digest(&self) -> [u8; 32] {
        sha256(self.bytes())
    }
}

/// The cookie's secret. Two cookies of one name are none: one of them is not ours, and nothing says which.
pub(crate) fn read(config: &Config, kind: Kind, headers: &HeaderMap) -> Option<Secret> {
    let wanted = name(config, kind);
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == wanted)
        .map(|(_, value)| value);
    let value = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let bytes = Zeroizing::new(from_base64url(value)?);
    Some(Secret(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
}

/// The `Set-Cookie` that hands out a secret. It goes with the browser, or with its time; the server's limits count anyway.
pub(crate) fn set(config: &Config, kind: Kind, secret: &Secret) -> Option<HeaderValue> {
    let value = Zeroizing::new(base64url(secret.bytes()));
    let more = match kind {
        Kind::Session | Kind::Form => "",
        Kind::Pending => "; Max-Age=300",
    };
    header(config, kind, &value, more)
}

/// The `Set-Cookie` that takes it back.
pub(crate) fn clear(config: &Config, kind: Kind) -> Option<HeaderValue> {
    header(config, kind, "", "; Max-Age=0")
}

fn header(config: &Config, kind: Kind, value: &str, more: &str) -> Option<HeaderValue> {
    let secure = if is_https(config) { "; Secure" } else { "" };
    let name = name(config, kind);
    let text = Zeroizing::new(format!(
        "{name}={value}; Path=/; HttpOnly{secure}; SameSite=Lax{more}"
    ));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn name(config: &Config, kind: Kind) -> &'static str {
    match (is_https(config), kind) {
        (true, Kind::Session) => "__Host-portcullis",
        (true, Kind::Form) => "__Host-portcullis-form",
        (true, Kind::Pending) => "__Host-portcullis-pending",
        (false, Kind::Session) => "portcullis_session",
        (false, Kind::Form) => "portcullis_form",
        (false, Kind::Pending) => "portcullis_pending",
    }
}

/// The configuration lets http through on loopback only.
fn is_https(config: &Config) -> bool {
    config.issuer.starts_with("https:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(issuer: &str) -> Config {
        Config {
            issuer: issuer.to_owned(),
            ..Config::default()
        }
    }

    fn sent(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.parse().expect("a header"))])
    }

    #[test]
    fn attributes() {
        let secret = Secret::draw(&Random::system()).expect("random");
        let value = base64url(secret.bytes());
        let text = |issuer: &str| {
            let header = set(&at(issuer), Kind::Session, &secret).expect("a header");
            assert!(header.is_sensitive());
            header.to_str().expect("text").to_owned()
        };
        assert_eq!(
            text("https://auth.example"),
            format!("__Host-portcullis={value}; Path=/; HttpOnly; Secure; SameSite=Lax")
        );
        assert_eq!(
            text("http://127.0.0.1:7070"),
            format!("portcullis_session={value}; Path=/; HttpOnly; SameSite=Lax")
        );
        let cleared = clear(&at("https://auth.example"), Kind::Session).expect("a header");
        assert_eq!(
            cleared,
            "__Host-portcullis=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn a_cookie_is_read_strictly() {
        let config = at("https://auth.example");
        let secret = Secret::draw(&Random::system()).expect("random");
        let value = base64url(secret.bytes());
        let found = read(
            &config,
            Kind::Session,
            &sent(&format!("a=b; __Host-portcullis={value}; c=d")),
        );
        assert_eq!(found.expect("a secret").bytes(), secret.bytes());
        for wrong in [
            String::new(),
            format!("portcullis_session={value}"),
            format!("__Host-portcullis={value}; __Host-portcullis={value}"),
            format!("__Host-portcullis={value}A"),
            "__Host-portcullis=".to_owned(),
        ] {
            assert!(read(&config, Kind::Session, &sent(&wrong)).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret(Zeroizing::new([7; 32]));
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_ne!(&secret.digest(), secret.bytes());
    }
}
