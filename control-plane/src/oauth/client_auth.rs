//! Who is calling the token endpoint: `client_secret_basic` or `client_secret_post`, exactly one of them.
//!
//! What it does: find the credentials in a request, and compare a secret in constant time, doing the same work whether or
//! not the client exists. What it does not: reach the database, or know other methods (`private_key_jwt`, mTLS).

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared::crypto::sha256;
use shared::id::ClientId;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::OAuthError;
use super::form::{Form, decode};

/// A client's name and secret as presented. The secret is wiped on drop and never printed.
pub struct ClientCredentials {
    /// The presented `client_id`, if it has the form of one.
    pub id: Option<ClientId>,
    secret: Zeroizing<String>,
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ClientCredentials {
    /// Takes the credentials from the `Authorization` header or the form. RFC 6749 §2.3: not more than one method.
    pub fn find(headers: &HeaderMap, form: &Form) -> Result<Self, OAuthError> {
        if form.value("client_assertion").is_some() || form.value("client_assertion_type").is_some() {
            return Err(OAuthError::invalid_client(
                "this server takes client_secret_basic and client_secret_post",
            ));
        }
        let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
        let authorization = authorizations.next();
        if authorizations.next().is_some() {
            return Err(OAuthError::invalid_request("more than one Authorization header"));
        }
        match (authorization, form.value("client_secret")) {
            (Some(_), Some(_)) => Err(OAuthError::invalid_request(
                "use one client authentication method, not two",
            )),
            (Some(header), None) => {
                let refused =
                    || OAuthError::invalid_client("the Authorization header is not valid HTTP Basic");
                let found = header.to_str().ok().and_then(basic).ok_or_else(refused)?;
                let (id, secret) = found;
                if form.value("client_id").is_some_and(|other| other != id.as_str()) {
                    return Err(OAuthError::invalid_request(
                        "client_id differs from the one in the Authorization header",
                    ));
                }
                Ok(Self {
                    id: id.parse().ok(),
                    secret,
                })
            }
            (None, Some(secret)) => {
                let id = form
                    .value("client_id")
                    .ok_or_else(|| OAuthError::invalid_request("client_id is missing"))?;
                Ok(Self {
                    id: id.parse().ok(),
                    secret: Zeroizing::new(secret.to_owned()),
                })
            }
            (None, None) => Err(OAuthError::invalid_client("client authentication is required")),
        }
    }

    /// Whether the secret is the one with this digest. Without a digest (unknown client) the same work ends in false.
    pub fn matches(&self, digest: Option<&[u8; 32]>) -> bool {
        let presented = sha256(self.secret.as_bytes());
        let expected = digest.copied().unwrap_or_default();
        bool::from(presented.ct_eq(&expected)) & digest.is_some()
    }
}

/// RFC 6749 §2.3.1: `Basic base64(form-encoded id ":" form-encoded secret)`.
fn basic(header: &str) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some((decode(id)?, decode(secret)?))
}
