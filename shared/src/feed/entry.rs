//! What a feed can say: one entry, its kinds and their bytes.
//!
//! | kind | name | payload | join |
//! | --- | --- | --- | --- |
//! | 1 | revoked | varint n, n × (varint gap, varint length − 1): ascending ranges, each at least 2 past the last | union |
//! | 2 | not_before | subject, varint seconds | max |
//! | 3 | not_after | varint index, varint seconds | min |
//! | 4 | ceiling | subject, varint version, varint scopes | highest version |
//! | 5 | key | key reference, purpose u8, `VerifyingKey`, option(64 bytes root signature) | set; removal wins |
//! | 6 | key_removed | key reference | set |
//! | 7 | block | varint start, varint length, varint signing key | set |
//! | 8 | policy | varint version, bytes(JSON) | highest version |
//! | 9 | retired | ranges of list numbers, written as in `revoked` | union |
//! | 10 | issuer | another issuer, see `issuer` | highest version |
//! | 11 | admitted | varint version, varint n, n × varint org: strictly ascending | highest version; of two, what both list |
//! | 12 | issuer | as 10, of an issuer with a key for ES512 | the same as 10 |
//!
//! A gap is counted from the end of the previous range (from 0 for the first). Subject: `1 org | 2 workspace | 3 org,user |
//! 4 client text | 5 session text | 6 issuer text | 7 index | 8 org,user,workspace | 9 issuer text, subject text`; 9 came with
//! kind 10 and is understood wherever that is. Kind 12 is kind 10 for those who know the algorithm ES512 as well: an issuer with
//! such a key is in no entry of kind 10, and one without in none of kind 12. Key reference: `0, varint number` for ours, `1, text issuer, text kid` for another
//! issuer's. Purpose: 1 API keys, 2 access tokens, 3 another issuer's, which is not written: those keys are in `issuer`. A
//! `key_removed` of one is for ever, whatever version of `issuer` lists it. A list is 2^20
//! indexes; everything in a retired one is dead for ever, and a state keeps nothing else about it. `admitted` is only in the feed
//! of a group of edges: credentials of an organisation that it does not list are refused there. A feed without it admits all.

use super::issuer::IssuerEntry;
use super::ranges;
use crate::crypto::{Algorithm, Ed25519Signature, VerifyingKey};
use crate::feed::FeedId;
use crate::id::{LIMIT, OrgId, SigningKeyId, StatusIndex, UserId, WorkspaceId};
use crate::scope::ScopeSet;
use crate::time::UnixSeconds;
use crate::wire::{Malformed, Reader, Writer};

/// The numbers of the entry kinds that this release understands.
pub mod kinds {
    /// Revoked status indexes.
    pub const REVOKED: u8 = 1;
    /// Not-before times.
    pub const NOT_BEFORE: u8 = 2;
    /// Not-after times.
    pub const NOT_AFTER: u8 = 3;
    /// Ceilings.
    pub const CEILING: u8 = 4;
    /// Public keys.
    pub const KEY: u8 = 5;
    /// Removed keys.
    pub const KEY_REMOVED: u8 = 6;
    /// Index blocks.
    pub const BLOCK: u8 = 7;
    /// The route policy.
    pub const POLICY: u8 = 8;
    /// Retired lists.
    pub const RETIRED: u8 = 9;
    /// Other issuers.
    pub const ISSUER: u8 = 10;
    /// The organisations that a group of edges admits.
    pub const ADMITTED: u8 = 11;
    /// Other issuers, with a key for ES512.
    pub const ISSUER_ES512: u8 = 12;
    /// All of them, ascending.
    pub const SUPPORTED: [u8; 12] = [
        REVOKED,
        NOT_BEFORE,
        NOT_AFTER,
        CEILING,
        KEY,
        KEY_REMOVED,
        BLOCK,
        POLICY,
        RETIRED,
        ISSUER,
        ADMITTED,
        ISSUER_ES512,
    ];
}

