//! `portcullis sessions …`: who of the organisation is signed in, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::client::Client;
use super::{CliError, Format, Remote, output, pages};

const PATH: &str = "/v1/sessions";
const COLUMNS: [&str; 6] = [
    "id",
    "user_email",
    "browser",
    "address",
    "signed_in_at",
    "last_seen_at",
];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis sessions list --user usr_000000001
  portcullis sessions end ses_000000001
  portcullis sessions end-all usr_000000001

The admin key comes from PORTCULLIS_ADMIN_KEY or --admin-key-file, the server from PORTCULLIS_URL or --url.")]
pub(super) struct SessionsArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// List sessions, the newest sign-in first
    List {
        /// Of one person: usr_…
        #[arg(long)]
        user: Option<String>,
    },
    /// End one session, with what apps got in it
    End {
        /// Its id
        id: String,
        /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
        #[arg(long, default_value = "effective")]
        wait: String,
    },
    /// End every session that somebody has in the organisation; API keys go on
    EndAll {
        /// Their id: usr_…
        user: String,
        /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
        #[arg(long, default_value = "effective")]
        wait: String,
    },
}

pub(super) async fn run(args: SessionsArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let (path, query) = match args.command {
        SessionsCommand::List { user } => {
            let query: Vec<_> = user.map(|user| ("user", user)).into_iter().collect();
            let rows = pages::all(&client, PATH, &query, "sessions").await?;
            output::table(&rows, &COLUMNS, format);
            return Ok(());
        }
        SessionsCommand::End { id, wait } => {
            let id: shared::id::SessionId =
                id.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
            (format!("{PATH}/{id}"), vec![("wait", wait)])
        }
        SessionsCommand::EndAll { user, wait } => {
            let user: shared::id::UserId = user
                .parse()
                .map_err(|error| CliError::Usage(format!("{error}")))?;
            (PATH.to_owned(), vec![("user", user.to_string()), ("wait", wait)])
        }
    };
    let answer = client.call(Method::DELETE, &path, &query, None, None).await?;
    output::object(&answer, format);
    Ok(())
}
