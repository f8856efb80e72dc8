//! A twentieth of `make scale`: concurrent code exchanges and refreshes, nothing lost, nothing doubled, memory flat.

use e2e::{Database, lists, scale};

use crate::support::on_both_databases;

on_both_databases!(nothing_is_lost_or_doubled);

async fn nothing_is_lost_or_doubled(database: Database) {
    let outcome = scale::run(database, scale::GRANTS / 20).await;
    println!("{}", outcome.expect("every grant is as it should be"));
}

/// A part of what `make scale` fills a database with, a hundredth of use and audit, a tenth of the keys: over a table of a
/// thousand rows PostgreSQL scans, rightly, and the number of people goes with that of the keys. A page reads a bounded
/// number of rows, whatever it is filtered by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_reads_few_rows_of_many() {
    let size = lists::Size {
        keys: lists::LARGE.keys / 10,
        usage: lists::LARGE.usage / 100,
        audit: lists::LARGE.audit / 100,
    };
    let outcome = lists::run(Database::Postgres, size, lists::FEW)
        .await
        .expect("measured");
    println!("{outcome}");
    assert_eq!(outcome.greedy(), [""; 0]);
}
