//! An isolate: the real [`Follower`] and the real validator. Around them, as in the Worker: one shared refresh with a latch,
//! reads of a request's own on strict routes, the colo's copy, and who waits for what.

use std::rc::Rc;

use edge::replication::{Account, Caught, Follower, Position};
use edge::validator::{Decision, Freshness, Need, RequestFacts, StatementCache, Validator};
use shared::feed::Refusal;
use shared::policy::{DEFAULT_MAX_STALENESS_MS, DEFAULT_REFRESH_MS, OnStale};
use shared::time::UnixMillis;
use shared::verdict;

use super::World;
use super::clock::Clock;
use super::event::{Event, IsolateEvent, RegionEvent};
use super::network::Node;
use crate::checker::{Event as Seen, Outcome, Place, Route};
use crate::config::{Fault, Mutation};
use crate::deployment::{self, COLO_TTL_MS};

const READ_TIMEOUT_US: u64 = 2_000_000;
/// Shared refreshes start at most this often.
const MIN_INTERVAL_MS: u64 = 1000;
const MIN_INTERVAL_COLD_MS: u64 = 250;
/// Reads that one request may wait for.
const MAX_READS: u32 = 3;
const MAX_ROUNDS: u32 = 8;

/// One colo's copy of what its region answered, by the place of whoever asked.
pub(super) struct Colo {
    clock: Clock,
    copies: Vec<(Position, UnixMillis, Rc<[u8]>, Account)>,
}

impl Colo {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            copies: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
struct Request {
    credential: u64,
    route: Route,
    min_seq: Option<u64>,
    started_us: u64,
    reads: u32,
    /// A read of its own has brought what a region that holds a lease has.
    read_after_arrival: bool,
    exhausted: bool,
}

#[derive(Debug)]
struct Read {
    id: u64,
    /// Through the colo's copy, and for everybody.
    shared: bool,
    at: Position,
    started: UnixMillis,
    rounds: u32,
    from_scratch: bool,
    waiting: Vec<Request>,
}

pub(super) struct IsolateNode {
    clock: Clock,
    colo: usize,
    pub(super) region: usize,
    follower: Follower,
    cache: StatementCache,
    reads: Vec<Read>,
    attempted_at: Option<UnixMillis>,
    wants_copy: bool,
    /// Nobody here asks for more than its own copy: no strict route, no Min-Seq.
    pub(super) plain: bool,
}

impl IsolateNode {
    pub(super) fn new(clock: Clock, colo: usize, region: usize, plain: bool) -> Self {
        Self {
            plain,
            clock,
            colo,
            region,
            follower: Follower::new(deployment::common().trust.clone()),
            cache: StatementCache::default(),
            reads: Vec::new(),
            attempted_at: None,
            wants_copy: true,
        }
    }
}

enum Judged {
    Done(Outcome),
    /// A read that starts now.
    Own,
    /// The shared refresh.
    Shared,
}

fn path(route: Route) -> &'static str {
    match route {
        Route::Default => "/default",
        Route::Strict => "/strict",
        Route::AllowStale => "/stale",
    }
}

impl World {
    pub(super) fn ask(&mut self, isolate: usize, credential: u64, route: Route, min_seq: Option<u64>) {
        let request = Request {
            credential,
            route,
            min_seq,
            started_us: self.now_us,
            reads: 0,
            read_after_arrival: false,
            exhausted: false,
        };
        self.decide(isolate, request);
        self.refresh_if_due(isolate);
    }

    fn decide(&mut self, isolate: usize, mut request: Request) {
        request.exhausted |= request.reads >= MAX_READS;
        match self.judge(isolate, &request) {
            Judged::Done(outcome) => self.answer(isolate, &request, outcome),
            Judged::Own => {
                request.reads += 1;
                self.read(isolate, false, 0, false, vec![request]);
            }
            Judged::Shared => {
                request.reads += 1;
                let node = &mut self.isolates[isolate];
                if let Some(read) = node.reads.iter_mut().find(|read| read.shared) {
                    read.waiting.push(request);
                } else if self.may_refresh(isolate) {
                    self.read(isolate, true, 0, false, vec![request]);
                } else {
                    request.exhausted = true;
                    self.decide(isolate, request);
                }
            }
        }
    }

