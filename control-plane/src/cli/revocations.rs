//! `portcullis revocations …`: what was revoked, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::client::Client;
use super::{CliError, Format, Remote, output};

const PATH: &str = "/v1/revocations";

#[derive(Debug, Args)]
pub(super) struct RevocationsArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: RevocationsCommand,
}

#[derive(Debug, Subcommand)]
enum RevocationsCommand {
    /// Show the receipt of a revocation as it is now
    Show {
        /// Its id: rev_…
        id: String,
        /// Wait until no edge lets it in (effective), until the hub has it (ack), or not at all (none)
        #[arg(long, default_value = "none")]
        wait: String,
    },
    /// List the ids of what a revocation ended
    Credentials {
        /// Its id: rev_…
        id: String,
        /// At most so many [default: every one]
        #[arg(long)]
        limit: Option<usize>,
    },
}

pub(super) async fn run(args: RevocationsArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    match args.command {
        RevocationsCommand::Show { id, wait } => {
            let path = format!("{PATH}/{id}");
            let receipt = client
                .call(Method::GET, &path, &[("wait", wait)], None, None)
                .await?;
            output::object(&receipt, format);
        }
        RevocationsCommand::Credentials { id, limit } => {
            let path = format!("{PATH}/{id}/credentials");
            let ids = client.list(&path, "credentials", &[], limit).await?;
            let rows: Vec<_> = ids.into_iter().map(|id| json!({ "id": id })).collect();
            output::table(&rows, &["id"], format);
        }
    }
    Ok(())
}
