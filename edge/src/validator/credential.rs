//! From the Authorization header to one credential and its scheme, by its shape alone.

use shared::verdict::Reason;
use shared::{key, token};

/// How a credential is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has it may use it (RFC 6750).
    Bearer,
    /// With a proof of possession (RFC 9449 §7.1).
    Dpop,
}

impl Scheme {
    /// The scheme of an Authorization header, without case (RFC 9110 §11.1); `None` for any that is not ours.
    pub fn of(header: &str) -> Option<Self> {
        let scheme = header.split(' ').next().unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") {
            Some(Self::Bearer)
        } else if scheme.eq_ignore_ascii_case("dpop") {
            Some(Self::Dpop)
        } else {
            None
        }
    }
}

/// A credential's text, judged by shape. Debug does not print it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// `brand_env_…`
    ApiKey(&'a str),
    /// Three parts with dots.
    Token(&'a str),
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ApiKey(_) => "ApiKey(redacted)",
            Self::Token(_) => "Token(redacted)",
        })
    }
}

impl<'a> Credential<'a> {
    /// The text as sent.
    pub fn text(&self) -> &'a str {
        match self {
            Self::ApiKey(text) | Self::Token(text) => text,
        }
    }

    /// Takes the one credential (RFC 6750 §2.1, RFC 9449 §7.1). A comma can only come from a second header, for no
    /// credential contains one.
    pub fn from_authorization(header: Option<&'a str>) -> Result<Self, Reason> {
        let header = header.ok_or(Reason::CredentialMissing)?;
        if header.contains(',') {
            return Err(Reason::CredentialAmbiguous);
        }
        Scheme::of(header).ok_or(Reason::CredentialMissing)?;
        let (_, rest) = header.split_once(' ').unwrap_or((header, ""));
        let text = rest.trim_start_matches(' ');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.len() > token::MAX_LENGTH || !text.bytes().all(plain) {
            return Err(Reason::CredentialMalformed);
        }
        if token::has_token_shape(text) {
            return Ok(Self::Token(text));
        }
        if key::has_key_shape(text) {
            return Ok(Self::ApiKey(text));
        }
        Err(Reason::CredentialMalformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_credential() {
        assert_eq!(
            Credential::from_authorization(Some("Bearer a.b.c")),
            Ok(Credential::Token("a.b.c"))
        );
        assert_eq!(
            Credential::from_authorization(Some("bEARER  pc_live_x")),
            Ok(Credential::ApiKey("pc_live_x"))
        );
        assert_eq!(
            Credential::from_authorization(Some("dPoP a.b.c")),
            Ok(Credential::Token("a.b.c"))
        );
        for (header, expected) in [
            (None, Reason::CredentialMissing),
            (Some(""), Reason::CredentialMissing),
            (Some("Basic YTpi"), Reason::CredentialMissing),
            (Some("pc_live_x"), Reason::CredentialMissing),
            (Some("Bearer"), Reason::CredentialMalformed),
            (Some("Bearer a.b.c, Bearer a.b.c"), Reason::CredentialAmbiguous),
            (Some("Basic YTpi, Bearer a.b.c"), Reason::CredentialAmbiguous),
            (Some("Bearer a.b.c, DPoP a.b.c"), Reason::CredentialAmbiguous),
            (Some("DPoP"), Reason::CredentialMalformed),
            (Some("DPoPa.b.c"), Reason::CredentialMissing),
            (Some("Bearer pc_live_x y"), Reason::CredentialMalformed),
            (Some("Bearer pc_live_x\ty"), Reason::CredentialMalformed),
            (Some("Bearer\tpc_live_x"), Reason::CredentialMissing),
            (Some("Bearer pc_live_x%0a"), Reason::CredentialMalformed),
            (Some("Bearer opaque"), Reason::CredentialMalformed),
            (Some("Bearer a.b.c.d"), Reason::CredentialMalformed),
        ] {
            assert_eq!(
                Credential::from_authorization(header),
                Err(expected),
                "{header:?}"
            );
        }
        let long = format!("Bearer a.b.{}", "c".repeat(token::MAX_LENGTH));
        assert_eq!(
            Credential::from_authorization(Some(&long)),
            Err(Reason::CredentialMalformed)
        );
    }
}
