//! `portcullis clients installation …`: OAuth clients on the database of the configuration, beside a running server or without one:
//! those of every organisation, and what the API does not set.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};
use shared::id::{ClientId, OrgId};
use shared::scope::ScopeSet;

use super::keys::ScopeArgs;
use super::{CliError, Format, output, server};
use crate::app::App;
use crate::audit::Actor;
use crate::config::Config;
use crate::http::time::format_rfc3339;
use crate::oauth::clients::{self, CreateError, NewClient};
use crate::revocation::{self, Wait};
use crate::store::clients::{ApplicationType, ClientKind};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum InstallationCommand {
    /// Make a client: for `client_credentials`, and with redirect URIs to sign people in; its secret is printed once
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        #[command(flatten)]
        scopes: ScopeArgs,
        /// It runs in a browser or on people's machines and cannot keep a secret: it gets none
        #[arg(long)]
        public: bool,
        /// Where people are sent back to, in full; may be given several times. On loopback any port will do
        #[arg(long, value_name = "URI")]
        redirect_uri: Vec<String>,
        /// How long a refresh token can be retried, in seconds: 0 to 300
        #[arg(long, value_name = "SECONDS", default_value_t = clients::DEFAULT_GRACE_SECONDS)]
        refresh_grace: u64,
        /// Where people may be sent after they have signed out, in full; may be given several times
        #[arg(long, value_name = "URI")]
        post_logout_redirect_uri: Vec<String>,
        /// Where it hears of the end of sessions (back-channel logout)
        #[arg(long, value_name = "URL")]
        backchannel_logout_uri: Option<String>,
        /// It needs to be told which session has ended
        #[arg(long, requires = "backchannel_logout_uri")]
        backchannel_logout_session_required: bool,
        /// It proves who it is with a key of its own (`private_key_jwt`) instead of a secret: a file with its JWK Set
        #[arg(long, value_name = "FILE", conflicts_with_all = ["jwks_uri", "public"])]
        jwks: Option<PathBuf>,
        /// The same, with the https address of its JWK Set
        #[arg(long, value_name = "URL", conflicts_with = "public")]
        jwks_uri: Option<String>,
        /// It runs on people's machines, not in a browser or on a server
        #[arg(long)]
        native: bool,
        /// It gets only tokens that are bound to a key of its own (DPoP)
        #[arg(long)]
        dpop: bool,
        /// It must push its authorization requests (PAR)
        #[arg(long)]
        require_par: bool,
        /// It is for the people of every organisation, not just of the first one; then it has no tokens of its own
        #[arg(long, requires = "redirect_uri")]
        any_org: bool,
        /// It may ask for a code that its person types on another device (device flow). There it proves nothing but its
        /// name, so only apps that need it
        #[arg(long)]
        device: bool,
    },
    /// List clients of every organisation, oldest first
    List,
    /// Disable a client for good, kill its tokens, and print the receipt
    Disable {
        /// Its id: cli_…
        client_id: String,
    },
}

pub(super) async fn run(
    config: Config,
    command: InstallationCommand,
    format: Format,
) -> Result<(), CliError> {
    let app = server::open(config).await?;
    match command {
        InstallationCommand::Create {
            name,
            scopes,
            public,
            redirect_uri,
            refresh_grace,
            post_logout_redirect_uri,
            backchannel_logout_uri,
            backchannel_logout_session_required,
            jwks,
            jwks_uri,
            native,
            dpop,
            require_par,
            any_org,
            device,
        } => {
            let kind = if public {
                ClientKind::Public
            } else {
                ClientKind::Confidential
            };
            let org = first_org(&app).await?;
            let new = NewClient {
                org: (!any_org).then_some(org),
                redirect_uris: redirect_uri,
                refresh_grace_seconds: refresh_grace,
                application_type: if native {
                    ApplicationType::Native
                } else {
                    ApplicationType::Web
                },
                jwks: jwks.as_deref().map(read_keys).transpose()?,
                jwks_uri,
                post_logout_redirect_uris: post_logout_redirect_uri,
                backchannel_logout_uri,
                backchannel_logout_session_required,
                dpop_bound_access_tokens: dpop,
                require_pushed_authorization_requests: require_par,
                device_flow: device,
                ..NewClient::new(org, &name, ScopeSet::EMPTY, kind)
            };
            let created = create_client(&app, new, &scopes).await?;
            output::object(&created, format);
        }
        InstallationCommand::Disable { client_id } => {
            let disabled = disable_client(&app, &client_id).await?;
            output::object(&disabled, format);
        }
        InstallationCommand::List => {
            let mut tx = app.store.begin_read().await.map_err(anyhow::Error::from)?;
            let rows: Vec<Value> = tx
                .clients()
                .await
                .map_err(anyhow::Error::from)?
                .iter()
                .map(|client| {
                    json!({
                        "client_id": client.identifier,
                        "id": client.id,
                        "name": client.name,
                        "org": client.org,
                        "kind": client.kind.as_str(),
                        "origin": client.origin.as_str(),
                        "token_endpoint_auth_method": client.token_endpoint_auth_method.as_str(),
                        "scopes": app.catalogue().names(client.scopes),
                        "redirect_uris": client.redirect_uris,
                        "device_flow": client.device_flow,
                        "backchannel_logout_uri": client.backchannel_logout_uri,
                        "created_at": format_rfc3339(client.created_at),
                        "disabled_at": client.disabled_at.map(format_rfc3339),
                    })
                })
                .collect();
            output::table(
                &rows,
                &[
                    "id",
                    "name",
                    "kind",
                    "origin",
                    "org",
                    "scopes",
                    "created_at",
                    "disabled_at",
                ],
                format,
            );
        }
    }
    Ok(())
}

