//! The answer that a refresh token was exchanged for, kept so that only the token itself opens it.
//!
//! The key is HKDF-SHA256 of the token's text, which the server does not keep: whoever has the database, the master key
//! included, cannot read the successor. AES-256-GCM; the token's digest is the associated data, so that a sealed answer
//! opens in its own row only. Sealed form: version ‖ nonce (12) ‖ ciphertext ‖ tag (16).

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use super::opaque::Opaque;

const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"portcullis/refresh-successor/v1";

/// Seals `plain` for the holder of this token; `None` if the cipher refuses.
pub(super) fn seal(token: &Opaque, plain: &[u8]) -> Option<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(plain.len().saturating_add(16)));
    body.extend_from_slice(plain);
    let nonce = cipher(token)?
        .seal_in_place_append_tag(Aad::from(token.digest()), &mut *body)
        .ok()?;
    let mut sealed = vec![VERSION];
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&body);
    Some(sealed)
}

/// Opens what [`seal`] made for the same token.
pub(super) fn open(token: &Opaque, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (version, rest) = sealed.split_first()?;
    let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
    if *version != VERSION {
        return None;
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut body = Zeroizing::new(body.to_vec());
    let length = cipher(token)?
        .open_in_place(nonce, Aad::from(token.digest()), &mut body)
        .ok()?
        .len();
    body.truncate(length);
    Some(body)
}

fn cipher(token: &Opaque) -> Option<RandomizedNonceKey> {
    let mut key = Zeroizing::new([0u8; 32]);
    Salt::new(HKDF_SHA256, &[])
        .extract(token.expose().as_bytes())
        .expand(&[CONTEXT], &AES_256_GCM)
        .ok()?
        .fill(key.as_mut_slice())
        .ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::opaque::Kind;
    use crate::random::Random;

    #[test]
    fn only_the_token_opens_it() {
        let draw = || Opaque::generate(Kind::Refresh, &Random::system()).expect("random");
        let (ours, theirs) = (draw(), draw());
        let sealed = seal(&ours, b"successor").expect("sealed");
        assert_eq!(open(&ours, &sealed).expect("opened").as_slice(), b"successor");
        assert!(open(&theirs, &sealed).is_none());
        assert!(!sealed.windows(9).any(|window| window == b"successor"));
        let mut changed = sealed.clone();
        changed[20] ^= 1;
        assert!(open(&ours, &changed).is_none());
        assert!(open(&ours, &sealed[..10]).is_none());
        assert!(open(&ours, &[]).is_none());
    }
}
