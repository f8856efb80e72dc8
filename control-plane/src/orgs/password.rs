//! Passwords: argon2id, always off the async threads. What it does not: sign anybody in.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use secrecy::{ExposeSecret as _, SecretString};

/// Hashing failed: no memory, no randomness, or the thread was stopped.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct PasswordError;

/// The argon2id PHC string of a password, with a random salt.
pub async fn hash(password: SecretString) -> Result<String, PasswordError> {
    let hashed = tokio::task::spawn_blocking(move || {
        let hash: Result<PasswordHash, _> =
            Argon2::default().hash_password(password.expose_secret().as_bytes());
        hash.map(|hash| hash.to_string())
    });
    hashed
        .await
        .map_err(|_| PasswordError)?
        .map_err(|_| PasswordError)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier as _;

    use super::*;

    #[tokio::test]
    async fn a_hash_verifies_its_password_only() {
        let hash = hash("correct horse".into()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let parsed = PasswordHash::new(&hash).expect("PHC");
        assert!(
            Argon2::default()
                .verify_password(b"correct horse", &parsed)
                .is_ok()
        );
        assert!(
            Argon2::default()
                .verify_password(b"correct horsf", &parsed)
                .is_err()
        );
    }
}
