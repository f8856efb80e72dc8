//! The joined state: what all entries so far add up to.
//!
//! Canonical order of a state's entries: one `revoked` with all ranges, then not_before, not_after, ceilings, keys,
//! removed keys, blocks, policy, one `retired` with all ranges, issuers, admitted, unknown entries, each group ascending: by their first
//! bytes (kind of subject or key reference), then field by field, numbers as numbers and texts byte by byte; issuers by
//! their identifier; unknown entries by their bytes. The digest of a state is SHA-256 of that form.
//!
//! Of a retired list a state keeps nothing but its number: whatever an entry says about an index in it, before or after, is
//! dropped. So states that were told the same agree, in whatever order they were.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringTreemap;

use super::entry::{Block, Entry, Expiry, IssuingKey, KeyRef, Subject, covered};
use super::issuer::{IssuerBinding, IssuerEntry};
use super::ranges;
use super::{MAX_RETIRED, MAX_REVOKED};
use crate::crypto::{Digest, sha256};
use crate::id::{OrgId, SigningKeyId, StatusIndex};
use crate::scope::ScopeSet;
use crate::time::UnixSeconds;
use crate::wire::{Malformed, Reader, Writer};

/// Everything that the feed has said, joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    revoked: RoaringTreemap,
    not_before: BTreeMap<Subject, UnixSeconds>,
    not_after: BTreeMap<StatusIndex, UnixSeconds>,
    ceilings: BTreeMap<Subject, (u64, ScopeSet)>,
    keys: BTreeMap<KeyRef, IssuingKey>,
    removed_keys: BTreeSet<KeyRef>,
    blocks: BTreeMap<StatusIndex, Block>,
    policy: Option<(u64, Vec<u8>)>,
    retired: RoaringTreemap,
    issuers: BTreeMap<String, IssuerEntry>,
    admitted: Option<(u64, BTreeSet<OrgId>)>,
    unknown: BTreeSet<Vec<u8>>,
}

