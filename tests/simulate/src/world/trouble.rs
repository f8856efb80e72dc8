//! What goes wrong, and when: drawn at the start. And how it ends.

use shared::feed::Head;

use super::World;
use super::event::{Event, HubEvent, PublisherEvent, RegionEvent};
use super::hub::Armed;
use super::network::Node;
use crate::checker::{Event as Seen, Rule, Violation};
use crate::config::Fault;
use crate::deployment;

#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    CrashHub(Armed),
    CrashRegion(usize, Armed),
    CrashPublisher(u64),
    RestartIsolate(usize),
    WipeHub(u64),
    WipeRegion(usize, u64),
    Cut(Node, Node, u64),
    Attack,
    Copy,
    SelfRevoke(usize),
}

impl World {
    /// Draws the schedule.
    pub(super) fn plan(&mut self) {
        let active = self.config.active_ms * 1000;
        let some = self.config.revocations;
        for _ in 0..self.rng.between(some.0, some.1) {
            let at = self.rng.between(active / 20, active);
            self.at(at, Event::Publisher(PublisherEvent::Revoke));
        }
        for (fault, most) in [
            (Fault::Compact, 3),
            (Fault::Epoch, 2),
            (Fault::SelfRevoke, 3),
            (Fault::Copies, 4),
            (Fault::Publisher, 2),
            (Fault::Attack, 12),
            (Fault::Crash, 6),
            (Fault::WipeHub, 1),
            (Fault::WipeRegion, 2),
            (Fault::Partition, 3 * self.config.regions as u64),
        ] {
            if self.faults.has(fault) {
                for _ in 0..self.rng.between(0, most) {
                    let at = self.rng.between(active / 50, active);
                    let event = self.draw(fault);
                    self.at(at, event);
                }
            }
        }
    }

    fn draw(&mut self, fault: Fault) -> Event {
        let region = self.rng.place(self.config.regions);
        let isolate = self.rng.place(self.config.isolates);
        let longest = [50_000, 1_000_000, 7_000_000][self.rng.place(3)];
        let down = self.rng.between(1_000, longest);
        let trouble = match fault {
            Fault::Compact => return Event::Publisher(PublisherEvent::Compact),
            Fault::Epoch => return Event::Publisher(PublisherEvent::Recover),
            Fault::SelfRevoke => Trouble::SelfRevoke(isolate),
            Fault::Copies if self.rng.chance(500_000) => Trouble::Copy,
            Fault::Copies => Trouble::RestartIsolate(isolate),
            Fault::Publisher => Trouble::CrashPublisher(down),
            Fault::Attack => Trouble::Attack,
            Fault::WipeHub => Trouble::WipeHub(down),
            Fault::WipeRegion => Trouble::WipeRegion(region, down),
            Fault::Partition => {
                let (a, b) = match self.rng.below(4) {
                    0 => (Node::Publisher, Node::Hub),
                    1 => (Node::Publisher, Node::Region(region)),
                    2 => (Node::Hub, Node::Region(region)),
                    _ => (
                        Node::Region(self.isolates[isolate].region),
                        Node::Isolate(isolate),
                    ),
                };
                Trouble::Cut(a, b, self.rng.between(100_000, 9_000_000))
            }
            _ => {
                let armed = Armed {
                    writes: [0, 1, 2, u32::MAX][self.rng.place(4)],
                    told: self.rng.chance(300_000),
                    down_us: down,
                };
                match self.rng.below(5) {
                    0 | 1 => Trouble::CrashHub(armed),
                    2 | 3 => Trouble::CrashRegion(region, armed),
                    _ => Trouble::RestartIsolate(isolate),
                }
            }
        };
        Event::Trouble(trouble)
    }

