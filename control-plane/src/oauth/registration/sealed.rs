//! A registration that costs no row: the `client_id` *is* the metadata, sealed so that only we can have made it.
//!
//! `dyn_` and the base64url of version ‖ nonce (12) ‖ ciphertext ‖ tag (16): AES-256-GCM under a key that is derived from the
//! master key for this alone, with the issuer as associated data. The nonce makes every registration another client. The
//! client's secret and its registration access token are HMAC-SHA256 of the `client_id` under two more such keys: neither
//! is stored, also not as a digest, until a person lets the client in. So whoever holds the master key could compute them,
//! as they could open the signing keys; a copy of the database alone gives nothing (I2).

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use shared::crypto::{base64url, from_base64url, sha256};
use shared::strict_json;
use shared::time::UnixSeconds;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::metadata::Metadata;
use crate::signing::{Keyring, MasterKeyError, SigningError};

const VERSION: u8 = 1;
const PREFIX: &str = "dyn_";
/// It travels in URLs, in each token, and in restrictions (which take 2048 bytes).
pub const MAX_LENGTH: usize = 1500;

/// What is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// When.
    #[serde(rename = "i")]
    pub issued_at: UnixSeconds,
    /// What the client said.
    #[serde(flatten)]
    pub metadata: Metadata,
}

/// The three keys. Derived at the start, and nowhere written.
pub struct Seals {
    cipher: RandomizedNonceKey,
    secret: hmac::Key,
    access: hmac::Key,
    issuer: String,
    brand: String,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seals(redacted)")
    }
}

impl Seals {
    /// Derives them.
    pub fn new(keyring: &Keyring, issuer: &str, brand: &str) -> Result<Self, SigningError> {
        let key = |purpose: &str| keyring.derive(&format!("portcullis/dynamic-client/{purpose}/v1"));
        let mac = |key: Zeroizing<[u8; 32]>| hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
        Ok(Self {
            cipher: RandomizedNonceKey::new(&AES_256_GCM, key("seal")?.as_slice())
                .map_err(|_| MasterKeyError::Cipher)?,
            secret: mac(key("secret")?),
            access: mac(key("registration")?),
            issuer: issuer.to_owned(),
            brand: brand.to_owned(),
        })
    }

    /// The `client_id` of a registration; `None` if it is too large for one.
    pub fn seal(&self, registration: &Registration) -> Option<String> {
        let mut body = serde_json::to_vec(registration).ok()?;
        let aad = Aad::from(self.issuer.as_bytes());
        let nonce = self.cipher.seal_in_place_append_tag(aad, &mut body).ok()?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Some(format!("{PREFIX}{}", base64url(&sealed))).filter(|text| text.len() <= MAX_LENGTH)
    }

