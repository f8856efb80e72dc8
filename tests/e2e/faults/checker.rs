//! Whether a run kept the promises, by its log alone.
//!
//! | promise | rule |
//! | --- | --- |
//! | a revocation that is in force lets nobody in (I3) | no 200 for a request that was sent after the receipt said so: strict routes as soon as nobody is pending, the others when it is effective |
//! | nothing is lost or undone (I3) | after convergence, every gate and route refuses what any answer said is revoked; and what nobody got an answer about is treated alike everywhere |
//! | nothing else is refused | no 401 for a key before its revocation was sent |
//! | state past its bound is not used (I4) | no 200 at a gate that is cut off, once grace, bound and slack have passed |
//! | the run shows something | there was a receipt in force, requests after it, and a probe of each key at each gate |
//!
//! What it does not: look at anything but the events, or know which fault it was.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Event, Route, What};

/// What the run allowed.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) gates: usize,
    /// Of default routes.
    pub(super) bound_ms: u64,
    /// For what a busy machine takes between its own steps: only where time counts from a fault's beginning.
    pub(super) slack_ms: u64,
    /// A key that was made while a clock was wrong may be refused meanwhile.
    pub(super) young_may_be_refused: bool,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// Let in although the receipt said that nobody would be.
    LetIn {
        key: usize,
        request: u64,
        route: Route,
        at_ms: u64,
    },
    /// Revoked, and alive again in the end.
    Undone { key: usize, gate: usize, route: Route },
    /// Not revoked, and refused.
    Refused { key: usize, request: u64, at_ms: u64 },
    /// Nobody knows, but not everywhere alike.
    Divided { key: usize },
    /// Decided from a state past its bound.
    TooOld { gate: usize, request: u64, at_ms: u64 },
    /// The run does not show it.
    Unproven(String),
}

/// What is known of a key by now.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other"
)]
#[derive(Default)]
struct Key {
    young: bool,
    asked: bool,
    answered: bool,
    unclear: bool,
    /// When strict routes, and when all, have to refuse.
    strict_from: Option<u64>,
    all_from: Option<u64>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that do not exclude each other"
)]
struct Sent {
    key: usize,
    gate: usize,
    route: Route,
    at_ms: u64,
    must_be_refused: bool,
    too_old: bool,
    may_be_refused: bool,
    converged: bool,
}

/// All violations.
pub(super) fn check(events: &[Event], rules: &Rules) -> Vec<Violation> {
    let mut run = Checker {
        rules,
        keys: BTreeMap::new(),
        sent: BTreeMap::new(),
        cut: BTreeMap::new(),
        faults: BTreeSet::new(),
        converged: false,
        last: BTreeMap::new(),
        after: 0,
        violations: Vec::new(),
    };
    for event in events {
        run.take(event);
    }
    run.conclude()
}

struct Checker<'a> {
    rules: &'a Rules,
    keys: BTreeMap<usize, Key>,
    sent: BTreeMap<u64, Sent>,
    /// From when on a gate may not decide, by fault.
    cut: BTreeMap<(String, usize), u64>,
    faults: BTreeSet<String>,
    converged: bool,
    /// What the last probe after convergence said.
    last: BTreeMap<(usize, usize, Route), u16>,
    /// Requests after a receipt in force.
    after: usize,
    violations: Vec<Violation>,
}

