//! Who may speak: envelopes signed by a feed key, and the certificate by which the root vouches for that key.

use super::{FeedId, MAX_MESSAGE, VERSION};
use crate::crypto::{Ed25519Signature, VerifyingKey};
use crate::id::SigningKeyId;
use crate::time::UnixSeconds;
use crate::wire::{Malformed, Reader, Writer};

const DOMAIN: &[u8] = b"portcullis/feed/v1";
const CERTIFICATE_DOMAIN: &[u8] = b"portcullis/feed-key/v1";
const MAX_CERTIFICATE: usize = 256;
/// A certificate and two signatures: nothing shorter is an envelope.
const MIN_ENVELOPE: usize = 180;

/// What a consumer pins in its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The only feed that it listens to.
    pub feed: FeedId,
    /// The root's public key.
    pub root: VerifyingKey,
    /// A second one, while the root is being replaced: what either signed counts.
    pub other_root: Option<VerifyingKey>,
}

impl Trust {
    /// In one feed with one root.
    pub fn new(feed: FeedId, root: VerifyingKey) -> Self {
        Self {
            feed,
            root,
            other_root: None,
        }
    }

    /// Whether a pinned root signed this.
    pub fn vouches_for(&self, message: &[u8], signature: &Ed25519Signature) -> bool {
        self.root.verify(message, signature)
            || self
                .other_root
                .as_ref()
                .is_some_and(|root| root.verify(message, signature))
    }
}

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeType {
    /// [`super::Frame`].
    Frame,
    /// [`super::Snapshot`].
    Snapshot,
    /// [`super::Heartbeat`].
    Heartbeat,
    /// [`super::FetchRequest`].
    Fetch,
    /// [`crate::usage::Collect`].
    Collect,
}

impl EnvelopeType {
    fn code(self) -> u8 {
        match self {
            Self::Frame => 1,
            Self::Snapshot => 2,
            Self::Heartbeat => 3,
            Self::Fetch => 4,
            Self::Collect => 5,
        }
    }

    fn from_code(code: u8) -> Result<Self, Malformed> {
        let all = [
            Self::Frame,
            Self::Snapshot,
            Self::Heartbeat,
            Self::Fetch,
            Self::Collect,
        ];
        all.into_iter().find(|kind| kind.code() == code).ok_or(Malformed)
    }
}

/// The root's word that a key may sign this feed in this epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Which feed.
    pub feed: FeedId,
    /// The only epoch in which the key may sign.
    pub epoch: u64,
    /// The key's number, from the same sequence as issuing keys.
    pub number: SigningKeyId,
    /// The Ed25519 public key.
    pub key: [u8; 32],
    /// After this second nothing new signed with it is taken in.
    pub not_after: UnixSeconds,
    /// By the root, over [`Certificate::root_message`].
    pub root_signature: Ed25519Signature,
}

impl Certificate {
    /// What the root signs.
    pub fn root_message(&self) -> Vec<u8> {
        Writer::new()
            .raw(CERTIFICATE_DOMAIN)
            .raw(&self.unsigned())
            .finish()
    }

    fn unsigned(&self) -> Vec<u8> {
        Writer::new()
            .u8(VERSION)
            .raw(&self.feed.0)
            .varint(self.epoch)
            .varint(self.number.get())
            .raw(&self.key)
            .varint(self.not_after.0)
            .finish()
    }

    /// The certificate's bytes.
    pub fn encode(&self) -> Vec<u8> {
        Writer::new()
            .raw(&self.unsigned())
            .raw(&self.root_signature)
            .finish()
    }

    /// The certificate behind bytes; its signature is not checked here.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.expect_u8(VERSION)?;
        let certificate = Self {
            feed: FeedId(r.array()?),
            epoch: r.varint()?,
            number: SigningKeyId::from_u64(r.varint()?).ok_or(Malformed)?,
            key: r.array()?,
            not_after: UnixSeconds(r.varint()?),
            root_signature: r.array()?,
        };
        r.end()?;
        Ok(certificate)
    }

    /// Whether the pinned root signed this certificate for the pinned feed.
    pub fn is_trusted_by(&self, trust: &Trust) -> bool {
        self.feed == trust.feed && trust.vouches_for(&self.root_message(), &self.root_signature)
    }
}

/// A signed body, as it travels. Borrowed from the bytes that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What the body is.
    pub kind: EnvelopeType,
    /// Who signed, and who vouches for that.
    pub certificate: Certificate,
    /// The signed bytes.
    pub body: &'a [u8],
    /// By the certificate's key.
    pub signature: Ed25519Signature,
}

impl<'a> Envelope<'a> {
    /// Reads an envelope; nothing is verified yet.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        r.expect_u8(VERSION)?;
        let envelope = Self {
            kind: EnvelopeType::from_code(r.u8()?)?,
            certificate: Certificate::decode(r.bytes(MAX_CERTIFICATE)?)?,
            body: r.bytes(MAX_MESSAGE)?,
            signature: r.array()?,
        };
        r.end()?;
        Ok(envelope)
    }

    /// Whether the certificate's key signed the body. Says nothing about the certificate.
    pub fn has_valid_signature(&self) -> bool {
        VerifyingKey::ed25519(self.certificate.key)
            .verify(&signed_message(self.kind, self.body), &self.signature)
    }
}

fn signed_message(kind: EnvelopeType, body: &[u8]) -> Vec<u8> {
    Writer::new().raw(DOMAIN).u8(kind.code()).raw(body).finish()
}

/// Signs a body into an envelope. `signer` gets the message and returns the Ed25519 signature of the certificate's key.
pub fn sign<E>(
    kind: EnvelopeType,
    certificate: &Certificate,
    body: &[u8],
    signer: impl FnOnce(&[u8]) -> Result<Ed25519Signature, E>,
) -> Result<Vec<u8>, E> {
    let signature = signer(&signed_message(kind, body))?;
    let mut writer = Writer::new();
    writer
        .u8(VERSION)
        .u8(kind.code())
        .bytes(&certificate.encode())
        .bytes(body)
        .raw(&signature);
    Ok(writer.finish())
}

/// A message of several envelopes.
pub fn join_message<'a>(envelopes: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut writer = Writer::new();
    for envelope in envelopes {
        writer.bytes(envelope);
    }
    writer.finish()
}

/// The envelopes of a message.
pub fn split_message(message: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::new(message);
    let mut envelopes = Vec::new();
    if message.len() > MAX_MESSAGE {
        return Err(Malformed);
    }
    while !reader.is_empty() {
        let envelope = reader.bytes(MAX_MESSAGE)?;
        // Else a message of zeros would be millions of them.
        if envelope.len() < MIN_ENVELOPE {
            return Err(Malformed);
        }
        envelopes.push(envelope);
    }
    Ok(envelopes)
}

/// How many bytes at the front of a message [`peek_message`] needs.
pub const PEEK: usize = 512;

/// What a message starts with: the type and the certificate of its first envelope. So a receiver can tell from the first
/// [`PEEK`] bytes whether the rest is worth holding.
pub fn peek_message(front: &[u8]) -> Result<(EnvelopeType, Certificate), Malformed> {
    let mut r = Reader::new(front);
    r.varint()?;
    r.expect_u8(VERSION)?;
    let kind = EnvelopeType::from_code(r.u8()?)?;
    Ok((kind, Certificate::decode(r.bytes(MAX_CERTIFICATE)?)?))
}
