//! Signing: the claims of an access token (RFC 9068) or an id_token (OpenID Connect Core §2) as a compact JWS; and reading
//! back those of our own.

use serde::Serialize;
use serde_json::json;
use shared::crypto::base64url;
use shared::token::Claims;

use super::compact;
use crate::app::App;
use crate::signing::{KeyState, Purpose, SigningError, SigningKey};

/// What kind of token it is: none is ever taken for another (RFC 8725 §3.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// RFC 9068 §2.1.
    AccessToken,
    /// For the client's own eyes.
    IdToken,
    /// Token Status List (draft-ietf-oauth-status-list §5.1).
    StatusList,
    /// OpenID Connect Back-Channel Logout 1.0 §2.4.
    LogoutToken,
}

impl Type {
    fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::IdToken => "JWT",
            Self::StatusList => "statuslist+jwt",
            Self::LogoutToken => "logout+jwt",
        }
    }
}

/// The compact JWS of these claims. The `kid` is the key's number.
pub fn sign(typ: Type, claims: &impl Serialize, key: &SigningKey) -> Result<String, SigningError> {
    let header = json!({ "alg": key.public.algorithm().jose(), "kid": key.id.kid(), "typ": typ.as_str() });
    let claims = serde_json::to_vec(claims).map_err(|_| SigningError::Claims)?;
    let mut text = format!(
        "{}.{}",
        base64url(header.to_string().as_bytes()),
        base64url(&claims)
    );
    let signature = key.sign(text.as_bytes())?;
    text.push('.');
    text.push_str(&base64url(&signature));
    Ok(text)
}

/// What an id_token of ours says about a sign-in.
pub(super) struct SignIn {
    /// The `client_id` of the client that it was made for.
    pub(super) client: String,
    /// The session.
    pub(super) sid: Option<String>,
}

/// An id_token that we signed, however long ago.
pub(super) fn read_id_token(app: &App, text: &str) -> Option<SignIn> {
    let parsed = compact::read(text)?;
    let key = app.keyring.known(parsed.kid?.parse().ok()?)?;
    let member = |name: &str| {
        parsed
            .claims
            .get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let ours = parsed.typ == "jwt"
        && key.purpose == Purpose::AccessToken
        && key.state != KeyState::Removed
        && key.public.algorithm() == parsed.algorithm
        && key
            .public
            .verify_base64url(parsed.message.as_bytes(), parsed.signature)
        && member("iss").as_deref() == Some(app.config.issuer.as_str());
    ours.then_some(SignIn {
        client: member("aud")?,
        sid: member("sid"),
    })
}

/// The claims of an access token that we signed, whatever has become of it since. `None` for any other text.
pub(super) fn read_ours(app: &App, text: &str) -> Option<Claims> {
    let parsed = shared::token::parse(text).ok()?;
    let key = app.keyring.known(parsed.kid.parse().ok()?)?;
    let ours = key.purpose == Purpose::AccessToken
        && key.state != KeyState::Removed
        && key.public.algorithm() == parsed.algorithm
        && key
            .public
            .verify_base64url(parsed.message.as_bytes(), parsed.signature)
        && parsed.claims.iss == app.config.issuer;
    ours.then_some(parsed.claims)
}
