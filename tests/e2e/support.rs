//! What several modules ask of an answer, and a test on both databases.

use e2e::{Response, Seen, Stack};
use serde_json::Value;
use tokio::time::Instant;

/// A 401 for a bad credential: challenge with `invalid_token`, problem+json with the same code and nothing more precise.
#[track_caller]
pub(crate) fn assert_invalid_token(response: &Response, what: &str) {
    assert_eq!(response.status, 401, "{what}: {}", response.text());
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer "), "{what}: {challenge}");
    assert!(
        challenge.contains("error=\"invalid_token\""),
        "{what}: {challenge}"
    );
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json"),
        "{what}"
    );
    assert_eq!(response.json()["code"], "invalid_token", "{what}");
}

/// A 401 for no credential at all (RFC 6750 §3.1): a challenge without `error`.
#[track_caller]
pub(crate) fn assert_no_credential(response: &Response) {
    assert_eq!(response.status, 401, "{}", response.text());
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    assert!(!challenge.contains("error"), "{challenge}");
    assert!(challenge.contains("resource_metadata="), "{challenge}");
}

/// The only request that reached the origin since the last look.
#[track_caller]
pub(crate) fn only_seen(stack: &Stack) -> Seen {
    let seen = stack.origin.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.into_iter().next().unwrap()
}

/// How often the first gate has read its hub, by cause.
pub(crate) struct NetworkReads {
    counts: Value,
    at: Instant,
}

/// Counts now.
pub(crate) async fn network_reads(stack: &Stack) -> NetworkReads {
    let health = stack.anon().get("/.portcullis/health").await.expect(200).json();
    assert_eq!(health["status"], "ok", "the state is fresh: {health}");
    NetworkReads {
        counts: health["hub_reads_by_cause"].clone(),
        at: Instant::now(),
    }
}

impl NetworkReads {
    /// Nothing since then but what would have been read without any request's doing: one refresh a second, in the
    /// background, and this look itself.
    pub(crate) async fn assert_only_refreshes(&self, stack: &Stack) {
        let now = network_reads(stack).await;
        let more = |cause: &str| now.counts[cause].as_u64().unwrap() - self.counts[cause].as_u64().unwrap();
        for cause in ["cold", "stale", "strict"] {
            assert_eq!(more(cause), 0, "{cause}: {} then {}", self.counts, now.counts);
        }
        assert!(
            more("refresh") <= self.at.elapsed().as_secs() + 1,
            "{} then {}",
            self.counts,
            now.counts
        );
        assert!(more("health") <= 1, "{} then {}", self.counts, now.counts);
    }
}

/// Now, in whole seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is a client, and has a clock of its own"
)]
pub(crate) fn unix_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A time as `/v1` writes it.
pub(crate) fn rfc3339(seconds: u64) -> String {
    control_plane::http::time::format_rfc3339(shared::time::UnixMillis(seconds * 1000))
}

/// Stamps out a test on SQLite and on PostgreSQL from one `async fn(Database)`.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(e2e::Database::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(e2e::Database::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;
