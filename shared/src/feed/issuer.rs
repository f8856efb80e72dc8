//! Another issuer, as the feed tells of it: whose it is, what its tokens may do here, how their claims are read, and its keys.
//!
//! ```text
//! issuer    = text issuer | varint version | present u8 (0 or 1) | varint org | binding if present
//! binding   = list(text audience) | varint scopes, the cap | forms u8 (1 at+jwt, 2 JWT, 4 without typ)
//!             | path of the subject | list(path) of the scopes | option(list(text, varint scopes))
//!             | workspace | list(text kid, `VerifyingKey`)
//! path      = list(text), from the outermost member in
//! workspace = 0 | 1, varint workspace | 2, path, list(text, varint workspace)
//! list(x)   = varint count | x*          lists of names and values ascend by the bytes of the name
//! ```
//!
//! The keys are in here and not entries of their own, so that whatever changes about an issuer is one entry with one version: a
//! key that the issuer withdraws is gone with the next version, may come back with a later one, and leaves nothing behind;
//! an issuer that gives a `kid` to another key does not make a feed that consumers must refuse. `key_removed` of
//! an issuer's key stands above all versions: it is for ever.
//!
//! The organisation is there also for an issuer that is not trusted any more, so that a feed for some organisations can be cut
//! out of this one.

use std::collections::BTreeMap;

use crate::crypto::{Algorithm, VerifyingKey};
use crate::id::{OrgId, WorkspaceId};
use crate::scope::ScopeSet;
use crate::wire::{Malformed, Reader, Writer};

/// The longest issuer identifier, in bytes.
pub const MAX_ISSUER: usize = 512;
/// The longest other text: an audience, a claim's name or value, a `kid`.
pub const MAX_VALUE: usize = 512;
/// Audiences of one issuer.
pub const MAX_AUDIENCES: usize = 32;
/// Keys of one issuer at a time.
pub const MAX_KEYS: usize = 32;
/// Rows of a table of values.
pub const MAX_VALUES: usize = 128;
/// How deep a claim may lie, and how many places one is looked for in.
pub const MAX_PATH: usize = 4;

/// The name of a claim, from the outermost member in.
pub type ClaimPath = Vec<String>;

/// Which `typ` a token of the issuer may have in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forms {
    /// `at+jwt` (RFC 9068).
    pub at_jwt: bool,
    /// `JWT`.
    pub jwt: bool,
    /// No `typ` at all.
    pub none: bool,
}

/// Which workspace a token of the issuer counts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkspaceRule {
    /// All of the organisation's.
    All,
    /// Always this one.
    Fixed(WorkspaceId),
    /// The one that stands beside the claim's value. A token without the claim, or with another value, does not count.
    Claim {
        /// Where the claim is.
        path: ClaimPath,
        /// Workspaces of the organisation by value.
        values: BTreeMap<String, WorkspaceId>,
    },
}

/// What the organisation has said about an issuer, and the issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerBinding {
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
    /// The most that its tokens can do.
    pub cap: ScopeSet,
    /// Which kinds of tokens count.
    pub forms: Forms,
    /// Where the subject is: usually `sub`.
    pub subject: ClaimPath,
    /// Where scopes are: the first of these claims that is there.
    pub scopes: Vec<ClaimPath>,
    /// What each value there means here; without it the values are names of our scopes.
    pub scope_values: Option<BTreeMap<String, ScopeSet>>,
    /// Which workspace.
    pub workspace: WorkspaceRule,
    /// The public keys by `kid`; a key that has none is under the empty text.
    pub keys: BTreeMap<String, VerifyingKey>,
}

/// An issuer: trusted by one organisation, or not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerEntry {
    /// Its identifier, byte for byte as in `iss`.
    pub issuer: String,
    /// The higher one counts. Of two of one version the one with the smaller bytes: none before some.
    pub version: u64,
    /// Whose it is or was.
    pub org: OrgId,
    /// `None`: it is trusted no more.
    pub binding: Option<IssuerBinding>,
}

impl IssuerEntry {
    /// Whether this is to be known instead of the other.
    pub fn supersedes(&self, other: &Self) -> bool {
        let bytes = |entry: &Self| {
            let mut w = Writer::new();
            entry.write(&mut w);
            w.finish()
        };
        self.version > other.version || (self.version == other.version && bytes(self) < bytes(other))
    }

    /// Whether a consumer must know ES512 to read this.
    pub fn has_es512(&self) -> bool {
        let mut keys = self.binding.iter().flat_map(|binding| binding.keys.values());
        keys.any(|key| key.algorithm() == Algorithm::Es512)
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.bytes(self.issuer.as_bytes()).varint(self.version);
        w.u8(u8::from(self.binding.is_some())).varint(self.org.get());
        if let Some(binding) = &self.binding {
            binding.write(w);
        }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let issuer = text(r, MAX_ISSUER)?;
        let version = r.varint()?;
        let present = r.u8()?;
        let org = OrgId::from_u64(r.varint()?).ok_or(Malformed)?;
        let binding = match present {
            0 => None,
            1 => Some(IssuerBinding::read(r)?),
            _ => return Err(Malformed),
        };
        Ok(Self {
            issuer,
            version,
            org,
            binding,
        })
    }
}