    /// What a `client_id` holds; `None` for any text that [`seal`](Self::seal) did not make.
    pub fn open(&self, client_id: &str) -> Option<Registration> {
        if client_id.len() > MAX_LENGTH {
            return None;
        }
        let sealed = from_base64url(client_id.strip_prefix(PREFIX)?)?;
        let (version, rest) = sealed.split_first()?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
        if *version != VERSION {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let aad = Aad::from(self.issuer.as_bytes());
        let plain = self.cipher.open_in_place(nonce, aad, &mut body).ok()?;
        strict_json::from_slice(plain).ok()
    }

    /// The secret of a client that has one.
    pub fn secret(&self, client_id: &str) -> Zeroizing<String> {
        let tag = hmac::sign(&self.secret, client_id.as_bytes());
        Zeroizing::new(format!("{}_secret_{}", self.brand, base64url(tag.as_ref())))
    }

    /// SHA-256 of the secret: what secrets are compared by.
    pub fn secret_digest(&self, client_id: &str) -> [u8; 32] {
        sha256(self.secret(client_id).as_bytes())
    }

    /// RFC 7592 §3: what manages a registration.
    pub fn access_token(&self, client_id: &str) -> Zeroizing<String> {
        let tag = hmac::sign(&self.access, client_id.as_bytes());
        Zeroizing::new(format!("reg_{}", base64url(tag.as_ref())))
    }

    /// Whether this is the registration access token of this client, in constant time.
    pub fn is_access_token(&self, client_id: &str, presented: &str) -> bool {
        let ours = sha256(self.access_token(client_id).as_bytes());
        bool::from(ours.ct_eq(&sha256(presented.as_bytes())))
    }
}

/// Whether a text looks like the `client_id` of a client that registered itself.
pub fn is_sealed(client_id: &str) -> bool {
    client_id.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signing::MasterKey;
    use crate::store::clients::{ApplicationType, AuthMethod};

    fn seals(byte: u8, issuer: &str) -> Seals {
        Seals::new(&Keyring::new(MasterKey::for_tests(byte)), issuer, "pc").expect("keys")
    }

    fn registration(name: &str) -> Registration {
        Registration {
            issued_at: UnixSeconds(1_795_302_520),
            metadata: Metadata {
                client_name: name.to_owned(),
                redirect_uris: vec![
                    "http://127.0.0.1:33418/".to_owned(),
                    "https://vscode.dev/redirect".to_owned(),
                ],
                post_logout_redirect_uris: Vec::new(),
                backchannel_logout_uri: Some("https://app.example.com/logout".to_owned()),
                backchannel_logout_session_required: true,
                method: AuthMethod::None,
                application_type: ApplicationType::Native,
                jwks: None,
                jwks_uri: None,
                dpop_bound_access_tokens: false,
                require_pushed_authorization_requests: false,
                device_flow: false,
            },
        }
    }

    #[test]
    fn only_we_make_it_and_each_is_another() {
        let ours = seals(1, "https://a.example");
        let made = registration("Notes");
        let (one, other) = (ours.seal(&made).expect("fits"), ours.seal(&made).expect("fits"));
        assert_ne!(one, other);
        assert_eq!(ours.open(&one), Some(made.clone()));
        assert_eq!(
            seals(1, "https://a.example").open(&one),
            Some(made),
            "also after a restart"
        );
        assert_eq!(seals(2, "https://a.example").open(&one), None);
        assert_eq!(seals(1, "https://b.example").open(&one), None);
        assert!(one.len() < 320, "{}", one.len());
        assert_ne!(ours.secret(&one), ours.secret(&other));
        assert!(ours.is_access_token(&one, &ours.access_token(&one)));
        assert!(!ours.is_access_token(&other, &ours.access_token(&one)));
        assert!(!ours.is_access_token(&one, &ours.secret(&one)));
        assert_eq!(
            ours.seal(&registration(&"x".repeat(1200))),
            None,
            "too large for a URL"
        );
        assert!(!format!("{ours:?}").contains("issuer"));
    }

    proptest! {
        #[test]
        fn nothing_else_opens(text in ".{0,200}", at in 0usize..400, bit in 0u8..6) {
            let ours = seals(1, "https://a.example");
            prop_assert_eq!(ours.open(&text), None);
            prop_assert_eq!(ours.open(&format!("dyn_{text}")), None);
            let made = ours.seal(&registration("Notes")).expect("fits");
            let mut bytes = made.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert!(changed == made || ours.open(&changed).is_none());
            prop_assert_eq!(ours.open(&made[..at]), None);
        }

        #[test]
        fn any_metadata_survives(name in "[ -~]{1,60}", path in "[a-z/]{0,40}") {
            let ours = seals(1, "https://a.example");
            let mut made = registration(&name);
            made.metadata.redirect_uris.push(format!("https://x.example/{path}"));
            made.metadata.method = AuthMethod::PrivateKeyJwt;
            made.metadata.device_flow = true;
            made.metadata.jwks_uri = Some(format!("https://x.example/{path}"));
            let sealed = ours.seal(&made).expect("fits");
            prop_assert_eq!(ours.open(&sealed), Some(made));
        }
    }
}