const MAX_TEXT: usize = 2048;
/// Organisations that one group of edges admits.
pub(super) const MAX_ADMITTED: u64 = 1 << 16;
const CRITICAL: u8 = 1;

/// Whom a not-before or a ceiling is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Everyone in an organisation.
    Org(OrgId),
    /// Everyone in a workspace.
    Workspace(WorkspaceId),
    /// One person in one organisation.
    Member(OrgId, UserId),
    /// An OAuth client.
    Client(String),
    /// A sign-in session (`sid`).
    Session(String),
    /// An issuer.
    Issuer(String),
    /// One credential.
    Index(StatusIndex),
    /// One person in one workspace.
    WorkspaceMember(OrgId, UserId, WorkspaceId),
    /// Whom another issuer names so: issuer and subject.
    Foreign(String, String),
}

/// Which public key: ours by number, or another issuer's by its `kid`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyRef {
    /// One of our own.
    Ours(SigningKeyId),
    /// Another issuer's.
    Issuer {
        /// The issuer identifier.
        issuer: String,
        /// The key's `kid` there.
        kid: String,
    },
}

/// What a key may sign. One key, one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IssuingPurpose {
    /// Our API keys.
    ApiKey,
    /// Our access tokens.
    AccessToken,
    /// Another issuer's tokens.
    ForeignToken,
}

/// Whose key an entry holds, and what vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOwner {
    /// Ours: only with the root's signature.
    Ours(Ed25519Signature),
    /// Another issuer's: the feed key's signature on the frame is enough.
    Issuer,
}

/// A public key with its name and purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuingKey {
    /// Its name.
    pub reference: KeyRef,
    /// What it may sign.
    pub purpose: IssuingPurpose,
    /// The key.
    pub key: VerifyingKey,
    /// What vouches for it.
    pub owner: KeyOwner,
}

impl IssuingKey {
    /// What the root signs for one of our own keys: "portcullis/issuing-key/v1" ‖ feed ‖ number ‖ purpose ‖ key.
    pub fn root_message(
        feed: FeedId,
        number: SigningKeyId,
        purpose: IssuingPurpose,
        key: &VerifyingKey,
    ) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .raw(b"portcullis/issuing-key/v1")
            .raw(&feed.0)
            .varint(number.get())
            .u8(purpose.code());
        key.write(&mut writer);
        writer.finish()
    }
}

impl IssuingPurpose {
    fn code(self) -> u8 {
        match self {
            Self::ApiKey => 1,
            Self::AccessToken => 2,
            Self::ForeignToken => 3,
        }
    }
}

/// A range of status indexes and the key that owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First index.
    pub start: StatusIndex,
    /// How many, at least 1.
    pub length: u64,
    /// The only key whose signatures count for these indexes.
    pub signing_key: SigningKeyId,
}

/// The early end of one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Whose.
    pub index: StatusIndex,
    /// From this second on it is dead.
    pub time: UnixSeconds,
}

/// One thing that the feed says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// These credentials are dead: inclusive ranges, ascending, neither touching nor overlapping.
    Revoked(Vec<(StatusIndex, StatusIndex)>),
    /// Credentials of the subject with `iat` at or before the time are dead.
    NotBefore(Subject, UnixSeconds),
    /// This credential ends at the time.
    NotAfter(Expiry),
    /// The subject's credentials can do no more than this.
    Ceiling {
        /// Who is limited.
        subject: Subject,
        /// The higher one counts.
        version: u64,
        /// The most they can do.
        scopes: ScopeSet,
    },
    /// A public key.
    Key(Box<IssuingKey>),
    /// That key is not trusted any more, and never will be again.
    KeyRemoved(KeyRef),
    /// A range of indexes has an owner.
    Block(Block),
    /// The route policy.
    Policy {
        /// The higher one counts.
        version: u64,
        /// The document.
        json: Vec<u8>,
    },
    /// Every index of these lists is dead, whether it was ever drawn or not: inclusive ranges of list numbers, ascending,
    /// neither touching nor overlapping.
    Retired(Vec<(u64, u64)>),
    /// Another issuer that an organisation trusts, or did.
    Issuer(Box<IssuerEntry>),
    /// Nobody gets in but these organisations: ascending, each once.
    Admitted {
        /// The higher one counts.
        version: u64,
        /// Who.
        orgs: Vec<OrgId>,
    },
    /// A kind that this release does not know, kept as it is so that digests agree.
    Unknown {
        /// Its number.
        kind: u8,
        /// Whether a consumer that does not know it must stop.
        critical: bool,
        /// Its bytes.
        payload: Vec<u8>,
    },
}

