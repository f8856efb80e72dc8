//! Whom an entry concerns: everyone, or some organisations. It decides which feeds get the entry, and which edges its receipt
//! waits for.
//!
//! What is not known to be somebody's concerns everyone: then it is in force everywhere. Signing keys, index blocks, retired
//! lists, the policy and canaries are nobody's.
//!
//! What it does not: look into an entry. Whoever makes one knows whose it is, and says so.

use std::collections::{BTreeMap, BTreeSet};

use shared::feed::{Entry, Expiry, KeyRef, Subject};
use shared::id::{OrgId, StatusIndex};
use shared::time::UnixMillis;

use super::{enqueue, revoked};
use crate::config::Config;
use crate::store::{StoreError, Tx};

/// Whom an entry concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Everyone.
    All,
    /// These organisations, of which there is at least one.
    Orgs(BTreeSet<OrgId>),
}

impl From<OrgId> for Reach {
    fn from(org: OrgId) -> Self {
        Self::Orgs(BTreeSet::from([org]))
    }
}

impl From<Option<OrgId>> for Reach {
    fn from(org: Option<OrgId>) -> Self {
        org.map_or(Self::All, Self::from)
    }
}

impl From<BTreeSet<OrgId>> for Reach {
    fn from(orgs: BTreeSet<OrgId>) -> Self {
        if orgs.is_empty() {
            Self::All
        } else {
            Self::Orgs(orgs)
        }
    }
}

impl Reach {
    /// Those of a session: its person may be in several organisations.
    pub async fn of_session(tx: &mut Tx, sid: &str) -> Result<Self, StoreError> {
        Ok(tx.orgs_of_session(sid).await?.into())
    }

    /// Whoever the credential with this index belongs to.
    pub async fn of_index(tx: &mut Tx, index: StatusIndex) -> Result<Self, StoreError> {
        Ok(tx.org_of_index(index).await?.into())
    }

    /// Whoever a subject is or belongs to; `None`: this database does not know it.
    pub async fn of_subject(
        tx: &mut Tx,
        config: &Config,
        subject: &Subject,
    ) -> Result<Option<Self>, StoreError> {
        Ok(match subject {
            Subject::Org(org) | Subject::Member(org, _) | Subject::WorkspaceMember(org, ..) => {
                Some((*org).into())
            }
            Subject::Workspace(workspace) => tx.org_of_workspace(*workspace).await?.map(Self::from),
            // One that is everybody's has no organisation.
            Subject::Client(client) => tx
                .client_by_identifier(client)
                .await?
                .map(|client| client.org.into()),
            Subject::Session(sid) => {
                let orgs = tx.orgs_of_session(sid).await?;
                (!orgs.is_empty()).then_some(Self::Orgs(orgs))
            }
            Subject::Issuer(issuer) | Subject::Foreign(issuer, _) => {
                Self::of_issuer(tx, config, issuer).await?
            }
            Subject::Index(index) => tx.org_of_index(*index).await?.map(Self::from),
        })
    }

    /// The organisation that an issuer belongs to; ours is everybody's.
    pub async fn of_issuer(tx: &mut Tx, config: &Config, issuer: &str) -> Result<Option<Self>, StoreError> {
        if issuer == config.issuer {
            return Ok(Some(Self::All));
        }
        let mut providers = config.identity_providers.iter();
        let configured = providers.find(|provider| provider.issuer == issuer);
        Ok(match configured {
            Some(provider) => Some(provider.org.into()),
            None => match tx.org_of_trusted_issuer(issuer).await? {
                Some(org) => Some(org.into()),
                None => tx.org_of_foreign_issuer(issuer).await?.map(Self::from),
            },
        })
    }

    /// Whoever an entry is about. What is not known to be somebody's is everyone's.
    pub async fn of_entry(tx: &mut Tx, config: &Config, entry: &Entry) -> Result<Self, StoreError> {
        let known = match entry {
            Entry::NotBefore(subject, _) | Entry::Ceiling { subject, .. } => {
                Self::of_subject(tx, config, subject).await?
            }
            Entry::NotAfter(Expiry { index, .. }) => Some(Self::of_index(tx, *index).await?),
            Entry::Key(key) => match &key.reference {
                KeyRef::Ours(_) => None,
                KeyRef::Issuer { issuer, .. } => Self::of_issuer(tx, config, issuer).await?,
            },
            Entry::Issuer(issuer) => Some(issuer.org.into()),
            Entry::KeyRemoved(KeyRef::Issuer { issuer, .. }) => Self::of_issuer(tx, config, issuer).await?,
            _ => None,
        };
        Ok(known.unwrap_or(Self::All))
    }

