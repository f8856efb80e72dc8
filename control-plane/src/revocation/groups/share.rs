//! The part of a state that concerns some organisations: for a group whose feed begins, or whose list grows.
//!
//! A state does not say whose an index, a client or a session is; the database does. An index that it does not know may be that
//! of a credential which was lost with a backup, so it is shared with everyone: a bare number. Any other subject that it does
//! not know restricts nothing that lives: every credential it could be about has an index that is unknown too, and dead
//! (`recover`), or comes from an issuer whose keys nobody has.
//!
//! What it does not: decide about single entries of a frame, whose makers say whom they concern ([`Reach`]).

use std::collections::{BTreeMap, BTreeSet};

use shared::feed::{Entry, Expiry, KeyRef, State, Subject};
use shared::id::{OrgId, StatusIndex};

use super::super::{FeedError, Reach, revoked_ranges};
use crate::config::Config;
use crate::store::groups::Owner;
use crate::store::{StoreError, Tx, uint};

const PAGE: u32 = 10_000;

/// Whose the indexes are that a state says something about, as far as the database knows.
#[derive(Debug, Default)]
pub(in super::super) struct Owners(BTreeMap<u64, OrgId>);

impl Owners {
    pub(in super::super) async fn of(tx: &mut Tx, state: &State) -> Result<Self, StoreError> {
        let mut named: BTreeSet<u64> = state.all_not_after().map(|expiry| expiry.index.get()).collect();
        for entry in state.other_entries() {
            if let Entry::NotBefore(Subject::Index(index), _)
            | Entry::Ceiling {
                subject: Subject::Index(index),
                ..
            } = entry
            {
                named.insert(index.get());
            }
        }
        let mut owners = BTreeMap::new();
        for owner in Owner::ALL {
            let mut after = -1;
            loop {
                let page = tx.owned_indexes(owner, after, PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = *last;
                for (index, org) in page {
                    let index = StatusIndex::from_u64(uint(index, "status index")?)
                        .ok_or(StoreError::Corrupt("status index"))?;
                    if state.is_revoked(index) || named.contains(&index.get()) {
                        let org = OrgId::from_u64(uint(org, "org")?).ok_or(StoreError::Corrupt("org"))?;
                        owners.entry(index.get()).or_insert(org);
                    }
                }
            }
        }
        Ok(Self(owners))
    }

    /// The entries that concern these organisations.
    pub(in super::super) async fn share(
        &self,
        tx: &mut Tx,
        config: &Config,
        state: &State,
        orgs: &BTreeSet<OrgId>,
    ) -> Result<Vec<Entry>, FeedError> {
        let mut shared = revoked_ranges(&self.without_others(state, orgs));
        for entry in state.other_entries() {
            let concerns = match &entry {
                Entry::NotAfter(Expiry { index, .. })
                | Entry::NotBefore(Subject::Index(index), _)
                | Entry::Ceiling {
                    subject: Subject::Index(index),
                    ..
                } => self.0.get(&index.get()).is_none_or(|org| orgs.contains(org)),
                Entry::NotBefore(subject, _) | Entry::Ceiling { subject, .. } => {
                    Reach::of_subject(tx, config, subject)
                        .await?
                        .is_some_and(|reach| reach.includes(orgs))
                }
                Entry::KeyRemoved(KeyRef::Issuer { issuer, .. }) => {
                    is_known(tx, config, issuer, orgs).await?
                }
                Entry::Key(key) => match &key.reference {
                    KeyRef::Ours(_) => true,
                    KeyRef::Issuer { issuer, .. } => is_known(tx, config, issuer, orgs).await?,
                },
                Entry::Issuer(issuer) => orgs.contains(&issuer.org),
                Entry::KeyRemoved(KeyRef::Ours(_))
                | Entry::Block(_)
                | Entry::Policy { .. }
                | Entry::Retired(_)
                | Entry::Unknown { .. } => true,
                // The list of a group is its own; revoked indexes are dealt with above.
                Entry::Admitted { .. } | Entry::Revoked(_) => false,
            };
            if concerns {
                shared.push(entry);
            }
        }
        Ok(shared)
    }

    /// The revoked indexes but those that are known to be others'.
    fn without_others(&self, state: &State, orgs: &BTreeSet<OrgId>) -> Vec<(StatusIndex, StatusIndex)> {
        let mut left = Vec::new();
        for (first, last) in state.revoked_ranges() {
            let mut next = first.get();
            let others = self.0.range(first.get()..=last.get());
            for (other, _) in others.filter(|(_, org)| !orgs.contains(org)) {
                push(&mut left, next, other.checked_sub(1));
                next = other.saturating_add(1);
            }
            push(&mut left, next, Some(last.get()));
        }
        left
    }
}

fn push(ranges: &mut Vec<(StatusIndex, StatusIndex)>, first: u64, last: Option<u64>) {
    if let Some(last) = last.filter(|last| *last >= first) {
        ranges.extend(StatusIndex::from_u64(first).zip(StatusIndex::from_u64(last)));
    }
}

async fn is_known(
    tx: &mut Tx,
    config: &Config,
    issuer: &str,
    orgs: &BTreeSet<OrgId>,
) -> Result<bool, StoreError> {
    let reach = Reach::of_issuer(tx, config, issuer).await?;
    Ok(reach.is_some_and(|reach| reach.includes(orgs)))
}
