//! The API key: a signed statement that anyone with the public key can check, and nobody else can make.
//!
//! ```text
//! text       = brand "_" env "_" body check
//! brand      = 1-16 of a-z 0-9                              env = "live" | "test" | "dev"
//! body       = base62 of (statement ‖ signature), read as one big-endian number
//! check      = CRC-32 (IEEE) of all that precedes it, six base62 digits
//! signature  = Ed25519 over "portcullis/api-key/v1" ‖ bytes(brand) ‖ bytes(env) ‖ bytes(statement)
//! statement  = 01                 version
//!              varint             signing key number
//!              varint             status index
//!              varint             organisation
//!              varint             user (or service account's user number)
//!              varint             0 = all workspaces, else workspace + 1
//!              varint             scopes, bits of the deployment's catalogue
//!              varint             issued at, seconds since 2025-01-01T00:00:00Z
//!              varint             0 = no expiry, else expires at − issued at, in seconds
//!              8 bytes            nonce
//! ```
//!
//! `bytes(x)` is the length of x as a varint, then x. A key has one text: decoding refuses every non-canonical form. At
//! most 160 characters, so 44 bytes of statement under the default brand. What this module does not do: look at the
//! clock, at the restriction list, or at who signed; it hands out the message and the signature to be checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base62;
use crate::crypto::Ed25519Signature;
use crate::id::{OrgId, SigningKeyId, StatusIndex, UserId, WorkspaceId};
use crate::scope::ScopeSet;
use crate::time::UnixSeconds;
use crate::wire::{Reader, Writer};

/// The longest text of a key, in characters.
pub const MAX_LENGTH: usize = 160;
const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"portcullis/api-key/v1";
const CHECK_DIGITS: usize = 6;
const SIGNATURE_LENGTH: usize = 64;
/// 2025-01-01T00:00:00Z, so that "issued at" stays at four bytes.
const EPOCH: UnixSeconds = UnixSeconds(1_735_689_600);

/// Which kind of environment a key is for; a deployment lists those that it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Production.
    Live,
    /// Staging and automated tests.
    Test,
    /// A developer's machine.
    Dev,
}

impl Environment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Live, Self::Test, Self::Dev];

    /// The text inside a key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
            Self::Dev => "dev",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|env| env.as_str() == text)
            .ok_or(ParseError::Shape)
    }
}

/// What a key states, and its signature vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Who signed: must own the block that `index` lies in.
    pub signing_key: SigningKeyId,
    /// The key's position in the status lists, and its public id.
    pub index: StatusIndex,
    /// The organisation that the key belongs to.
    pub org: OrgId,
    /// The person or service account that the key acts for.
    pub user: UserId,
    /// One workspace, or all of the organisation's.
    pub workspace: Option<WorkspaceId>,
    /// What the key may do, before any ceiling.
    pub scopes: ScopeSet,
    /// When it was made.
    pub issued_at: UnixSeconds,
    /// When it ends by itself; `None`: never.
    pub expires_at: Option<UnixSeconds>,
    /// Makes two otherwise equal keys differ.
    pub nonce: [u8; 8],
}

/// A key's text. Shown once, never stored; Debug does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainKey(String);

impl PlainKey {
    /// The text itself, to be shown to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What lists may show: `pc_live_…` and the last four characters.
    pub fn masked(&self) -> String {
        let prefix = self
            .0
            .rfind('_')
            .and_then(|end| self.0.get(..=end))
            .unwrap_or_default();
        let tail = self
            .0
            .len()
            .checked_sub(4)
            .and_then(|start| self.0.get(start..))
            .unwrap_or_default();
        format!("{prefix}…{tail}")
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainKey(redacted)")
    }
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not `brand_env_…`, too long, or with a foreign character.
    #[error("not of the form brand_env_body")]
    Shape,
    /// The check digits do not fit the rest: a typing or copying error.
    #[error("the checksum does not match: the key was changed or cut")]
    Checksum,
    /// The checksum fits, but what it covers is not a statement in canonical form.
    #[error("the statement is malformed")]
    Statement,
}

/// Why a key cannot be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// The brand is not 1-16 characters of a-z and 0-9.
    #[error("a brand is 1 to 16 characters of a-z and 0-9")]
    Brand,
    /// The expiry is not after the issue, or the issue is before 2025.
    #[error("a key must expire after it is issued")]
    Times,
    /// More than 160 characters: the numbers in the statement are too large for this brand.
    #[error("the key would be longer than 160 characters")]
    TooLong,
    /// The signer failed.
    #[error("signing failed")]
    Signer(E),
}

/// A key whose form and checksum are right. Its signature has not been checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedKey<'a> {
    /// The brand before the first underscore.
    pub brand: &'a str,
    /// The environment between the underscores.
    pub environment: Environment,
    /// What the key states.
    pub statement: Statement,
    /// What the signature covers.
    pub message: Vec<u8>,
    /// Ed25519, 64 bytes.
    pub signature: Ed25519Signature,
}