impl IssuerBinding {
    fn write(&self, w: &mut Writer) {
        w.varint(self.audiences.len() as u64);
        for audience in &self.audiences {
            w.bytes(audience.as_bytes());
        }
        w.varint(self.cap.0).u8(self.forms.code());
        write_path(w, &self.subject);
        w.varint(self.scopes.len() as u64);
        for path in &self.scopes {
            write_path(w, path);
        }
        w.option(self.scope_values.as_ref(), |w, values| {
            write_values(w, values, |w, scopes| {
                w.varint(scopes.0);
            });
        });
        match &self.workspace {
            WorkspaceRule::All => {
                w.u8(0);
            }
            WorkspaceRule::Fixed(workspace) => {
                w.u8(1).varint(workspace.get());
            }
            WorkspaceRule::Claim { path, values } => {
                w.u8(2);
                write_path(w, path);
                write_values(w, values, |w, workspace| {
                    w.varint(workspace.get());
                });
            }
        }
        write_values(w, &self.keys, |w, key| key.write(w));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let workspace = |r: &mut Reader<'_>| WorkspaceId::from_u64(r.varint()?).ok_or(Malformed);
        Ok(Self {
            audiences: read_list(r, MAX_AUDIENCES, |r| text(r, MAX_VALUE))?,
            cap: ScopeSet(r.varint()?),
            forms: Forms::read(r.u8()?)?,
            subject: read_path(r)?,
            scopes: read_list(r, MAX_PATH, read_path)?,
            scope_values: r.option(|r| read_values(r, MAX_VALUES, |r| r.varint().map(ScopeSet)))?,
            workspace: match r.u8()? {
                0 => WorkspaceRule::All,
                1 => WorkspaceRule::Fixed(workspace(r)?),
                2 => WorkspaceRule::Claim {
                    path: read_path(r)?,
                    values: read_values(r, MAX_VALUES, workspace)?,
                },
                _ => return Err(Malformed),
            },
            keys: read_values(r, MAX_KEYS, VerifyingKey::read)?,
        })
    }
}

impl Forms {
    /// All of them.
    pub const ALL: Self = Self {
        at_jwt: true,
        jwt: true,
        none: true,
    };

    fn code(self) -> u8 {
        u8::from(self.at_jwt) | u8::from(self.jwt) << 1 | u8::from(self.none) << 2
    }

    fn read(code: u8) -> Result<Self, Malformed> {
        if code > 7 {
            return Err(Malformed);
        }
        Ok(Self {
            at_jwt: code & 1 != 0,
            jwt: code & 2 != 0,
            none: code & 4 != 0,
        })
    }

    /// Whether a token may have this `typ`, written without `application/` and in lower case; empty: it has none.
    pub fn admits(self, typ: &str) -> bool {
        match typ {
            "at+jwt" => self.at_jwt,
            "jwt" => self.jwt,
            "" => self.none,
            _ => false,
        }
    }
}

fn text(r: &mut Reader<'_>, most: usize) -> Result<String, Malformed> {
    r.text(most).map(str::to_owned)
}

fn write_path(w: &mut Writer, path: &[String]) {
    w.varint(path.len() as u64);
    for name in path {
        w.bytes(name.as_bytes());
    }
}

fn read_path(r: &mut Reader<'_>) -> Result<ClaimPath, Malformed> {
    read_list(r, MAX_PATH, |r| text(r, MAX_VALUE))
}

fn read_list<T>(
    r: &mut Reader<'_>,
    most: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = count(r, most)?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(read(r)?);
    }
    Ok(list)
}

fn write_values<T>(w: &mut Writer, values: &BTreeMap<String, T>, mut write: impl FnMut(&mut Writer, &T)) {
    w.varint(values.len() as u64);
    for (name, value) in values {
        w.bytes(name.as_bytes());
        write(w, value);
    }
}

/// Ascending and without repetition: one form.
fn read_values<T>(
    r: &mut Reader<'_>,
    most: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<BTreeMap<String, T>, Malformed> {
    let mut values = BTreeMap::new();
    for _ in 0..count(r, most)? {
        let name = text(r, MAX_VALUE)?;
        let ascends = values.last_key_value().is_none_or(|(last, _)| *last < name);
        if !ascends {
            return Err(Malformed);
        }
        let value = read(r)?;
        values.insert(name, value);
    }
    Ok(values)
}

fn count(r: &mut Reader<'_>, most: usize) -> Result<usize, Malformed> {
    usize::try_from(r.varint()?)
        .ok()
        .filter(|count| *count <= most)
        .ok_or(Malformed)
}