impl Checker<'_> {
    fn take(&mut self, event: &Event) {
        let at_ms = event.at_ms;
        match &event.what {
            What::Created { key } => {
                let young = !self.faults.is_empty() && self.rules.young_may_be_refused;
                self.keys.entry(*key).or_default().young = young;
            }
            What::RevokeSent { key, .. } => self.keys.entry(*key).or_default().asked = true,
            What::RevokeLost { key } => {
                let key = self.keys.entry(*key).or_default();
                key.unclear = !key.answered;
            }
            What::Receipt {
                key,
                pending,
                effective_in_ms,
                ..
            } => {
                let key = self.keys.entry(*key).or_default();
                (key.answered, key.unclear) = (true, false);
                if let (true, Some(remaining)) = (pending.is_empty(), effective_in_ms) {
                    let all = at_ms.saturating_add(u64::try_from(*remaining).unwrap_or(0));
                    key.strict_from = Some(key.strict_from.map_or(at_ms, |known| known.min(at_ms)));
                    key.all_from = Some(key.all_from.map_or(all, |known| known.min(all)));
                }
            }
            What::Sent {
                request,
                key,
                gate,
                route,
            } => self.send(*request, *key, *gate, *route, at_ms),
            What::Answered { request, status } => self.answer(*request, *status),
            What::FaultBegins {
                fault,
                isolates,
                grace_ms,
            } => {
                self.faults.insert(fault.clone());
                for gate in isolates {
                    let from = at_ms + grace_ms + self.rules.bound_ms + self.rules.slack_ms;
                    self.cut.insert((fault.clone(), *gate), from);
                }
            }
            What::FaultEnds { fault } => {
                self.faults.remove(fault);
                self.cut.retain(|(other, _), _| other != fault);
            }
            What::Converged => self.converged = true,
        }
    }

    fn send(&mut self, request: u64, key: usize, gate: usize, route: Route, at_ms: u64) {
        let known = self.keys.entry(key).or_default();
        let from = match route {
            Route::Strict => known.strict_from,
            Route::Default => known.all_from,
        };
        let must_be_refused = from.is_some_and(|from| at_ms >= from);
        self.after += usize::from(must_be_refused);
        let may_be_refused = known.asked || (known.young && !self.converged);
        let too_old = self
            .cut
            .iter()
            .any(|((_, cut), from)| *cut == gate && at_ms >= *from);
        let sent = Sent {
            key,
            gate,
            route,
            at_ms,
            must_be_refused,
            too_old,
            may_be_refused,
            converged: self.converged,
        };
        self.sent.insert(request, sent);
    }

    fn answer(&mut self, request: u64, status: u16) {
        let Some(sent) = self.sent.remove(&request) else {
            self.violations
                .push(Violation::Unproven(format!("request {request} was not sent")));
            return;
        };
        let (key, gate, route, at_ms) = (sent.key, sent.gate, sent.route, sent.at_ms);
        let is_in = (200..300).contains(&status);
        if is_in && sent.must_be_refused {
            self.violations.push(Violation::LetIn {
                key,
                request,
                route,
                at_ms,
            });
        }
        if is_in && sent.too_old {
            self.violations.push(Violation::TooOld { gate, request, at_ms });
        }
        // By now it may have been asked for.
        let asked = self.keys.get(&key).is_some_and(|known| known.asked);
        if status == 401 && !sent.may_be_refused && !asked {
            self.violations.push(Violation::Refused { key, request, at_ms });
        }
        if sent.converged && (is_in || status == 401) {
            let known = self.keys.get(&key);
            if is_in && known.is_some_and(|known| known.answered) {
                self.violations.push(Violation::Undone { key, gate, route });
            }
            self.last.insert((key, gate, route), status);
        }
    }

    fn conclude(mut self) -> Vec<Violation> {
        let mut unproven = Vec::new();
        if !self.converged {
            unproven.push("it never converged".to_owned());
        }
        if self.after == 0 {
            unproven.push("no request was sent after a receipt in force".to_owned());
        }
        for (number, key) in &self.keys {
            let verdicts: BTreeSet<bool> = self
                .last
                .iter()
                .filter(|((probed, ..), _)| probed == number)
                .map(|(_, status)| *status == 401)
                .collect();
            if key.unclear && verdicts.len() > 1 {
                self.violations.push(Violation::Divided { key: *number });
            }
            for gate in 0..self.rules.gates {
                for route in Route::ALL {
                    if self.converged && !self.last.contains_key(&(*number, gate, route)) {
                        unproven.push(format!("key {number} was not probed at gate {gate}, {route:?}"));
                    }
                }
            }
        }
        self.violations
            .extend(unproven.into_iter().map(Violation::Unproven));
        self.violations
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
