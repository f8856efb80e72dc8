//! Commands that work on the database of the configuration, beside a running server or without one: OAuth clients, the
//! server's signing keys, the feed.

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{CliError, Format, output, server};
use crate::audit::Actor;
use crate::config::Config;
use crate::http::time::format_rfc3339;
use crate::oauth::clients::{self, NewClient};
use crate::signing::{self, Purpose};
use crate::{app::App, revocation};

#[derive(Debug, Subcommand)]
pub(super) enum ClientsCommand {
    /// Make a client for `client_credentials`; its secret is printed once
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// A preset: read, read-write or admin
        #[arg(long, conflicts_with = "scopes", required_unless_present = "scopes")]
        scope: Option<String>,
        /// Single scopes, separated by commas
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
    },
    /// List clients, oldest first
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum FeedCommand {
    /// Print what an edge must be configured with: ROOT_KEY=… FEED_ID=…
    Trust,
    /// Begin a new epoch with a fresh snapshot, when edges refuse the feed after a database was restored
    Recover,
    /// Make this copy of a database the one that publishes, in a new epoch; the other copy must be stopped
    TakeOver,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum SigningCommand {
    /// Start replacing a signing key; the new one signs once every edge has acknowledged it
    Rotate {
        /// What the key signs
        #[arg(long, value_enum)]
        purpose: SigningPurpose,
    },
    /// List signing keys and where they are in their lives
    List,
}

/// The purposes whose keys are replaced.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SigningPurpose {
    /// API keys
    ApiKey,
    /// Access tokens
    AccessToken,
    /// The feed
    Feed,
}

impl From<SigningPurpose> for Purpose {
    fn from(purpose: SigningPurpose) -> Self {
        match purpose {
            SigningPurpose::ApiKey => Self::ApiKey,
            SigningPurpose::AccessToken => Self::AccessToken,
            SigningPurpose::Feed => Self::Feed,
        }
    }
}

pub(super) async fn clients(config: Config, command: ClientsCommand, format: Format) -> Result<(), CliError> {
    let app = server::open(config).await?;
    match command {
        ClientsCommand::Create { name, scope, scopes } => {
            let created = create_client(&app, name, scope.as_deref(), &scopes).await?;
            output::object(&created, format);
        }
        ClientsCommand::List => {
            let mut tx = app.store.begin_read().await.map_err(anyhow::Error::from)?;
            let rows: Vec<Value> = tx
                .clients()
                .await
                .map_err(anyhow::Error::from)?
                .iter()
                .map(|client| {
                    json!({
                        "client_id": client.id,
                        "name": client.name,
                        "org": client.org,
                        "scopes": app.catalogue().names(client.scopes),
                        "created_at": format_rfc3339(client.created_at),
                        "disabled_at": client.disabled_at.map(format_rfc3339),
                    })
                })
                .collect();
            output::table(
                &rows,
                &["client_id", "name", "org", "scopes", "created_at", "disabled_at"],
                format,
            );
        }
    }
    Ok(())
}

async fn create_client(
    app: &App,
    name: String,
    scope: Option<&str>,
    scopes: &[String],
) -> Result<Value, CliError> {
    let list = scope.is_none().then_some(scopes);
    let scopes = crate::keys::scopes_of(scope, list, &app.policy.policy)
        .map_err(|error| CliError::Usage(error.problem().detail.clone()))?;
    let mut tx = app.store.begin().await.map_err(anyhow::Error::from)?;
    // One organisation until there is administration of them.
    let org = tx
        .first_org()
        .await
        .map_err(anyhow::Error::from)?
        .context("run `portcullis migrate` first")?;
    let new = NewClient { org, name, scopes };
    let actor = Actor::command_line();
    let created = clients::create(
        &mut tx,
        &app.random,
        &app.config.brand,
        new,
        &actor,
        app.clock.now(),
    )
    .await
    .map_err(|error| match error {
        clients::CreateError::Name => CliError::Usage(error.to_string()),
        error => CliError::Failed(error.into()),
    })?;
    tx.commit().await.map_err(anyhow::Error::from)?;
    Ok(json!({
        "client_id": created.client.id,
        "client_secret": created.secret.expose(),
        "name": created.client.name,
        "scopes": app.catalogue().names(created.client.scopes),
    }))
}

pub(super) async fn signing(config: Config, command: SigningCommand, format: Format) -> Result<(), CliError> {
    let app = server::open(config).await?;
    match command {
        SigningCommand::Rotate { purpose } => {
            let mut tx = app.store.begin().await.map_err(anyhow::Error::from)?;
            let actor = Actor::command_line();
            let id = signing::rotate(
                &mut tx,
                &app.keyring,
                &app.random,
                purpose.into(),
                &actor,
                app.clock.now(),
            )
            .await
            .map_err(anyhow::Error::from)?;
            tx.commit().await.map_err(anyhow::Error::from)?;
            output::object(
                &json!({"new_signing_key": id.kid(), "purpose": Purpose::from(purpose).as_str()}),
                format,
            );
        }
        SigningCommand::List => {
            let rows: Vec<Value> = app
                .keyring
                .all()
                .iter()
                .map(|key| {
                    json!({
                        "kid": key.id.kid(),
                        "purpose": key.purpose.as_str(),
                        "state": key.state.as_str(),
                        "created_at": format_rfc3339(key.created_at),
                        "public_key": shared::crypto::base64url(key.public.material()),
                    })
                })
                .collect();
            output::table(&rows, &["kid", "purpose", "state", "created_at"], format);
        }
    }
    Ok(())
}

pub(super) async fn feed(config: Config, command: FeedCommand, format: Format) -> Result<(), CliError> {
    let app = server::open(config).await?;
    match command {
        FeedCommand::Trust => {
            let mut tx = app.store.begin_read().await.map_err(anyhow::Error::from)?;
            let trust = revocation::trust(&mut tx, &app.keyring)
                .await
                .map_err(anyhow::Error::from)?;
            match format {
                // Lines that a shell or an env file takes as they are.
                Format::Table => output::line(&trust.to_string()),
                Format::Json => {
                    output::object(
                        &json!({"root_key": trust.root_key, "feed_id": trust.feed_id}),
                        format,
                    );
                }
            }
        }
        FeedCommand::Recover => {
            let actor = Actor::command_line();
            let epoch = revocation::recover(&app, &actor)
                .await
                .map_err(anyhow::Error::from)?;
            output::object(&json!({"epoch": epoch}), format);
        }
        FeedCommand::TakeOver => {
            let actor = Actor::command_line();
            let epoch = revocation::take_over(&app, &actor)
                .await
                .map_err(anyhow::Error::from)?;
            output::object(&json!({"epoch": epoch}), format);
        }
    }
    Ok(())
}
