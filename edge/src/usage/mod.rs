//! Counting: what one isolate remembers of who asked for what, and how it ended. Pure and synchronous: time, the isolate's id
//! and the sending come from outside.
//!
//! Counts are kept by window. A window opens with a request and is closed by its *keeper*, a timer that the adapter starts then,
//! or by the next request once it is full, or overdue, or another hour has begun. What is closed waits, encoded, until the
//! region says that it has it; the same bytes are sent again until then. See [`shared::usage`] for what is announced when.
//!
//! Memory is bounded. If nothing can be delivered for long, windows lose their details and keep their totals (`uncounted`);
//! if even those find no room, the open window stays open. Nothing is dropped without being said.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use shared::id::StatusIndex;
use shared::policy::CompiledRoute;
use shared::time::UnixMillis;
use shared::usage::{Batch, Count, Holder, Opening, encode, encode_opening, join_records};
use shared::verdict::Reason;

use crate::validator::{Kind, Signer, Statement, is_canary};

/// How long a window is open: what was counted is on its way within this time, and at the control plane a second or two later.
pub const WINDOW_MS: u64 = 3000;
/// A window that is older has lost its keeper.
const OVERDUE_MS: u64 = 3 * WINDOW_MS;
/// Whoever was asked so recently will be asked again: the next window is announced with the batch.
const BUSY_MS: u64 = 1500;
const HOUR_MS: u64 = 3_600_000;
/// Different counts in one window.
const MAX_COUNTS: usize = 8192;
/// Bytes of names in one window. With these two no record is longer than `shared::usage::MAX_RECORD`.
const MAX_NAMES: usize = 512 * 1024;
/// Bytes of closed windows that wait with all details.
const MAX_PENDING_BYTES: usize = 4 << 20;
/// Closed windows that wait at all.
const MAX_PENDING: usize = 4096;
/// Bytes of one message to the region, unless a single record is longer.
const MAX_MESSAGE: usize = 1 << 20;
/// A sending that has not ended after this long was cancelled with its request.
const LATCH_MS: u64 = 8000;

/// What is counted of a request beside how it ended.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    /// Whose, where a credential was proven.
    pub statement: Option<Arc<Statement>>,
    /// The route's class, where one matched.
    pub class: Option<Arc<str>>,
}

impl Mark {
    /// That of a request with this proven credential, to this route.
    pub fn of(statement: Option<&Arc<Statement>>, route: Option<&CompiledRoute>) -> Self {
        Self {
            statement: statement.cloned(),
            class: route.map(|route| Arc::clone(&route.class)),
        }
    }
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Index(StatusIndex),
    /// Of another issuer, which has no index: issuer and subject.
    Foreign(String),
}

impl Who {
    fn of(statement: &Statement) -> Self {
        match statement.index() {
            Some(index) => Self::Index(index),
            None => Self::Foreign(statement.subject.clone()),
        }
    }
}

/// What there is one count of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    who: Option<Who>,
    class: Option<Arc<str>>,
    reason: Reason,
    country: [u8; 2],
}

#[derive(Debug)]
struct Tally {
    holder: Holder,
    requests: u64,
    last: UnixMillis,
}

#[derive(Debug)]
struct Window {
    number: u64,
    from: UnixMillis,
    last: UnixMillis,
    counts: HashMap<Key, Tally>,
    names: usize,
    uncounted: u64,
}

/// A record that the region has not acknowledged.
#[derive(Debug)]
struct Pending {
    ticket: u64,
    number: u64,
    is_opening: bool,
    bytes: Vec<u8>,
}

/// What to do about the records that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Nothing waits.
    Nothing,
    /// Another request is sending.
    InFlight,
    /// Send this; then [`Counter::delivered`] or [`Counter::failed`] with the ticket.
    Send {
        /// Every record up to this one.
        through: u64,
        /// For the region.
        body: Vec<u8>,
    },
}

/// The counter of one isolate.
#[derive(Debug, Default)]
pub struct Counter {
    isolate: Option<[u8; 16]>,
    colo: String,
    window: Option<Window>,
    /// The newest window that was opened or announced.
    number: u64,
    /// The newest was announced with the batch before it, and has not opened.
    is_expected: bool,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    ticket: u64,
    latch: Option<UnixMillis>,
    failures: u64,
    uncounted: u64,
}

impl Counter {
    /// Whether the isolate has a name yet. Before the first count it needs one: [`Counter::name`].
    pub fn is_named(&self) -> bool {
        self.isolate.is_some()
    }

