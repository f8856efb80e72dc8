//! Whose the counts of an edge are, as this database knows it. What belongs to a key or grant of ours is told by its index,
//! whatever the edge says of it; a token that stands alone is its client's. Canaries are nobody's, and not counted.
//!
//! A group's edges may be somebody else's machines: what they say of organisations that they do not admit is passed over, as are
//! indexes that nobody knows, and of requests without a credential they say how many ended how, no more.

use std::collections::{BTreeSet, HashMap};

use shared::id::{OrgId, StatusIndex};
use shared::time::UnixMillis;
use shared::usage::{Batch, Holder};
use shared::verdict::Reason;

use crate::config::{Config, Edge};
use crate::store::usage::{HourKey, Owner};
use crate::store::{StoreError, Tx};

/// What requests are counted under whose index nobody knows: the database may have been restored.
pub(super) const UNKNOWN: &str = "unknown";
/// A reason that this release does not know, from a group's edge.
const OTHER: &str = "other";

/// How a holder is called here.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    pub(super) org: u64,
    pub(super) credential: String,
    pub(super) rotated_at: Option<UnixMillis>,
}

/// The edge that counted.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    config: &'a Config,
    edge: Option<&'a Edge>,
}

impl<'a> Source<'a> {
    /// The edge of this name.
    pub(super) fn new(config: &'a Config, name: &str) -> Self {
        Self {
            config,
            edge: config.edges.iter().find(|edge| edge.name == name),
        }
    }

    fn admits(self, org: OrgId) -> bool {
        self.edge.is_none_or(|edge| self.config.admits(edge, Some(org)))
    }

    fn is_in_group(self) -> bool {
        self.edge.is_some_and(|edge| edge.group.is_some())
    }

    /// The names of all holders that count.
    pub(super) async fn names<'b>(
        self,
        tx: &mut Tx,
        batches: &[&'b Batch],
    ) -> Result<HashMap<&'b Holder, Name>, StoreError> {
        let counts = batches.iter().flat_map(|batch| &batch.counts);
        let holders: BTreeSet<&Holder> = counts.map(|count| &count.holder).collect();
        let indexes: BTreeSet<StatusIndex> = holders.iter().filter_map(|holder| index_of(holder)).collect();
        let indexes: Vec<StatusIndex> = indexes.into_iter().collect();
        let owners: HashMap<StatusIndex, Owner> = tx.owners_of(&indexes).await?.into_iter().collect();
        let strange: Vec<StatusIndex> = indexes
            .into_iter()
            .filter(|index| !owners.contains_key(index))
            .collect();
        let canaries: BTreeSet<StatusIndex> = tx.canaries_among(&strange).await?.into_iter().collect();
        let mut names = HashMap::new();
        for holder in holders {
            let index = index_of(holder);
            if index.is_some_and(|index| canaries.contains(&index)) {
                continue;
            }
            let owner = index.and_then(|index| owners.get(&index));
            if let Some(name) = self.name(owner, holder) {
                names.insert(holder, name);
            }
        }
        Ok(names)
    }

    fn name(self, owner: Option<&Owner>, holder: &Holder) -> Option<Name> {
        let (org, credential, rotated_at) = match (owner, holder) {
            (Some(Owner::Key(key, org, rotated_at)), _) => (*org, key.to_string(), *rotated_at),
            (Some(Owner::Grant(grant, org)), _) => (*org, grant.to_string(), None),
            (None, Holder::None) => return Some(Name::default()),
            (None, Holder::Key(_)) => {
                return (!self.is_in_group()).then(|| Name {
                    credential: UNKNOWN.to_owned(),
                    ..Name::default()
                });
            }
            (None, Holder::Token { org, client, .. }) => (*org, client.clone(), None),
            (None, Holder::Foreign { org, name }) => (*org, name.clone(), None),
        };
        self.admits(org).then(|| Name {
            org: org.get(),
            credential,
            rotated_at,
        })
    }

    /// Where requests are counted: what is nobody's with as few details as its edge is trusted with.
    pub(super) fn place(self, key: HourKey) -> HourKey {
        if key.org == 0 && self.is_in_group() {
            let is_known = Reason::ALL.iter().any(|known| known.code() == key.reason)
                || key.reason == super::apply::UNCOUNTED;
            return HourKey {
                reason: if is_known { key.reason } else { OTHER.to_owned() },
                class: String::new(),
                country: String::new(),
                colo: String::new(),
                ..key
            };
        }
        if key.org == 0 && key.credential == UNKNOWN {
            return HourKey {
                country: String::new(),
                colo: String::new(),
                ..key
            };
        }
        key
    }
}

fn index_of(holder: &Holder) -> Option<StatusIndex> {
    match holder {
        Holder::Key(index) | Holder::Token { index, .. } => Some(*index),
        Holder::None | Holder::Foreign { .. } => None,
    }
}