    /// The order of the adapter: local set, validator, whether a copy may decide, Min-Seq.
    fn judge(&mut self, isolate: usize, request: &Request) -> Judged {
        let mutation = self.config.mutation;
        let node = &mut self.isolates[isolate];
        let now = node.clock.at(self.now_us);
        let follower = &node.follower;
        let Some(head) = follower.head() else {
            return if request.exhausted {
                Judged::Done(Outcome::Unavailable)
            } else {
                Judged::Shared
            };
        };
        if follower.is_revoked(deployment::index(request.credential)) {
            return Judged::Done(Outcome::Revoked);
        }
        if request.min_seq.is_some_and(|seq| head.seq < seq) {
            return if request.exhausted {
                Judged::Done(Outcome::Unavailable)
            } else {
                Judged::Own
            };
        }
        let freshness = Freshness {
            contact_age_ms: follower.contact_age_ms(now).unwrap_or(u64::MAX),
            feed_age_ms: None,
            seq: head.seq,
            read_after_arrival: request.read_after_arrival,
            exhausted: request.exhausted,
        };
        let common = deployment::common();
        let validator = Validator {
            deployment: &common.deployment,
            state: follower.state(),
            local: follower.local(),
            policy: &common.policy,
        };
        let facts = RequestFacts {
            method: "GET",
            path: path(request.route),
            authorization: common
                .authorizations
                .get(request.credential as usize)
                .map(String::as_str),
            ..RequestFacts::default()
        };
        match validator.check(&facts, freshness, now.seconds(), &mut node.cache) {
            Decision::Refresh(Need::Strict | Need::Block) => Judged::Own,
            Decision::Refresh(Need::Stale | Need::Seq) => Judged::Shared,
            Decision::Allow(grant)
                if follower.is_copy()
                    && grant.route.route.on_stale == OnStale::Deny
                    && mutation != Some(Mutation::CopyDecides) =>
            {
                if request.exhausted {
                    Judged::Done(Outcome::Unavailable)
                } else {
                    Judged::Shared
                }
            }
            Decision::Allow(_) => Judged::Done(Outcome::Allowed),
            Decision::Refuse(refusal) => Judged::Done(match refusal.reason.outcome() {
                verdict::Outcome::Unavailable => Outcome::Unavailable,
                // Any other refusal of these credentials is one too many.
                _ => Outcome::Revoked,
            }),
        }
    }

    fn answer(&mut self, isolate: usize, request: &Request, outcome: Outcome) {
        let node = &self.isolates[isolate];
        let state = node.follower.head().map(|head| Place {
            epoch: head.epoch,
            seq: head.seq,
        });
        let event = Seen::Answer {
            credential: request.credential,
            started_us: request.started_us,
            route: request.route,
            region: Some(self.names[node.region].as_str().to_owned()),
            min_seq: request.min_seq,
            state,
            outcome,
        };
        if self.trace.is_some() {
            self.saw(&Node::Isolate(isolate).to_string(), &event);
        } else {
            self.checker.read(self.now_us, "isolate", &event);
        }
    }

    fn may_refresh(&self, isolate: usize) -> bool {
        let node = &self.isolates[isolate];
        let now = node.clock.at(self.now_us);
        let cold = node.follower.head().is_none();
        let interval = if cold {
            MIN_INTERVAL_COLD_MS
        } else {
            MIN_INTERVAL_MS
        };
        let recent = |at: UnixMillis| at <= now && now.since(at) < interval;
        !node.reads.iter().any(|read| read.shared) && !node.attempted_at.is_some_and(recent)
    }

