//! `portcullis backup`, `restore` and `move`: the whole database, beside a running server or without one.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use url::Url;

use super::{CliError, Format, output, server};
use crate::backup::{self, BackupError, Header};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::time::format_rfc3339;
use crate::random::Random;
use crate::revocation::incarnation;
use crate::store::Store;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis backup /var/backups/portcullis-2026-11-22.bak
  portcullis backup nightly.bak --force        replace the one of yesterday, once the new one is complete

Works while the server runs, on SQLite and on PostgreSQL: the file holds what the database held at one moment. The master key
is not in it: keep a copy of that somewhere else.")]
pub(super) struct BackupArgs {
    /// Where to; mode 0600
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis restore portcullis.bak                                         into the database of the configuration
  portcullis restore portcullis.bak --database-url sqlite:///tmp/look.db    somewhere else, to look at it

The database must be empty; a backup of either engine goes into either. Afterwards nothing is published from it until you have
stopped every other copy and run `portcullis feed take-over`; what was revoked after the backup is then taken over from the
edge.")]
pub(super) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Another database than that of the configuration. A password does not belong here: see PGPASSWORD and .pgpass
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  PGPASSFILE=/etc/portcullis/pgpass portcullis move --to postgres://portcullis@db.internal/portcullis
  portcullis move --to sqlite:///var/lib/portcullis/portcullis.db

Works while the server runs. Meanwhile it can read and not write, and the edge goes on. Afterwards the old database refuses every
write; set `database_url` to the new one and restart every server.")]
pub(super) struct MoveArgs {
    /// An empty database. A password does not belong here: see PGPASSWORD and .pgpass
    #[arg(long, value_name = "URL")]
    to: String,
}

pub(super) async fn save(config: Config, args: BackupArgs, format: Format) -> Result<(), CliError> {
    server::start_log(&config)?;
    let store = server::connect_existing(&config).await?;
    let saved = backup::save(&store, &args.file, args.force, Clock::system().now()).await?;
    store.close().await;
    let mut answer = description(&saved.header);
    answer["file"] = json!(args.file.display().to_string());
    answer["bytes"] = json!(saved.bytes);
    output::object(&answer, format);
    Ok(())
}

pub(super) async fn restore(config: Config, args: RestoreArgs, format: Format) -> Result<(), CliError> {
    server::start_log(&config)?;
    let url = match &args.database_url {
        Some(url) => without_password(url)?,
        None => &config.database_url,
    };
    let store = Store::connect(url)
        .await
        .context("the database can not be opened")?;
    let restored = backup::restore(&store, &args.file, &Random::system(), Clock::system().now()).await?;
    store.close().await;
    let mut answer = description(&restored.header);
    answer["database"] = json!(public(url));
    answer["schema"] = json!(restored.schema);
    answer["next"] =
        json!("stop every other copy, then run `portcullis feed take-over` and `portcullis serve`");
    output::object(&answer, format);
    if config.master_key.is_none()
        && config
            .master_key_file
            .as_deref()
            .is_some_and(|file| !file.exists())
    {
        eprintln!(
            "note: the master key file is not here: put the one of the backup there before you start anything, \
             nothing else opens its keys"
        );
    }
    Ok(())
}

pub(super) async fn transfer(config: Config, args: MoveArgs, format: Format) -> Result<(), CliError> {
    server::start_log(&config)?;
    let to = without_password(&args.to)?;
    if *to == config.database_url {
        return Err(BackupError::Same.into());
    }
    let source = server::connect_existing(&config).await?;
    let target = Store::connect(to)
        .await
        .context("the new database can not be opened")?;
    let moved = backup::transfer(
        &source,
        &target,
        &public(to),
        &Random::system(),
        Clock::system().now(),
    )
    .await?;
    let mut answer = description(&moved.header);
    let old = config.incarnation_path();
    let new = Config {
        database_url: to.clone(),
        ..config
    }
    .incarnation_path();
    if new != old {
        incarnation::write(&new, moved.incarnation)
            .map_err(BackupError::from)
            .context("everything was moved, but the new database needs its incarnation file")?;
        answer["incarnation_file"] = json!(new.display().to_string());
    }
    source.close().await;
    target.close().await;
    answer["database"] = json!(public(to));
    answer["next"] = json!("set `database_url` to the new database and restart every server");
    output::object(&answer, format);
    Ok(())
}

fn description(header: &Header) -> serde_json::Value {
    json!({
        "created_at": format_rfc3339(shared::time::UnixMillis(header.created_at)),
        "engine": header.engine,
        "schema": header.schema,
        "tables": header.tables.len(),
        "rows": header.rows(),
    })
}

/// Other users of the machine can read arguments.
fn without_password(url: &String) -> Result<&String, CliError> {
    let parsed = Url::parse(url).ok();
    let hidden = parsed.is_some_and(|url| {
        url.password().is_some() || url.query_pairs().any(|(name, _)| name.contains("password"))
    });
    if hidden {
        return Err(CliError::Usage(
            "an argument can be read by others: leave the password out of the URL and put it into PGPASSWORD or .pgpass"
                .to_owned(),
        ));
    }
    Ok(url)
}

/// A URL as it may be printed and kept.
pub(super) fn public(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.has_host() => {
            let _ = parsed.set_password(None);
            parsed.set_query(None);
            parsed.to_string()
        }
        // `sqlite:` takes forms that are no URL; it has no password.
        _ => url.split('?').next().unwrap_or_default().to_owned(),
    }
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Exists(_)
            | BackupError::NotEmpty(_)
            | BackupError::AlreadyMoved(_)
            | BackupError::Same
            | BackupError::Nothing => Self::Refused(error.to_string()),
            error => Self::Failed(error.into()),
        }
    }
}
