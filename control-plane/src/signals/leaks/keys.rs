//! The scanner's public keys, and whether a report is signed by one of them.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::fetch::FetchError;

const IDENTIFIER: HeaderName = HeaderName::from_static("github-public-key-identifier");
const SIGNATURE: HeaderName = HeaderName::from_static("github-public-key-signature");
/// The beginning of every SubjectPublicKeyInfo (RFC 5480) of an uncompressed point on P-256; the 65 bytes of the point follow.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;
const MAX_KEYS: usize = 50;

/// Keys by their identifiers; those that are no longer current still count, as long as they are listed.
#[derive(Debug)]
pub(in crate::signals) struct Keys(Vec<(String, [u8; POINT])>);

#[derive(Deserialize)]
struct Document {
    public_keys: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    key_identifier: String,
    key: String,
}

impl Keys {
    /// Reads the document; what is no key of the one kind is left out.
    pub(super) fn read(body: &[u8]) -> Result<Self, FetchError> {
        let wrong = || FetchError::Content("it is not a list of public keys".to_owned());
        let document: Document = serde_json::from_slice(body).map_err(|_| wrong())?;
        let keys = document.public_keys.into_iter().take(MAX_KEYS);
        Ok(Self(
            keys.filter_map(|listed| Some((listed.key_identifier, point(&listed.key)?)))
                .collect(),
        ))
    }

    fn of(&self, identifier: &str) -> Option<&[u8; POINT]> {
        let found = self.0.iter().find(|(name, _)| name == identifier);
        found.map(|(_, point)| point)
    }
}

/// The point of a PEM key (RFC 7468 §13).
fn point(pem: &str) -> Option<[u8; POINT]> {
    let text = pem
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")?
        .strip_suffix("-----END PUBLIC KEY-----")?;
    let text: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(text).ok()?;
    bytes.strip_prefix(&P256_PREFIX)?.try_into().ok()
}

/// Refuses a report that is not signed by a key of the scanner's, in one sentence for every reason.
pub(super) async fn verify(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<(), ApiError> {
    let refused = || {
        let detail = "the report is not signed by a key of the secret scanner";
        ApiError::new(Code::InvalidSignature, detail)
    };
    let one = |name| {
        let mut all = headers.get_all(name).iter();
        all.next().filter(|_| all.next().is_none())?.to_str().ok()
    };
    let (Some(identifier), Some(signature)) = (one(&IDENTIFIER), one(&SIGNATURE)) else {
        return Err(refused());
    };
    let signature = STANDARD.decode(signature).map_err(|_| refused())?;
    let (url, now) = (&app.config.leaks.keys_url, app.clock.now());
    let keys = app
        .signals
        .leak_keys
        .get(url, now, |keys: &Keys| keys.of(identifier).is_some(), Keys::read)
        .await
        .map_err(|error| {
            tracing::warn!(url, %error, "the secret scanner's keys could not be read");
            ApiError::new(
                Code::Busy,
                "the secret scanner's keys cannot be read now; try again",
            )
            .retry_after(30)
        })?;
    let point = keys.of(identifier).ok_or_else(refused)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(body, &signature)
        .map_err(|_| refused())
}
