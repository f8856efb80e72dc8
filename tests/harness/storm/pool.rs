//! The credentials that are in use, and who is asked next. Requests go to what the log still lacks first: a credential that
//! was never let in, one that is dying, one whose due time has passed; every fourth goes to any of them.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use super::check::{Asked, Log, Revocation, Route};

/// Gates that are asked, an isolate each.
pub(super) const GATES: usize = 4;
/// Which routes each is asked on. A read for a strict route makes the whole isolate as new as its region, and a named seq may:
/// what default routes may rely on shows only where nobody asks for more.
const ROUTES: [&[Route]; GATES] = [
    &Route::ALL,
    &[Route::Default],
    &[Route::Default, Route::MinSeq],
    &Route::ALL,
];
/// What is taken for the bound until a receipt says it.
const BOUND: Duration = Duration::from_secs(3);

/// The clock, the pool and the log.
#[derive(Debug)]
pub(super) struct Pool {
    start: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    entries: Vec<Option<Entry>>,
    active: Vec<usize>,
    cursor: usize,
    turn: usize,
    seq: u64,
    bound: Option<Duration>,
    fewest: Option<usize>,
    log: Log,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Alive,
    Dying,
    /// The answer to its revocation has come; each route must refuse it later than that.
    Dead([Duration; 3]),
}

#[derive(Debug)]
struct Entry {
    bearer: Arc<str>,
    probe: bool,
    phase: Phase,
    passed: [bool; 3],
    refused: [[bool; GATES]; 3],
    refused_late: [[bool; GATES]; 3],
}

/// The next request of a connection.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) credential: usize,
    pub(super) bearer: Arc<str>,
    pub(super) route: Route,
    pub(super) min_seq: Option<u64>,
}

impl Entry {
    /// A route on which the log lacks something that this gate can give.
    fn lacks(&self, gate: usize, turn: usize, now: Duration) -> Option<Route> {
        let lacks = |route: Route| {
            let index = route as usize;
            match self.phase {
                Phase::Alive => !self.passed[index],
                Phase::Dying => self.probe && !self.refused[index][gate],
                Phase::Dead(due) => {
                    let watched = self.probe && !self.refused[index][gate];
                    watched || (now > due[index] && !self.is_done(index, gate))
                }
            }
        };
        let routes = ROUTES[gate];
        (0..routes.len())
            .map(|step| routes[(turn + step) % routes.len()])
            .find(|route| lacks(*route))
    }

    /// A gate that is not asked on a route has nothing to add.
    fn is_done(&self, route: usize, gate: usize) -> bool {
        if self.probe {
            self.refused_late[route][gate] || !ROUTES[gate].contains(&Route::ALL[route])
        } else {
            self.refused_late[route].contains(&true)
        }
    }
}

