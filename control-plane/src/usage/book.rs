//! Which windows of one isolate are applied and which are missing. Pure.
//!
//! All windows up to `known` are applied, but those in `missing`. A window is missing from the moment at which it is announced,
//! or at which a later one shows that it was skipped, until its batch comes.

use shared::time::UnixMillis;

use crate::store::usage::Missing;

/// An isolate with more holes than that is not one.
const MAX_HOLES: usize = 1000;
/// Nor is one that skips more windows: in the days that it may be silent none opens as many.
const MAX_JUMP: u64 = 1_000_000;

/// The book of one isolate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) known: u64,
    /// When the newest applied window closed.
    pub(super) ends_at: UnixMillis,
    /// In order, not overlapping.
    pub(super) missing: Vec<Missing>,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Apply it.
    New,
    /// It was applied before.
    Known,
    /// It makes no sense.
    Unfit,
}

impl Book {
    /// A window was announced.
    pub(super) fn open(&mut self, number: u64, from: UnixMillis, now: UnixMillis) -> Verdict {
        if number <= self.known {
            return Verdict::Known;
        }
        if !self.reach(number, from, now) {
            return Verdict::Unfit;
        }
        Verdict::New
    }

    /// A window's batch came.
    pub(super) fn close(
        &mut self,
        number: u64,
        (from, to): (UnixMillis, UnixMillis),
        next_open: bool,
        now: UnixMillis,
    ) -> Verdict {
        if number > self.known && !self.reach(number, from, now) {
            return Verdict::Unfit;
        }
        let Some(at) = self
            .missing
            .iter()
            .position(|hole| (hole.first..=hole.last).contains(&number))
        else {
            return Verdict::Known;
        };
        if self.missing.len() >= MAX_HOLES {
            return Verdict::Unfit;
        }
        let hole = self.missing.remove(at);
        let before = Missing {
            last: number.saturating_sub(1),
            ..hole
        };
        let after = Missing {
            first: number.saturating_add(1),
            from: hole.from.max(to),
            ..hole
        };
        let rest = [before, after].into_iter().filter(|part| part.first <= part.last);
        self.missing.splice(at..at, rest);
        self.ends_at = self.ends_at.max(to);
        if next_open && number >= self.known {
            self.reach(number.saturating_add(1), to, now);
        }
        Verdict::New
    }

    /// Everything up to this window is missing that was not known of. False: too much is.
    fn reach(&mut self, number: u64, from: UnixMillis, now: UnixMillis) -> bool {
        if self.missing.len() + 2 > MAX_HOLES || number.saturating_sub(self.known) > MAX_JUMP {
            return false;
        }
        let hole = |first, last, from| Missing {
            first,
            last,
            from,
            heard: now,
        };
        let next = self.known.saturating_add(1);
        if number > next {
            // Of a new isolate nobody knows when the first of them began.
            let since = if self.known == 0 {
                from
            } else {
                self.ends_at.min(from)
            };
            self.missing.push(hole(next, number.saturating_sub(1), since));
        }
        self.missing.push(hole(number, number, from));
        self.known = number;
        true
    }
}
