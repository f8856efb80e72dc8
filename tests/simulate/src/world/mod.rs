//! One schedule: nodes, the messages between them, and what goes wrong.

mod client;
mod clock;
mod event;
mod hub;
mod isolate;
mod network;
mod publisher;
mod region;
mod trouble;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use edge::replication::RegionName;
use shared::time::UnixMillis;

use crate::checker::{Checker, Event as Seen, Limits, Violation};
use crate::config::{Config, Faults};
use crate::deployment::{self, CREDENTIALS};
use crate::rng::Rng;
use clock::Clock;
use event::{Event, Queued};
use hub::HubNode;
use isolate::{Colo, IsolateNode};
use network::Network;
use publisher::Publisher;
use region::RegionNode;

/// Past this many revocations of credentials there would be none left that live.
const LIVE: u64 = 8;

/// How a schedule went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Broken promises; a good schedule has none.
    pub violations: Vec<Violation>,
    /// Requests that were answered.
    pub answers: u64,
    /// Events that were handled.
    pub steps: u64,
    /// From the commit of each revocation until the last region and the last isolate enforced it, in microseconds.
    pub enforced_us: Vec<u64>,
    /// The same from when the hub had it.
    pub enforced_from_hub_us: Vec<u64>,
    /// From the commit of each revocation to its `effective` receipt, in microseconds.
    pub receipt_us: Vec<u64>,
    /// Requests that the hub took in, per second: on average, and in the busiest second.
    pub hub_load: (f64, u64),
    /// The same for the busiest region.
    pub region_load: (f64, u64),
    /// What happened, if it was asked for.
    pub trace: Vec<Line>,
}

/// One line of a trace.
#[derive(Clone, Debug)]
pub struct Line {
    /// When, in microseconds.
    pub at_us: u64,
    /// Whose request it is, if it is one.
    pub about: Option<u64>,
    /// The whole line.
    pub text: String,
}

struct World {
    config: Config,
    /// What may go wrong in this schedule.
    faults: Faults,
    rng: Rng,
    now_us: u64,
    healed: bool,
    queue: BinaryHeap<Reverse<Queued>>,
    ties: u64,
    next_id: u64,
    network: Network,
    /// What the event under way sends: it leaves when the event is over.
    outgoing: Vec<network::Letter>,
    publisher: Publisher,
    hub: HubNode,
    regions: Vec<RegionNode>,
    names: Rc<[RegionName]>,
    colos: Vec<Colo>,
    isolates: Vec<IsolateNode>,
    /// Copies that the hub has put into KV, with when, by its clock.
    copies: Vec<(Rc<[u8]>, UnixMillis)>,
    /// Messages that an attacker has seen.
    overheard: Vec<Rc<[u8]>>,
    /// Credentials whose revocation has begun, in order.
    revoked: Vec<u64>,
    loads: Loads,
    enforcement: Enforcement,
    checker: Checker,
    steps: u64,
    trace: Option<Vec<Line>>,
}

/// Requests per object and second.
#[derive(Default)]
struct Loads {
    hub: Vec<u64>,
    regions: Vec<Vec<u64>>,
}

fn count(seconds: &mut Vec<u64>, now_us: u64) {
    let second = (now_us / 1_000_000) as usize;
    if seconds.len() <= second {
        seconds.resize(second + 1, 0);
    }
    if let Some(count) = seconds.get_mut(second) {
        *count += 1;
    }
}

/// Since when each revocation is in force.
#[derive(Default)]
struct Enforcement {
    frames: Vec<InForce>,
    receipts: Vec<u64>,
}

struct InForce {
    seq: u64,
    committed_us: u64,
    /// When the hub first had it.
    held_us: Option<u64>,
    /// The latest begin of enforcement so far.
    latest_us: u64,
}

impl Enforcement {
    fn committed(&mut self, seq: u64, now_us: u64) {
        self.frames.push(InForce {
            seq,
            committed_us: now_us,
            held_us: None,
            latest_us: now_us,
        });
    }

    fn held(&mut self, seq: u64, now_us: u64) {
        for frame in self.frames.iter_mut().filter(|frame| frame.seq <= seq) {
            frame.held_us.get_or_insert(now_us);
        }
    }

    /// A node went from one seq to another, and has refused everything that it did not know since `since_us`.
    fn moved(&mut self, from: u64, to: u64, since_us: u64) {
        for frame in &mut self.frames {
            if from < frame.seq && frame.seq <= to {
                frame.latest_us = frame.latest_us.max(since_us);
            }
        }
    }
}

/// Runs the schedule of a seed. `traced`: with everything that happened, in words.
pub fn run(config: &Config, seed: u64, traced: bool) -> Outcome {
    let mut world = World::new(config, seed, traced);
    world.start();
    while let Some(Reverse(next)) = world.queue.pop() {
        world.now_us = next.at_us;
        world.steps += 1;
        if matches!(*next.event, Event::End) {
            break;
        }
        world.handle(*next.event);
        world.flush();
    }
    world.end()
}

