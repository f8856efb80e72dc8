//! Many grants at once, on both databases: what `make scale` runs. Writes `target/bench/scale.json`.
//! Fewer: `SCALE_GRANTS`.

use std::{error::Error, fs, process::ExitCode};

use e2e::{Database, files, scale};

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
    let grants = files::variable("SCALE_GRANTS").map_or(Ok(scale::GRANTS), |text| text.parse::<usize>())?;
    let mut outcomes = Vec::new();
    for database in [Database::Sqlite, Database::Postgres] {
        let outcome = scale::run(database, grants).await?;
        println!("{outcome}");
        outcomes.push(outcome);
    }
    let path = files::root().join("target/bench/scale.json");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, serde_json::to_string_pretty(&outcomes)? + "\n")?;
    println!(
        "no error, no lost or doubled token; written to {}",
        path.display()
    );
    Ok(())
}
