//! `portcullis members …`: who is in the organisation of a running server, and what they may do.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, Format, Remote, output};

const PATH: &str = "/v1/memberships";
const COLUMNS: [&str; 6] = ["user", "email", "name", "role", "state", "ceiling"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis members list
  portcullis members role usr_000000001 viewer
  portcullis members suspend usr_000000001
  portcullis members deactivate usr_000000001

The admin key comes from PORTCULLIS_ADMIN_KEY or --admin-key-file, the server from PORTCULLIS_URL or --url.")]
pub(super) struct MembersArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: MembersCommand,
}

#[derive(Debug, Subcommand)]
enum MembersCommand {
    /// List members and the most that their keys and tokens can do
    List,
    /// Give a member another role; their keys and tokens follow at once
    Role {
        #[command(flatten)]
        member: MemberArgs,
        /// owner, admin, member or viewer
        role: String,
    },
    /// Shut a member out until they are resumed
    Suspend(MemberArgs),
    /// Let a member in again; what was ended stays dead
    Resume(MemberArgs),
    /// Shut a member out and end every key, token and session of theirs for good
    Deactivate(MemberArgs),
}

#[derive(Debug, Args)]
struct MemberArgs {
    /// Their id: usr_…
    user: String,
    /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
    #[arg(long, default_value = "effective")]
    wait: String,
}

pub(super) async fn run(args: MembersArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let (member, action, body) = match args.command {
        MembersCommand::List => {
            output::table(&list(&client).await?, &COLUMNS, format);
            return Ok(());
        }
        MembersCommand::Role { member, role } => (member, None, Some(json!({"role": role}))),
        MembersCommand::Suspend(member) => (member, Some("suspend"), None),
        MembersCommand::Resume(member) => (member, Some("resume"), None),
        MembersCommand::Deactivate(member) => (member, Some("deactivate"), None),
    };
    let user: shared::id::UserId = member
        .user
        .parse()
        .map_err(|error| CliError::Usage(format!("{error}")))?;
    let (method, path) = match action {
        Some(action) => (Method::POST, format!("{PATH}/{user}/{action}")),
        None => (Method::PATCH, format!("{PATH}/{user}")),
    };
    let query = [("wait", member.wait)];
    let answer = client.call(method, &path, &query, body, None).await?;
    output::object(&answer, format);
    Ok(())
}

/// Follows the cursor to the end.
async fn list(client: &Client) -> Result<Vec<Value>, CliError> {
    let mut members = Vec::new();
    let mut query = Vec::new();
    loop {
        let page = client.call(Method::GET, PATH, &query, None, None).await?;
        members.extend(page["memberships"].as_array().cloned().unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(cursor) => query = vec![("cursor", cursor.to_owned())],
            None => return Ok(members),
        }
    }
}
