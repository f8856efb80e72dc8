//! `portcullis members …`: who is in the organisation of a running server, and what they may do.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::client::Client;
use super::{CliError, Format, Remote, output, pages};

const PATH: &str = "/v1/memberships";
/// What acts for somebody, and what is shown of it.
const HOLDINGS: [(&str, &[&str]); 3] = [
    ("keys", &["id", "name", "scopes", "last_used_at"]),
    ("grants", &["id", "client_name", "scopes", "last_used_at"]),
    ("sessions", &["id", "browser", "address", "last_seen_at"]),
];
const COLUMNS: [&str; 6] = ["user", "email", "name", "role", "state", "ceiling"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis members list
  portcullis members role usr_000000001 viewer
  portcullis members suspend usr_000000001
  portcullis members holdings usr_000000001
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
    /// List people and the most that their keys and tokens can do
    List,
    /// What acts for somebody, and would die if they were deactivated: keys, apps, sessions, with their last use
    Holdings {
        /// Their id: usr_…
        user: String,
    },
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
            let rows = pages::all(&client, PATH, &[], "memberships").await?;
            output::table(&rows, &COLUMNS, format);
            return Ok(());
        }
        MembersCommand::Holdings { user } => {
            let user: shared::id::UserId = user
                .parse()
                .map_err(|error| CliError::Usage(format!("{error}")))?;
            let path = format!("{PATH}/{user}/holdings");
            let held = client.call(Method::GET, &path, &[], None, None).await?;
            if format == Format::Json {
                output::object(&held, format);
                return Ok(());
            }
            for (name, columns) in HOLDINGS {
                output::line(&name.to_uppercase());
                let rows = held[name].as_array().cloned().unwrap_or_default();
                output::table(&rows, columns, format);
                output::line("");
            }
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
