//! The log of a storm, and what it must not contain. Pure: all times are of one monotonic clock, counted from the start.
//!
//! "After" is as strict as receipts are: a request is after a moment if its first byte was sent later; a receipt is there when
//! its last byte is.
//!
//! | rule | a violation is |
//! | --- | --- |
//! | the receipt holds | a 200 after the receipt: on every route with `wait=effective`, on strict routes with `wait=ack` |
//! | the bound holds | with `wait=ack`, a 200 on another route more than `bound_ms` after the receipt |
//! | `Portcullis-Min-Seq` holds | a 200 to a request that named the receipt's `seq` or a later one, whenever it was sent |
//! | never undone | a 200 at a gate that has refused the credential before |
//! | no false refusal | a 401 that was there before the revocation was sent, or to a credential that nobody revoked |
//! | nothing else | any status but 200, 401 and a 503 `state_stale` |
//! | not in vain | a revoked credential that was not let in before, or not refused after all of that, on each route |

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

/// What a receipt was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Until nobody lets it in.
    Effective,
    /// Until every region has it.
    Ack,
    /// For nothing.
    None,
}

impl Wait {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Effective => "effective",
            Self::Ack => "ack",
            Self::None => "none",
        }
    }
}

/// What kind of route was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Bounded staleness, through the gateway.
    Default,
    /// A read of its own for each request, through the gateway.
    Strict,
    /// Bounded staleness and `Portcullis-Min-Seq`, at the verify endpoint.
    MinSeq,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Default, Self::Strict, Self::MinSeq];

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Strict => "strict",
            Self::MinSeq => "min-seq",
        }
    }
}

/// One request with a credential, and its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whose number that is.
    pub credential: usize,
    /// Where.
    pub route: Route,
    /// At which gate.
    pub gate: usize,
    /// `Portcullis-Min-Seq`.
    pub min_seq: Option<u64>,
    /// Before its first byte.
    pub sent: Duration,
    /// After the answer's last byte.
    pub done: Duration,
    /// The answer.
    pub status: u16,
    /// It is a 503 with the code `state_stale`.
    pub stale: bool,
}

/// A receipt that says that what was waited for has happened.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// After its last byte.
    pub received: Duration,
    /// The frame, where the answer says it.
    pub seq: Option<u64>,
    /// How long other routes than strict ones may take.
    pub bound: Duration,
}

/// One revocation of one or more credentials.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// By which way.
    pub way: &'static str,
    /// Of what.
    pub credentials: Vec<usize>,
    /// What its answer waited for.
    pub wait: Wait,
    /// Before its first byte.
    pub sent: Duration,
    /// None: the answer promised nothing, and said so.
    pub receipt: Option<Receipt>,
}

impl Revocation {
    /// From when on a route may not let its credentials in.
    pub fn due(&self, route: Route) -> Option<Duration> {
        let receipt = self.receipt.as_ref()?;
        match (self.wait, route) {
            (Wait::Effective, _) | (Wait::Ack, Route::Strict) => Some(receipt.received),
            (Wait::Ack, Route::Default | Route::MinSeq) => Some(receipt.received + receipt.bound),
            (Wait::None, _) => None,
        }
    }
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// By number: whether a credential was asked with all the time while it died, so that its end is known to the moment.
    pub probes: Vec<bool>,
    /// In the order of the answers.
    pub asked: Vec<Asked>,
    /// A credential is in one at most.
    pub revocations: Vec<Revocation>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Let in after the receipt, or after its bound.
    LetIn,
    /// Let in from a state that has the revocation.
    LetInDespiteSeq,
    /// Let in again.
    Undone,
    /// Refused while it was good.
    FalseRefusal,
    /// Another status.
    OtherStatus,
    /// Never let in before it was revoked.
    NeverLetIn,
    /// Not refused by the end.
    NeverRefused,
}

/// One thing that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// Whose.
    pub credential: usize,
    /// Where.
    pub route: Route,
    /// How it was revoked, if it was.
    pub way: Option<(&'static str, Wait)>,
    /// What happened, in words.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            credential,
            route,
            detail,
            ..
        } = self;
        write!(f, "{rule:?}: credential {credential}, {} route", route.as_str())?;
        if let Some((way, wait)) = self.way {
            write!(f, ", {way} with wait={}", wait.as_str())?;
        }
        write!(f, ": {detail}")
    }
}