    /// Names the isolate, at random, and its data centre, as the platform calls it.
    pub fn name(&mut self, isolate: [u8; 16], colo: &str) {
        self.isolate = Some(isolate);
        let sound = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if colo.len() <= 8 && colo.bytes().all(sound) {
            colo.clone_into(&mut self.colo);
        }
    }

    /// Counts a request, unless it is a canary's. `Some`: a window has opened with it, and needs a keeper.
    pub fn count(&mut self, mark: &Mark, reason: Reason, country: &str, now: UnixMillis) -> Option<u64> {
        if mark
            .statement
            .as_ref()
            .is_some_and(|statement| is_canary(statement.org))
        {
            return None;
        }
        if self.window.as_ref().is_some_and(|window| window.is_done(now)) {
            self.seal(now, true);
        }
        let opened = if self.window.is_none() {
            self.open(now)
        } else {
            None
        };
        let window = self.window.as_mut()?;
        window.last = now;
        let key = Key {
            who: mark.statement.as_deref().map(Who::of),
            class: mark.class.clone(),
            reason,
            country: country_code(country),
        };
        let names = &mut window.names;
        let tally = window.counts.entry(key).or_insert_with(|| {
            let holder = holder(mark.statement.as_deref());
            *names = names.saturating_add(name_length(&holder));
            Tally {
                holder,
                requests: 0,
                last: now,
            }
        });
        tally.requests = tally.requests.saturating_add(1);
        tally.last = now;
        opened
    }

    /// Closes a window whose time is up, for its keeper. `Some`: the next one was announced, and [`Counter::lapse`] must be asked
    /// about it after another [`WINDOW_MS`].
    pub fn close(&mut self, number: u64, now: UnixMillis) -> Option<u64> {
        let window = self.window.as_ref().filter(|window| window.number == number)?;
        let is_busy = now.since(window.last) < BUSY_MS;
        self.seal(now, is_busy);
        (self.is_expected).then_some(self.number)
    }

    /// Takes the announcement of a window back that nothing has opened.
    pub fn lapse(&mut self, number: u64, now: UnixMillis) {
        let Some(isolate) = self.isolate else { return };
        if !self.is_expected || self.number != number {
            return;
        }
        self.is_expected = false;
        let batch = Batch {
            isolate,
            number,
            from: now,
            to: now,
            next_open: false,
            uncounted: 0,
            colo: self.colo.clone(),
            counts: Vec::new(),
        };
        self.push(number, false, encode(&batch));
    }

    /// What to send now.
    pub fn outgoing(&mut self, now: UnixMillis) -> Outgoing {
        if self.pending.is_empty() {
            return Outgoing::Nothing;
        }
        if self
            .latch
            .is_some_and(|start| start <= now && now.since(start) < LATCH_MS)
        {
            return Outgoing::InFlight;
        }
        let mut through = 0;
        let mut size: usize = 0;
        let mut records: Vec<&[u8]> = Vec::new();
        for record in &self.pending {
            size = size.saturating_add(record.bytes.len());
            if size > MAX_MESSAGE && !records.is_empty() {
                break;
            }
            records.push(&record.bytes);
            through = record.ticket;
        }
        self.latch = Some(now);
        Outgoing::Send {
            through,
            body: join_records(records),
        }
    }

    /// The region has these.
    pub fn delivered(&mut self, through: u64) {
        self.latch = None;
        while let Some(record) = self.pending.pop_front() {
            if record.ticket > through {
                self.pending.push_front(record);
                break;
            }
            self.pending_bytes = self.pending_bytes.saturating_sub(record.bytes.len());
        }
    }

    /// The region may have these or not: they will be sent again.
    pub fn failed(&mut self) {
        self.latch = None;
        self.failures = self.failures.saturating_add(1);
    }

    /// Records that wait, sendings that failed, and requests that lost their details, since the start.
    pub fn account(&self) -> (usize, u64, u64) {
        (self.pending.len(), self.failures, self.uncounted)
    }

    fn open(&mut self, now: UnixMillis) -> Option<u64> {
        let isolate = self.isolate?;
        if !self.is_expected {
            self.number = self.number.saturating_add(1);
            let opening = Opening {
                isolate,
                number: self.number,
                from: now,
            };
            self.push(self.number, true, encode_opening(&opening));
        }
        self.is_expected = false;
        self.window = Some(Window {
            number: self.number,
            from: now,
            last: now,
            counts: HashMap::new(),
            names: 0,
            uncounted: 0,
        });
        Some(self.number)
    }