/// A JWK Set from a file.
fn read_keys(path: &Path) -> Result<Value, CliError> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| CliError::Usage(format!("{} is not JSON: {error}", path.display())))
}

/// One organisation until there is administration of them.
async fn first_org(app: &App) -> Result<OrgId, CliError> {
    let mut tx = app.store.begin_read().await.map_err(anyhow::Error::from)?;
    let org = tx.first_org().await.map_err(anyhow::Error::from)?;
    Ok(org.context("run `portcullis migrate` first")?)
}

async fn create_client(
    app: &App,
    new: NewClient,
    ScopeArgs { preset, scopes }: &ScopeArgs,
) -> Result<Value, CliError> {
    let list = preset.is_none().then_some(scopes.as_slice());
    let scopes = crate::keys::scopes_of(preset.as_deref(), list, &app.policy().policy)
        .map_err(|error| CliError::Usage(error.problem().detail.clone()))?;
    let mut tx = app.store.begin().await.map_err(anyhow::Error::from)?;
    let new = NewClient { scopes, ..new };
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
        CreateError::Random(_) | CreateError::Store(_) => CliError::Failed(error.into()),
        error => CliError::Usage(error.to_string()),
    })?;
    tx.commit().await.map_err(anyhow::Error::from)?;
    let mut shown = json!({
        "client_id": created.client.id,
        "name": created.client.name,
        "kind": created.client.kind.as_str(),
        "token_endpoint_auth_method": created.client.token_endpoint_auth_method.as_str(),
        "scopes": app.catalogue().names(created.client.scopes),
        "redirect_uris": created.client.redirect_uris,
    });
    if let (Some(secret), Value::Object(members)) = (&created.secret, &mut shown) {
        members.insert("client_secret".to_owned(), secret.expose().into());
    }
    Ok(shown)
}

async fn disable_client(app: &App, id: &str) -> Result<Value, CliError> {
    let id: ClientId = id.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
    let mut tx = app.store.begin().await.map_err(anyhow::Error::from)?;
    let actor = Actor::command_line();
    let client = clients::disable(&mut tx, &app.random, id, &actor, app.clock.now())
        .await
        .map_err(anyhow::Error::from)?
        .ok_or_else(|| {
            CliError::Refused(
                "there is no such client; see `portcullis clients installation list`".to_owned(),
            )
        })?;
    tx.commit().await.map_err(anyhow::Error::from)?;
    // A running server pushes it; without one the edge is listed as pending.
    let receipt = revocation::await_receipt(app, &id.to_string(), Wait::Effective)
        .await
        .map_err(anyhow::Error::from)?;
    let mut answer = json!({
        "id": client.id,
        "name": client.name,
        "disabled_at": client.disabled_at.map(format_rfc3339),
    });
    let receipt = serde_json::to_value(receipt).map_err(anyhow::Error::from)?;
    if let (Some(answer), Value::Object(receipt)) = (answer.as_object_mut(), receipt) {
        answer.extend(receipt);
    }
    Ok(answer)
}
