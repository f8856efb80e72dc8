//! The hub object: the real [`Hub`], what stands around it in the Durable Object, and its crashes.

use std::collections::BTreeSet;
use std::rc::Rc;

use edge::replication::{Hub, Log as _};
use shared::time::UnixMillis;

use super::clock::Clock;
use super::event::{Event, HubEvent, PublisherEvent, RegionEvent};
use super::network::Node;
use super::{World, count};
use crate::checker::{Event as Seen, Place};
use crate::config::Mutation;
use crate::deployment;
use crate::disk::{Crashed, Disk};

/// How long a push waits for the regions before it is answered.
const PATIENCE_US: u64 = 300_000;

/// A crash that waits for the next event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    /// How many of its writes get to the disk.
    pub(super) writes: u32,
    /// Whether its answers leave, if all writes got there.
    pub(super) told: bool,
    pub(super) down_us: u64,
}

/// A push whose answer waits for regions.
struct Waiting {
    id: u64,
    regions: BTreeSet<u64>,
}

pub(super) struct HubNode {
    pub(super) clock: Clock,
    pub(super) hub: Option<Hub<Disk>>,
    /// While it is down.
    pub(super) disk: Disk,
    pub(super) armed: Option<Armed>,
    waiting: Vec<Waiting>,
}

impl HubNode {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            hub: None,
            disk: Disk::default(),
            armed: None,
            waiting: Vec::new(),
        }
    }
}

impl World {
    pub(super) fn start_hub(&mut self) {
        let now = self.hub.clock.at(self.now_us);
        let opened_at = if self.config.mutation == Some(Mutation::HubForgetsLeases) {
            UnixMillis(now.0 - 60_000)
        } else {
            now
        };
        let disk = std::mem::take(&mut self.hub.disk);
        let trust = deployment::common().trust.clone();
        let hub = Hub::open(disk, trust, self.names.iter().cloned(), opened_at);
        self.hub.hub = Some(hub.expect("what was written can be read"));
        self.note("hub", || "starts".into());
    }

    pub(super) fn hub_event(&mut self, event: HubEvent) {
        if let HubEvent::Start = event {
            if self.hub.hub.is_none() {
                self.start_hub();
            }
            return;
        }
        let Some(mut hub) = self.hub.hub.take() else {
            return;
        };
        count(&mut self.loads.hub, self.now_us);
        let armed = self.hub.armed.take();
        let reckless = self.config.mutation == Some(Mutation::AnswerBeforeDisk);
        let before = match armed {
            Some(_) if reckless => Some(hub.feed().log().clone()),
            Some(armed) => {
                hub.feed().log().allow(Some(armed.writes));
                None
            }
            None => None,
        };
        let sent = self.outgoing.len();
        let outcome = self.serve(&mut hub, event);
        if outcome.is_ok()
            && (armed.is_none() || before.is_none())
            && let Some(head) = hub.head()
        {
            let place = Place {
                epoch: head.epoch,
                seq: head.seq,
            };
            self.checker.read(self.now_us, "hub", &Seen::Held { place });
            self.enforcement.held(head.seq, self.now_us);
        }
        self.hub.hub = Some(hub);
        if let Some(armed) = armed {
            if !(reckless || (armed.told && outcome.is_ok())) {
                self.outgoing.truncate(sent);
            }
            self.crash_hub(armed.down_us);
            if let Some(before) = before {
                self.hub.disk = before;
            }
        }
    }

    fn serve(&mut self, hub: &mut Hub<Disk>, event: HubEvent) -> Result<(), Crashed> {
        let now = self.hub.clock.at(self.now_us);
        match event {
            HubEvent::Push { id, message } => self.take_push(hub, id, &message, now)?,
            HubEvent::AnswerPush { id } => self.answer_push(hub, id, now),
            HubEvent::Pushed { id, region, head } => {
                hub.pushed(&self.names[region], head, now);
                let waiting = self.hub.waiting.iter_mut();
                let ready: Vec<u64> = waiting
                    .filter_map(|push| {
                        (push.regions.remove(&id) && push.regions.is_empty()).then_some(push.id)
                    })
                    .collect();
                for id in ready {
                    self.answer_push(hub, id, now);
                }
            }
            HubEvent::Pull {
                id,
                region,
                applied,
                local,
            } => {
                hub.add_local(&local)?;
                if let Some(message) = hub.pull(&self.names[region], applied, now)? {
                    let event = RegionEvent::Pulled {
                        id,
                        message: message.into(),
                        account: hub.account(now),
                    };
                    self.send(Node::Hub, Node::Region(region), Event::Region(region, event));
                }
            }
            HubEvent::Start => {}
        }
        Ok(())
    }

