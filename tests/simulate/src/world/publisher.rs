//! The publisher: a chain of committed frames, heartbeats, and the rule of receipts. The rule is the control plane's; here
//! it is written down once more, as small as it can be.

use std::collections::BTreeMap;
use std::rc::Rc;

use edge::replication::{Position, RegionReport};
use shared::feed::{Entry, Head, State, join_message};
use shared::id::StatusIndex;
use shared::policy::DEFAULT_MAX_STALENESS_MS;
use shared::time::UnixMillis;

use super::World;
use super::clock::Clock;
use super::event::{Event, HubEvent, PublisherEvent, RegionEvent};
use super::network::Node;
use crate::checker::{Event as Seen, Place, Promise};
use crate::config::Mutation;
use crate::deployment::{self, COLO_TTL_MS};

const HEARTBEAT_US: u64 = 1_000_000;
const TIMEOUT_US: u64 = 1_500_000;
/// Silent for so long, and the regions get the frames directly.
const SILENCE_MS: u64 = 2000;
const BOUND_MS: u64 = COLO_TTL_MS + DEFAULT_MAX_STALENESS_MS;

/// What survives a crash.
#[derive(Default)]
pub(super) struct Database {
    pub(super) head: Option<Head>,
    pub(super) state: State,
    /// Frames after the last snapshot that cut them.
    frames: Vec<(Head, Rc<[u8]>)>,
    snapshot: Option<(Head, Rc<[u8]>)>,
    receipts: Vec<Receipt>,
}

/// One revocation's way to its receipt.
struct Receipt {
    credential: u64,
    at: Position,
    committed_us: u64,
    /// When each region was done, by the publisher's clock. Memory: a crash forgets it.
    done: Vec<Option<UnixMillis>>,
    acknowledged: bool,
    effective: bool,
}

pub(super) struct Publisher {
    pub(super) clock: Clock,
    pub(super) up: bool,
    pub(super) database: Database,
    regions: usize,
    // Memory.
    hub_at: Option<Position>,
    region_at: Vec<Option<Position>>,
    in_flight: BTreeMap<u64, Node>,
    heard_at: UnixMillis,
    due_us: Option<u64>,
}

impl Publisher {
    pub(super) fn new(clock: Clock, regions: usize) -> Self {
        Self {
            clock,
            up: true,
            database: Database::default(),
            regions,
            hub_at: None,
            region_at: vec![None; regions],
            in_flight: BTreeMap::new(),
            heard_at: clock.at(0),
            due_us: None,
        }
    }

    /// What somebody at a place lacks, ending in a heartbeat.
    fn since(&self, at: Option<Position>) -> Rc<[u8]> {
        let database = &self.database;
        let Some(head) = database.head else {
            return Rc::from([]);
        };
        let at = at.unwrap_or_default();
        let mut envelopes: Vec<&[u8]> = Vec::new();
        let follows = |head: &Head| {
            let before = Position {
                epoch: head.epoch,
                seq: head.seq - 1,
            };
            before == at || (at == Position::default() && head.epoch == 1 && head.seq == 1)
        };
        let mut start = at;
        let reachable = database.frames.iter().any(|(head, _)| follows(head));
        if at < Position::from(head)
            && !reachable
            && let Some((at, envelope)) = &database.snapshot
        {
            envelopes.push(envelope);
            start = (*at).into();
        }
        let newer = database
            .frames
            .iter()
            .filter(|(at, _)| Position::from(*at) > start);
        envelopes.extend(newer.map(|(_, envelope)| envelope.as_ref()));
        let heartbeat = deployment::heartbeat(head);
        // A snapshot of where everybody is lets logs be cut.
        if let Some((at, envelope)) = &database.snapshot
            && *at == head
            && start == Position::from(head)
            && envelopes.is_empty()
        {
            envelopes.push(envelope);
        }
        envelopes.push(&heartbeat);
        join_message(envelopes).into()
    }

    fn commit(&mut self, entries: Vec<Entry>) -> Head {
        let database = &mut self.database;
        for entry in &entries {
            database.state.join(entry.clone());
        }
        let (head, envelope) = deployment::frame(database.head, entries);
        database.head = Some(head);
        database.frames.push((head, envelope));
        head
    }
}

impl World {
    pub(super) fn start_publisher(&mut self) {
        self.publisher.commit(deployment::opening());
        self.push();
        self.after(HEARTBEAT_US, Event::Publisher(PublisherEvent::Tick));
    }

