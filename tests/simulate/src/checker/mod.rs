//! Reads the event log of a run and says which promises it broke (I3, I4). It knows nothing of who wrote the log: the
//! simulation feeds it directly, an end-to-end test feeds it lines of JSON.
//!
//! | rule | what is a violation |
//! | --- | --- |
//! | [`Rule::Effective`] | an `effective` receipt arrived, and a request that was sent later was let in on a default or strict route |
//! | [`Rule::Acknowledged`] | the same for an `acknowledged` receipt on a strict route, or with a Min-Seq that reaches it |
//! | [`Rule::Local`] | the same for a self-revocation in its region: strict at once, default after the local bound |
//! | [`Rule::Stale`] | let in from a state that lacked what the hub had held for longer than the route's bound |
//! | [`Rule::FalseRefusal`] | refused as revoked although nobody had begun to revoke it |
//! | [`Rule::Undone`] | let in on a default or strict route after everything had healed, although its revocation was acknowledged |
//! | [`Rule::NotHealed`] | after everything had healed, still 503, or a revocation still without its receipt |
//!
//! What it does not check: `allow_stale` routes, but for false refusals and the last two rules. Their bound is their own.

mod event;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use event::{Credential, Event, Outcome, Place, Promise, Record, Route};

/// The bounds of the deployment whose log is read, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The oldest state that a default route may decide from, counted from when the hub had what it lacks.
    pub default_us: u64,
    /// The same for a strict route, at the moment when its request was sent.
    pub strict_us: u64,
    /// How long after the answer to a self-revocation a default route of that region may still let it in.
    pub local_us: u64,
    /// How long after the last fault everything must work again.
    pub heal_us: u64,
}

impl Limits {
    /// Lease 5 s, colo copy 1 s, max_staleness 2 s, and what clocks that drift and count in whole milliseconds add.
    pub const DEFAULT: Self = Self {
        default_us: 8_020_000,
        strict_us: 5_010_000,
        local_us: 3_010_000,
        heal_us: 12_000_000,
    };
}

/// Which promise was broken: see the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// I3, `wait=ack`.
    Acknowledged,
    /// I3, `wait=effective`.
    Effective,
    /// A live credential was refused.
    FalseRefusal,
    /// I8.
    Local,
    /// Liveness.
    NotHealed,
    /// I4.
    Stale,
    /// I3, in the end.
    Undone,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// When it showed.
    pub at_us: u64,
    /// Where.
    pub actor: String,
    /// About which credential, if about one.
    pub credential: Option<Credential>,
    /// In words.
    pub why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at_us / 1_000_000;
        let rest = self.at_us % 1_000_000;
        write!(
            f,
            "{seconds}.{rest:06} {}: {:?}: {}",
            self.actor, self.rule, self.why
        )
    }
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at_us: u64,
    place: Place,
}

/// Reads records in order.
#[derive(Clone, Debug)]
pub struct Checker {
    limits: Limits,
    revoking: BTreeSet<Credential>,
    acknowledged: BTreeMap<Credential, Told>,
    effective: BTreeMap<Credential, Told>,
    local: BTreeMap<(Credential, String), u64>,
    /// The answer may arrive after the disk that it spoke of is gone.
    local_lost: BTreeSet<(Credential, String)>,
    /// What must have its receipt in the end.
    committed: BTreeMap<Credential, u64>,
    /// Self-revocations of which the only copy was destroyed: nobody can owe them a receipt.
    forgiven: BTreeSet<Credential>,
    hub_was_lost: bool,
    /// When the hub came to hold what it holds, ascending in both.
    held: Vec<Told>,
    healed_at: Option<u64>,
    last_at: u64,
    answers: u64,
    violations: Vec<Violation>,
}

