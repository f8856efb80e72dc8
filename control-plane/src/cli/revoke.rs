//! `portcullis revoke …`: everything that can be revoked, over the API of a running server; what belongs to the whole
//! installation, on the database of the configuration.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};
use shared::id::{OrgId, SigningKeyId};

use super::client::Client;
use super::{CliError, Format, Remote, output, server};
use crate::config::Config;
use crate::keys::Reason;
use crate::revocation::Wait;
use crate::revocations::local;

const PATH: &str = "/v1/revocations";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis revoke client cli_000000001 --reason key_compromise --comment 'its laptop was stolen'
  portcullis revoke user usr_000000001 --reason key_compromise
  portcullis revoke where --name-prefix ci- --created-before 2026-01-01T00:00:00Z --dry-run
  portcullis revoke where --kind grants --last-used-before 2026-01-01T00:00:00Z --reason cessation_of_operation
  portcullis revoke signing-key k3

There is no way back. `signing-key`, and `issuer` with this installation's own issuer, work on the database of the configuration.")]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: RevokeCommand,
}

#[derive(Debug, Subcommand)]
enum RevokeCommand {
    /// One API key: key_…
    Key(One),
    /// What a person let an app do, with all its tokens: grt_…
    Grant(One),
    /// Everything that an OAuth client was issued: its client_id
    Client(One),
    /// Every key, token and session of a person in the organisation, who may sign in again: usr_…
    User(One),
    /// A sign-in and every token that came of it: ses_…
    Session(One),
    /// Every credential and session of the organisation, your admin key too: org_…
    Org(One),
    /// Every key that is for this workspace alone, which stays in use: ws_…
    Workspace(One),
    /// A signing key that somebody else has, with everything that it signed (on this machine): k3
    SigningKey(One),
    /// Everything that an identity provider vouched for; with this installation's own issuer, everything (on this machine)
    Issuer(One),
    /// All credentials that match every condition
    Where(Box<Conditions>),
}

#[derive(Debug, Args)]
struct How {
    /// Why, in the words of RFC 5280
    #[arg(long, default_value = "unspecified")]
    reason: String,
    /// Why, for the audit trail
    #[arg(long)]
    comment: Option<String>,
    /// Wait until no edge lets it in (effective), until the hub has it (ack), or not at all (none)
    #[arg(long, default_value = "effective")]
    wait: String,
}