impl Entry {
    /// The revocation of one credential.
    pub fn revoked(index: StatusIndex) -> Self {
        Self::Revoked(vec![(index, index)])
    }

    /// The number of the kind.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Revoked(_) => kinds::REVOKED,
            Self::NotBefore(..) => kinds::NOT_BEFORE,
            Self::NotAfter(_) => kinds::NOT_AFTER,
            Self::Ceiling { .. } => kinds::CEILING,
            Self::Key(_) => kinds::KEY,
            Self::KeyRemoved(_) => kinds::KEY_REMOVED,
            Self::Block(_) => kinds::BLOCK,
            Self::Policy { .. } => kinds::POLICY,
            Self::Retired(_) => kinds::RETIRED,
            Self::Issuer(issuer) if issuer.has_es512() => kinds::ISSUER_ES512,
            Self::Issuer(_) => kinds::ISSUER,
            Self::Admitted { .. } => kinds::ADMITTED,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// The entry's bytes. All kinds that this release writes are critical.
    pub fn encode(&self) -> Vec<u8> {
        let flags = match self {
            Self::Unknown { critical: false, .. } => 0,
            _ => CRITICAL,
        };
        Writer::new()
            .u8(self.kind())
            .u8(flags)
            .bytes(&self.payload())
            .finish()
    }

