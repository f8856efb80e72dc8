//! Many grants at once, many revocations, many requests to count, and lists over very many rows, on both databases: what
//! `make scale` runs. Writes `target/bench/scale.json`, `revocation.json`, `usage.json` and `lists.json`.
//!
//! Fewer: `SCALE_GRANTS`, `SCALE_REVOCATIONS`, `SCALE_REQUESTS`; `SCALE_KEYS`, `SCALE_USAGE`, `SCALE_AUDIT`. One of them only:
//! `SCALE_ONLY=grants`, `revocations`, `usage` or `lists`.

use std::{error::Error, fs, process::ExitCode};

use e2e::{Database, files, lists, scale, storm, usage};
use serde::Serialize;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    match files::variable("SCALE_ONLY").as_deref() {
        None => {
            grants().await?;
            revocations().await?;
            usage().await?;
            lists().await
        }
        Some("grants") => grants().await,
        Some("revocations") => revocations().await,
        Some("usage") => usage().await,
        Some("lists") => lists().await,
        Some(other) => Err(format!("SCALE_ONLY is grants, revocations, usage or lists, not {other}").into()),
    }
}

async fn grants() -> Result<(), Box<dyn Error>> {
    let grants = number("SCALE_GRANTS", scale::GRANTS)?;
    let mut outcomes = Vec::new();
    for database in [Database::Sqlite, Database::Postgres] {
        let outcome = scale::run(database, grants).await?;
        println!("{outcome}");
        outcomes.push(outcome);
    }
    write("scale.json", &outcomes)?;
    println!("no error, no lost or doubled token");
    Ok(())
}

async fn revocations() -> Result<(), Box<dyn Error>> {
    let size = storm::Size::about(number("SCALE_REVOCATIONS", storm::REVOCATIONS)?);
    let mut outcomes = Vec::new();
    for (shape, database) in [
        (storm::Shape::Apart, Database::Sqlite),
        (storm::Shape::One, Database::Postgres),
    ] {
        let outcome = storm::run(shape, database, size).await?;
        println!("{outcome}");
        outcomes.push(outcome);
        write("revocation.json", &outcomes)?;
    }
    if outcomes.iter().any(|outcome| !outcome.violations.is_empty()) {
        return Err("somebody was let in after a receipt, or kept out without reason".into());
    }
    Ok(())
}

async fn usage() -> Result<(), Box<dyn Error>> {
    let requests = number("SCALE_REQUESTS", usage::REQUESTS)?;
    let mut outcomes = Vec::new();
    for database in [Database::Sqlite, Database::Postgres] {
        let outcome = usage::run(database, requests).await?;
        println!("{outcome}");
        outcomes.push(outcome);
        write("usage.json", &outcomes)?;
    }
    println!("every request was counted once");
    Ok(())
}

async fn lists() -> Result<(), Box<dyn Error>> {
    let large = lists::Size {
        keys: number("SCALE_KEYS", lists::LARGE.keys)?,
        usage: number("SCALE_USAGE", lists::LARGE.usage)?,
        audit: number("SCALE_AUDIT", lists::LARGE.audit)?,
    };
    let mut outcomes = Vec::new();
    for (database, size) in [(Database::Sqlite, lists::SMALL), (Database::Postgres, large)] {
        let outcome = lists::run(database, size, lists::MANY).await?;
        println!("{outcome}");
        outcomes.push(outcome);
        write("lists.json", &outcomes)?;
    }
    let greedy: Vec<_> = outcomes.iter().flat_map(lists::Outcome::greedy).collect();
    if !greedy.is_empty() {
        return Err(format!("too many rows: {}", greedy.join(", ")).into());
    }
    Ok(())
}

fn number(variable: &str, usual: usize) -> Result<usize, std::num::ParseIntError> {
    files::variable(variable).map_or(Ok(usual), |text| text.parse())
}

fn write(name: &str, outcomes: &impl Serialize) -> Result<(), Box<dyn Error>> {
    let folder = files::root().join("target/bench");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    fs::write(&path, serde_json::to_string_pretty(outcomes)? + "\n")?;
    println!("written to {}", path.display());
    Ok(())
}
