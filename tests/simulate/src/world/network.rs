//! Messages on their way: lost, late, doubled, cut off.

use crate::config::{Fault, Faults};
use crate::rng::Rng;

use super::World;
use super::event::Event;

/// Who speaks or listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Publisher,
    Hub,
    Region(usize),
    Isolate(usize),
    /// Somebody without a key. Nobody cuts them off.
    Attacker,
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Publisher => f.write_str("publisher"),
            Self::Hub => f.write_str("hub"),
            Self::Region(number) => write!(f, "region-{number}"),
            Self::Isolate(number) => write!(f, "isolate-{number}"),
            Self::Attacker => f.write_str("attacker"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Letter {
    pub(super) from: Node,
    pub(super) to: Node,
    pub(super) event: Event,
}

#[derive(Debug)]
pub(super) struct Network {
    /// How often in a million.
    loss: u32,
    duplicate: u32,
    late: u32,
    /// The longest that a message can be on its way: long enough to be given up, or not quite.
    late_us: u64,
    /// The usual delay, one way.
    delay_us: (u64, u64),
    cuts: Vec<(Node, Node, u64)>,
}

impl Network {
    pub(super) fn draw(faults: Faults, rng: &mut Rng) -> Self {
        let mut some = |fault, choices: &[u32]| {
            let drawn = choices[rng.place(choices.len())];
            if faults.has(fault) { drawn } else { 0 }
        };
        let loss = some(Fault::Loss, &[5_000, 50_000, 200_000]);
        let duplicate = some(Fault::Duplicate, &[10_000, 100_000]);
        let late = some(Fault::Delay, &[10_000, 50_000, 200_000, 400_000]);
        let late_us = [1_900_000, 9_000_000][rng.place(2)];
        let delay_us = [(200, 2_000), (5_000, 40_000), (30_000, 150_000)][rng.place(3)];
        Self {
            loss,
            duplicate,
            late,
            late_us,
            delay_us,
            cuts: Vec::new(),
        }
    }

    pub(super) fn cut(&mut self, a: Node, b: Node, until_us: u64) {
        self.cuts.push((a, b, until_us));
    }

    /// From now on everything arrives.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        self.loss = 0;
        self.duplicate = 0;
        self.late = 0;
    }

    fn is_cut(&self, a: Node, b: Node, now_us: u64) -> bool {
        let between = |(x, y, _): &&(Node, Node, u64)| (*x == a && *y == b) || (*x == b && *y == a);
        self.cuts
            .iter()
            .filter(between)
            .any(|(_, _, until)| now_us < *until)
    }

    fn delay(&self, rng: &mut Rng) -> u64 {
        if rng.chance(self.late) {
            rng.between(self.delay_us.0, self.late_us)
        } else {
            rng.between(self.delay_us.0, self.delay_us.1)
        }
    }
}

impl World {
    pub(super) fn send(&mut self, from: Node, to: Node, event: Event) {
        self.outgoing.push(Letter { from, to, event });
    }

    /// What the event has sent is on its way now.
    pub(super) fn flush(&mut self) {
        for letter in std::mem::take(&mut self.outgoing) {
            let Letter { from, to, event } = letter;
            if self.network.is_cut(from, to, self.now_us) || self.rng.chance(self.network.loss) {
                self.note("network", || format!("{from} to {to} lost: {}", event.label()));
                continue;
            }
            if self.rng.chance(self.network.duplicate) {
                let delay = self.network.delay(&mut self.rng);
                self.enqueue(self.now_us + delay, true, event.clone());
            }
            let delay = self.network.delay(&mut self.rng);
            self.enqueue(self.now_us + delay, true, event);
        }
    }
}