impl Checker {
    /// One that has read nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            revoking: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            effective: BTreeMap::new(),
            local: BTreeMap::new(),
            local_lost: BTreeSet::new(),
            committed: BTreeMap::new(),
            forgiven: BTreeSet::new(),
            hub_was_lost: false,
            held: Vec::new(),
            healed_at: None,
            last_at: 0,
            answers: 0,
            violations: Vec::new(),
        }
    }

    /// Reads one line of JSON.
    pub fn read_line(&mut self, line: &str) -> Result<(), serde_json::Error> {
        let record: Record = serde_json::from_str(line)?;
        self.read(record.at_us, &record.actor, &record.event);
        Ok(())
    }

    /// Reads a whole log, a record per line; empty lines are passed over.
    pub fn read_log(limits: Limits, log: &str) -> Result<Vec<Violation>, serde_json::Error> {
        let mut checker = Self::new(limits);
        let lines = log.lines().filter(|line| !line.trim().is_empty());
        lines.into_iter().try_for_each(|line| checker.read_line(line))?;
        Ok(checker.finish())
    }

    /// Reads one record.
    pub fn read(&mut self, at_us: u64, actor: &str, event: &Event) {
        self.last_at = self.last_at.max(at_us);
        match event {
            Event::Revoking { credential } => {
                self.revoking.insert(*credential);
            }
            Event::Committed { credential } => {
                self.revoking.insert(*credential);
                self.committed.entry(*credential).or_insert(at_us);
            }
            Event::Receipt {
                credential,
                kind,
                place,
            } => {
                self.revoking.insert(*credential);
                self.committed.entry(*credential).or_insert(at_us);
                let place = *place;
                self.acknowledged
                    .entry(*credential)
                    .or_insert(Told { at_us, place });
                if *kind == Promise::Effective {
                    self.effective.entry(*credential).or_insert(Told { at_us, place });
                }
            }
            Event::LocalReceipt { credential, region } => {
                self.revoking.insert(*credential);
                self.committed.entry(*credential).or_insert(at_us);
                let key = (*credential, region.clone());
                if !self.local_lost.contains(&key) {
                    self.local.entry(key).or_insert(at_us);
                }
            }
            Event::LocalLost {
                credential,
                region,
                everywhere,
            } => {
                let key = (*credential, region.clone());
                self.local.remove(&key);
                self.local_lost.insert(key);
                if *everywhere && !self.acknowledged.contains_key(credential) {
                    self.forgiven.insert(*credential);
                }
            }
            Event::Held { place } => {
                if self.held.last().is_none_or(|last| last.place < *place) {
                    self.held.push(Told { at_us, place: *place });
                }
            }
            Event::HubLost => {
                self.held.clear();
                self.hub_was_lost = true;
            }
            Event::Answer { .. } => self.read_answer(at_us, actor, event),
            Event::Healed => self.healed_at = Some(at_us),
            Event::Note { .. } => {}
        }
    }

    fn read_answer(&mut self, at_us: u64, actor: &str, event: &Event) {
        let Event::Answer {
            credential,
            started_us,
            route,
            region,
            min_seq,
            state,
            outcome,
        } = event
        else {
            return;
        };
        self.answers += 1;
        let credential = *credential;
        let mut broken = Vec::new();
        let healed = self
            .healed_at
            .is_some_and(|at| *started_us > at + self.limits.heal_us);
        match outcome {
            Outcome::Revoked if !self.revoking.contains(&credential) => {
                broken.push((
                    Rule::FalseRefusal,
                    "refused as revoked, and nobody revoked it".to_owned(),
                ));
            }
            Outcome::Unavailable if healed => {
                broken.push((Rule::NotHealed, "still unavailable".to_owned()));
            }
            Outcome::Allowed => {
                if healed && self.is_owed(credential, *started_us) {
                    broken.push((
                        Rule::Undone,
                        "its revocation was acknowledged and is gone".to_owned(),
                    ));
                }
                if *route != Route::AllowStale {
                    self.check_allowed(
                        credential,
                        *started_us,
                        *route,
                        region.as_deref(),
                        *min_seq,
                        &mut broken,
                    );
                    self.check_age(at_us, *started_us, *route, *state, &mut broken);
                }
            }
            _ => {}
        }
        for (rule, why) in broken {
            self.violations.push(Violation {
                rule,
                at_us,
                actor: actor.to_owned(),
                credential: Some(credential),
                why: format!("credential {credential}, {route:?} route: {why}"),
            });
        }
    }

    /// Whether somebody was told that it is dead, long enough ago for everybody to know.
    fn is_owed(&self, credential: Credential, started_us: u64) -> bool {
        let acknowledged = self.acknowledged.get(&credential).map(|told| told.at_us);
        let regions = (credential, String::new())..(credential + 1, String::new());
        let local = self.local.range(regions).map(|(_, told)| *told);
        let told = acknowledged.into_iter().chain(local).min();
        !self.forgiven.contains(&credential)
            && told.is_some_and(|told| told + self.limits.heal_us < started_us)
    }

    fn check_allowed(
        &self,
        credential: Credential,
        started_us: u64,
        route: Route,
        region: Option<&str>,
        min_seq: Option<u64>,
        broken: &mut Vec<(Rule, String)>,
    ) {
        if let Some(told) = self.effective.get(&credential)
            && told.at_us < started_us
            && self.binds(told.place, started_us)
        {
            broken.push((
                Rule::Effective,
                format!("let in {} us after its receipt", started_us - told.at_us),
            ));
        }
        if let Some(told) = self.acknowledged.get(&credential)
            && told.at_us < started_us
            && self.binds(told.place, started_us)
            && (route == Route::Strict || min_seq.is_some_and(|seq| seq >= told.place.seq))
        {
            broken.push((
                Rule::Acknowledged,
                format!("let in {} us after it was acknowledged", started_us - told.at_us),
            ));
        }
        let local = region.and_then(|region| self.local.get(&(credential, region.to_owned())));
        let bound = match route {
            Route::Strict => 0,
            _ => self.limits.local_us,
        };
        if let Some(told) = local
            && told + bound < started_us
        {
            broken.push((
                Rule::Local,
                format!("let in {} us after its holder ended it here", started_us - told),
            ));
        }
    }

    /// A hub that has lost its disk believes what it is told first. Until it has had the frame again, for longer than
    /// anybody may go on with an older state, a receipt for it binds nobody.
    fn binds(&self, place: Place, started_us: u64) -> bool {
        let again = || self.held.iter().find(|held| held.place >= place);
        !self.hub_was_lost || again().is_some_and(|held| held.at_us + self.limits.default_us < started_us)
    }

    fn check_age(
        &self,
        at_us: u64,
        started_us: u64,
        route: Route,
        state: Option<Place>,
        broken: &mut Vec<(Rule, String)>,
    ) {
        let Some(state) = state else { return };
        // The first thing that the deciding state lacked.
        let first = self.held.partition_point(|held| held.place <= state);
        let Some(lacked) = self.held.get(first) else {
            return;
        };
        let (since, bound) = match route {
            Route::Strict => (started_us, self.limits.strict_us),
            _ => (at_us, self.limits.default_us),
        };
        if lacked.at_us + bound < since {
            let (age, place) = (since - lacked.at_us, lacked.place);
            broken.push((
                Rule::Stale,
                format!("from {state:?}; the hub had {place:?} since {age} us"),
            ));
        }
    }

    /// Adds what somebody else has found.
    pub fn add(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// How many answers were read: a log without any proves nothing.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// What was found so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The end of the log: what is still owed is a violation, if everything had time to heal.
    pub fn finish(mut self) -> Vec<Violation> {
        let Some(healed_at) = self.healed_at else {
            return self.violations;
        };
        if self.last_at > healed_at + self.limits.heal_us {
            let told = |credential: &Credential| self.effective.contains_key(credential);
            let owed = |(credential, since): &(&Credential, &u64)| {
                let long_ago = **since + self.limits.heal_us < self.last_at;
                long_ago && !told(credential) && !self.forgiven.contains(credential)
            };
            let pending = self.committed.iter().filter(owed);
            let found: Vec<_> = pending
                .map(|(credential, _)| Violation {
                    rule: Rule::NotHealed,
                    at_us: self.last_at,
                    actor: "end".to_owned(),
                    credential: Some(*credential),
                    why: format!("credential {credential}: its revocation has no receipt"),
                })
                .collect();
            self.violations.extend(found);
        }
        self.violations
    }
}

#[cfg(test)]
mod tests;
