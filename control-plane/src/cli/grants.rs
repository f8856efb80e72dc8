//! `portcullis grants …`: which app acts for whom, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::client::Client;
use super::{CliError, Format, Remote, output, pages};

const PATH: &str = "/v1/grants";
const COLUMNS: [&str; 5] = ["id", "client_name", "user_email", "scopes", "last_used_at"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis grants list --user usr_000000001
  portcullis grants revoke grt_000000001 --reason privilege_withdrawn

The admin key comes from PORTCULLIS_ADMIN_KEY or --admin-key-file, the server from PORTCULLIS_URL or --url.")]
pub(super) struct GrantsArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: GrantsCommand,
}

#[derive(Debug, Subcommand)]
enum GrantsCommand {
    /// List grants, newest first
    List {
        /// Of one person: usr_…
        #[arg(long)]
        user: Option<String>,
        /// Of one client: cli_…
        #[arg(long)]
        client: Option<String>,
    },
    /// End a grant, with every token that came of it, for good
    Revoke {
        /// Its id
        id: String,
        /// Why, in the words of RFC 5280
        #[arg(long, default_value = "unspecified")]
        reason: String,
        /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
        #[arg(long, default_value = "effective")]
        wait: String,
    },
}

pub(super) async fn run(args: GrantsArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    match args.command {
        GrantsCommand::List { user, client: of } => {
            let mut query = Vec::new();
            query.extend(user.map(|user| ("user", user)));
            query.extend(of.map(|of| ("client", of)));
            let rows = pages::all(&client, PATH, &query, "grants").await?;
            output::table(&rows, &COLUMNS, format);
        }
        GrantsCommand::Revoke { id, reason, wait } => {
            let id: shared::id::GrantId = id.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
            let query = [("reason", reason), ("wait", wait)];
            let path = format!("{PATH}/{id}");
            let receipt = client.call(Method::DELETE, &path, &query, None, None).await?;
            output::object(&receipt, format);
        }
    }
    Ok(())
}