    pub(super) fn publisher_event(&mut self, event: PublisherEvent) {
        let now = self.publisher.clock.at(self.now_us);
        if let PublisherEvent::Start = event {
            self.note("publisher", || "starts".into());
            self.publisher.up = true;
            self.publisher.heard_at = now;
            self.push();
            return;
        }
        if let PublisherEvent::Tick = event {
            self.after(HEARTBEAT_US, Event::Publisher(PublisherEvent::Tick));
        }
        if !self.publisher.up {
            return;
        }
        match event {
            PublisherEvent::Tick => {
                self.push();
                if now.since(self.publisher.heard_at) > SILENCE_MS {
                    self.push_directly();
                }
            }
            PublisherEvent::Revoke => {
                if let Some(credential) = self.next_victim() {
                    self.revoked.push(credential);
                    self.saw("client", &Seen::Revoking { credential });
                    self.revoke(credential);
                    self.push();
                }
            }
            PublisherEvent::HubAnswer {
                id,
                head,
                regions,
                local,
            } => {
                if self.publisher.in_flight.remove(&id).is_some() {
                    self.publisher.heard_at = now;
                    self.take_hub_answer(head, &regions, &local, now);
                }
            }
            PublisherEvent::RegionAnswer { id, region, head } => {
                if self.publisher.in_flight.remove(&id).is_some() {
                    let at = head.map(Position::from);
                    self.publisher.region_at[region] = at;
                    self.region_done(region, at, None, now);
                    self.give_receipts(now);
                }
            }
            PublisherEvent::Timeout { id } => {
                self.publisher.in_flight.remove(&id);
            }
            PublisherEvent::Due => {
                if self.publisher.due_us.is_some_and(|due| due <= self.now_us) {
                    self.publisher.due_us = None;
                }
                self.give_receipts(now);
            }
            PublisherEvent::Compact => self.compact(),
            PublisherEvent::Recover => self.recover(),
            PublisherEvent::Start => {}
        }
    }

    /// Stops it. What is in the database stays.
    pub(super) fn crash_publisher(&mut self) {
        let publisher = &mut self.publisher;
        publisher.up = false;
        publisher.hub_at = None;
        publisher.region_at = vec![None; publisher.regions];
        publisher.in_flight.clear();
        publisher.due_us = None;
        for receipt in &mut publisher.database.receipts {
            receipt.done.fill(None);
        }
    }

    /// One transaction: the frame, and with it the revocation.
    fn revoke(&mut self, credential: u64) {
        let head = self
            .publisher
            .commit(vec![Entry::revoked(deployment::index(credential))]);
        let regions = self.publisher.regions;
        self.publisher.database.receipts.push(Receipt {
            credential,
            at: head.into(),
            committed_us: self.now_us,
            done: vec![None; regions],
            acknowledged: false,
            effective: false,
        });
        self.saw("publisher", &Seen::Committed { credential });
        self.enforcement.committed(head.seq, self.now_us);
        self.note("publisher", || {
            format!("commits {}/{}: revokes {credential}", head.epoch, head.seq)
        });
    }

    fn push(&mut self) {
        let message = self.publisher.since(self.publisher.hub_at);
        if self.overheard.len() < 64 {
            self.overheard.push(Rc::clone(&message));
        }
        let id = self.id();
        self.publisher.in_flight.insert(id, Node::Hub);
        self.send(
            Node::Publisher,
            Node::Hub,
            Event::Hub(HubEvent::Push { id, message }),
        );
        self.after(TIMEOUT_US, Event::Publisher(PublisherEvent::Timeout { id }));
    }

    fn push_directly(&mut self) {
        for region in 0..self.publisher.regions {
            let message = self.publisher.since(self.publisher.region_at[region]);
            let id = self.id();
            self.publisher.in_flight.insert(id, Node::Region(region));
            let event = Event::Region(region, RegionEvent::Direct { id, message });
            self.send(Node::Publisher, Node::Region(region), event);
            self.after(TIMEOUT_US, Event::Publisher(PublisherEvent::Timeout { id }));
        }
    }