    /// The ordinary refresh. Nobody waits for it.
    fn refresh_if_due(&mut self, isolate: usize) {
        let node = &self.isolates[isolate];
        let age = node.follower.contact_age_ms(node.clock.at(self.now_us));
        if age.is_none_or(|age| age > DEFAULT_REFRESH_MS) && self.may_refresh(isolate) {
            self.read(isolate, true, 0, false, Vec::new());
        }
    }

    fn read(&mut self, isolate: usize, shared: bool, rounds: u32, from_scratch: bool, waiting: Vec<Request>) {
        let id = self.id();
        let now_us = self.now_us;
        let node = &mut self.isolates[isolate];
        let now = node.clock.at(now_us);
        let head = node.follower.head().filter(|_| !from_scratch);
        let read = Read {
            id,
            shared,
            at: head.map_or(Position::default(), Position::from),
            started: now,
            rounds,
            from_scratch,
            waiting,
        };
        if shared {
            node.attempted_at = Some(now);
            let colo = &self.colos[node.colo];
            let colo_now = colo.clock.at(now_us);
            let copy = colo
                .copies
                .iter()
                .find(|(at, put, ..)| *at == read.at && colo_now.since(*put) < COLO_TTL_MS);
            if let Some((_, _, message, account)) = copy {
                let (message, account) = (Rc::clone(message), account.clone());
                self.finish_read(isolate, read, Some((&message, &account)));
                return;
            }
        }
        let region = node.region;
        let event = RegionEvent::Read {
            id,
            isolate,
            at: read.at,
        };
        node.reads.push(read);
        self.send(
            Node::Isolate(isolate),
            Node::Region(region),
            Event::Region(region, event),
        );
        self.after(
            READ_TIMEOUT_US,
            Event::Isolate(isolate, IsolateEvent::Timeout { id }),
        );
    }

    pub(super) fn isolate_event(&mut self, isolate: usize, event: IsolateEvent) {
        let (id, answer) = match event {
            IsolateEvent::Answer { id, message, account } => (id, Some((message, account))),
            IsolateEvent::Timeout { id } => (id, None),
            IsolateEvent::SelfRevoked { index } => {
                self.isolates[isolate].follower.end_locally(index);
                self.self_revoked(isolate, index);
                return;
            }
        };
        let node = &mut self.isolates[isolate];
        let Some(place) = node.reads.iter().position(|read| read.id == id) else {
            return;
        };
        let read = node.reads.swap_remove(place);
        if let Some((message, account)) = &answer
            && read.shared
        {
            let now = node.clock.at(self.now_us);
            let mut account = account.clone();
            if self.config.mutation != Some(Mutation::CacheForgetsReadTime) {
                // The copy is as old as the read that brought it was long.
                let took = now.since(read.started);
                account.contact_age_ms = account.contact_age_ms.map(|age| age + took);
            }
            let colo = &mut self.colos[node.colo];
            let put = colo.clock.at(self.now_us);
            colo.copies
                .retain(|(at, old, ..)| *at != read.at && put.since(*old) < COLO_TTL_MS);
            colo.copies.push((read.at, put, Rc::clone(message), account));
        }
        let answer = answer.as_ref().map(|(message, account)| (message, account));
        self.finish_read(isolate, read, answer);
    }

