//! Who asks: callers with good credentials and revoked ones, holders who end their own, and the last look at the end.

use shared::id::StatusIndex;

use super::World;
use super::event::{Event, RegionEvent};
use super::network::Node;
use crate::checker::{Event as Seen, Promise, Route};
use crate::deployment;

impl World {
    /// The next request to an isolate.
    pub(super) fn request(&mut self, isolate: usize) {
        let mean = self.config.request_ms * 1000 * if self.healed { 5 } else { 1 };
        let next = self.rng.between(mean / 4, mean * 7 / 4);
        self.after(next, Event::Request { isolate });
        let revoked = self.revoked.len();
        let credential = if revoked > 0 && self.rng.chance(600_000) {
            // Mostly the latest ones.
            let back = self.rng.place(revoked).min(self.rng.place(revoked));
            self.revoked[revoked - 1 - back]
        } else {
            let all = deployment::CREDENTIALS;
            all - 1 - self.rng.below(3)
        };
        let plain = self.isolates[isolate].plain;
        let route = match self.rng.below(8) {
            0..4 => Route::Default,
            4..6 if !plain => Route::Strict,
            _ => Route::AllowStale,
        };
        let known = self.publisher.database.head.map_or(0, |head| head.seq);
        let asks = !plain && self.rng.chance(100_000);
        let min_seq = asks.then(|| self.rng.between(0, known));
        self.ask(isolate, credential, route, min_seq);
    }

    /// A receipt is there: now it counts.
    pub(super) fn try_everywhere(&mut self, credential: u64, kind: Promise) {
        for isolate in 0..self.isolates.len() {
            if kind == Promise::Effective {
                self.ask(isolate, credential, Route::Default, None);
            } else if !self.isolates[isolate].plain {
                self.ask(isolate, credential, Route::Strict, None);
            }
        }
    }

    /// A holder ends a credential at the edge.
    pub(super) fn self_revoke(&mut self, isolate: usize) {
        let Some(credential) = self.next_victim() else {
            return;
        };
        self.revoked.push(credential);
        self.saw("holder", &Seen::Revoking { credential });
        let region = self.isolates[isolate].region;
        let event = RegionEvent::SelfRevoke {
            isolate,
            index: deployment::index(credential),
        };
        self.send(
            Node::Isolate(isolate),
            Node::Region(region),
            Event::Region(region, event),
        );
    }

    pub(super) fn self_revoked(&mut self, isolate: usize, index: StatusIndex) {
        let event = Seen::LocalReceipt {
            credential: deployment::credential(index),
            region: self.names[self.isolates[isolate].region].as_str().to_owned(),
        };
        self.saw("holder", &event);
    }

    /// At the end every isolate is asked about everything that was revoked, and about what was not.
    pub(super) fn probe(&mut self) {
        for isolate in 0..self.isolates.len() {
            for place in 0..self.revoked.len() {
                self.ask(isolate, self.revoked[place], Route::Default, None);
            }
            for route in [Route::Default, Route::Strict] {
                self.ask(isolate, deployment::CREDENTIALS - 1, route, None);
            }
        }
    }
}
