//! The only place here that reads the clock.

use std::time::Duration;

use shared::time::UnixMillis;

/// Where "now" comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(tokio::time::Instant),
    /// The time of day, and what has gone by.
    #[cfg(test)]
    Manual(std::sync::Arc<[std::sync::atomic::AtomicU64; 2]>),
}

impl Clock {
    /// The machine's clock.
    pub(crate) fn system() -> Self {
        Self(Source::System(tokio::time::Instant::now()))
    }

    /// The time of day, which somebody may set.
    pub(crate) fn now(&self) -> UnixMillis {
        match &self.0 {
            Source::System(_) => UnixMillis(system_millis()),
            #[cfg(test)]
            Source::Manual(hands) => UnixMillis(hands[0].load(std::sync::atomic::Ordering::SeqCst)),
        }
    }

    /// Since some moment in the past. It never goes back, whatever is done to the time of day.
    pub(crate) fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System(origin) => origin.elapsed(),
            #[cfg(test)]
            Source::Manual(hands) => {
                Duration::from_millis(hands[1].load(std::sync::atomic::Ordering::SeqCst))
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one module that may read the clock")]
fn system_millis() -> u64 {
    // A clock before 1970 is a broken machine; zero makes every credential "not yet valid" rather than valid.
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
impl Clock {
    /// A clock that stands still until it is moved.
    pub(crate) fn manual(at: UnixMillis) -> Self {
        Self(Source::Manual(std::sync::Arc::new([at.0.into(), 0.into()])))
    }

    /// Lets time go by.
    pub(crate) fn advance_ms(&self, millis: u64) {
        if let Source::Manual(hands) = &self.0 {
            for hand in hands.iter() {
                hand.fetch_add(millis, std::sync::atomic::Ordering::SeqCst);
            }
        }
    }

    /// Sets the time of day, as somebody might.
    pub(crate) fn set(&self, at: UnixMillis) {
        if let Source::Manual(hands) = &self.0 {
            hands[0].store(at.0, std::sync::atomic::Ordering::SeqCst);
        }
    }
}
