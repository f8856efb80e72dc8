//! Access tokens (RFC 9068): the claims of one, and its signature.

use serde_json::json;
use shared::crypto::base64url;
use shared::token::Claims;

use crate::signing::{SigningError, SigningKey};

/// The compact JWS of these claims: `typ` is `at+jwt` (RFC 9068 §2.1), the `kid` is the key's number.
pub fn sign(claims: &Claims, key: &SigningKey) -> Result<String, SigningError> {
    let header = json!({ "alg": key.public.algorithm().jose(), "kid": key.id.kid(), "typ": "at+jwt" });
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
