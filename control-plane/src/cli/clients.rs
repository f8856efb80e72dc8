//! `portcullis clients …`: the OAuth clients of the organisation, on a running server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::installation::InstallationCommand;
use super::keys::{ScopeArgs, asked_for};
use super::{CliError, Format, Remote, output, pages, with_secret};

const PATH: &str = "/v1/clients";
const COLUMNS: [&str; 6] = ["id", "name", "kind", "scopes", "grants", "created_at"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis clients create --name Notes --kind browser --preset read --redirect-uri https://notes.example.com/callback
  portcullis clients update cli_000000001 --redirect-uri https://notes.example.com/signed-in
  portcullis clients revoke cli_000000001 --reason key_compromise
  portcullis clients installation list

A secret is printed once, or written into a new file with --write-to.")]
pub(super) struct ClientsArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: ClientsCommand,
}

#[derive(Debug, Subcommand)]
enum ClientsCommand {
    /// Register a client; its secret is shown once, if it gets one
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// web: with a server; browser: all in the browser; native: on people's machines; mcp; machine: acts for itself
        #[arg(long, value_parser = ["web", "browser", "native", "mcp", "machine"])]
        kind: String,
        #[command(flatten)]
        scopes: ScopeArgs,
        /// Where its public keys are: then it proves who it is with them and gets no secret
        #[arg(long, value_name = "URL")]
        jwks_uri: Option<String>,
        #[command(flatten)]
        settings: SettingArgs,
        /// Makes a repeated call harmless
        #[arg(long)]
        idempotency_key: Option<String>,
        /// Write the secret into this new file, mode 0600, instead of showing it
        #[arg(long = "write-to", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List clients, newest first
    List {
        /// registered; let_in: registered by nobody, let in by people; disabled
        #[arg(long, value_parser = ["registered", "let_in", "disabled"], default_value = "registered")]
        which: String,
    },
    /// Show one
    Show {
        /// Its id: cli_…
        id: String,
    },
    /// Change one: what is not given stays
    Update {
        /// Its id: cli_…
        id: String,
        /// What people call it
        #[arg(long)]
        name: Option<String>,
        /// The most that it may ask for, by the name of a preset: read, read-write or admin
        #[arg(long, conflicts_with = "scopes")]
        preset: Option<String>,
        /// The most that it may ask for, separated by commas
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
        #[command(flatten)]
        settings: SettingArgs,
    },
    /// A new secret, shown once; the one before counts no more
    RotateSecret {
        /// Its id: cli_…
        id: String,
        /// Write the secret into this new file, mode 0600, instead of showing it
        #[arg(long = "write-to", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// End every grant and token that it has, and print the receipt; it may ask again
    Revoke {
        /// Its id: cli_…
        id: String,
        /// Why, in the words of RFC 5280
        #[arg(long, default_value = "unspecified")]
        reason: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Disable one for good, end its tokens, and print the receipt
    Disable {
        /// Its id: cli_…
        id: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Clients of every organisation, and what only the installation sets (on this machine, not over the API)
    #[command(subcommand)]
    Installation(InstallationCommand),
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
    #[arg(long, default_value = "effective")]
    wait: String,
}

/// What can be said about a client when it is made, and again later.
#[derive(Debug, Args)]
struct SettingArgs {
    /// Where people are sent back to, in full; may be given several times. On loopback any port will do
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// Where people may be sent after they have signed out, in full; may be given several times
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// Where it hears of the end of sessions (back-channel logout); empty: nowhere
    #[arg(long, value_name = "URL")]
    backchannel_logout_uri: Option<String>,
    /// Whether it gets only tokens that are bound to a key of its own (DPoP)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    dpop: Option<bool>,
    /// Whether it must push its authorization requests (PAR)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    require_par: Option<bool>,
    /// Whether it may ask for a code that its person types on another device (device flow)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    device: Option<bool>,
}

impl SettingArgs {
    /// What was given, by the names of the API.
    fn into_body(self) -> Map<String, Value> {
        let list = |uris: Vec<String>| (!uris.is_empty()).then(|| Value::from(uris));
        let given = [
            ("redirect_uris", list(self.redirect_uris)),
            ("post_logout_redirect_uris", list(self.post_logout_redirect_uris)),
            (
                "backchannel_logout_uri",
                self.backchannel_logout_uri.map(Value::from),
            ),
            ("dpop_bound_access_tokens", self.dpop.map(Value::from)),
            (
                "require_pushed_authorization_requests",
                self.require_par.map(Value::from),
            ),
            ("device_flow", self.device.map(Value::from)),
        ];
        let given = given.into_iter();
        given
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

impl ClientsArgs {
    /// The command, if it works on the local database instead.
    pub(super) fn local(&self) -> Option<InstallationCommand> {
        match &self.command {
            ClientsCommand::Installation(command) => Some(command.clone()),
            _ => None,
        }
    }
}

pub(super) async fn run(args: ClientsArgs, format: Format) -> Result<(), CliError> {
    use ClientsCommand as Command;
    let client = Client::new(&args.remote)?;
    let call = async |method: Method, path: String, query: &[(&str, String)], body: Option<Value>| {
        client.call(method, &path, query, body, None).await
    };
    let answer = match args.command {
        Command::Create {
            name,
            kind,
            scopes,
            jwks_uri,
            settings,
            idempotency_key,
            file,
        } => {
            let mut body = settings.into_body();
            body.insert("name".to_owned(), name.into());
            body.insert("kind".to_owned(), kind.into());
            body.extend(jwks_uri.map(|uri| ("jwks_uri".to_owned(), uri.into())));
            body.extend(asked_for(scopes.preset.as_deref(), &scopes.scopes));
            let key = idempotency_key.as_deref();
            let made = client
                .call(Method::POST, PATH, &[], Some(body.into()), key)
                .await?;
            return with_secret(made, "client_secret", file.as_deref(), format);
        }
        Command::List { which } => {
            let rows = pages::all(&client, PATH, &[("which", which)], "clients").await?;
            output::table(&rows, &COLUMNS, format);
            return Ok(());
        }
        Command::Show { id } => call(Method::GET, path(&id, "")?, &[], None).await?,
        Command::Update {
            id,
            name,
            preset,
            scopes,
            settings,
        } => {
            let mut body = settings.into_body();
            body.extend(name.map(|name| ("name".to_owned(), name.into())));
            body.extend(asked_for(preset.as_deref(), &scopes));
            call(Method::PATCH, path(&id, "")?, &[], Some(body.into())).await?
        }
        Command::RotateSecret { id, file } => {
            let made = call(Method::POST, path(&id, "/rotate-secret")?, &[], None).await?;
            return with_secret(made, "client_secret", file.as_deref(), format);
        }
        Command::Revoke { id, reason, wait } => {
            let query = [("reason", reason), ("wait", wait.wait)];
            call(Method::POST, path(&id, "/revoke")?, &query, None).await?
        }
        Command::Disable { id, wait } => {
            call(Method::DELETE, path(&id, "")?, &[("wait", wait.wait)], None).await?
        }
        Command::Installation(_) => json!({}),
    };
    output::object(&answer, format);
    Ok(())
}

/// An id is checked before it becomes part of a path.
fn path(id: &str, action: &str) -> Result<String, CliError> {
    let id: shared::id::ClientId = id.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
    Ok(format!("{PATH}/{id}{action}"))
}
