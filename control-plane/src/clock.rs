//! The only place that reads the system clock. Everything else takes the time as an argument or asks the [`Clock`].
//!
//! What it does not: wait (the runtime's timers do) or format times (`http::time`).

use std::time::Duration;

use shared::time::UnixMillis;

/// Where "now" comes from. Cheap to clone; built once in `main`.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(tokio::time::Instant),
    #[cfg(test)]
    Manual(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System(tokio::time::Instant::now()))
    }

    /// The current time.
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            Source::System(_) => UnixMillis(system_millis()),
            #[cfg(test)]
            Source::Manual(millis) => UnixMillis(millis.load(std::sync::atomic::Ordering::SeqCst)),
        }
    }

    /// The time since some moment in the past. It never goes back, whatever is done to the machine's clock.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System(origin) => origin.elapsed(),
            #[cfg(test)]
            Source::Manual(_) => Duration::from_millis(self.now().0),
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
    /// A clock that stands still until it is advanced.
    pub(crate) fn manual(at: UnixMillis) -> Self {
        Self(Source::Manual(std::sync::Arc::new(at.0.into())))
    }

    /// Moves a manual clock forward.
    pub(crate) fn advance_ms(&self, millis: u64) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(millis, std::sync::atomic::Ordering::SeqCst);
        }
    }
}