    /// One entry from the front of a reader, in its canonical form only.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (kind, flags) = (reader.u8()?, reader.u8()?);
        let payload = reader.bytes(super::MAX_STATE)?;
        if flags > CRITICAL {
            return Err(Malformed);
        }
        if !kinds::SUPPORTED.contains(&kind) {
            return Ok(Self::Unknown {
                kind,
                critical: flags == CRITICAL,
                payload: payload.to_vec(),
            });
        }
        let mut fields = Reader::new(payload);
        let entry = Self::read_payload(kind, &mut fields)?;
        fields.end()?;
        if flags == CRITICAL {
            Ok(entry)
        } else {
            Err(Malformed)
        }
    }

    /// The ranges of a `revoked` at the front of a reader, one by one: in a state there may be millions. `None`, and nothing is
    /// read, if another entry is there.
    pub(super) fn read_revoked(
        reader: &mut Reader<'_>,
        take: impl FnMut(u64, u64),
    ) -> Result<Option<u64>, Malformed> {
        if reader.rest().first() != Some(&kinds::REVOKED) {
            return Ok(None);
        }
        reader.u8()?;
        reader.expect_u8(CRITICAL)?;
        let mut fields = Reader::new(reader.bytes(super::MAX_STATE)?);
        let numbers = ranges::read_each(&mut fields, LIMIT, super::MAX_REVOKED, take)?;
        fields.end()?;
        Ok(Some(numbers))
    }

    fn payload(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::Revoked(indexes) => ranges::write(&mut w, numbers(indexes)),
            Self::Retired(lists) => ranges::write(&mut w, lists.iter().copied()),
            Self::NotBefore(subject, time) => {
                subject.write(&mut w);
                w.varint(time.0);
            }
            Self::NotAfter(expiry) => {
                w.varint(expiry.index.get()).varint(expiry.time.0);
            }
            Self::Ceiling {
                subject,
                version,
                scopes,
            } => {
                subject.write(&mut w);
                w.varint(*version).varint(scopes.0);
            }
            Self::Key(key) => {
                key.reference.write(&mut w);
                w.u8(key.purpose.code());
                key.key.write(&mut w);
                let signature = match &key.owner {
                    KeyOwner::Ours(signature) => Some(signature),
                    KeyOwner::Issuer => None,
                };
                w.option(signature, |w, signature| {
                    w.raw(signature);
                });
            }
            Self::KeyRemoved(reference) => reference.write(&mut w),
            Self::Block(block) => {
                w.varint(block.start.get())
                    .varint(block.length)
                    .varint(block.signing_key.get());
            }
            Self::Policy { version, json } => {
                w.varint(*version).bytes(json);
            }
            Self::Issuer(issuer) => issuer.write(&mut w),
            Self::Admitted { version, orgs } => {
                w.varint(*version).varint(orgs.len() as u64);
                for org in orgs {
                    w.varint(org.get());
                }
            }
            Self::Unknown { payload, .. } => {
                w.raw(payload);
            }
        }
        w.finish()
    }

    fn read_payload(kind: u8, r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind {
            kinds::REVOKED => Self::Revoked(read_indexes(r)?),
            kinds::RETIRED => Self::Retired(ranges::read(
                r,
                LIMIT / StatusIndex::LIST_LENGTH,
                super::MAX_RETIRED,
            )?),
            kinds::NOT_BEFORE => Self::NotBefore(Subject::read(r)?, UnixSeconds(r.varint()?)),
            kinds::NOT_AFTER => Self::NotAfter(Expiry {
                index: read_index(r)?,
                time: UnixSeconds(r.varint()?),
            }),
            kinds::CEILING => Self::Ceiling {
                subject: Subject::read(r)?,
                version: r.varint()?,
                scopes: ScopeSet(r.varint()?),
            },
            kinds::KEY => Self::Key(Box::new(read_key(r)?)),
            kinds::KEY_REMOVED => Self::KeyRemoved(KeyRef::read(r)?),
            kinds::BLOCK => Self::Block(read_block(r)?),
            kinds::POLICY => Self::Policy {
                version: r.varint()?,
                json: r.bytes(crate::policy::MAX_BYTES)?.to_vec(),
            },
            kinds::ISSUER | kinds::ISSUER_ES512 => {
                let entry = Self::Issuer(Box::new(IssuerEntry::read(r)?));
                if entry.kind() != kind {
                    return Err(Malformed);
                }
                entry
            }
            kinds::ADMITTED => Self::Admitted {
                version: r.varint()?,
                orgs: read_orgs(r)?,
            },
            _ => return Err(Malformed),
        })
    }
}

fn read_index(r: &mut Reader<'_>) -> Result<StatusIndex, Malformed> {
    StatusIndex::from_u64(r.varint()?).ok_or(Malformed)
}

fn read_orgs(r: &mut Reader<'_>) -> Result<Vec<OrgId>, Malformed> {
    let count = r.varint()?;
    if count > MAX_ADMITTED {
        return Err(Malformed);
    }
    let mut orgs: Vec<OrgId> = Vec::new();
    for _ in 0..count {
        let org = OrgId::from_u64(r.varint()?).ok_or(Malformed)?;
        if orgs.last().is_some_and(|last| *last >= org) {
            return Err(Malformed);
        }
        orgs.push(org);
    }
    Ok(orgs)
}

fn read_block(r: &mut Reader<'_>) -> Result<Block, Malformed> {
    let (start, length) = (read_index(r)?, r.varint()?);
    let signing_key = SigningKeyId::from_u64(r.varint()?).ok_or(Malformed)?;
    let fits = length >= 1 && start.get().checked_add(length).is_some_and(|end| end <= LIMIT);
    if fits {
        Ok(Block {
            start,
            length,
            signing_key,
        })
    } else {
        Err(Malformed)
    }
}

