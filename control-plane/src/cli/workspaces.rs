//! `portcullis workspaces …`: parts of an organisation, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::client::Client;
use super::{CliError, Format, Remote, output, pages};

const PATH: &str = "/v1/workspaces";
const COLUMNS: [&str; 4] = ["id", "name", "keys_in_use", "archived_at"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis workspaces create --name staging
  portcullis workspaces list --archived
  portcullis workspaces archive ws_000000001

The admin key comes from PORTCULLIS_ADMIN_KEY or --admin-key-file, the server from PORTCULLIS_URL or --url.")]
pub(super) struct WorkspacesArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: WorkspacesCommand,
}

#[derive(Debug, Subcommand)]
enum WorkspacesCommand {
    /// Make a workspace
    Create {
        /// What it is called; no other of the organisation may be called the same
        #[arg(long)]
        name: String,
    },
    /// List workspaces by name; of the keys for each, ten are counted at most
    List {
        /// Those that were archived
        #[arg(long)]
        archived: bool,
    },
    /// Give a workspace another name; keys go on
    Rename {
        /// Its id: ws_…
        id: String,
        /// The new name
        #[arg(long)]
        name: String,
    },
    /// Archive a workspace, and revoke every key that is for it alone, for good
    Archive {
        /// Its id: ws_…
        id: String,
        /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
        #[arg(long, default_value = "effective")]
        wait: String,
    },
    /// Take a workspace out of the archive; what was revoked stays dead
    Restore {
        /// Its id: ws_…
        id: String,
    },
}

pub(super) async fn run(args: WorkspacesArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let (method, path, query, body) = match args.command {
        WorkspacesCommand::List { archived } => {
            let query = [("archived", archived.to_string())];
            let rows = pages::all(&client, PATH, &query, "workspaces").await?;
            output::table(&rows, &COLUMNS, format);
            return Ok(());
        }
        WorkspacesCommand::Create { name } => {
            (Method::POST, PATH.to_owned(), vec![], Some(json!({"name": name})))
        }
        WorkspacesCommand::Rename { id, name } => (
            Method::PATCH,
            format!("{PATH}/{}", checked(&id)?),
            vec![],
            Some(json!({"name": name})),
        ),
        WorkspacesCommand::Archive { id, wait } => (
            Method::POST,
            format!("{PATH}/{}/archive", checked(&id)?),
            vec![("wait", wait)],
            None,
        ),
        WorkspacesCommand::Restore { id } => (
            Method::POST,
            format!("{PATH}/{}/restore", checked(&id)?),
            vec![],
            None,
        ),
    };
    let answer = client.call(method, &path, &query, body, None).await?;
    output::object(&answer, format);
    Ok(())
}

/// An id, before it becomes part of a path.
fn checked(id: &str) -> Result<shared::id::WorkspaceId, CliError> {
    id.parse().map_err(|error| CliError::Usage(format!("{error}")))
}
