//! Documents that a signal is checked with: kept as long as their server says, within bounds, and fetched again sooner when what
//! is asked for is not in them, because keys are replaced before anybody is told.
//!
//! Neither a crowd nor a forger makes us fetch often: a document is looked up at most once in a cool-down, whatever came of it.
//! `http::fetch::cache` is for documents without that: whoever signs up there is behind their own URL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::time::UnixMillis;

use crate::http::fetch::{FetchError, Fetched, Fetcher};

/// Between two look-ups of one document.
pub(super) const COOL_DOWN_MS: u64 = 30_000;
const LEAST_SECONDS: u64 = 60;
const MOST_SECONDS: u64 = 24 * 3600;

/// Documents by URL. There are as many as the configuration names, and those that they name.
#[derive(Debug)]
pub(super) struct Sources<T> {
    fetcher: Fetcher,
    most_bytes: usize,
    slots: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot<T>>>>>,
}

#[derive(Debug)]
struct Slot<T> {
    /// What it says, and until when.
    kept: Option<(Arc<T>, UnixMillis)>,
    looked_at: Option<UnixMillis>,
}

impl<T> Sources<T> {
    pub(super) fn new(fetcher: Fetcher, most_bytes: usize) -> Self {
        Self {
            fetcher,
            most_bytes,
            slots: Mutex::default(),
        }
    }

    /// What `read` makes of the JSON at a URL. If what is kept has not what is `wanted`, it is fetched anew; what comes then is
    /// given, wanted or not.
    pub(super) async fn get(
        &self,
        url: &str,
        now: UnixMillis,
        wanted: impl Fn(&T) -> bool,
        read: impl FnOnce(&[u8]) -> Result<T, FetchError>,
    ) -> Result<Arc<T>, FetchError> {
        let slot = self.slot(url);
        let mut slot = slot.lock().await;
        let cool = slot.looked_at.is_none_or(|at| now.since(at) >= COOL_DOWN_MS);
        let kept = slot.kept.as_ref().filter(|(_, until)| *until > now);
        if let Some((value, _)) = kept
            && (!cool || wanted(value))
        {
            return Ok(Arc::clone(value));
        }
        let kept = kept.map(|(value, _)| Arc::clone(value));
        if !cool {
            return Err(FetchError::Unreachable);
        }
        slot.looked_at = Some(now);
        let fetched = self.fetcher.json(url, self.most_bytes).await;
        let read = fetched.and_then(|Fetched { body, fresh_seconds }| {
            let seconds = fresh_seconds.clamp(LEAST_SECONDS, MOST_SECONDS);
            Ok((Arc::new(read(&body)?), now.saturating_add(seconds * 1000)))
        });
        match (read, kept) {
            (Ok((value, until)), _) => {
                slot.kept = Some((Arc::clone(&value), until));
                Ok(value)
            }
            // What is kept has not ended: it says no as well as it did before.
            (Err(_), Some(kept)) => Ok(kept),
            (Err(error), None) => Err(error),
        }
    }

    fn slot(&self, url: &str) -> Arc<tokio::sync::Mutex<Slot<T>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(url.to_owned()).or_insert_with(|| {
            Arc::new(tokio::sync::Mutex::new(Slot {
                kept: None,
                looked_at: None,
            }))
        });
        Arc::clone(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;
    use axum::routing::get;

    use super::*;

    /// A document that says how often it was asked for; 0 makes it fail.
    async fn counting(says: Arc<AtomicU64>, asked: Arc<AtomicU64>) -> String {
        let handler = move || {
            let (says, asked) = (Arc::clone(&says), Arc::clone(&asked));
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                match says.load(Ordering::SeqCst) {
                    0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                    number => (
                        [
                            ("content-type", "application/json"),
                            ("cache-control", "max-age=600"),
                        ],
                        number.to_string(),
                    )
                        .into_response(),
                }
            }
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port");
        let base = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let router = Router::new().route("/keys", get(handler));
        tokio::spawn(async move { axum::serve(listener, router).await });
        base
    }

    #[tokio::test]
    async fn a_document_is_fetched_again_for_what_it_lacks_once_in_a_cool_down() {
        let (says, asked) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
        let url = counting(Arc::clone(&says), Arc::clone(&asked)).await;
        let sources: Sources<u64> = Sources::new(Fetcher::new(true).expect("a fetcher"), 100);
        let look = async |at: u64, wanted: u64| {
            let read = |body: &[u8]| {
                let text = String::from_utf8_lossy(body).into_owned();
                text.parse().map_err(|_| FetchError::Content(text))
            };
            let found = sources
                .get(&url, UnixMillis(at), |value| *value == wanted, read)
                .await;
            (found.map(|value| *value).ok(), asked.load(Ordering::SeqCst))
        };
        assert_eq!(look(0, 1).await, (Some(1), 1));
        says.store(2, Ordering::SeqCst);
        // Somebody names a key that is not there, again and again.
        assert_eq!(look(1, 2).await, (Some(1), 1), "not again so soon");
        assert_eq!(look(COOL_DOWN_MS, 1).await, (Some(1), 1), "nothing lacks");
        assert_eq!(look(COOL_DOWN_MS, 2).await, (Some(2), 2));
        assert_eq!(look(2 * COOL_DOWN_MS - 1, 3).await, (Some(2), 2));
        says.store(0, Ordering::SeqCst);
        assert_eq!(
            look(2 * COOL_DOWN_MS, 3).await,
            (Some(2), 3),
            "what is kept has not ended"
        );
        assert_eq!(look(600_000 + COOL_DOWN_MS, 2).await, (None, 4), "now it has");
        assert_eq!(
            look(600_001 + COOL_DOWN_MS, 2).await,
            (None, 4),
            "a failure waits too"
        );
        says.store(4, Ordering::SeqCst);
        assert_eq!(look(600_000 + 2 * COOL_DOWN_MS, 2).await, (Some(4), 5));
    }
}
