//! What was fetched and read, kept as long as its server says, within bounds; one look-up at a time for each URL.
//!
//! Anybody can make it look somewhere, so it is shared fairly: when it is full, the site with the most entries makes room, and
//! whoever fills it with documents of their own pushes out their own. A failure is never kept. Whoever waited for a look-up that failed shares its failure, so that a crowd before a slow or
//! broken server asks it once.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use shared::time::UnixMillis;

use super::{FetchError, Fetched, Fetcher, site};

/// Whatever a server says, an answer is kept for at least so long.
const LEAST_SECONDS: u64 = 60;
/// And never for longer.
const MOST_SECONDS: u64 = 24 * 3600;
/// So many URLs are remembered; beyond, one of the site that has the most makes room.
pub(super) const CAPACITY: usize = 500;

/// Answers by URL.
#[derive(Debug)]
pub struct Cache<T> {
    fetcher: Fetcher,
    most_bytes: usize,
    slots: Mutex<HashMap<String, Arc<Slot<T>>>>,
}

#[derive(Debug)]
struct Slot<T> {
    kept: tokio::sync::Mutex<Kept<T>>,
    /// Whose the URL is.
    site: String,
    /// When somebody asked last.
    used: AtomicU64,
    /// Look-ups that ended, and the end of what is kept: readable without waiting.
    attempts: AtomicU64,
    until: AtomicU64,
}

#[derive(Debug)]
struct Kept<T> {
    value: Option<Arc<T>>,
    failure: Option<FetchError>,
}

impl<T> Cache<T> {
    /// An empty one, for answers of at most so many bytes.
    pub fn new(fetcher: Fetcher, most_bytes: usize) -> Self {
        Self {
            fetcher,
            most_bytes,
            slots: Mutex::default(),
        }
    }

    /// What `read` makes of the JSON at a URL. `leave` is asked before a look-up is made.
    pub async fn get(
        &self,
        url: &str,
        now: UnixMillis,
        leave: impl FnOnce() -> Result<(), FetchError>,
        read: impl FnOnce(&[u8]) -> Result<T, FetchError>,
    ) -> Result<Arc<T>, FetchError> {
        let slot = self.slot(url, now);
        let seen = slot.attempts.load(Ordering::SeqCst);
        let mut kept = slot.kept.lock().await;
        if let Some(value) = &kept.value
            && slot.until.load(Ordering::SeqCst) > now.0
        {
            return Ok(Arc::clone(value));
        }
        // Somebody has looked while we waited: what they got is what we get.
        if slot.attempts.load(Ordering::SeqCst) != seen
            && let Some(failure) = &kept.failure
        {
            return Err(failure.clone());
        }
        leave()?;
        let fetched = self.fetcher.json(url, self.most_bytes).await;
        let outcome = fetched.and_then(|Fetched { body, fresh_seconds }| {
            let seconds = fresh_seconds.clamp(LEAST_SECONDS, MOST_SECONDS);
            Ok((Arc::new(read(&body)?), now.saturating_add(seconds * 1000)))
        });
        slot.attempts.fetch_add(1, Ordering::SeqCst);
        match outcome {
            Ok((value, until)) => {
                slot.until.store(until.0, Ordering::SeqCst);
                *kept = Kept {
                    value: Some(Arc::clone(&value)),
                    failure: None,
                };
                Ok(value)
            }
            Err(failure) => {
                slot.until.store(0, Ordering::SeqCst);
                *kept = Kept {
                    value: None,
                    failure: Some(failure.clone()),
                };
                Err(failure)
            }
        }
    }

    fn slot(&self, url: &str, now: UnixMillis) -> Arc<Slot<T>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(url) {
            slot.used.store(now.0, Ordering::SeqCst);
            return Arc::clone(slot);
        }
        let site = site::of(url);
        if slots.len() >= CAPACITY {
            // Those that nobody waits for, and that hold nothing any more.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.until.load(Ordering::SeqCst) > now.0);
        }
        if slots.len() >= CAPACITY {
            let first = first_to_go(&slots, &site);
            first.and_then(|url| slots.remove(&url));
        }
        let slot = Arc::new(Slot {
            kept: tokio::sync::Mutex::new(Kept {
                value: None,
                failure: None,
            }),
            site,
            used: AtomicU64::new(now.0),
            attempts: AtomicU64::new(0),
            until: AtomicU64::new(0),
        });
        slots.insert(url.to_owned(), Arc::clone(&slot));
        slot
    }
}

/// Of the site that has the most, the newcomer counted: the one that nobody waits for, and that was asked for longest ago.
fn first_to_go<T>(slots: &HashMap<String, Arc<Slot<T>>>, newcomer: &str) -> Option<String> {
    let mut counts = HashMap::from([(newcomer, 1_usize)]);
    for slot in slots.values() {
        let count = counts.entry(&slot.site).or_default();
        *count = count.saturating_add(1);
    }
    let order = |slot: &Arc<Slot<T>>| {
        let count = counts.get(slot.site.as_str()).copied().unwrap_or_default();
        let waited_for = Arc::strong_count(slot) > 1;
        (Reverse(count), waited_for, slot.used.load(Ordering::SeqCst))
    };
    let first = slots.iter().min_by_key(|(_, slot)| order(slot));
    first.map(|(url, _)| url.clone())
}
