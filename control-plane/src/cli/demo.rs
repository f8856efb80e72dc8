//! `portcullis demo`: a believable month to look at, and its end.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, Format, output, server};
use crate::audit::Actor;
use crate::config::Config;
use crate::demo::{self, Extent};

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum DemoCommand {
    /// Put people, keys and a month of use into the first organisation, unless they are there
    #[command(after_help = "\
Examples:
  portcullis demo seed      then look at the dashboard
  portcullis demo remove    revoke its keys and take everything away but its lines in the audit trail")]
    Seed,
    /// Revoke the demo's keys and take away what it made
    #[command(after_help = "\
Examples:
  portcullis demo remove")]
    Remove,
}

pub(super) async fn run(config: Config, command: DemoCommand, format: Format) -> Result<(), CliError> {
    let app = server::open(config).await?;
    let actor = Actor::command_line();
    let (done, otherwise) = match command {
        DemoCommand::Seed => (demo::seed(&app, &actor).await, "the demo is there already"),
        DemoCommand::Remove => (demo::remove(&app, &actor).await, "there is no demo here"),
    };
    let done = done.map_err(|error| CliError::Refused(error.problem().detail.clone()))?;
    let answer = done.map_or_else(
        || json!({ "unchanged": otherwise }),
        |extent: Extent| json!(extent),
    );
    output::object(&answer as &Value, format);
    Ok(())
}