    fn take_push(
        &mut self,
        hub: &mut Hub<Disk>,
        id: u64,
        message: &Rc<[u8]>,
        now: UnixMillis,
    ) -> Result<(), Crashed> {
        let before = hub.head();
        let taken = hub.apply(message, now)?;
        if self.config.mutation == Some(Mutation::LowerEpochAccepted)
            && taken.refused == Some(shared::feed::Refusal::LowerEpoch)
        {
            let trust = deployment::common().trust.clone();
            let names = self.names.iter().cloned();
            *hub = Hub::open(Disk::default(), trust, names, now).unwrap_or_else(|_| hub.clone());
            hub.apply(message, now)?;
        }
        if hub.head() != before {
            self.note("hub", || {
                format!("at {:?}", hub.head().map(|head| (head.epoch, head.seq)))
            });
        }
        let mut regions = BTreeSet::new();
        let leaky = self.config.mutation == Some(Mutation::PushRenewsLease);
        for (name, message) in hub.pushes(now)? {
            let Some(region) = self.names.iter().position(|known| *known == name) else {
                continue;
            };
            let push = self.id();
            regions.insert(push);
            let event = RegionEvent::Push {
                id: push,
                message: message.into(),
                account: leaky.then(|| hub.account(now)),
            };
            self.send(Node::Hub, Node::Region(region), Event::Region(region, event));
        }
        let done = regions.is_empty();
        self.hub.waiting.push(Waiting { id, regions });
        if done {
            self.answer_push(hub, id, now);
        } else {
            self.after(PATIENCE_US, Event::Hub(HubEvent::AnswerPush { id }));
        }
        Ok(())
    }

    fn answer_push(&mut self, hub: &Hub<Disk>, id: u64, now: UnixMillis) {
        let Some(place) = self.hub.waiting.iter().position(|push| push.id == id) else {
            return;
        };
        self.hub.waiting.remove(place);
        let mut regions = hub.report(now);
        if self.config.mutation == Some(Mutation::NegativeMargin) {
            for report in &mut regions {
                report.lease_ms = report.lease_ms.saturating_sub(3000);
            }
        }
        let event = PublisherEvent::HubAnswer {
            id,
            head: hub.head(),
            regions,
            local: hub.local().all(),
        };
        self.send(Node::Hub, Node::Publisher, Event::Publisher(event));
    }

    pub(super) fn crash_hub(&mut self, down_us: u64) {
        if let Some(hub) = self.hub.hub.take() {
            self.note("hub", || format!("crashes for {down_us} us"));
            self.hub.disk = hub.into_log();
            self.hub.disk.allow(None);
            self.hub.waiting.clear();
            if self.rng.chance(300_000) {
                self.hub.clock = Clock::draw(self.faults, &mut self.rng);
            }
            self.after(down_us, Event::Hub(HubEvent::Start));
        }
    }

    pub(super) fn wipe_hub(&mut self) {
        let lost = self.hub.disk.local().unwrap_or_default();
        self.hub.disk = Disk::default();
        self.saw("hub", &Seen::HubLost);
        for index in lost {
            let published = self.publisher.database.state.is_revoked(index);
            let everywhere = !published && !self.regions_know(index);
            // Regions that still have it tell the hub again; the others have it from nobody until then.
            for number in 0..self.regions.len() {
                if everywhere || !self.region_knows(number, index) {
                    let event = Seen::LocalLost {
                        credential: deployment::credential(index),
                        region: self.names[number].to_string(),
                        everywhere,
                    };
                    self.saw("hub", &event);
                }
            }
        }
    }

    /// Puts what the hub has into KV.
    pub(super) fn copy_hub(&mut self) {
        let now = self.hub.clock.at(self.now_us);
        if let Some(hub) = &mut self.hub.hub
            && let Ok(message) = hub.feed().since(edge::replication::Position::default())
            && !message.is_empty()
        {
            self.copies.push((message.into(), now));
        }
    }

    /// Whether a self-revocation has reached the hub's disk.
    pub(super) fn hub_knows(&mut self, index: shared::id::StatusIndex) -> bool {
        if let Some(hub) = &mut self.hub.hub {
            return hub.local().contains(index) || hub.feed().state().is_revoked(index);
        }
        let trust = deployment::common().trust.clone();
        let listed = self.hub.disk.local().is_ok_and(|local| local.contains(&index));
        let feed = edge::replication::Feed::open(self.hub.disk.clone(), trust);
        listed || feed.is_ok_and(|feed| feed.state().is_revoked(index))
    }
}
