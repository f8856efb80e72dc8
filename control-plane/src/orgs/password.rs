//! Passwords: argon2id, always off the async threads and a few at a time. What it does not: sign anybody in.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

/// Compared with where there is no account, so that the answer takes the same work: no password is known that has this
/// hash. Its parameters are those of [`hash`].
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashing failed: no memory, no randomness, an unreadable hash, or the thread was stopped.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct PasswordError;

/// Checks and hashes passwords for requests. Each takes 19 MiB and a core: only a few run at once, the others wait.
#[derive(Debug)]
pub struct Passwords {
    slots: Semaphore,
    #[cfg(test)]
    pub(crate) verified: std::sync::atomic::AtomicU64,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            slots: Semaphore::new(cores),
            #[cfg(test)]
            verified: std::sync::atomic::AtomicU64::new(0),
        }
    }
}

impl Passwords {
    /// Whether this is the password behind the hash. Without a hash it never is, after the same work.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let _slot = self.slots.acquire().await.map_err(|_| PasswordError)?;
        #[cfg(test)]
        self.verified.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let verified = tokio::task::spawn_blocking(move || {
            let known = stored.is_some();
            let stored = stored.as_deref().unwrap_or(NOBODY);
            let parsed = PasswordHash::new(stored).map_err(|_| PasswordError)?;
            let same = Argon2::default()
                .verify_password(password.expose_secret().as_bytes(), &parsed)
                .is_ok();
            Ok(same && known)
        });
        verified.await.map_err(|_| PasswordError)?
    }

    /// Like [`hash`], when it is this request's turn.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let _slot = self.slots.acquire().await.map_err(|_| PasswordError)?;
        hash(password).await
    }
}

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

    #[tokio::test]
    async fn nobody_costs_as_much_and_has_no_password() {
        let passwords = Passwords::default();
        let real = hash("correct horse".into()).await.expect("hashed");
        let parameters = |text: &str| text.rsplitn(3, '$').nth(2).map(str::to_owned);
        assert_eq!(parameters(NOBODY), parameters(&real));
        let length = |text: &str| text.rsplit('$').next().map(str::len);
        assert_eq!(length(NOBODY), length(&real));
        let is = async |password: &str, stored: Option<&str>| {
            let verified = passwords.verify(password.into(), stored.map(str::to_owned));
            verified.await.expect("verified")
        };
        assert!(is("correct horse", Some(&real)).await);
        assert!(!is("correct horsf", Some(&real)).await);
        assert!(!is("correct horse", None).await);
        assert!(!is("", None).await);
        assert!(
            passwords
                .verify("x".into(), Some("not a hash".to_owned()))
                .await
                .is_err()
        );
    }
}