impl Pool {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            inside: Mutex::default(),
        }
    }

    /// Now, by the one clock.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Puts credentials into use; the first `probes` of them are watched closely. Gives their numbers.
    pub(super) fn add(&self, bearers: &[String], probes: usize) -> Vec<usize> {
        let mut inside = self.inside();
        let mut numbers = Vec::new();
        for (place, bearer) in bearers.iter().enumerate() {
            let number = inside.entries.len();
            let probe = place < probes;
            inside.log.probes.push(probe);
            inside.entries.push(Some(Entry {
                bearer: bearer.as_str().into(),
                probe,
                phase: Phase::Alive,
                passed: [false; 3],
                refused: [[false; GATES]; 3],
                refused_late: [[false; GATES]; 3],
            }));
            inside.active.push(number);
            numbers.push(number);
        }
        numbers
    }

    /// From here on the least number of live credentials is noted.
    pub(super) fn begin(&self) {
        let mut inside = self.inside();
        inside.fewest = Some(usize::MAX);
        inside.count();
    }

    /// Whether each of them was let in on each route.
    pub(super) fn are_in_use(&self, numbers: &[usize]) -> bool {
        let inside = self.inside();
        let mut entries = numbers
            .iter()
            .filter_map(|number| inside.entries[*number].as_ref());
        entries.all(|entry| entry.passed == [true; 3])
    }

    /// Their revocation is about to be sent.
    pub(super) fn dying(&self, numbers: &[usize]) {
        self.each(numbers, |entry| entry.phase = Phase::Dying);
        self.inside().count();
    }

    /// The answer has come.
    pub(super) fn dead(&self, revocation: Revocation) {
        let due = Route::ALL.map(|route| revocation.due(route).unwrap_or(revocation.sent));
        self.each(&revocation.credentials, |entry| entry.phase = Phase::Dead(due));
        let mut inside = self.inside();
        if let Some(receipt) = &revocation.receipt {
            inside.seq = inside.seq.max(receipt.seq.unwrap_or(0));
            if receipt.seq.is_some() {
                inside.bound = inside.bound.max(Some(receipt.bound));
            }
        }
        inside.log.revocations.push(revocation);
    }

    /// Whether each of them has been refused as late as its receipt promised.
    pub(super) fn are_refused(&self, numbers: &[usize]) -> bool {
        let inside = self.inside();
        let mut entries = numbers
            .iter()
            .filter_map(|number| inside.entries[*number].as_ref());
        entries.all(|entry| (0..3).all(|route| (0..GATES).all(|gate| entry.is_done(route, gate))))
    }

    /// Takes them out of use.
    pub(super) fn remove(&self, numbers: &[usize]) {
        let mut inside = self.inside();
        inside.active.retain(|number| !numbers.contains(number));
        for number in numbers {
            inside.entries[*number] = None;
        }
    }

    /// The largest bound that a receipt has named.
    pub(super) fn bound(&self) -> Duration {
        self.inside().bound.unwrap_or(BOUND)
    }

    /// What a connection to this gate asks next; `None` if nothing is in use.
    pub(super) fn next(&self, gate: usize) -> Option<Next> {
        let now = self.now();
        let inside = &mut *self.inside();
        let length = inside.active.len();
        if length == 0 {
            return None;
        }
        inside.turn += 1;
        let turn = inside.turn;
        let urgent = (0..length).find_map(|step| {
            let place = (inside.cursor + step) % length;
            let number = inside.active[place];
            let route = inside.entries[number].as_ref()?.lacks(gate, turn, now)?;
            Some((place, number, route))
        });
        let (number, route) = match urgent {
            Some((place, number, route)) if !turn.is_multiple_of(4) => {
                inside.cursor = (place + 1) % length;
                (number, route)
            }
            _ => {
                // Seven is prime to the number of connections: no connection keeps to a part of them.
                let place = (turn.wrapping_mul(7) / 4) % length;
                let routes = ROUTES[gate];
                (inside.active[place], routes[turn / 4 % routes.len()])
            }
        };
        let entry = inside.entries[number].as_ref()?;
        Some(Next {
            credential: number,
            bearer: Arc::clone(&entry.bearer),
            route,
            min_seq: (route == Route::MinSeq).then_some(inside.seq),
        })
    }

    /// What came of it.
    pub(super) fn note(&self, asked: Asked) {
        let mut inside = self.inside();
        let (route, gate) = (asked.route as usize, asked.gate);
        if let Some(entry) = inside.entries[asked.credential].as_mut() {
            match asked.status {
                200 => entry.passed[route] = true,
                401 => {
                    entry.refused[route][gate] = true;
                    if let Phase::Dead(due) = entry.phase
                        && asked.sent > due[route]
                    {
                        entry.refused_late[route][gate] = true;
                    }
                }
                _ => {}
            }
        }
        inside.log.asked.push(asked);
    }

    /// The least number of credentials that lived at any time since [`Pool::begin`].
    pub(super) fn fewest(&self) -> usize {
        self.inside().fewest.take().unwrap_or_default()
    }

    /// The whole log.
    pub(super) fn end(&self) -> Log {
        std::mem::take(&mut self.inside().log)
    }

    fn each(&self, numbers: &[usize], change: impl Fn(&mut Entry)) {
        let mut inside = self.inside();
        for number in numbers {
            if let Some(entry) = inside.entries[*number].as_mut() {
                change(entry);
            }
        }
    }
}

impl Inside {
    fn count(&mut self) {
        let Some(fewest) = self.fewest else { return };
        let entries = self
            .active
            .iter()
            .filter_map(|number| self.entries[*number].as_ref());
        let alive = entries.filter(|entry| entry.phase == Phase::Alive).count();
        self.fewest = Some(fewest.min(alive));
    }
}