    /// With those whom another entry concerns.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Orgs(mut mine), Self::Orgs(theirs)) => {
                mine.extend(theirs);
                Self::Orgs(mine)
            }
            _ => Self::All,
        }
    }

    /// Whether one of these organisations is concerned.
    pub fn includes(&self, orgs: &BTreeSet<OrgId>) -> bool {
        match self {
            Self::All => true,
            Self::Orgs(mine) => !mine.is_disjoint(orgs),
        }
    }

    /// As the database has it: `,12,57,`.
    pub(crate) fn to_text(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Orgs(orgs) => Some(orgs.iter().fold(",".to_owned(), |mut text, org| {
                text.push_str(&org.get().to_string());
                text.push(',');
                text
            })),
        }
    }

    pub(super) fn from_text(text: Option<&str>) -> Result<Self, StoreError> {
        let Some(text) = text else {
            return Ok(Self::All);
        };
        let org = |part: &str| part.parse().ok().and_then(OrgId::from_u64);
        let parts = text.trim_matches(',').split(',');
        parts
            .map(|part| org(part).ok_or(StoreError::Corrupt("outbox: whom a row concerns")))
            .collect::<Result<BTreeSet<_>, _>>()
            .map(Self::from)
    }
}

/// Writes the revocation of many credentials to the outbox, each for whom it belongs to; gives the last row and whom all of
/// them concern, if there is any. Where no edge is kept from knowing anything, nobody is asked whose they are.
pub async fn enqueue_revoked(
    tx: &mut Tx,
    subject: &str,
    indexes: Vec<StatusIndex>,
    now: UnixMillis,
) -> Result<Option<(i64, Reach)>, StoreError> {
    let mut of: BTreeMap<Reach, Vec<StatusIndex>> = BTreeMap::new();
    if tx.groups().await?.is_empty() {
        of.insert(Reach::All, indexes);
    } else {
        for index in indexes {
            let reach = Reach::of_index(tx, index).await?;
            of.entry(reach).or_default().push(index);
        }
    }
    let mut last = None;
    let mut concerned: Option<Reach> = None;
    for (reach, indexes) in of {
        if let Some(outbox) = enqueue_all(tx, &reach, subject, &revoked(indexes), now).await? {
            last = Some(outbox);
            concerned = Some(match concerned {
                Some(others) => others.and(reach),
                None => reach,
            });
        }
    }
    Ok(last.zip(concerned))
}

/// Writes entries to the outbox that concern the same; gives the last row, if there is any.
pub async fn enqueue_all(
    tx: &mut Tx,
    reach: &Reach,
    subject: &str,
    entries: &[Entry],
    now: UnixMillis,
) -> Result<Option<i64>, StoreError> {
    let mut last = None;
    for entry in entries {
        last = Some(enqueue(tx, reach, subject, entry, now).await?);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(number: u64) -> OrgId {
        OrgId::from_u64(number).expect("small")
    }

    #[test]
    fn what_is_written_is_read() {
        let two = Reach::from(BTreeSet::from([org(57), org(3)]));
        for (reach, text) in [(Reach::All, None), (two.clone(), Some(",3,57,"))] {
            assert_eq!(reach.to_text().as_deref(), text);
            assert_eq!(Reach::from_text(text).expect("read"), reach);
        }
        assert!(Reach::from_text(Some(",x,")).is_err());
        assert!(Reach::from_text(Some("")).is_err(), "nobody is not everyone");
        assert!(two.includes(&BTreeSet::from([org(1), org(3)])));
        assert!(!two.includes(&BTreeSet::from([org(1), org(5)])) && !two.includes(&BTreeSet::new()));
        assert!(Reach::All.includes(&BTreeSet::new()));
        assert_eq!(Reach::from(org(3)).and(org(57).into()), two);
        assert_eq!(Reach::from(org(3)).and(Reach::All), Reach::All);
        assert_eq!(Reach::from(BTreeSet::new()), Reach::All, "known to be nobody's");
    }
}