/// All violations, in the order of the credentials.
pub fn check(log: &Log) -> Vec<Violation> {
    let ends = ends(log);
    let mut found = Vec::new();
    for (credential, asked) in by_credential(log).into_iter().enumerate() {
        let revocation = ends.get(&credential).copied();
        let say = |rule, route, detail| Violation {
            rule,
            credential,
            route,
            way: revocation.map(|revocation| (revocation.way, revocation.wait)),
            detail,
        };
        let mut refused: BTreeMap<usize, Duration> = BTreeMap::new();
        for one in asked.iter().filter(|one| one.status == 401) {
            let first = refused.entry(one.gate).or_insert(one.done);
            *first = one.done.min(*first);
        }
        for one in &asked {
            match (one.status, revocation) {
                (200, Some(revocation)) => {
                    if let Some(due) = revocation.due(one.route).filter(|due| one.sent > *due) {
                        let late = one.sent.saturating_sub(due);
                        found.push(say(
                            Rule::LetIn,
                            one.route,
                            format!("sent {late:?} too late at gate {}", one.gate),
                        ));
                    }
                    let seq = revocation.receipt.as_ref().and_then(|receipt| receipt.seq);
                    if let (Some(named), Some(seq)) = (one.min_seq, seq)
                        && named >= seq
                    {
                        let detail = format!("seq {named} was named, the revocation has {seq}");
                        found.push(say(Rule::LetInDespiteSeq, one.route, detail));
                    }
                    if refused.get(&one.gate).is_some_and(|at| one.sent > *at) {
                        let detail = format!("gate {} had refused it", one.gate);
                        found.push(say(Rule::Undone, one.route, detail));
                    }
                }
                (401, Some(revocation)) if one.done < revocation.sent => {
                    let early = revocation.sent.saturating_sub(one.done);
                    let detail = format!("{early:?} before it was revoked");
                    found.push(say(Rule::FalseRefusal, one.route, detail));
                }
                (401, None) => {
                    let detail = "nobody revoked it".to_owned();
                    found.push(say(Rule::FalseRefusal, one.route, detail));
                }
                (200 | 401, _) => {}
                (503, _) if one.stale => {}
                (status, _) => found.push(say(Rule::OtherStatus, one.route, format!("{status}"))),
            }
        }
        let Some(revocation) = revocation else { continue };
        for route in Route::ALL {
            let mut there = asked.iter().filter(|one| one.route == route);
            if !there
                .clone()
                .any(|one| one.status == 200 && one.sent < revocation.sent)
            {
                found.push(say(Rule::NeverLetIn, route, "before it was revoked".to_owned()));
            }
            let from = revocation.due(route).unwrap_or(revocation.sent);
            if !there.any(|one| one.status == 401 && one.sent > from) {
                found.push(say(Rule::NeverRefused, route, "after its due time".to_owned()));
            }
        }
    }
    found
}

/// How long something took, of many times.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Times {
    /// How many times.
    pub count: usize,
    /// The median.
    pub p50_ms: u64,
    /// 99 of 100 took no longer.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

impl Times {
    /// Of these, in any order.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
            let time = times.get(index).copied().unwrap_or_default();
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        };
        Self {
            count: times.len(),
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

/// From sending each revocation to the first 401, for each probe, route and gate, sorted by what `key` says.
pub fn times_to_401<K: Ord>(log: &Log, key: impl Fn(&Revocation, Route) -> K) -> BTreeMap<K, Times> {
    let ends = ends(log);
    let mut first: BTreeMap<(usize, Route, usize), Duration> = BTreeMap::new();
    for one in log.asked.iter().filter(|one| one.status == 401) {
        if log.probes.get(one.credential) == Some(&true) {
            let at = first
                .entry((one.credential, one.route, one.gate))
                .or_insert(one.done);
            *at = one.done.min(*at);
        }
    }
    let mut times: BTreeMap<K, Vec<Duration>> = BTreeMap::new();
    for ((credential, route, _), at) in first {
        if let Some(revocation) = ends.get(&credential) {
            let time = at.saturating_sub(revocation.sent);
            times.entry(key(revocation, route)).or_default().push(time);
        }
    }
    times
        .into_iter()
        .map(|(key, times)| (key, Times::of(times)))
        .collect()
}

/// The latest 200 of each kind of route, counted from the receipt of its revocation: zero where none came after it.
pub fn let_in_after_receipt(log: &Log, wait: Wait) -> BTreeMap<Route, Duration> {
    let ends = ends(log);
    let mut latest: BTreeMap<Route, Duration> = Route::ALL.map(|route| (route, Duration::ZERO)).into();
    for one in log.asked.iter().filter(|one| one.status == 200) {
        let revocation = ends
            .get(&one.credential)
            .filter(|revocation| revocation.wait == wait);
        if let Some(receipt) = revocation.and_then(|revocation| revocation.receipt.as_ref()) {
            let after = one.sent.saturating_sub(receipt.received);
            latest
                .entry(one.route)
                .and_modify(|most| *most = after.max(*most));
        }
    }
    latest
}

fn ends(log: &Log) -> BTreeMap<usize, &Revocation> {
    let each = log.revocations.iter().flat_map(|revocation| {
        revocation
            .credentials
            .iter()
            .map(move |credential| (*credential, revocation))
    });
    each.collect()
}

fn by_credential(log: &Log) -> Vec<Vec<&Asked>> {
    let mut all = vec![Vec::new(); log.probes.len()];
    for one in &log.asked {
        all[one.credential].push(one);
    }
    all
}
