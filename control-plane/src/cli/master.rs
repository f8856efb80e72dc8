//! `portcullis keys master`: another master key, planned or after a loss.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::{CliError, Format, output, server};
use crate::app::App;
use crate::audit::Actor;
use crate::config::Config;
use crate::signing::{self, Keyring, MasterReplacement};
use crate::{keys, policies};

const COST: &str = "\
without the master key every API key, token and grant ends, clients that registered themselves end, mail that waits is \
dropped, and people with an authenticator app must sign in with a recovery code and add it anew; passwords, passkeys and \
sessions stay. Every edge needs another ROOT_KEY and FEED_ID. Nothing was changed: to do it, add --end-everything";

#[derive(Clone, Debug, Subcommand)]
pub(super) enum MasterCommand {
    /// Draw a new master key and seal everything under it, while servers run
    #[command(after_help = "\
Examples:
  portcullis keys master rotate                            the key in `master_key_file`; servers on this machine follow
  portcullis keys master rotate --into /run/secrets/new    the key in PORTCULLIS_MASTER_KEY: set it anew and restart
  portcullis keys master rotate --end-derived              somebody has seen the old one: rotate the signing keys too

The old key is kept beside the new one, as <file>.until-…, because older backups need it: move it to where they are.")]
    Rotate {
        /// Where the new key goes if the present one comes from the environment
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
        /// End what is derived from the old key: secrets of clients that registered themselves
        #[arg(long)]
        end_derived: bool,
    },
    /// Begin anew after the master key was lost: new signing keys and another feed on the same database
    #[command(after_help = "\
Examples:
  portcullis keys master lost                     say what it costs, and change nothing
  portcullis keys master lost --end-everything    do it; prints a new admin key, once

Stop the server first. Afterwards give every edge what `portcullis feed trust` prints.")]
    Lost {
        /// Yes: every credential ends
        #[arg(long)]
        end_everything: bool,
        /// Where the new key goes if PORTCULLIS_MASTER_KEY is used
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
    },
}

pub(super) async fn run(config: Config, command: MasterCommand, format: Format) -> Result<(), CliError> {
    match command {
        MasterCommand::Rotate { into, end_derived } => {
            Box::pin(rotate(config, into, end_derived, format)).await
        }
        MasterCommand::Lost {
            end_everything: false,
            ..
        } => Err(CliError::Refused(COST.to_owned())),
        MasterCommand::Lost { into, .. } => lost(config, into, format).await,
    }
}

/// The file that holds the key; `None` if the environment does.
fn key_file(config: &Config) -> Option<PathBuf> {
    config
        .master_key_file
        .clone()
        .filter(|_| config.master_key.is_none())
}

async fn rotate(
    config: Config,
    into: Option<PathBuf>,
    end_derived: bool,
    format: Format,
) -> Result<(), CliError> {
    let how = MasterReplacement {
        file: key_file(&config),
        into,
        end_derived,
    };
    if how.file.is_some() && how.into.is_some() {
        return Err(CliError::Usage(
            "--into is for a master key from the environment; this one is in a file, where the new one goes too".to_owned(),
        ));
    }
    let app = server::open(config).await?;
    let actor = Actor::command_line();
    let done = signing::replace_master(
        &app.store,
        &app.keyring,
        &app.random,
        &how,
        &actor,
        app.clock.now(),
    )
    .await
    .map_err(anyhow::Error::from)?;
    let next = if how.file.is_some() {
        "servers on this machine follow by themselves; give every other one the new file"
    } else {
        "set PORTCULLIS_MASTER_KEY to what is in the file, restart every server, and remove the file"
    };
    output::object(
        &json!({
            "sealed": done.sealed,
            "file": done.file.display().to_string(),
            "old_one": done.kept.map(|kept| kept.display().to_string()),
            "next": next,
        }),
        format,
    );
    Ok(())
}

async fn lost(config: Config, into: Option<PathBuf>, format: Format) -> Result<(), CliError> {
    server::start_log(&config)?;
    let file = key_file(&config);
    let store = server::connect_existing(&config).await?;
    store
        .migrate()
        .await
        .context("the database could not be brought up to date")?;
    policies::of_configuration(&config)?;
    let ring: Keyring = signing::new_master(file.as_deref(), into.as_deref()).map_err(anyhow::Error::from)?;
    let app = App::build_with(server::parts(config, store)?, ring).await?;
    let (actor, now) = (Actor::command_line(), app.clock.now());
    let mut tx = app.store.begin().await.map_err(anyhow::Error::from)?;
    let renewed = signing::start_over(&mut tx, &app.keyring, &app.policy(), &app.random, &actor, now)
        .await
        .map_err(anyhow::Error::from)?;
    let admin = keys::create_admin(&mut tx, &app, None, renewed.signer, &actor, now)
        .await
        .map_err(|error| anyhow::anyhow!(error.problem().detail.clone()))?;
    tx.commit().await.map_err(anyhow::Error::from)?;
    if let Some(file) = &file {
        signing::settle_master(&app.keyring, file).map_err(anyhow::Error::from)?;
    }
    output::object(
        &json!({
            "api_keys_revoked": renewed.api_keys,
            "admin_key_id": admin.key.id,
            "admin_key": admin.plain.expose(),
            "file": file.or(into).map(|file| file.display().to_string()),
            "next": "give every edge what `portcullis feed trust` prints and an empty hub, then start the server",
        }),
        format,
    );
    Ok(())
}
