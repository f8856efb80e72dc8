//! A region's object: the real [`Region`], its pulls, its readers and its crashes.

use std::rc::Rc;

use edge::replication::{Account, Caught, Log as _, Position, Region};
use shared::feed::{Head, Refusal};
use shared::id::StatusIndex;
use shared::time::UnixMillis;

use super::clock::Clock;
use super::event::{Event, HubEvent, IsolateEvent, PublisherEvent, RegionEvent};
use super::hub::Armed;
use super::network::Node;
use super::{World, count};
use crate::checker::Event as Seen;
use crate::config::Mutation;
use crate::deployment;
use crate::disk::{Crashed, Disk};

const PULL_TIMEOUT_US: u64 = 2_500_000;
/// Answers in a row that one pull may take to catch up.
const MAX_ROUNDS: u32 = 4;

struct Pull {
    id: u64,
    started: UnixMillis,
    rounds: u32,
    from_scratch: bool,
}

pub(super) struct RegionNode {
    pub(super) clock: Clock,
    pub(super) region: Option<Region<Disk>>,
    pub(super) disk: Disk,
    pub(super) armed: Option<Armed>,
    pull: Option<Pull>,
    readers: Vec<(u64, usize, Position)>,
}

impl RegionNode {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            region: None,
            disk: Disk::default(),
            armed: None,
            pull: None,
            readers: Vec::new(),
        }
    }
}

impl World {
    pub(super) fn start_region(&mut self, number: usize) {
        let node = &mut self.regions[number];
        let disk = std::mem::take(&mut node.disk);
        let region = Region::open(disk, deployment::common().trust.clone());
        node.region = Some(region.expect("what was written can be read"));
        self.note(&Node::Region(number).to_string(), || "starts".into());
    }

    pub(super) fn region_event(&mut self, number: usize, event: RegionEvent) {
        if let RegionEvent::Start = event {
            if self.regions[number].region.is_none() {
                self.start_region(number);
            }
            return;
        }
        let Some(mut region) = self.regions[number].region.take() else {
            return;
        };
        count(&mut self.loads.regions[number], self.now_us);
        let armed = self.regions[number].armed.take();
        let reckless = self.config.mutation == Some(Mutation::AnswerBeforeDisk);
        let before = match armed {
            Some(_) if reckless => Some(region.feed().log().clone()),
            Some(armed) => {
                region.feed().log().allow(Some(armed.writes));
                None
            }
            None => None,
        };
        let sent = self.outgoing.len();
        let head = region.head();
        let lease = region.lease();
        let outcome = self.serve_region(number, &mut region, event);
        self.watch_region(number, head, lease, &region);
        let node = &mut self.regions[number];
        node.region = Some(region);
        if let Some(armed) = armed {
            if !(reckless || (armed.told && outcome.is_ok())) {
                self.outgoing.truncate(sent);
            }
            self.crash_region(number, armed.down_us);
            if let Some(before) = before {
                self.regions[number].disk = before;
            }
        }
    }

    fn serve_region(
        &mut self,
        number: usize,
        region: &mut Region<Disk>,
        event: RegionEvent,
    ) -> Result<(), Crashed> {
        let now = self.regions[number].clock.at(self.now_us);
        match event {
            RegionEvent::Push { id, message, account } => {
                region.apply(&message, now)?;
                if let Some(account) = account {
                    let _ = region.take_pull(&[], &account, now, now)?;
                }
                let event = HubEvent::Pushed {
                    id,
                    region: number,
                    head: region.head(),
                };
                self.send(Node::Region(number), Node::Hub, Event::Hub(event));
            }
            RegionEvent::Direct { id, message } => {
                let taken = region.apply(&message, now)?;
                if self.config.mutation == Some(Mutation::LowerEpochAccepted)
                    && taken.refused == Some(Refusal::LowerEpoch)
                {
                    let trust = deployment::common().trust.clone();
                    *region = Region::open(Disk::default(), trust).unwrap_or_else(|_| region.clone());
                    region.apply(&message, now)?;
                }
                let event = PublisherEvent::RegionAnswer {
                    id,
                    region: number,
                    head: region.head(),
                };
                self.send(Node::Region(number), Node::Publisher, Event::Publisher(event));
            }
            RegionEvent::Pulled { id, message, account } => {
                self.take_pulled(number, region, id, &message, &account, now)?;
            }
            RegionEvent::PullTimeout { id } => {
                if self.regions[number]
                    .pull
                    .as_ref()
                    .is_some_and(|pull| pull.id == id)
                {
                    self.regions[number].pull = None;
                    self.answer_readers(number, region, now)?;
                }
            }
            RegionEvent::Read { id, isolate, at } => {
                if region.lease().is_pull_due(now) {
                    self.pull(number, region, now);
                }
                self.regions[number].readers.push((id, isolate, at));
                if region.lease().holds(now) {
                    self.answer_readers(number, region, now)?;
                }
            }
            RegionEvent::SelfRevoke { isolate, index } => {
                if region.end_locally(index)? {
                    let event = IsolateEvent::SelfRevoked { index };
                    self.send(
                        Node::Region(number),
                        Node::Isolate(isolate),
                        Event::Isolate(isolate, event),
                    );
                    self.pull(number, region, now);
                }
            }
            RegionEvent::Start => {}
        }
        Ok(())
    }

    /// Asks the hub, unless somebody is at it.
    fn pull(&mut self, number: usize, region: &Region<Disk>, now: UnixMillis) {
        if self.regions[number].pull.is_none() {
            self.pull_round(number, region, now, 0, false);
        }
    }

