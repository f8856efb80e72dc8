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
  portcullis members erase usr_000000001 --confirm usr_000000001")]
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
    /// Show one member
    Show {
        /// Their id: usr_…
        user: String,
    },
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
    /// Make what is stored about somebody who was deactivated unreadable, for good (owners only)
    Erase {
        /// Their id: usr_…
        user: String,
        /// Their id once more: this cannot be undone
        #[arg(long, value_name = "USER")]
        confirm: String,
    },
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
        MembersCommand::Show { user } => {
            let path = format!("{PATH}/{}", id(&user)?);
            output::object(&client.call(Method::GET, &path, &[], None, None).await?, format);
            return Ok(());
        }
        MembersCommand::Holdings { user } => {
            let path = format!("{PATH}/{}/holdings", id(&user)?);
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
        MembersCommand::Erase { user, confirm } => {
            // The server compares the two.
            let path = format!("/v1/people/{}/erase", id(&user)?);
            let body = json!({ "confirm": confirm });
            let erased = client.call(Method::POST, &path, &[], Some(body), None).await?;
            output::object(&erased, format);
            return Ok(());
        }
        MembersCommand::Role { member, role } => (member, None, Some(json!({"role": role}))),
        MembersCommand::Suspend(member) => (member, Some("suspend"), None),
        MembersCommand::Resume(member) => (member, Some("resume"), None),
        MembersCommand::Deactivate(member) => (member, Some("deactivate"), None),
    };
    let user = id(&member.user)?;
    let (method, path) = match action {
        Some(action) => (Method::POST, format!("{PATH}/{user}/{action}")),
        None => (Method::PATCH, format!("{PATH}/{user}")),
    };
    let query = [("wait", member.wait)];
    let answer = client.call(method, &path, &query, body, None).await?;
    output::object(&answer, format);
    Ok(())
}

fn id(text: &str) -> Result<shared::id::UserId, CliError> {
    text.parse().map_err(|error| CliError::Usage(format!("{error}")))
}