    /// Takes an answer in, or goes without, and lets go on who waited.
    fn finish_read(&mut self, isolate: usize, read: Read, answer: Option<(&Rc<[u8]>, &Account)>) {
        let mutation = self.config.mutation;
        let heard = match answer {
            Some((message, account)) => {
                let now = self.isolates[isolate].clock.at(self.now_us);
                let started = if mutation == Some(Mutation::AgeFromReadEnd) {
                    now
                } else {
                    read.started
                };
                let node = &mut self.isolates[isolate];
                let before = (node.follower.head(), node.follower.contact_at());
                let caught = node.follower.take_answer(message, account, started, now);
                self.watch_isolate(isolate, before.0.map(|head| head.seq), before.1);
                match caught {
                    Ok(Caught::Behind) if read.rounds < MAX_ROUNDS => {
                        self.read(isolate, read.shared, read.rounds + 1, false, read.waiting);
                        return;
                    }
                    Err(Refusal::Gap | Refusal::BadCertificate) if !read.from_scratch => {
                        self.read(isolate, read.shared, read.rounds + 1, true, read.waiting);
                        return;
                    }
                    Err(Refusal::LowerEpoch | Refusal::Fork)
                        if mutation == Some(Mutation::LowerEpochAccepted) =>
                    {
                        let trust = deployment::common().trust.clone();
                        self.isolates[isolate].follower = Follower::new(trust);
                        false
                    }
                    caught => caught == Ok(Caught::Up),
                }
            }
            None => false,
        };
        let cold = self.isolates[isolate].follower.head().is_none();
        if !heard && cold && self.isolates[isolate].wants_copy && self.faults.has(Fault::Copies) {
            self.take_copy(isolate);
        }
        // The age that `contact_at` counts is not enough for a strict route: a colo's copy is younger than what it holds.
        let fresh = !read.shared && answer.is_some_and(|(_, account)| account.contact_age_ms == Some(0));
        for mut request in read.waiting {
            request.exhausted |= !heard;
            request.read_after_arrival |= heard && fresh;
            self.decide(isolate, request);
        }
    }

    /// A cold isolate that does not hear its region starts with what KV has.
    fn take_copy(&mut self, isolate: usize) {
        if self.copies.is_empty() {
            return;
        }
        let (message, made_at) = self.copies[self.rng.place(self.copies.len())].clone();
        let node = &mut self.isolates[isolate];
        node.wants_copy = false;
        let _ = node.follower.take_copy(&message, made_at);
        self.note(&Node::Isolate(isolate).to_string(), || {
            "starts with a copy from KV".into()
        });
    }

    /// Notes since when an isolate enforces what it has just learnt.
    fn watch_isolate(&mut self, isolate: usize, before: Option<u64>, contact: Option<UnixMillis>) {
        let node = &self.isolates[isolate];
        let (Some(before), Some(after)) = (before, node.follower.head()) else {
            return;
        };
        if after.seq > before {
            let now = node.clock.at(self.now_us);
            // What it says of itself: fresh until so long after its last contact, or never.
            let since = contact.map_or(0, |at| {
                let silent_ms = now.since(at).saturating_sub(DEFAULT_MAX_STALENESS_MS);
                self.now_us.saturating_sub(silent_ms * 1000)
            });
            self.enforcement.moved(before, after.seq, since);
        }
    }

    /// A new isolate in its place.
    pub(super) fn restart_isolate(&mut self, isolate: usize) {
        let mut clock = Clock::draw(self.faults, &mut self.rng);
        if self.faults.has(Fault::Clocks) && !self.copies.is_empty() && self.rng.chance(500_000) {
            // The worst clock: one by which an old copy is brand new.
            let (_, made_at) = &self.copies[self.rng.place(self.copies.len())];
            clock.set(self.now_us, *made_at);
        }
        let node = &self.isolates[isolate];
        let (colo, region, plain) = (node.colo, node.region, node.plain);
        self.isolates[isolate] = IsolateNode::new(clock, colo, region, plain);
        if self.faults.has(Fault::Copies) && self.rng.chance(500_000) {
            // It starts while its region cannot be reached.
            let until = self.now_us + 6_000_000;
            self.network
                .cut(Node::Isolate(isolate), Node::Region(region), until);
        }
        self.note(&Node::Isolate(isolate).to_string(), || "is a new one".into());
    }

    /// Where an isolate stands.
    pub(super) fn isolate_head(&self, isolate: usize) -> Option<shared::feed::Head> {
        self.isolates[isolate].follower.head()
    }
}
