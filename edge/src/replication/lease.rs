//! A region's right to answer as fresh.

use shared::time::UnixMillis;

use super::LEASE_MS;

/// Held from the start of the last pull that left the region at the hub's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    since: Option<UnixMillis>,
}

impl Lease {
    /// A pull that started then has brought everything that the hub had.
    pub fn renew(&mut self, started: UnixMillis) {
        // The later one by the clock of now: after a jump back of the clock an old start must not keep the lease alive.
        self.since = Some(started);
    }

    /// Since when, at `now`, the region has not been fresh: 0 while it holds the lease. `None`: it never was, or the clock
    /// has jumped back behind the start, and nobody knows.
    pub fn age_ms(self, now: UnixMillis) -> Option<u64> {
        let since = self.since.filter(|since| *since <= now)?;
        let age = now.since(since);
        Some(if age < LEASE_MS { 0 } else { age })
    }

    /// Whether it may answer as fresh.
    pub fn holds(self, now: UnixMillis) -> bool {
        self.age_ms(now) == Some(0)
    }

    /// Whether a pull is due.
    pub fn is_pull_due(self, now: UnixMillis) -> bool {
        self.since
            .is_none_or(|since| since > now || now.since(since) >= super::PULL_MS)
    }
}
