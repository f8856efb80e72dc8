//! Waiting for a condition, with a deadline. Tests never sleep for a guessed time.

use std::{future::Future, time::Duration};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Looks until `check` gives something, and panics with `what` when `limit` has passed.
pub async fn until<T, F>(what: &str, limit: Duration, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let looking = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let found = tokio::time::timeout(limit, looking).await;
    found.unwrap_or_else(|_| panic!("waited {limit:?} in vain: {what}"))
}

/// The same for a plain yes or no.
pub async fn until_true<F>(what: &str, limit: Duration, mut check: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    until(what, limit, || {
        let answer = check();
        async move { answer.await.then_some(()) }
    })
    .await;
}