impl World {
    fn new(config: &Config, seed: u64, traced: bool) -> Self {
        deployment::common();
        let mut rng = Rng::of(seed);
        let faults = if config.draw_faults {
            config.faults.draw(&mut rng)
        } else {
            config.faults
        };
        let names: Rc<[RegionName]> = ["weur", "enam", "apac", "wnam", "eeur", "oc"]
            .into_iter()
            .take(config.regions)
            .map(|name| name.parse().expect("a region's name"))
            .collect();
        let clock = |rng: &mut Rng| Clock::draw(faults, rng);
        let publisher = Publisher::new(clock(&mut rng), config.regions);
        let hub = HubNode::new(clock(&mut rng));
        let regions = (0..config.regions)
            .map(|_| RegionNode::new(clock(&mut rng)))
            .collect();
        let colos = (0..config.colos).map(|_| Colo::new(clock(&mut rng))).collect();
        let isolates = (0..config.isolates)
            .map(|number| {
                let colo = number % config.colos;
                let plain = rng.chance(400_000);
                IsolateNode::new(clock(&mut rng), colo, colo % config.regions, plain)
            })
            .collect();
        let network = Network::draw(faults, &mut rng);
        Self {
            config: config.clone(),
            faults,
            rng,
            now_us: 0,
            healed: false,
            queue: BinaryHeap::new(),
            ties: 0,
            next_id: 0,
            network,
            outgoing: Vec::new(),
            publisher,
            hub,
            regions,
            names,
            colos,
            isolates,
            copies: Vec::new(),
            overheard: Vec::new(),
            revoked: Vec::new(),
            loads: Loads {
                hub: Vec::new(),
                regions: vec![Vec::new(); config.regions],
            },
            enforcement: Enforcement::default(),
            checker: Checker::new(Limits::DEFAULT),
            steps: 0,
            trace: traced.then(Vec::new),
        }
    }

    fn start(&mut self) {
        if self.trace.is_some() {
            let all = crate::config::Fault::ALL;
            let drawn: Vec<_> = all.into_iter().filter(|fault| self.faults.has(*fault)).collect();
            self.note("world", || format!("faults: {drawn:?}"));
        }
        self.start_publisher();
        self.start_hub();
        for region in 0..self.regions.len() {
            self.start_region(region);
        }
        for isolate in 0..self.isolates.len() {
            let first = self.rng.below(self.config.request_ms * 1000);
            self.after(first, Event::Request { isolate });
        }
        self.plan();
        let healed = self.config.active_ms * 1000;
        self.at(healed, Event::Heal);
        let end = healed + self.config.settle_ms * 1000;
        self.at(end, Event::Probe);
        self.at(end + 2_500_000, Event::End);
        self.flush();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Publisher(event) => self.publisher_event(event),
            Event::Hub(event) => self.hub_event(event),
            Event::Region(region, event) => self.region_event(region, event),
            Event::Isolate(isolate, event) => self.isolate_event(isolate, event),
            Event::Request { isolate } => self.request(isolate),
            Event::Try { credential, kind } => self.try_everywhere(credential, kind),
            Event::Trouble(trouble) => self.trouble(trouble),
            Event::Heal => self.heal(),
            Event::Probe => self.probe(),
            Event::End => {}
        }
    }

    fn end(mut self) -> Outcome {
        self.check_convergence();
        let rate = |seconds: &[u64]| {
            let total: u64 = seconds.iter().sum();
            let busiest = seconds.iter().copied().max().unwrap_or(0);
            (total as f64 / seconds.len().max(1) as f64, busiest)
        };
        let by_region = self.loads.regions.iter().map(|seconds| rate(seconds));
        let frames = &self.enforcement.frames;
        let from_commit = |frame: &InForce| frame.latest_us - frame.committed_us;
        let from_hub = |frame: &InForce| Some(frame.latest_us.saturating_sub(frame.held_us?));
        Outcome {
            answers: self.checker.answers(),
            violations: self.checker.finish(),
            steps: self.steps,
            enforced_us: frames.iter().map(from_commit).collect(),
            enforced_from_hub_us: frames.iter().filter_map(from_hub).collect(),
            receipt_us: self.enforcement.receipts,
            hub_load: rate(&self.loads.hub),
            region_load: by_region.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default(),
            trace: self.trace.unwrap_or_default(),
        }
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.enqueue(at_us, false, event);
    }

    fn enqueue(&mut self, at_us: u64, letter: bool, event: Event) {
        self.ties += 1;
        self.queue.push(Reverse(Queued {
            at_us,
            tie: self.ties,
            letter,
            event: Box::new(event),
        }));
    }

    fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us + delay_us, event);
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Tells the checker, and the trace.
    fn saw(&mut self, actor: &str, event: &Seen) {
        self.checker.read(self.now_us, actor, event);
        let about = match event {
            Seen::Answer { credential, .. } => Some(*credential),
            _ => None,
        };
        self.write(about, actor, || match event {
            Seen::Answer {
                route,
                outcome,
                state,
                started_us,
                ..
            } => {
                let at = state.map(|at| (at.epoch, at.seq));
                format!("{outcome:?} at {at:?}, {route:?} route, {about:?}, sent at {started_us} us")
            }
            other => format!("{other:?}"),
        });
    }

    fn note(&mut self, actor: &str, text: impl FnOnce() -> String) {
        self.write(None, actor, text);
    }

    fn write(&mut self, about: Option<u64>, actor: &str, text: impl FnOnce() -> String) {
        let at_us = self.now_us;
        if let Some(trace) = &mut self.trace {
            let (seconds, rest) = (at_us / 1_000_000, at_us % 1_000_000);
            trace.push(Line {
                at_us,
                about,
                text: format!("{seconds:>3}.{rest:06} {actor}: {}", text()),
            });
        }
    }

    /// A credential that nobody has revoked, and that may be.
    fn next_victim(&mut self) -> Option<u64> {
        let next = self.revoked.len() as u64;
        (next < CREDENTIALS - LIVE).then_some(next)
    }
}
