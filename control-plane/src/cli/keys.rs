//! `portcullis keys …`: the API keys of a running server.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::local::SigningCommand;
use super::master::MasterCommand;
use super::{CliError, Format, Remote, output};

const PATH: &str = "/v1/auth/keys";
const COLUMNS: [&str; 9] = [
    "id",
    "name",
    "masked",
    "status",
    "quarantined",
    "environment",
    "workspace",
    "scopes",
    "expires_at",
];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis keys create --name ci --preset read-write --environment test --expires-at 2030-01-31T00:00:00Z
  portcullis keys list --status active
  portcullis keys rotate key_000000001 --overlap-seconds 3600
  portcullis keys revoke key_000000001 --reason key_compromise
  portcullis keys quarantine key_000000001 --ceiling read
")]
pub(super) struct KeysArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key; its text is printed once
    Create(CreateArgs),
    /// List keys, newest first
    List(ListArgs),
    /// Show one key, without its text
    Show {
        /// Its id: key_…
        id: String,
    },
    /// Give a key another name
    Rename {
        /// Its id: key_…
        id: String,
        /// The new name
        name: String,
    },
    /// Replace a key by a new one with the same rights
    Rotate {
        /// Its id: key_…; or `self`, to rotate the very key that the command runs with, which needs no admin scope
        id: String,
        /// How long the old key stays valid; 0 revokes it at once [default: the server's, 24 h]
        #[arg(long, value_name = "SECONDS")]
        overlap_seconds: Option<u64>,
        /// Makes a repeated call harmless
        #[arg(long)]
        idempotency_key: Option<String>,
    },
    /// Revoke a key for good and print the receipt
    Revoke {
        /// Its id: key_…
        id: String,
        /// Why, in the words of RFC 5280
        #[arg(long, default_value = "unspecified")]
        reason: String,
        /// With every key of its line of rotations, before and after it [default: true for key_compromise]
        #[arg(long, value_name = "BOOL")]
        line: Option<bool>,
        /// Wait until no edge lets it in (effective), until the hub has it (ack), or not at all (none)
        #[arg(long, default_value = "effective")]
        wait: String,
    },
    /// Let a key do less for now; it can be released
    Quarantine {
        /// Its id: key_…
        id: String,
        /// What is left: read or none
        #[arg(long)]
        ceiling: String,
        /// Why, for the audit trail
        #[arg(long)]
        comment: Option<String>,
        /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
        #[arg(long, default_value = "effective")]
        wait: String,
    },
    /// Release a key from quarantine
    Release {
        /// Its id: key_…
        id: String,
        /// Why, for the audit trail
        #[arg(long)]
        comment: Option<String>,
        /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
        #[arg(long, default_value = "effective")]
        wait: String,
    },
    /// Make an admin key for the first owner (on this machine, not over the API): for whoever has none left
    Admin {
        /// The organisation: org_… [default: the first]
        #[arg(long)]
        org: Option<String>,
    },
    /// The server's own signing keys (on this machine, not over the API)
    #[command(subcommand)]
    Signing(SigningCommand),
    /// The master key, under which the server's secrets are sealed (on this machine, not over the API)
    #[command(subcommand)]
    Master(MasterCommand),
}

/// What works on the local database instead of the API.
pub(super) enum LocalKeys {
    Signing(SigningCommand),
    Master(MasterCommand),
    Admin { org: Option<String> },
}

/// What something new may do.
#[derive(Clone, Debug, Args)]
pub(super) struct ScopeArgs {
    /// Scopes by the name of a preset: read, read-write or admin
    #[arg(
        long,
        visible_alias = "scope",
        conflicts_with = "scopes",
        required_unless_present = "scopes"
    )]
    pub(super) preset: Option<String>,
    /// Single scopes, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub(super) scopes: Vec<String>,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What people call it
    #[arg(long)]
    name: String,
    #[command(flatten)]
    scopes: ScopeArgs,
    /// A workspace's id, or all
    #[arg(long, default_value = "all")]
    workspace: String,
    /// live, test or dev
    #[arg(long, default_value = "live")]
    environment: String,
    /// When it ends, as RFC 3339 [default: never]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// A member's id, to make the key for them
    #[arg(long)]
    user: Option<String>,
    /// Makes a repeated call harmless
    #[arg(long)]
    idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// active, rotating, expired or revoked
    #[arg(long)]
    status: Option<String>,
    /// live, test or dev
    #[arg(long)]
    environment: Option<String>,
    /// A workspace's id, or all
    #[arg(long)]
    workspace: Option<String>,
    /// Part of the name
    #[arg(long)]
    name: Option<String>,
    /// At most so many [default: every one]
    #[arg(long)]
    limit: Option<usize>,
}

