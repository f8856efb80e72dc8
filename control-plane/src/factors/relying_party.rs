//! Who we are to authenticators, and whether they can be used here at all.
//!
//! A passkey belongs to a domain name (WebAuthn §5.1.2): browsers offer none on an address such as 127.0.0.1, and none
//! without https except on `localhost`.

use shared::id::UserId;
use url::Url;
use webauthn_rs::prelude::{Uuid, Webauthn, WebauthnBuilder};

use crate::config::Config;

/// The relying party of this issuer: its host is the RP id, its origin the only one that answers may come from. `None`
/// where passkeys can not work.
pub(super) fn of(config: &Config) -> Option<Webauthn> {
    let issuer = Url::parse(&config.issuer).ok()?;
    let origin = Url::parse(&issuer.origin().ascii_serialization()).ok()?;
    let id = origin.domain()?;
    WebauthnBuilder::new(id, &origin)
        .ok()?
        .rp_name("Portcullis")
        .build()
        .ok()
}

/// The user handle: what an authenticator gives back to say whose passkey it is. It tells strangers nothing.
pub(super) fn handle(user: UserId) -> Uuid {
    /// `pcullis1`: other kinds of accounts would get other bytes.
    const KIND: u64 = 0x7063_756c_6c69_7331;
    Uuid::from_u64_pair(KIND, user.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(issuer: &str) -> Option<Webauthn> {
        of(&Config {
            issuer: issuer.to_owned(),
            ..Config::default()
        })
    }

    #[test]
    fn a_name_is_needed() {
        for works in [
            "http://localhost:7070",
            "https://auth.example",
            "https://auth.example/tenant",
        ] {
            let party = at(works).unwrap_or_else(|| panic!("{works}"));
            let origin = Url::parse(works).expect("a URL").origin();
            let allowed: Vec<_> = party.get_allowed_origins().iter().map(Url::origin).collect();
            assert_eq!(allowed, [origin]);
        }
        for does_not in [
            "http://127.0.0.1:7070",
            "http://[::1]:7070",
            "https://192.0.2.1",
            "nothing",
        ] {
            assert!(at(does_not).is_none(), "{does_not}");
        }
    }
}
