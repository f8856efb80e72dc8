//! A twentieth of `make scale`: concurrent code exchanges and refreshes, nothing lost, nothing doubled, memory flat.

use e2e::{Database, scale};

use crate::support::on_both_databases;

on_both_databases!(nothing_is_lost_or_doubled);

async fn nothing_is_lost_or_doubled(database: Database) {
    let outcome = scale::run(database, scale::GRANTS / 20).await;
    println!("{}", outcome.expect("every grant is as it should be"));
}