    fn take_hub_answer(
        &mut self,
        head: Option<Head>,
        regions: &[RegionReport],
        local: &[StatusIndex],
        now: UnixMillis,
    ) {
        let at = head.map(Position::from);
        let moved = self.publisher.hub_at != at;
        self.publisher.hub_at = at;
        for report in regions {
            let Some(region) = self.names.iter().position(|name| *name == report.name) else {
                continue;
            };
            let applied = report
                .epoch
                .zip(report.seq)
                .map(|(epoch, seq)| Position { epoch, seq });
            self.publisher.region_at[region] = applied;
            self.region_done(region, applied, at.map(|at| (at, report.lease_ms)), now);
        }
        let mut committed = false;
        for index in local {
            if !self.publisher.database.state.is_revoked(*index) {
                self.revoke(deployment::credential(*index));
                committed = true;
            }
        }
        self.give_receipts(now);
        let behind = at < self.publisher.database.head.map(Position::from);
        if committed || (moved && behind) {
            self.push();
        }
    }

    /// The rule: a region is done for a frame when the hub has it, and the region has applied it or every lease that it may
    /// hold with something older has run out. What regions got directly counts once the hub has it too: until then a region
    /// that loses its disk would take the hub's word for what it has lost.
    fn region_done(
        &mut self,
        region: usize,
        applied: Option<Position>,
        hub: Option<(Position, u64)>,
        now: UnixMillis,
    ) {
        let direct_counts = self.config.mutation == Some(Mutation::DirectCounts);
        let no_lease = self.config.mutation == Some(Mutation::NoLease);
        for receipt in self
            .publisher
            .database
            .receipts
            .iter_mut()
            .filter(|r| !r.effective)
        {
            let mut done = receipt.done[region];
            let mut by = |at: UnixMillis| done = Some(done.map_or(at, |known| known.min(at)));
            let applied = applied.is_some_and(|applied| applied >= receipt.at);
            let held = hub.filter(|(at, _)| *at >= receipt.at);
            if applied && (held.is_some() || direct_counts) {
                by(now);
            }
            if let Some((_, lease_ms)) = held {
                by(if no_lease {
                    now
                } else {
                    now.saturating_add(lease_ms)
                });
            }
            receipt.done[region] = done;
        }
    }

    fn give_receipts(&mut self, now: UnixMillis) {
        let bound = if self.config.mutation == Some(Mutation::NoBound) {
            0
        } else {
            BOUND_MS
        };
        let mut told = Vec::new();
        let mut next: Option<UnixMillis> = None;
        for receipt in self
            .publisher
            .database
            .receipts
            .iter_mut()
            .filter(|r| !r.effective)
        {
            let Some(done) = receipt.done.iter().copied().collect::<Option<Vec<_>>>() else {
                continue;
            };
            let done = done.into_iter().max().unwrap_or(now);
            let place = Place {
                epoch: receipt.at.epoch,
                seq: receipt.at.seq,
            };
            if done <= now && !receipt.acknowledged {
                receipt.acknowledged = true;
                told.push((
                    receipt.credential,
                    Promise::Acknowledged,
                    place,
                    receipt.committed_us,
                ));
            }
            let effective = done.saturating_add(bound);
            if effective <= now {
                receipt.effective = true;
                told.push((
                    receipt.credential,
                    Promise::Effective,
                    place,
                    receipt.committed_us,
                ));
            } else {
                let due = if done > now { done } else { effective };
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        for (credential, kind, place, committed_us) in told {
            if kind == Promise::Effective {
                self.enforcement.receipts.push(self.now_us - committed_us);
            }
            let event = Seen::Receipt {
                credential,
                kind,
                place,
            };
            self.saw("client", &event);
            // Whoever holds a receipt may try at once.
            self.after(1, Event::Try { credential, kind });
        }
        if let Some(next) = next {
            let due = self.now_us + self.publisher.clock.true_us(next.since(now)) + 1;
            if self.publisher.due_us.is_none_or(|known| due < known) {
                self.publisher.due_us = Some(due);
                self.at(due, Event::Publisher(PublisherEvent::Due));
            }
        }
    }

    /// A snapshot at the head; the frames before it go.
    fn compact(&mut self) {
        let database = &mut self.publisher.database;
        if let Some(head) = database.head {
            database.snapshot = Some((head, deployment::snapshot(head, &database.state)));
            database.frames.clear();
            self.note("publisher", || format!("snapshot at {}/{}", head.epoch, head.seq));
            self.push();
        }
    }

    /// A new epoch, and everybody starts from its snapshot.
    fn recover(&mut self) {
        let database = &mut self.publisher.database;
        if let Some(head) = database.head {
            let (opened, envelope) = deployment::next_epoch(head, &database.state);
            database.head = Some(opened);
            database.snapshot = Some((opened, envelope));
            database.frames.clear();
            self.note("publisher", || {
                format!("epoch {} opens at {}", opened.epoch, opened.seq)
            });
            self.push();
        }
    }
}
