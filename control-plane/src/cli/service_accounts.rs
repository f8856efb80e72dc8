//! `portcullis service-accounts …`: members that are programs, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::client::Client;
use super::{CliError, Format, Remote, output, pages};

const PATH: &str = "/v1/service-accounts";
const COLUMNS: [&str; 5] = ["user", "name", "role", "state", "ceiling"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis service-accounts create --name nightly-export --role viewer
  portcullis keys create --name nightly-export --preset read --user usr_000000002
  portcullis service-accounts role usr_000000002 member
  portcullis service-accounts deactivate usr_000000002")]
pub(super) struct ServiceAccountsArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: ServiceAccountsCommand,
}

#[derive(Debug, Subcommand)]
enum ServiceAccountsCommand {
    /// Make a service account; it has no key yet
    Create {
        /// What the program is
        #[arg(long)]
        name: String,
        /// The most that its keys can do: viewer, member or admin
        #[arg(long)]
        role: String,
    },
    /// List service accounts by name
    List,
    /// Give a service account another name
    Rename {
        /// Its id: usr_…
        user: String,
        /// The new name
        #[arg(long)]
        name: String,
    },
    /// Give a service account another role; its keys follow at once
    Role {
        #[command(flatten)]
        account: AccountArgs,
        /// viewer, member or admin
        role: String,
    },
    /// Let its keys do nothing until it is resumed
    Suspend(AccountArgs),
    /// Let its keys work again; what was ended stays dead
    Resume(AccountArgs),
    /// End every key of it for good
    Deactivate(AccountArgs),
}

#[derive(Debug, Args)]
struct AccountArgs {
    /// Its id: usr_…
    user: String,
    /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
    #[arg(long, default_value = "effective")]
    wait: String,
}

pub(super) async fn run(args: ServiceAccountsArgs, format: Format) -> Result<(), CliError> {
    use ServiceAccountsCommand as Command;
    let client = Client::new(&args.remote)?;
    let (account, action, body) = match args.command {
        Command::List => {
            let rows = pages::all(&client, PATH, &[], "service_accounts").await?;
            output::table(&rows, &COLUMNS, format);
            return Ok(());
        }
        Command::Create { name, role } => {
            let body = json!({"name": name, "role": role});
            let made = client.call(Method::POST, PATH, &[], Some(body), None).await?;
            output::object(&made, format);
            return Ok(());
        }
        Command::Rename { user, name } => {
            let path = format!("{PATH}/{}", checked(&user)?);
            let body = json!({"name": name});
            let renamed = client.call(Method::PATCH, &path, &[], Some(body), None).await?;
            output::object(&renamed, format);
            return Ok(());
        }
        Command::Role { account, role } => (account, None, Some(json!({"role": role}))),
        Command::Suspend(account) => (account, Some("suspend"), None),
        Command::Resume(account) => (account, Some("resume"), None),
        Command::Deactivate(account) => (account, Some("deactivate"), None),
    };
    let user = checked(&account.user)?;
    let (method, path) = match action {
        Some(action) => (Method::POST, format!("{PATH}/{user}/{action}")),
        None => (Method::PATCH, format!("{PATH}/{user}")),
    };
    let query = [("wait", account.wait)];
    let answer = client.call(method, &path, &query, body, None).await?;
    output::object(&answer, format);
    Ok(())
}

/// An id, before it becomes part of a path.
fn checked(id: &str) -> Result<shared::id::UserId, CliError> {
    id.parse().map_err(|error| CliError::Usage(format!("{error}")))
}
