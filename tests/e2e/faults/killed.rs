//! The control plane ends, without a word, at every step between a commit and its receipt.

use std::{fs, time::Duration};

use e2e::{Database, Process, Stack, wait};

use super::run::Run;
use crate::support::on_both_databases;

/// Where: `control-plane/src/revocation/die.rs`, in the order in which a revocation passes them.
const PLACES: [&str; 7] = [
    "after_commit",
    "after_frame",
    "before_push",
    "after_push",
    "before_acknowledged",
    "after_acknowledged",
    "after_receipt",
];
/// A file in the control plane's folder.
const DIE_AT: &str = "die-at";

on_both_databases!(killed_at_each_step_it_loses_nothing);

async fn killed_at_each_step_it_loses_nothing(database: Database) {
    let builder = Stack::with()
        .database(database)
        .environment("TEST_PORTCULLIS_DIE_AT", DIE_AT);
    let mut run = Run::start(&format!("killed-{database:?}"), builder, 2).await;
    run.churn();
    for place in PLACES {
        run.load(200).await;
        let file = run.stack.control.folder().join(DIE_AT);
        let victim = run.create().await;
        let fault = format!("killed {place}");
        run.begin(&fault);
        fs::write(&file, place).unwrap();
        let revoking = run.revoker()(victim, "effective");
        let ended = wait::until(&fault, Duration::from_secs(30), || {
            let ended = run.stack.control.process().and_then(Process::ended);
            async move { ended }
        })
        .await;
        assert!(!ended.success(), "{place}: {ended}");
        revoking.await.unwrap();
        fs::remove_file(file).unwrap();
        run.stack.control.restart().await.unwrap();
        run.end(&fault);
        // Asked again, it is done, whatever the first call had done.
        let again = run.revoke(victim, "ack").await;
        assert!(again.is_some(), "{place}");
    }
    run.finish().await;
}