fn read_key(r: &mut Reader<'_>) -> Result<IssuingKey, Malformed> {
    let reference = KeyRef::read(r)?;
    let purpose = match r.u8()? {
        1 => IssuingPurpose::ApiKey,
        2 => IssuingPurpose::AccessToken,
        3 => IssuingPurpose::ForeignToken,
        _ => return Err(Malformed),
    };
    let key = VerifyingKey::read(r)?;
    if key.algorithm() == Algorithm::Es512 {
        return Err(Malformed);
    }
    let owner = match (&reference, purpose, r.option(Reader::array)?) {
        (KeyRef::Ours(_), IssuingPurpose::ApiKey | IssuingPurpose::AccessToken, Some(root)) => {
            KeyOwner::Ours(root)
        }
        (KeyRef::Issuer { .. }, IssuingPurpose::ForeignToken, None) => KeyOwner::Issuer,
        _ => return Err(Malformed),
    };
    Ok(IssuingKey {
        reference,
        purpose,
        key,
        owner,
    })
}

/// How many indexes ranges hold together.
pub(super) fn covered(indexes: &[(StatusIndex, StatusIndex)]) -> u64 {
    ranges::covered(numbers(indexes))
}

fn numbers(indexes: &[(StatusIndex, StatusIndex)]) -> impl ExactSizeIterator<Item = (u64, u64)> {
    indexes.iter().map(|(first, last)| (first.get(), last.get()))
}

fn read_indexes(r: &mut Reader<'_>) -> Result<Vec<(StatusIndex, StatusIndex)>, Malformed> {
    let index = |number| StatusIndex::from_u64(number).ok_or(Malformed);
    ranges::read(r, LIMIT, super::MAX_REVOKED)?
        .into_iter()
        .map(|(first, last)| Ok((index(first)?, index(last)?)))
        .collect()
}

impl KeyRef {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Ours(number) => w.u8(0).varint(number.get()),
            Self::Issuer { issuer, kid } => w.u8(1).bytes(issuer.as_bytes()).bytes(kid.as_bytes()),
        };
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        match r.u8()? {
            0 => SigningKeyId::from_u64(r.varint()?)
                .map(Self::Ours)
                .ok_or(Malformed),
            1 => Ok(Self::Issuer {
                issuer: r.text(MAX_TEXT)?.to_owned(),
                kid: r.text(MAX_TEXT)?.to_owned(),
            }),
            _ => Err(Malformed),
        }
    }
}

impl Subject {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Org(org) => w.u8(1).varint(org.get()),
            Self::Workspace(workspace) => w.u8(2).varint(workspace.get()),
            Self::Member(org, user) => w.u8(3).varint(org.get()).varint(user.get()),
            Self::Client(text) => w.u8(4).bytes(text.as_bytes()),
            Self::Session(text) => w.u8(5).bytes(text.as_bytes()),
            Self::Issuer(text) => w.u8(6).bytes(text.as_bytes()),
            Self::Index(index) => w.u8(7).varint(index.get()),
            Self::WorkspaceMember(org, user, workspace) => w
                .u8(8)
                .varint(org.get())
                .varint(user.get())
                .varint(workspace.get()),
            Self::Foreign(issuer, subject) => w.u8(9).bytes(issuer.as_bytes()).bytes(subject.as_bytes()),
        };
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let org = |r: &mut Reader<'_>| OrgId::from_u64(r.varint()?).ok_or(Malformed);
        let user = |r: &mut Reader<'_>| UserId::from_u64(r.varint()?).ok_or(Malformed);
        let workspace = |r: &mut Reader<'_>| WorkspaceId::from_u64(r.varint()?).ok_or(Malformed);
        let text = |r: &mut Reader<'_>| r.text(MAX_TEXT).map(str::to_owned);
        Ok(match r.u8()? {
            1 => Self::Org(org(r)?),
            2 => Self::Workspace(workspace(r)?),
            3 => Self::Member(org(r)?, user(r)?),
            4 => Self::Client(text(r)?),
            5 => Self::Session(text(r)?),
            6 => Self::Issuer(text(r)?),
            7 => Self::Index(read_index(r)?),
            8 => Self::WorkspaceMember(org(r)?, user(r)?, workspace(r)?),
            9 => Self::Foreign(text(r)?, text(r)?),
            _ => return Err(Malformed),
        })
    }
}
