//! How often an address may do something that costs us: a smooth rate with a burst, in memory, per process.
//!
//! The clock is the application's, so that a test moves it. What it does not: count failed sign-ins, which instances share
//! (`sessions::attempts`).

use std::num::NonZeroU32;

use governor::clock::{Clock as _, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::Clock;

/// Events per hour and share; all of an hour may come at once.
pub struct Rate {
    limiter: RateLimiter<String, DashMapStateStore<String>, AppClock, NoOpMiddleware<std::time::Duration>>,
}

/// The application's clock as `governor` wants it.
#[derive(Clone)]
struct AppClock(Clock);

impl governor::clock::Clock for AppClock {
    type Instant = std::time::Duration;

    fn now(&self) -> Self::Instant {
        std::time::Duration::from_millis(self.0.now().0)
    }
}

impl std::fmt::Debug for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rate")
            .field("addresses", &self.limiter.len())
            .finish_non_exhaustive()
    }
}

impl Rate {
    /// So many in an hour.
    pub fn per_hour(most: NonZeroU32, clock: Clock) -> Self {
        Self {
            limiter: RateLimiter::new(
                Quota::per_hour(most),
                DashMapStateStore::default(),
                AppClock(clock),
            ),
        }
    }

    /// Counts one for whoever `share` names, an address as a rule; or says after how many seconds there is room.
    pub fn check(&self, share: &str) -> Result<(), u64> {
        self.limiter.check_key(&share.to_owned()).map_err(|until| {
            let now = self.limiter.clock().now();
            let wait: Nanos = until.earliest_possible().duration_since(now);
            wait.as_u64().div_ceil(1_000_000_000).max(1)
        })
    }

    /// Forgets addresses that have all of their share again. A job.
    pub fn tidy(&self) {
        self.limiter.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::START;

    #[test]
    fn a_share_per_address_and_hour() {
        let clock = Clock::manual(START);
        let rate = Rate::per_hour(NonZeroU32::new(2).expect("not zero"), clock.clone());
        let (one, other) = ("192.0.2.1", "192.0.2.2");
        assert_eq!((rate.check(one), rate.check(one)), (Ok(()), Ok(())));
        assert_eq!(rate.check(one), Err(1800));
        assert_eq!(rate.check(other), Ok(()), "each for itself");
        clock.advance_ms(1_800_000);
        assert_eq!(rate.check(one), Ok(()), "half an hour, half a share");
        assert_eq!(rate.check(one), Err(1800));
        clock.advance_ms(10_800_000);
        rate.tidy();
        assert_eq!(rate.limiter.len(), 0);
    }
}
