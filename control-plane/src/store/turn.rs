//! Whose turn it is to write: SQLite has one writer at a time, and lets those who wait poll, in no order.
//!
//! What it does not: know other processes. Against those the busy timeout helps, as before.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;

/// The queue of this process's writers. First come, first served.
#[derive(Clone, Debug)]
pub struct Turn(Arc<Semaphore>);

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turn {
    /// Waits for it, before a connection is taken from the pool; after `limit` the database counts as busy.
    pub(super) async fn wait(&self, limit: Duration) -> Result<OwnedSemaphorePermit, StoreError> {
        let waiting = Arc::clone(&self.0).acquire_owned();
        match tokio::time::timeout(limit, waiting).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(StoreError::Database(sqlx::Error::PoolTimedOut)),
        }
    }
}

/// A transaction on SQLite, and the turn of one that may write.
#[derive(Debug)]
pub struct SqliteTx {
    // In this order: the transaction ends, then the next one may begin.
    tx: Transaction<'static, Sqlite>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl SqliteTx {
    pub(super) fn new(tx: Transaction<'static, Sqlite>, turn: Option<OwnedSemaphorePermit>) -> Self {
        Self { tx, _turn: turn }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await
    }
}

impl Deref for SqliteTx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.tx
    }
}

impl DerefMut for SqliteTx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::Store;
    use super::*;

    #[tokio::test]
    async fn writers_come_in_order_and_readers_do_not_wait() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("turns.db").display());
        let store = Store::connect(&url).await.expect("a database");
        let first = store.begin().await.expect("the first turn");
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut writers = Vec::new();
        for number in 0..8 {
            let (store, order) = (store.clone(), Arc::clone(&order));
            writers.push(tokio::spawn(async move {
                let tx = store.begin().await.expect("a turn");
                order.lock().expect("no panic").push(number);
                tx.commit().await.expect("done");
            }));
            // Until it waits: this runtime has one thread.
            tokio::task::yield_now().await;
        }
        drop(store.begin_read().await.expect("no turn is needed"));
        assert!(order.lock().expect("no panic").is_empty());
        drop(first);
        for writer in writers {
            writer.await.expect("no panic");
        }
        assert_eq!(*order.lock().expect("no panic"), (0..8).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn whoever_waits_too_long_is_told_that_it_is_busy() {
        let turn = Turn::default();
        let limit = Duration::from_millis(1);
        let held = turn.wait(limit).await.expect("the first");
        assert!(turn.wait(limit).await.expect_err("held").is_busy());
        drop(held);
        drop(turn.wait(limit).await.expect("free again"));
    }
}