impl State {
    /// Whether an entry can be joined: a key keeps its material, blocks do not overlap, and revocations stay below
    /// [`MAX_REVOKED`].
    pub fn admits(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Revoked(ranges) => self.revoked.len().saturating_add(covered(ranges)) <= MAX_REVOKED,
            Entry::Retired(lists) => {
                let more = ranges::covered(lists.iter().copied());
                self.retired.len().saturating_add(more) <= MAX_RETIRED
            }
            Entry::Key(key) => self
                .keys
                .get(&key.reference)
                .is_none_or(|known| known == key.as_ref()),
            Entry::Block(block) => {
                let end = block.start.get().saturating_add(block.length);
                let before = self.blocks.range(..=block.start).next_back().map(|(_, b)| b);
                let after = self.blocks.range(block.start..).next().map(|(_, b)| b);
                let clear = |other: &&Block| {
                    *other == block
                        || other.start.get().saturating_add(other.length) <= block.start.get()
                        || other.start.get() >= end
                };
                before.iter().chain(after.iter()).all(clear)
            }
            _ => true,
        }
    }

    /// Joins one entry in.
    pub fn join(&mut self, entry: Entry) {
        match entry {
            Entry::Revoked(ranges) => {
                for (first, last) in ranges {
                    self.revoked.insert_range(first.get()..=last.get());
                    self.forget_retired(first.list(), last.list());
                }
            }
            Entry::Retired(lists) => {
                for (first, last) in lists {
                    self.retired.insert_range(first..=last);
                    self.forget_retired(first, last);
                }
            }
            Entry::NotBefore(Subject::Index(index), _)
            | Entry::NotAfter(Expiry { index, .. })
            | Entry::Ceiling {
                subject: Subject::Index(index),
                ..
            } if self.is_retired(index) => {}
            Entry::NotBefore(subject, time) => {
                let known = self.not_before.entry(subject).or_insert(time);
                *known = (*known).max(time);
            }
            Entry::NotAfter(Expiry { index, time }) => {
                let known = self.not_after.entry(index).or_insert(time);
                *known = (*known).min(time);
            }
            Entry::Ceiling {
                subject,
                version,
                scopes,
            } => {
                let known = self.ceilings.entry(subject).or_insert((version, scopes));
                match version.cmp(&known.0) {
                    std::cmp::Ordering::Greater => *known = (version, scopes),
                    // Two of one version: what both allow, so that the order cannot matter.
                    std::cmp::Ordering::Equal => known.1 = known.1.intersection(scopes),
                    std::cmp::Ordering::Less => {}
                }
            }
            Entry::Key(key) => {
                if !self.removed_keys.contains(&key.reference) {
                    self.keys.insert(key.reference.clone(), *key);
                }
            }
            Entry::KeyRemoved(reference) => {
                self.keys.remove(&reference);
                self.removed_keys.insert(reference);
            }
            Entry::Block(block) => {
                if !covers(&self.retired, &block) {
                    self.blocks.insert(block.start, block);
                }
            }
            Entry::Policy { version, json } => {
                let newer = self
                    .policy
                    .as_ref()
                    .is_none_or(|known| (version, &json) > (known.0, &known.1));
                if newer {
                    self.policy = Some((version, json));
                }
            }
            Entry::Issuer(issuer) => {
                let known = self.issuers.get(&issuer.issuer);
                if known.is_none_or(|known| issuer.supersedes(known)) {
                    self.issuers.insert(issuer.issuer.clone(), *issuer);
                }
            }
            Entry::Admitted { version, orgs } => {
                let mut named = BTreeSet::new();
                // `collect` would sort, and bring a sort of its own into the edge's Wasm.
                named.extend(orgs);
                let orgs = named;
                match &mut self.admitted {
                    Some((known, _)) if *known > version => {}
                    // Two of one version: what both admit, so that the order cannot matter.
                    Some((known, admitted)) if *known == version => admitted.retain(|org| orgs.contains(org)),
                    admitted => *admitted = Some((version, orgs)),
                }
            }
            unknown @ Entry::Unknown { .. } => {
                self.unknown.insert(unknown.encode());
            }
        }
    }

    /// Drops what is known about the indexes of retired lists among these.
    fn forget_retired(&mut self, first: u64, last: u64) {
        if self.retired.is_empty() {
            return;
        }
        let mut lists = self.retired.iter();
        lists.advance_to(first);
        for list in lists.take_while(|list| *list <= last) {
            let start = list.saturating_mul(StatusIndex::LIST_LENGTH);
            let end = start.saturating_add(StatusIndex::LIST_LENGTH);
            self.revoked.remove_range(start..end);
            let within = |index: StatusIndex| (start..end).contains(&index.get());
            let about = |subject: &Subject| matches!(subject, Subject::Index(index) if within(*index));
            self.not_before.retain(|subject, _| !about(subject));
            self.ceilings.retain(|subject, _| !about(subject));
            self.not_after.retain(|index, _| !within(*index));
        }
        self.blocks.retain(|_, block| !covers(&self.retired, block));
    }

    /// Whether an index lies in a retired list.
    pub fn is_retired(&self, index: StatusIndex) -> bool {
        self.retired.contains(index.list())
    }

    /// The retired lists as inclusive ranges, ascending.
    pub fn retired_lists(&self) -> Vec<(u64, u64)> {
        runs(&self.retired)
    }

    /// Whether the status bit of a credential is set, or its whole list is gone.
    pub fn is_revoked(&self, index: StatusIndex) -> bool {
        self.revoked.contains(index.get()) || (!self.retired.is_empty() && self.is_retired(index))
    }

    /// How many lists are retired.
    pub fn retired_count(&self) -> u64 {
        self.retired.len()
    }

    /// How many credentials are revoked, those of retired lists aside.
    pub fn revoked_count(&self) -> u64 {
        self.revoked.len()
    }

    /// What the set of revoked indexes takes of memory, in bytes.
    pub fn revoked_bytes(&self) -> u64 {
        let bitmaps = self.revoked.bitmaps().map(|(_, bitmap)| bitmap.statistics());
        bitmaps
            .map(|all| {
                all.n_bytes_array_containers
                    .saturating_add(all.n_bytes_run_containers)
                    .saturating_add(all.n_bytes_bitset_containers)
            })
            .fold(0, u64::saturating_add)
    }

    /// The revoked indexes as inclusive ranges, ascending.
    pub fn revoked_ranges(&self) -> Vec<(StatusIndex, StatusIndex)> {
        let index = StatusIndex::from_u64;
        runs(&self.revoked)
            .into_iter()
            .filter_map(|(first, last)| index(first).zip(index(last)))
            .collect()
    }

    /// The time up to which credentials of a subject are dead.
    pub fn not_before(&self, subject: &Subject) -> Option<UnixSeconds> {
        self.not_before.get(subject).copied()
    }

    /// Whether there is any not-before or ceiling at all: the usual answer is no, and then nobody needs to be looked up.
    pub fn has_subjects(&self) -> bool {
        !(self.not_before.is_empty() && self.ceilings.is_empty())
    }

    /// All not-before times.
    pub fn all_not_before(&self) -> impl Iterator<Item = (&Subject, UnixSeconds)> {
        self.not_before.iter().map(|(subject, time)| (subject, *time))
    }

    /// When a credential ends early.
    pub fn not_after(&self, index: StatusIndex) -> Option<UnixSeconds> {
        self.not_after.get(&index).copied()
    }

    /// All early ends.
    pub fn all_not_after(&self) -> impl Iterator<Item = Expiry> {
        self.not_after.iter().map(|(index, time)| Expiry {
            index: *index,
            time: *time,
        })
    }

    /// The most that a subject's credentials can do.
    pub fn ceiling(&self, subject: &Subject) -> Option<ScopeSet> {
        self.ceilings.get(subject).map(|(_, scopes)| *scopes)
    }

    /// A key that is trusted now.
    pub fn key(&self, reference: &KeyRef) -> Option<&IssuingKey> {
        self.keys.get(reference)
    }

    /// All keys that are trusted now.
    pub fn keys(&self) -> impl Iterator<Item = &IssuingKey> {
        self.keys.values()
    }

    /// Whether a key was removed.
    pub fn is_removed(&self, reference: &KeyRef) -> bool {
        self.removed_keys.contains(reference)
    }

    /// The key that owns the block which an index lies in.
    pub fn owner(&self, index: StatusIndex) -> Option<SigningKeyId> {
        let (start, block) = self.blocks.range(..=index).next_back()?;
        if self.is_retired(index) {
            return None;
        }
        (index.get().checked_sub(start.get())? < block.length).then_some(block.signing_key)
    }

    /// All blocks, ascending.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values()
    }

    /// What is known of another issuer, trusted or not any more.
    pub fn issuer(&self, issuer: &str) -> Option<&IssuerEntry> {
        self.issuers.get(issuer)
    }

    /// An issuer that is trusted now, with the organisation that does.
    pub fn trusted_issuer(&self, issuer: &str) -> Option<(&IssuerEntry, &IssuerBinding)> {
        let entry = self.issuers.get(issuer)?;
        entry.binding.as_ref().map(|binding| (entry, binding))
    }

    /// All other issuers, trusted or not any more.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerEntry> {
        self.issuers.values()
    }

    /// Whether credentials of an organisation are admitted here at all.
    pub fn admits_org(&self, org: OrgId) -> bool {
        self.admitted.as_ref().is_none_or(|(_, orgs)| orgs.contains(&org))
    }

    /// The organisations that are admitted here, with the version of that list; `None`: all.
    pub fn admitted(&self) -> Option<(u64, &BTreeSet<OrgId>)> {
        self.admitted.as_ref().map(|(version, orgs)| (*version, orgs))
    }

    /// The policy's version and document.
    pub fn policy(&self) -> Option<(u64, &[u8])> {
        self.policy
            .as_ref()
            .map(|(version, json)| (*version, json.as_slice()))
    }

    /// Whether every restriction of `other` still holds here: what a consumer asks before it lets a snapshot replace its
    /// state (I3). Ceilings, policy and admitted organisations may have been loosened since, by a higher version only.
    pub fn keeps_restrictions_of(&self, other: &Self) -> bool {
        let gone = |subject: &Subject| matches!(subject, Subject::Index(index) if self.is_retired(*index));
        self.keeps_revoked_of(other)
            && other.retired.is_subset(&self.retired)
            && other
                .not_before
                .iter()
                .all(|(s, t)| gone(s) || self.not_before.get(s).is_some_and(|mine| mine >= t))
            && other
                .not_after
                .iter()
                .all(|(i, t)| self.is_retired(*i) || self.not_after.get(i).is_some_and(|mine| mine <= t))
            && other.ceilings.iter().all(|(s, (v, c))| {
                gone(s)
                    || self
                        .ceilings
                        .get(s)
                        .is_some_and(|(mine, scopes)| mine > v || (mine == v && c.contains(*scopes)))
            })
            && other.removed_keys.is_subset(&self.removed_keys)
            && other
                .policy
                .as_ref()
                .is_none_or(|(v, _)| self.policy.as_ref().is_some_and(|(mine, _)| mine >= v))
            && other.issuers.iter().all(|(name, theirs)| {
                self.issuers
                    .get(name)
                    .is_some_and(|mine| mine == theirs || mine.supersedes(theirs))
            })
            && other
                .admitted
                .as_ref()
                .is_none_or(|theirs| self.keeps_admitted(theirs))
            && other.unknown.is_subset(&self.unknown)
    }

    fn keeps_admitted(&self, (version, orgs): &(u64, BTreeSet<OrgId>)) -> bool {
        self.admitted
            .as_ref()
            .is_some_and(|(mine, admitted)| mine > version || (mine == version && admitted.is_subset(orgs)))
    }

    fn keeps_revoked_of(&self, other: &Self) -> bool {
        if self.retired.is_empty() {
            return other.revoked.is_subset(&self.revoked);
        }
        let missing = &other.revoked - &self.revoked;
        missing
            .iter()
            .filter_map(StatusIndex::from_u64)
            .all(|index| self.is_retired(index))
    }

    /// The state as entries in canonical order.
    pub fn entries(&self) -> Vec<Entry> {
        let ranges = self.revoked_ranges();
        let revoked = (!ranges.is_empty()).then(|| Entry::Revoked(ranges));
        revoked.into_iter().chain(self.other_entries()).collect()
    }

    /// All entries but `revoked`, of which there may be millions, in canonical order.
    pub fn other_entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        entries.extend(
            self.not_before
                .iter()
                .map(|(s, t)| Entry::NotBefore(s.clone(), *t)),
        );
        entries.extend(self.all_not_after().map(Entry::NotAfter));
        entries.extend(
            self.ceilings
                .iter()
                .map(|(subject, (version, scopes))| Entry::Ceiling {
                    subject: subject.clone(),
                    version: *version,
                    scopes: *scopes,
                }),
        );
        entries.extend(self.keys.values().cloned().map(|key| Entry::Key(Box::new(key))));
        entries.extend(self.removed_keys.iter().cloned().map(Entry::KeyRemoved));
        entries.extend(self.blocks.values().copied().map(Entry::Block));
        entries.extend(self.policy.iter().map(|(version, json)| Entry::Policy {
            version: *version,
            json: json.clone(),
        }));
        let retired = self.retired_lists();
        if !retired.is_empty() {
            entries.push(Entry::Retired(retired));
        }
        entries.extend(
            self.issuers
                .values()
                .map(|issuer| Entry::Issuer(Box::new(issuer.clone()))),
        );
        entries.extend(self.admitted.iter().map(|(version, orgs)| Entry::Admitted {
            version: *version,
            orgs: orgs.iter().copied().collect(),
        }));
        entries.extend(
            self.unknown
                .iter()
                .filter_map(|bytes| Entry::read(&mut Reader::new(bytes)).ok()),
        );
        entries
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.entries();
        let mut w = Writer::new();
        w.varint(entries.len() as u64);
        for entry in entries {
            w.raw(&entry.encode());
        }
        w.finish()
    }

    /// The state behind canonical bytes; any other form is malformed. Holds nothing beside the state itself: on an edge there
    /// is room for millions of revocations once, not twice.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut state = Self::default();
        let mut left = reader.varint()?;
        let mut revoked = 0;
        if left > 0
            && let Some(count) = Entry::read_revoked(&mut reader, |first, last| {
                // In order, so that one number goes to the end of its container.
                if first == last {
                    // What could not be pushed would be missing from the count below.
                    let _ = state.revoked.try_push(first);
                } else {
                    state.revoked.insert_range(first..=last);
                }
            })?
        {
            revoked = count;
            left = left.saturating_sub(1);
        }
        let others = reader.rest();
        for _ in 0..left {
            let entry = Entry::read(&mut reader)?;
            if !state.admits(&entry) {
                return Err(Malformed);
            }
            state.join(entry);
        }
        reader.end()?;
        let again = state.other_entries();
        let canonical = again.len() as u64 == left
            && state.revoked.len() == revoked
            && again.iter().map(Entry::encode).collect::<Vec<_>>().concat() == others;
        if canonical { Ok(state) } else { Err(Malformed) }
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Digest {
        sha256(&self.encode())
    }
}

/// Whether all lists that a block touches are retired.
fn covers(retired: &RoaringTreemap, block: &Block) -> bool {
    let last = block.start.get().saturating_add(block.length.saturating_sub(1)) / StatusIndex::LIST_LENGTH;
    let first = block.start.list();
    let below = first.checked_sub(1).map_or(0, |list| retired.rank(list));
    retired.rank(last).saturating_sub(below) == last.saturating_sub(first).saturating_add(1)
}

/// The numbers of a bitmap as inclusive ranges, ascending. Runs at a time: a revoked block is one range, not a million
/// indexes.
fn runs(bitmap: &RoaringTreemap) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (high, bitmap) in bitmap.bitmaps() {
        let base = u64::from(high) << 32;
        let mut runs = bitmap.iter();
        while let Some(run) = runs.next_range() {
            let (first, end) = (base | u64::from(*run.start()), base | u64::from(*run.end()));
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(first) => *last = end,
                _ => ranges.push((first, end)),
            }
        }
    }
    ranges
}
