//! An isolate's copy of the feed, read from its region, and how old that is.

use shared::feed::{Head, Refusal, Replica, State, Trust, split_message};
use shared::id::StatusIndex;
use shared::time::UnixMillis;

use super::{Account, LocalSet, Place};

/// How an answer left a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// At the teller's head: as fresh as the teller.
    Up,
    /// Past it: another read was faster, or the teller has forgotten. Proves nothing about freshness.
    Ahead,
    /// The answer did not hold everything: ask again from here.
    Behind,
}

/// Where a reader stands beside the one who told it. A teller that has forgotten everything is behind an empty epoch.
pub fn compare(ours: Option<Head>, theirs: Option<&Place>) -> Result<Caught, Refusal> {
    let Some(theirs) = theirs else {
        return match ours {
            // Nothing was ever published.
            None => Ok(Caught::Up),
            // The teller has lost what it once told.
            Some(_) => Err(Refusal::LowerEpoch),
        };
    };
    let Some(ours) = ours else {
        return Ok(Caught::Behind);
    };
    let ours = Place::from(ours);
    match (ours.epoch, ours.seq).cmp(&(theirs.epoch, theirs.seq)) {
        std::cmp::Ordering::Less => Ok(Caught::Behind),
        std::cmp::Ordering::Equal if ours.digest == theirs.digest => Ok(Caught::Up),
        std::cmp::Ordering::Equal => Err(Refusal::Fork),
        std::cmp::Ordering::Greater => Ok(Caught::Ahead),
    }
}

/// The copy.
#[derive(Clone, Debug)]
pub struct Follower {
    replica: Replica,
    local: LocalSet,
    contact_at: Option<UnixMillis>,
    /// The state came from a copy, and nobody has been heard since.
    from_copy: bool,
}

impl Follower {
    /// One that knows nothing.
    pub fn new(trust: Trust) -> Self {
        Self {
            replica: Replica::new(trust),
            local: LocalSet::default(),
            contact_at: None,
            from_copy: false,
        }
    }

    /// Its replica, to authenticate with.
    pub fn replica(&mut self) -> &mut Replica {
        &mut self.replica
    }

    /// The joined state.
    pub fn state(&self) -> &State {
        self.replica.state()
    }

    /// Where it stands.
    pub fn head(&self) -> Option<Head> {
        self.replica.head()
    }

    /// Credentials that were ended at the edge and are in no frame yet.
    pub fn local(&self) -> &LocalSet {
        &self.local
    }

    /// Whether a credential's bit is set, by the feed or locally.
    pub fn is_revoked(&self, index: StatusIndex) -> bool {
        self.state().is_revoked(index) || self.local.contains(index)
    }

    /// Ends a credential here at once; its region was told.
    pub fn end_locally(&mut self, index: StatusIndex) {
        self.local.merge([index], self.replica.state());
    }

    /// When what it knows was fresh; `None`: never.
    pub fn contact_at(&self) -> Option<UnixMillis> {
        self.contact_at
    }

    /// Milliseconds since then. `None`: never, or a clock that jumped back lets nobody say.
    pub fn contact_age_ms(&self, now: UnixMillis) -> Option<u64> {
        let at = self.contact_at.filter(|at| *at <= now)?;
        Some(now.since(at))
    }

    /// Whether the state comes from a copy.
    pub fn is_copy(&self) -> bool {
        self.from_copy
    }

    /// Takes in what its region answered to a read that started at `started`.
    pub fn take_answer(
        &mut self,
        message: &[u8],
        account: &Account,
        started: UnixMillis,
        now: UnixMillis,
    ) -> Result<Caught, Refusal> {
        self.accept(message)?;
        self.local
            .merge(account.local.iter().copied(), self.replica.state());
        let caught = compare(self.head(), account.head.as_ref())?;
        if caught == Caught::Up
            && !account.incompatible
            && let Some(age) = account.contact_age_ms
        {
            let at = UnixMillis(started.0.saturating_sub(age));
            // A time that lies ahead was noted before the clock jumped back.
            let known = self.contact_at.filter(|known| *known <= now);
            self.contact_at = known.max(Some(at));
            self.from_copy = false;
        }
        Ok(caught)
    }

    /// Takes in a copy that was made at `made_at`, if nothing else is known yet.
    pub fn take_copy(&mut self, message: &[u8], made_at: UnixMillis) -> Result<(), Refusal> {
        if self.head().is_none() {
            self.accept(message)?;
            self.contact_at = Some(made_at);
            self.from_copy = true;
        }
        Ok(())
    }

    /// What was applied counts, even if something after it is refused.
    fn accept(&mut self, message: &[u8]) -> Result<(), Refusal> {
        let mut outcome = Ok(());
        for envelope in split_message(message)? {
            match self.replica.accept(envelope) {
                Ok(_) | Err(Refusal::Replayed) => {}
                Err(refusal) => {
                    outcome = Err(refusal);
                    break;
                }
            }
        }
        self.local.settle(self.replica.state());
        outcome
    }
}
