//! `portcullis invitations …`: who is invited into the organisation of the admin key, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::client::Client;
use super::{CliError, Format, Remote, output};

const PATH: &str = "/v1/invitations";
const COLUMNS: [&str; 5] = ["id", "email", "role", "status", "expires_at"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis invitations create --email bob@example.com --role member
  portcullis invitations list
  portcullis invitations revoke inv_000000001
")]
pub(super) struct InvitationsArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: InvitationsCommand,
}

#[derive(Debug, Subcommand)]
enum InvitationsCommand {
    /// Invite an address by mail; a former invitation of it is taken back
    Create {
        /// Whom
        #[arg(long)]
        email: String,
        /// As what: viewer, member, admin, or owner (by an owner)
        #[arg(long)]
        role: String,
        /// Makes a repeated call harmless
        #[arg(long)]
        idempotency_key: Option<String>,
    },
    /// List invitations, newest first
    List,
    /// Take an invitation back
    Revoke {
        /// Its id: inv_…
        id: String,
    },
}

pub(super) async fn run(args: InvitationsArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    match args.command {
        InvitationsCommand::Create {
            email,
            role,
            idempotency_key,
        } => {
            let body = json!({"email": email, "role": role});
            let created = client
                .call(Method::POST, PATH, &[], Some(body), idempotency_key.as_deref())
                .await?;
            output::object(&created, format);
        }
        InvitationsCommand::List => {
            let rows = client.list(PATH, "invitations", &[], None).await?;
            output::table(&rows, &COLUMNS, format);
        }
        InvitationsCommand::Revoke { id } => {
            let path = format!("{PATH}/{id}");
            let revoked = client.call(Method::DELETE, &path, &[], None, None).await?;
            output::object(&revoked, format);
        }
    }
    Ok(())
}