/// Whether a brand may stand in front of a key.
pub fn is_brand(brand: &str) -> bool {
    (1..=16).contains(&brand.len())
        && brand
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Whether a text looks like an API key of this brand at all, so that it is judged as one and not as a JWT.
pub fn has_key_shape(text: &str) -> bool {
    let mut parts = text.splitn(3, '_');
    matches!((parts.next(), parts.next(), parts.next()), (Some(brand), Some(env), Some(_))
        if is_brand(brand) && env.parse::<Environment>().is_ok())
}

/// Builds and signs a key. `sign` gets the message and returns the Ed25519 signature.
pub fn build<E>(
    brand: &str,
    environment: Environment,
    statement: &Statement,
    sign: impl FnOnce(&[u8]) -> Result<Ed25519Signature, E>,
) -> Result<PlainKey, BuildError<E>> {
    if !is_brand(brand) {
        return Err(BuildError::Brand);
    }
    let mut bytes = encode_statement(statement).ok_or(BuildError::Times)?;
    let signature = sign(&message(brand, environment, &bytes)).map_err(BuildError::Signer)?;
    bytes.extend_from_slice(&signature);
    let mut text = format!("{brand}_{environment}_{}", base62::encode_bytes(&bytes));
    text.push_str(&check_digits(&text));
    if text.len() > MAX_LENGTH {
        Err(BuildError::TooLong)
    } else {
        Ok(PlainKey(text))
    }
}

/// Reads a key's text: shape, then checksum, then statement. Refuses every text that [`build`] would not have made.
pub fn parse(text: &str) -> Result<ParsedKey<'_>, ParseError> {
    if text.len() > MAX_LENGTH || !text.is_ascii() {
        return Err(ParseError::Shape);
    }
    let (covered, check) = text
        .split_at_checked(text.len().saturating_sub(CHECK_DIGITS))
        .ok_or(ParseError::Shape)?;
    let mut parts = covered.splitn(3, '_');
    let (Some(brand), Some(env), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ParseError::Shape);
    };
    if !is_brand(brand) || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(ParseError::Shape);
    }
    let environment: Environment = env.parse()?;
    if check_digits(covered) != check {
        return Err(ParseError::Checksum);
    }
    let bytes = base62::decode_bytes(body).ok_or(ParseError::Statement)?;
    let length = bytes
        .len()
        .checked_sub(SIGNATURE_LENGTH)
        .ok_or(ParseError::Statement)?;
    let (encoded, signature) = bytes.split_at_checked(length).ok_or(ParseError::Statement)?;
    Ok(ParsedKey {
        brand,
        environment,
        statement: decode_statement(encoded).ok_or(ParseError::Statement)?,
        message: message(brand, environment, encoded),
        signature: signature.try_into().map_err(|_| ParseError::Statement)?,
    })
}

fn check_digits(covered: &str) -> String {
    base62::encode_fixed(u64::from(crc32(covered.as_bytes())), CHECK_DIGITS).unwrap_or_default()
}

/// CRC-32 as in zlib (RFC 1952 §8), four bits at a time. A key is short, and the tables of faster ways would be 16,000 bytes of
/// the edge's Wasm that do not compress.
fn crc32(bytes: &[u8]) -> u32 {
    const STEPS: [u32; 16] = [
        0,
        0x1db7_1064,
        0x3b6e_20c8,
        0x26d9_30ac,
        0x76dc_4190,
        0x6b6b_51f4,
        0x4db2_6158,
        0x5005_713c,
        0xedb8_8320,
        0xf00f_9344,
        0xd6d6_a3e8,
        0xcb61_b38c,
        0x9b64_c2b0,
        0x86d3_d2d4,
        0xa00a_e278,
        0xbdbd_f21c,
    ];
    let step = |crc: u32| {
        let low = usize::try_from(crc & 15).unwrap_or_default();
        (crc >> 4) ^ STEPS.get(low).copied().unwrap_or_default()
    };
    let all = bytes
        .iter()
        .fold(u32::MAX, |crc, byte| step(step(crc ^ u32::from(*byte))));
    !all
}

fn message(brand: &str, environment: Environment, statement: &[u8]) -> Vec<u8> {
    Writer::new()
        .raw(DOMAIN)
        .bytes(brand.as_bytes())
        .bytes(environment.as_str().as_bytes())
        .bytes(statement)
        .finish()
}

fn encode_statement(statement: &Statement) -> Option<Vec<u8>> {
    let lifetime = match statement.expires_at {
        None => 0,
        Some(end) => end
            .0
            .checked_sub(statement.issued_at.0)
            .filter(|seconds| *seconds > 0)?,
    };
    Some(
        Writer::new()
            .u8(VERSION)
            .varint(statement.signing_key.get())
            .varint(statement.index.get())
            .varint(statement.org.get())
            .varint(statement.user.get())
            .varint(
                statement
                    .workspace
                    .map_or(0, |workspace| workspace.get().saturating_add(1)),
            )
            .varint(statement.scopes.0)
            .varint(statement.issued_at.0.checked_sub(EPOCH.0)?)
            .varint(lifetime)
            .raw(&statement.nonce)
            .finish(),
    )
}

fn decode_statement(bytes: &[u8]) -> Option<Statement> {
    let mut reader = Reader::new(bytes);
    reader.expect_u8(VERSION).ok()?;
    let mut number = || reader.varint().ok();
    let signing_key = SigningKeyId::from_u64(number()?)?;
    let index = StatusIndex::from_u64(number()?)?;
    let org = OrgId::from_u64(number()?)?;
    let user = UserId::from_u64(number()?)?;
    let workspace = match number()? {
        0 => None,
        above => Some(WorkspaceId::from_u64(above - 1)?),
    };
    let scopes = ScopeSet(number()?);
    let issued_at = UnixSeconds(EPOCH.0.checked_add(number()?)?);
    let expires_at = match number()? {
        0 => None,
        lifetime => Some(UnixSeconds(issued_at.0.checked_add(lifetime)?)),
    };
    let nonce = reader.array().ok()?;
    reader.end().ok()?;
    Some(Statement {
        signing_key,
        index,
        org,
        user,
        workspace,
        scopes,
        issued_at,
        expires_at,
        nonce,
    })
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