    pub(super) fn trouble(&mut self, trouble: Trouble) {
        if self.healed {
            return;
        }
        self.note("world", || format!("{trouble:?}"));
        match trouble {
            Trouble::CrashHub(armed) => self.hub.armed = Some(armed),
            Trouble::CrashRegion(region, armed) => self.regions[region].armed = Some(armed),
            Trouble::CrashPublisher(down) => {
                self.crash_publisher();
                self.after(down, Event::Publisher(PublisherEvent::Start));
            }
            Trouble::RestartIsolate(isolate) => self.restart_isolate(isolate),
            Trouble::WipeHub(down) => {
                self.crash_hub(down);
                if self.hub.hub.is_none() {
                    self.wipe_hub();
                }
            }
            Trouble::WipeRegion(region, down) => {
                self.crash_region(region, down);
                self.wipe_region(region);
            }
            Trouble::Cut(a, b, length) => self.network.cut(a, b, self.now_us + length),
            Trouble::Attack => self.attack(),
            Trouble::Copy => self.copy_hub(),
            Trouble::SelfRevoke(isolate) => self.self_revoke(isolate),
        }
    }

    /// Posts what anybody can post: old messages, broken ones, one with a certificate of their own making.
    fn attack(&mut self) {
        let id = self.id();
        let overheard = self.overheard.len();
        let message = match self.rng.below(4) {
            0 => deployment::forgery(self.rng.between(1, 4)),
            kind if overheard > 0 => {
                let message = self.overheard[self.rng.place(overheard)].clone();
                if kind == 1 {
                    // Few places, so that what was refused once need not be verified again.
                    let mut broken = message.to_vec();
                    let place = broken.len() * self.rng.place(8) / 8;
                    if let Some(byte) = broken.get_mut(place) {
                        *byte ^= 1 << self.rng.below(8);
                    }
                    if self.rng.chance(200_000) {
                        broken.truncate(place);
                    }
                    broken.into()
                } else {
                    message
                }
            }
            _ => return,
        };
        if self.rng.chance(600_000) {
            self.send(
                Node::Attacker,
                Node::Hub,
                Event::Hub(HubEvent::Push { id, message }),
            );
        } else {
            let region = self.rng.place(self.config.regions);
            let event = Event::Region(region, RegionEvent::Direct { id, message });
            self.send(Node::Attacker, Node::Region(region), event);
        }
    }

    /// From now on nothing goes wrong.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        // What is still on its way for long is lost: else it would be trouble after the end of trouble.
        let soon = self.now_us + 500_000;
        self.queue
            .retain(|std::cmp::Reverse(next)| !next.letter || next.at_us <= soon);
        self.hub.armed = None;
        for region in &mut self.regions {
            region.armed = None;
        }
        self.saw("world", &Seen::Healed);
        if !self.publisher.up {
            self.publisher_event(PublisherEvent::Start);
        }
        if self.hub.hub.is_none() {
            self.start_hub();
        }
        for region in 0..self.regions.len() {
            if self.regions[region].region.is_none() {
                self.start_region(region);
            }
        }
    }

    /// After the end everybody stands where the publisher stands.
    pub(super) fn check_convergence(&mut self) {
        let place = |head: Option<Head>| head.map(|head| (head.epoch, head.seq, head.digest));
        let ours = place(self.publisher.database.head);
        let mut heads = vec![(
            Node::Hub.to_string(),
            place(self.hub.hub.as_ref().and_then(edge::replication::Hub::head)),
        )];
        for (number, node) in self.regions.iter().enumerate() {
            let head = node.region.as_ref().and_then(edge::replication::Region::head);
            heads.push((Node::Region(number).to_string(), place(head)));
        }
        for number in 0..self.isolates.len() {
            heads.push((
                Node::Isolate(number).to_string(),
                place(self.isolate_head(number)),
            ));
        }
        for (actor, theirs) in heads {
            if theirs != ours {
                let short = |at: Option<(u64, u64, _)>| at.map(|(epoch, seq, _)| (epoch, seq));
                self.checker.add(Violation {
                    rule: Rule::NotHealed,
                    at_us: self.now_us,
                    actor,
                    credential: None,
                    why: format!(
                        "stands at {:?}, the publisher at {:?}",
                        short(theirs),
                        short(ours)
                    ),
                });
            }
        }
    }
}
