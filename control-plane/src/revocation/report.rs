//! What an edge says about itself: the answer to a push, and the header `Portcullis-Report` of an edge that fetches. One
//! parser for both, strict and capped: a report decides what receipts say, and its words go into logs and metrics.
//!
//! What it does not: believe it. Heads are compared with our own chain by `link::standing`.

use std::collections::BTreeSet;

use serde::Deserialize;
use shared::feed::Head;
use shared::id::{LIMIT, StatusIndex};

use crate::usage::Waiting;

/// More regions than any platform has.
const MAX_REGIONS: usize = 32;
const MAX_REGION_NAME: usize = 16;
/// As long as an edge may list credentials that were revoked there: then the frames have them.
const MAX_LOCAL: usize = 1000;
/// Refusal codes that are looked at.
const MAX_REFUSALS: usize = 256;
/// No region may go on alone for longer.
pub(super) const MAX_LEASE_MS: u64 = 60_000;

/// A report, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Whether the hub itself speaks; otherwise the regions were told without it.
    pub(crate) hub: bool,
    /// What the hub holds; `None` if nothing.
    pub(crate) head: Option<Head>,
    /// Why envelopes changed nothing.
    pub(crate) refused: Vec<String>,
    /// Empty: an older release, which counts as one region.
    pub(crate) regions: Vec<RegionReport>,
    /// Indexes of credentials that their holders revoked at the edge.
    pub(crate) local: Vec<StatusIndex>,
    /// The numbers of the entry kinds that it understands; empty: it does not say.
    pub(crate) kinds: BTreeSet<u8>,
    /// What waits of its usage; `None`: an older release.
    pub(crate) usage: Option<Waiting>,
}

/// What is known of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegionReport {
    pub(crate) name: String,
    /// What it is known to have applied.
    pub(crate) head: Option<Head>,
    /// How long it may still answer from a state that is older than the hub's.
    pub(crate) lease_ms: u64,
    /// Since the hub heard from it; `None`: never, it is idle.
    pub(crate) age_ms: Option<u64>,
}

/// Why a report is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

#[derive(Deserialize)]
struct Raw {
    #[serde(default = "yes")]
    hub: bool,
    epoch: Option<u64>,
    seq: Option<u64>,
    digest: Option<String>,
    #[serde(default)]
    refused: Vec<RawRefusal>,
    #[serde(default)]
    regions: Vec<RawRegion>,
    #[serde(default)]
    local: Vec<u64>,
    #[serde(default)]
    kinds: BTreeSet<u8>,
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct RawUsage {
    waiting: Option<u64>,
    #[serde(default)]
    refused: u64,
}

#[derive(Deserialize)]
struct RawRefusal {
    code: String,
}

#[derive(Deserialize)]
struct RawRegion {
    name: String,
    epoch: Option<u64>,
    seq: Option<u64>,
    digest: Option<String>,
    lease_ms: u64,
    age_ms: Option<u64>,
}

fn yes() -> bool {
    true
}

impl Report {
    /// From JSON that the caller has capped.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Malformed> {
        let raw: Raw =
            serde_json::from_slice(json).map_err(|_| Malformed("something that is not the feed's JSON"))?;
        let head = head(raw.epoch, raw.seq, raw.digest.as_deref())?;
        if raw.regions.len() > MAX_REGIONS {
            return Err(Malformed("too many regions"));
        }
        if raw.local.len() > MAX_LOCAL {
            return Err(Malformed("too many local revocations"));
        }
        let regions: Vec<RegionReport> = raw.regions.into_iter().map(region).collect::<Result<_, _>>()?;
        let names: BTreeSet<&str> = regions.iter().map(|region| region.name.as_str()).collect();
        if names.len() != regions.len() {
            return Err(Malformed("one region twice"));
        }
        let local = raw.local.into_iter().map(StatusIndex::from_u64);
        let refused = raw.refused.into_iter().take(MAX_REFUSALS);
        Ok(Self {
            hub: raw.hub,
            // The hub did not speak, whatever is said for it.
            head: head.filter(|_| raw.hub),
            refused: refused
                .map(|refusal| refusal.code)
                .filter(|code| is_word(code))
                .collect(),
            regions,
            kinds: raw.kinds,
            usage: raw.usage.map(|usage| Waiting {
                records: usage.waiting,
                refused: usage.refused,
            }),
            local: local
                .collect::<Option<_>>()
                .ok_or(Malformed("an index that cannot be one"))?,
        })
    }

    /// What an edge is that says nothing of itself.
    pub(crate) fn silent(head: Option<Head>) -> Self {
        Self {
            hub: true,
            head,
            refused: Vec::new(),
            regions: Vec::new(),
            local: Vec::new(),
            kinds: BTreeSet::new(),
            usage: None,
        }
    }
}

fn region(raw: RawRegion) -> Result<RegionReport, Malformed> {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=MAX_REGION_NAME).contains(&raw.name.len()) || !raw.name.bytes().all(sound) {
        return Err(Malformed("a region without a proper name"));
    }
    if raw.lease_ms > MAX_LEASE_MS || raw.age_ms.is_some_and(|age| age >= LIMIT) {
        return Err(Malformed("a time that is too long"));
    }
    Ok(RegionReport {
        head: head(raw.epoch, raw.seq, raw.digest.as_deref())?,
        name: raw.name,
        lease_ms: raw.lease_ms,
        age_ms: raw.age_ms,
    })
}

/// All of a head or nothing.
fn head(epoch: Option<u64>, seq: Option<u64>, digest: Option<&str>) -> Result<Option<Head>, Malformed> {
    match (epoch, seq, digest) {
        (Some(epoch), Some(seq), Some(digest)) if epoch < LIMIT && seq < LIMIT => {
            let digest = parse_digest(digest).ok_or(Malformed("a malformed digest"))?;
            Ok(Some(Head { epoch, seq, digest }))
        }
        (None, None, None) => Ok(None),
        _ => Err(Malformed("half a head")),
    }
}

/// Codes go into logs and metrics: words only.
fn is_word(code: &str) -> bool {
    (1..=40).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// 64 hexadecimal digits.
pub(crate) fn parse_digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0u8; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digit = |at: usize| pair.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