    fn pull_round(
        &mut self,
        number: usize,
        region: &Region<Disk>,
        now: UnixMillis,
        rounds: u32,
        from_scratch: bool,
    ) {
        let id = self.id();
        self.regions[number].pull = Some(Pull {
            id,
            started: now,
            rounds,
            from_scratch,
        });
        let event = HubEvent::Pull {
            id,
            region: number,
            applied: region.head().filter(|_| !from_scratch),
            local: region.local().all(),
        };
        self.send(Node::Region(number), Node::Hub, Event::Hub(event));
        let timeout = RegionEvent::PullTimeout { id };
        self.after(PULL_TIMEOUT_US, Event::Region(number, timeout));
    }

    fn take_pulled(
        &mut self,
        number: usize,
        region: &mut Region<Disk>,
        id: u64,
        message: &[u8],
        account: &Account,
        now: UnixMillis,
    ) -> Result<(), Crashed> {
        let Some(pull) = self.regions[number].pull.take_if(|pull| pull.id == id) else {
            return Ok(());
        };
        let started = if self.config.mutation == Some(Mutation::PullFromEnd) {
            now
        } else {
            pull.started
        };
        match region.take_pull(message, account, started, now)? {
            Ok(Caught::Behind) if pull.rounds < MAX_ROUNDS => {
                self.pull_round(number, region, now, pull.rounds + 1, false);
                return Ok(());
            }
            Err(Refusal::Gap | Refusal::BadCertificate) if !pull.from_scratch => {
                self.pull_round(number, region, now, pull.rounds + 1, true);
                return Ok(());
            }
            Err(Refusal::LowerEpoch)
                if self.config.mutation == Some(Mutation::LowerEpochAccepted) && !pull.from_scratch =>
            {
                let trust = deployment::common().trust.clone();
                *region = Region::open(Disk::default(), trust).unwrap_or_else(|_| region.clone());
                self.pull_round(number, region, now, pull.rounds + 1, true);
                return Ok(());
            }
            _ => {}
        }
        self.answer_readers(number, region, now)
    }

    fn answer_readers(
        &mut self,
        number: usize,
        region: &Region<Disk>,
        now: UnixMillis,
    ) -> Result<(), Crashed> {
        for (id, isolate, at) in std::mem::take(&mut self.regions[number].readers) {
            let message: Rc<[u8]> = region.since(at)?.into();
            let event = IsolateEvent::Answer {
                id,
                message,
                account: region.account(now),
            };
            self.send(
                Node::Region(number),
                Node::Isolate(isolate),
                Event::Isolate(isolate, event),
            );
        }
        Ok(())
    }

    /// Notes since when a region enforces what it has just learnt.
    fn watch_region(
        &mut self,
        number: usize,
        before: Option<Head>,
        lease: edge::replication::Lease,
        region: &Region<Disk>,
    ) {
        let (Some(before), Some(after)) = (before, region.head()) else {
            return;
        };
        if after.seq > before.seq {
            let now = self.regions[number].clock.at(self.now_us);
            // Without a lease nobody was let in by what it said.
            let since = match lease.age_ms(now) {
                Some(age) => self
                    .now_us
                    .saturating_sub(age.saturating_sub(edge::replication::LEASE_MS) * 1000),
                None => 0,
            };
            self.enforcement.moved(before.seq, after.seq, since);
            self.note(&Node::Region(number).to_string(), || {
                format!("at {:?}", (after.epoch, after.seq))
            });
        }
    }

    pub(super) fn crash_region(&mut self, number: usize, down_us: u64) {
        if let Some(region) = self.regions[number].region.take() {
            self.note(&Node::Region(number).to_string(), || {
                format!("crashes for {down_us} us")
            });
            let clock = Clock::draw(self.faults, &mut self.rng);
            let moved = self.rng.chance(300_000);
            let node = &mut self.regions[number];
            node.disk = region.into_log();
            node.disk.allow(None);
            node.pull = None;
            node.readers.clear();
            if moved {
                node.clock = clock;
            }
            self.after(down_us, Event::Region(number, RegionEvent::Start));
        }
    }

    pub(super) fn wipe_region(&mut self, number: usize) {
        let disk = std::mem::take(&mut self.regions[number].disk);
        let name = self.names[number].to_string();
        self.note(&Node::Region(number).to_string(), || "its disk is gone".into());
        let mut lost: Vec<StatusIndex> = disk.local().unwrap_or_default();
        lost.retain(|index| !self.hub_knows(*index));
        for index in lost {
            let elsewhere = self.regions_know(index);
            let published = self.publisher.database.state.is_revoked(index);
            let event = Seen::LocalLost {
                credential: deployment::credential(index),
                region: name.clone(),
                everywhere: !elsewhere && !published,
            };
            self.saw(&Node::Region(number).to_string(), &event);
        }
    }

    /// Whether a self-revocation is on a region's disk.
    pub(super) fn region_knows(&self, number: usize, index: StatusIndex) -> bool {
        let node = &self.regions[number];
        match &node.region {
            Some(region) => region.local().contains(index),
            None => node.disk.local().is_ok_and(|local| local.contains(&index)),
        }
    }

    /// Whether it is on the disk of any.
    pub(super) fn regions_know(&self, index: StatusIndex) -> bool {
        (0..self.regions.len()).any(|number| self.region_knows(number, index))
    }
}