#[derive(Debug, Args)]
struct One {
    /// Its id
    id: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct Conditions {
    /// keys, grants or all
    #[arg(long, default_value = "all")]
    kind: String,
    /// Made before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Made at this time or later
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Grants that got no token since
    #[arg(long, value_name = "TIME")]
    last_used_before: Option<String>,
    /// API keys whose name begins so
    #[arg(long, value_name = "TEXT")]
    name_prefix: Option<String>,
    /// API keys of one environment: live, test or dev
    #[arg(long)]
    environment: Option<String>,
    /// Credentials with this scope, or one that implies it
    #[arg(long)]
    scope: Option<String>,
    /// Of one person: usr_…
    #[arg(long)]
    user: Option<String>,
    /// Grants of one client
    #[arg(long)]
    client: Option<String>,
    /// API keys of one workspace, or `all` for those of every one
    #[arg(long)]
    workspace: Option<String>,
    /// Only count what matches
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    how: How,
}

impl RevokeCommand {
    /// The member of `target`, and the rest.
    fn target(self) -> Result<(&'static str, One), Box<Conditions>> {
        Ok(match self {
            Self::Key(one) => ("key", one),
            Self::Grant(one) => ("grant", one),
            Self::Client(one) => ("client", one),
            Self::User(one) => ("user", one),
            Self::Session(one) => ("session", one),
            Self::Org(one) => ("org", one),
            Self::Workspace(one) => ("workspace", one),
            Self::SigningKey(one) => ("signing_key", one),
            Self::Issuer(one) => ("issuer", one),
            Self::Where(conditions) => return Err(conditions),
        })
    }
}

pub(super) async fn run(
    args: RevokeArgs,
    load: impl Fn() -> Result<Config, CliError>,
    format: Format,
) -> Result<(), CliError> {
    let answer = match args.command.target() {
        Ok(("signing_key", one)) => signing_key(load()?, &one).await?,
        Ok((kind, one)) => {
            let own = kind == "issuer" && load()?.issuer == one.id;
            if own {
                own_issuer(load()?, &one.how).await?
            } else {
                let mut body = Map::from_iter([("target".to_owned(), json!({ kind: one.id }))]);
                add(&mut body, &one.how);
                call(&args.remote, body, one.how.wait).await?
            }
        }
        Err(conditions) => {
            let mut body = Map::from_iter([("filter".to_owned(), filter(&conditions))]);
            body.insert("dry_run".to_owned(), conditions.dry_run.into());
            add(&mut body, &conditions.how);
            call(&args.remote, body, conditions.how.wait).await?
        }
    };
    output::object(&answer, format);
    Ok(())
}

fn add(body: &mut Map<String, Value>, how: &How) {
    body.insert("reason".to_owned(), how.reason.as_str().into());
    if let Some(comment) = &how.comment {
        body.insert("comment".to_owned(), comment.as_str().into());
    }
}

fn filter(conditions: &Conditions) -> Value {
    let members = [
        ("created_before", &conditions.created_before),
        ("created_after", &conditions.created_after),
        ("last_used_before", &conditions.last_used_before),
        ("name_prefix", &conditions.name_prefix),
        ("environment", &conditions.environment),
        ("scope", &conditions.scope),
        ("user", &conditions.user),
        ("client", &conditions.client),
        ("workspace", &conditions.workspace),
    ];
    let mut filter = Map::from_iter([("kind".to_owned(), conditions.kind.as_str().into())]);
    for (name, value) in members {
        if let Some(value) = value {
            filter.insert(name.to_owned(), value.as_str().into());
        }
    }
    Value::Object(filter)
}

async fn call(remote: &Remote, body: Map<String, Value>, wait: String) -> Result<Value, CliError> {
    Client::new(remote)?
        .call(
            Method::POST,
            PATH,
            &[("wait", wait)],
            Some(Value::Object(body)),
            None,
        )
        .await
}

/// What the operator at the machine says about how.
fn how(how: &How) -> Result<(Reason, Wait), CliError> {
    let reason = how
        .reason
        .parse()
        .map_err(|error| CliError::Usage(format!("--reason: {error}")))?;
    let wait = how
        .wait
        .parse()
        .map_err(|error| CliError::Usage(format!("--wait: {error}")))?;
    Ok((reason, wait))
}

async fn signing_key(config: Config, one: &One) -> Result<Value, CliError> {
    let id: SigningKeyId = one
        .id
        .parse()
        .map_err(|_| CliError::Usage("a signing key has a kid such as k3".to_owned()))?;
    let (reason, wait) = how(&one.how)?;
    if !matches!(reason, Reason::Unspecified | Reason::KeyCompromise) || one.how.comment.is_some() {
        let detail =
            "a signing key is revoked as `key_compromise`; to replace it: `portcullis keys signing rotate`";
        return Err(CliError::Usage(detail.to_owned()));
    }
    let app = server::open(config).await?;
    Ok(local::signing_key(&app, id, wait).await?)
}

async fn own_issuer(config: Config, args: &How) -> Result<Value, CliError> {
    let (reason, wait) = how(args)?;
    let app = server::open(config).await?;
    Ok(local::own_issuer(&app, reason, args.comment.as_deref(), wait).await?)
}

/// `portcullis keys admin`
pub(super) async fn admin_key(config: Config, org: Option<String>, format: Format) -> Result<(), CliError> {
    let org: Option<OrgId> = org
        .map(|text| {
            text.parse()
                .map_err(|error| CliError::Usage(format!("--org: {error}")))
        })
        .transpose()?;
    let app = server::open(config).await?;
    let answer = local::admin_key(&app, org).await?;
    output::object(&answer, format);
    Ok(())
}