impl KeysArgs {
    /// The command, if it works on the local database instead.
    pub(super) fn local(&self) -> Option<LocalKeys> {
        match &self.command {
            KeysCommand::Signing(command) => Some(LocalKeys::Signing(command.clone())),
            KeysCommand::Master(command) => Some(LocalKeys::Master(command.clone())),
            KeysCommand::Admin { org } => Some(LocalKeys::Admin { org: org.clone() }),
            _ => None,
        }
    }
}

pub(super) async fn run(args: KeysArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let path = |id: &str| -> Result<String, CliError> {
        if id == "self" {
            return Ok(format!("{PATH}/self"));
        }
        let _: shared::id::KeyId = id.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
        Ok(format!("{PATH}/{id}"))
    };
    let answer = match args.command {
        KeysCommand::Create(args) => {
            let body = create_body(&args);
            client
                .call(
                    Method::POST,
                    PATH,
                    &[],
                    Some(body),
                    args.idempotency_key.as_deref(),
                )
                .await?
        }
        KeysCommand::List(args) => {
            let keys = list(&client, &args).await?;
            output::table(&keys, &COLUMNS, format);
            return Ok(());
        }
        KeysCommand::Show { id } => client.call(Method::GET, &path(&id)?, &[], None, None).await?,
        KeysCommand::Rename { id, name } => {
            client
                .call(Method::PATCH, &path(&id)?, &[], Some(json!({"name": name})), None)
                .await?
        }
        KeysCommand::Rotate {
            id,
            overlap_seconds,
            idempotency_key,
        } => {
            let body =
                overlap_seconds.map_or_else(|| json!({}), |seconds| json!({"overlap_seconds": seconds}));
            let path = format!("{}/rotate", path(&id)?);
            let key = idempotency_key.as_deref();
            let mut answer = client.call(Method::POST, &path, &[], Some(body), key).await?;
            if format == Format::Table {
                shorten(&mut answer);
            }
            answer
        }
        KeysCommand::Revoke {
            id,
            reason,
            line,
            wait,
        } => {
            let mut query = vec![("reason", reason), ("wait", wait)];
            query.extend(line.map(|line| ("line", line.to_string())));
            client
                .call(Method::DELETE, &path(&id)?, &query, None, None)
                .await?
        }
        KeysCommand::Quarantine {
            id,
            ceiling,
            comment,
            wait,
        } => {
            let path = format!("{}/quarantine", path(&id)?);
            let body = json!({"ceiling": ceiling, "comment": comment});
            client
                .call(Method::POST, &path, &[("wait", wait)], Some(body), None)
                .await?
        }
        KeysCommand::Release { id, comment, wait } => {
            let path = format!("{}/release", path(&id)?);
            let body = json!({ "comment": comment });
            client
                .call(Method::POST, &path, &[("wait", wait)], Some(body), None)
                .await?
        }
        KeysCommand::Admin { .. } | KeysCommand::Signing(_) | KeysCommand::Master(_) => return Ok(()),
    };
    output::object(&answer, format);
    Ok(())
}

/// People want to know when the old key ends; the rest of it was there before.
fn shorten(answer: &mut Value) {
    let end = match answer["old"]["status"].as_str() {
        Some("rotating") => format!("{} ends at {}", answer["old"]["id"], answer["old"]["not_after"]),
        status => format!("{} {}", answer["old"]["id"], status.unwrap_or_default()),
    };
    answer["old"] = end.replace('"', "").into();
}

/// The scopes that are asked for, by the name of a preset or one by one, as the API calls them.
pub(super) fn asked_for(preset: Option<&str>, scopes: &[String]) -> Option<(String, Value)> {
    match preset {
        Some(preset) => Some(("scope".to_owned(), preset.into())),
        None => (!scopes.is_empty()).then(|| ("scopes".to_owned(), scopes.into())),
    }
}

fn create_body(args: &CreateArgs) -> Value {
    let mut body = Map::new();
    body.insert("name".to_owned(), args.name.as_str().into());
    body.extend(asked_for(args.scopes.preset.as_deref(), &args.scopes.scopes));
    body.insert("workspace".to_owned(), args.workspace.as_str().into());
    body.insert("environment".to_owned(), args.environment.as_str().into());
    for (name, value) in [("expires_at", &args.expires_at), ("user", &args.user)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.as_str().into());
        }
    }
    Value::Object(body)
}

/// Follows the cursor until the limit or the end.
async fn list(client: &Client, args: &ListArgs) -> Result<Vec<Value>, CliError> {
    let filters = [
        ("status", &args.status),
        ("environment", &args.environment),
        ("workspace", &args.workspace),
        ("name", &args.name),
    ];
    let filters: Vec<(&str, String)> = filters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect();
    client.list(PATH, "keys", &filters, args.limit).await
}