    fn seal(&mut self, now: UnixMillis, next_open: bool) {
        let (Some(isolate), Some(mut window)) = (self.isolate, self.window.take()) else {
            return;
        };
        // No longer needed: the batch says more.
        if let Some(last) = self.pending.back()
            && last.is_opening
            && last.number == window.number
            && self.latch.is_none()
        {
            self.pending_bytes = self.pending_bytes.saturating_sub(last.bytes.len());
            self.pending.pop_back();
        }
        if self.pending.len() >= MAX_PENDING {
            self.uncounted = self.uncounted.saturating_add(window.forget_details());
            self.window = Some(window);
            return;
        }
        let number = window.number;
        let mut bytes = encode(&self.batch(isolate, &mut window, now, next_open));
        if self.pending_bytes.saturating_add(bytes.len()) > MAX_PENDING_BYTES {
            self.uncounted = self.uncounted.saturating_add(window.forget_details());
            bytes = encode(&self.batch(isolate, &mut window, now, next_open));
        }
        self.push(number, false, bytes);
        if next_open {
            self.number = self.number.saturating_add(1);
        }
        self.is_expected = next_open;
    }

    fn batch(&self, isolate: [u8; 16], window: &mut Window, now: UnixMillis, next_open: bool) -> Batch {
        // A clock that jumped must not make a window that nobody reads.
        let latest = window.from.saturating_add(24 * HOUR_MS - 1);
        let mut counts: Vec<Count> = window
            .counts
            .iter()
            .map(|(key, tally)| Count {
                holder: tally.holder.clone(),
                class: key.class.as_deref().map(str::to_owned),
                reason: key.reason.code().to_owned(),
                country: country_text(key.country),
                requests: tally.requests,
                last: tally.last.min(latest).max(window.from),
            })
            .collect();
        counts.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
        Batch {
            isolate,
            number: window.number,
            from: window.from,
            to: now.min(latest).max(window.from),
            next_open,
            uncounted: window.uncounted,
            colo: self.colo.clone(),
            counts,
        }
    }

    fn push(&mut self, number: u64, is_opening: bool, bytes: Vec<u8>) {
        self.ticket = self.ticket.saturating_add(1);
        self.pending_bytes = self.pending_bytes.saturating_add(bytes.len());
        self.pending.push_back(Pending {
            ticket: self.ticket,
            number,
            is_opening,
            bytes,
        });
    }
}

impl Window {
    /// Whether the next request belongs to another one.
    fn is_done(&self, now: UnixMillis) -> bool {
        self.counts.len() >= MAX_COUNTS
            || self.names >= MAX_NAMES
            || now.since(self.from) >= OVERDUE_MS
            || now.0 / HOUR_MS != self.from.0 / HOUR_MS
    }

    /// Keeps the total; gives what has lost its details.
    fn forget_details(&mut self) -> u64 {
        let lost = self
            .counts
            .values()
            .map(|tally| tally.requests)
            .fold(0, u64::saturating_add);
        self.counts.clear();
        self.names = 0;
        self.uncounted = self.uncounted.saturating_add(lost);
        lost
    }
}

/// Whose requests a statement's are.
fn holder(statement: Option<&Statement>) -> Holder {
    let Some(statement) = statement else {
        return Holder::None;
    };
    match (&statement.signer, &statement.kind) {
        (Signer::Ours { index, .. }, Kind::AccessToken { client, .. }) => {
            Holder::token(*index, statement.org, client)
        }
        (Signer::Ours { index, .. }, _) => Holder::Key(*index),
        (Signer::Issuer { name, .. }, Kind::Foreign { subject, .. }) => {
            Holder::foreign(statement.org, name, subject)
        }
        // No other kind is another issuer's.
        (Signer::Issuer { name, .. }, _) => Holder::foreign(statement.org, name, &statement.subject),
    }
}

fn name_length(holder: &Holder) -> usize {
    match holder {
        Holder::None | Holder::Key(_) => 0,
        Holder::Token { client, .. } => client.len(),
        Holder::Foreign { name, .. } => name.len(),
    }
}

/// Two capital letters or digits, as the platform writes countries; zeros for anything else.
fn country_code(country: &str) -> [u8; 2] {
    let sound = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let code: [u8; 2] = country.as_bytes().try_into().unwrap_or_default();
    if code.iter().all(sound) { code } else { [0; 2] }
}

fn country_text(code: [u8; 2]) -> String {
    if code == [0; 2] {
        return String::new();
    }
    code.iter().copied().map(char::from).collect()
}
