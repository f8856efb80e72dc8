//! Commands that work on the database of the configuration, beside a running server or without one: OAuth clients, the
//! server's signing keys, the feed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use shared::id::{ClientId, OrgId, SigningKeyId};
use shared::scope::ScopeSet;

use super::{CliError, Format, output, server};
use crate::audit::Actor;
use crate::config::Config;
use crate::http::time::format_rfc3339;
use crate::oauth::clients::{self, CreateError, NewClient};
use crate::revocation::{self, Wait};
use crate::signing::{self, Purpose};
use crate::store::clients::{ApplicationType, ClientKind};
use crate::{app::App, keys};

#[derive(Debug, Subcommand)]
pub(super) enum ClientsCommand {
    /// Make a client: for `client_credentials`, and with redirect URIs to sign people in; its secret is printed once
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// Scopes by the name of a preset: read, read-write or admin
        #[arg(
            long = "preset",
            visible_alias = "scope",
            value_name = "PRESET",
            conflicts_with = "scopes",
            required_unless_present = "scopes"
        )]
        scope: Option<String>,
        /// Single scopes, separated by commas
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
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
    /// List clients, oldest first
    List,
    /// Disable a client for good, kill its tokens, and print the receipt
    Disable {
        /// Its id: cli_…
        client_id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FeedCommand {
    /// Print what an edge must be configured with: ROOT_KEY=… FEED_ID=…
    Trust {
        /// For an edge of this group (`edge_groups`), which admits some organisations only
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
    },
    /// Begin a new epoch with a fresh snapshot, when edges refuse the feed after a database was restored
    Recover,
    /// Replace the root key, which edges pin: announces the next one; with --finish, goes over to it
    #[command(after_help = "\
Examples:
  portcullis feed rotate-root             make the next root; `portcullis feed trust` prints ROOT_KEY with both
  portcullis feed trust                   give this to every edge, and deploy
  portcullis feed rotate-root --finish    go over, once every edge trusts it; then `feed trust` and deploy once more

No credential notices. If somebody else has the root: `portcullis keys master lost`, which begins a new feed.")]
    RotateRoot {
        /// Go over to the announced root; refused while an edge does not trust it
        #[arg(long)]
        finish: bool,
        /// Without asking the edges: those that do not trust the new root get no more news
        #[arg(long, requires = "finish")]
        unchecked: bool,
    },
    /// Make this copy of a database the one that publishes, in a new epoch and with a new incarnation file; every other
    /// copy must be stopped
    TakeOver,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum SigningCommand {
    /// Start replacing a signing key; the new one signs once every edge has acknowledged it
    Rotate {
        /// What the key signs
        #[arg(long, value_enum)]
        purpose: SigningPurpose,
        /// Somebody else has the key: remove it at once, with everything that it signed. With a kid, that key instead of
        /// the one that signs. Prints a new admin key where all of them are dead
        #[arg(long, value_name = "KID", num_args = 0..=1, default_missing_value = SIGNER)]
        compromised: Option<String>,
    },
    /// List signing keys and where they are in their lives
    List,
}

/// `--compromised` without a kid: the key that signs.
const SIGNER: &str = "signer";

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
        ClientsCommand::Create {
            name,
            scope,
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
            let created = create_client(&app, new, scope.as_deref(), &scopes).await?;
            output::object(&created, format);
        }
        ClientsCommand::Disable { client_id } => {
            let disabled = disable_client(&app, &client_id).await?;
            output::object(&disabled, format);
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
    scope: Option<&str>,
    scopes: &[String],
) -> Result<Value, CliError> {
    let list = scope.is_none().then_some(scopes);
    let scopes = crate::keys::scopes_of(scope, list, &app.policy().policy)
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
            CliError::Refused("there is no such client; see `portcullis clients list`".to_owned())
        })?;
    tx.commit().await.map_err(anyhow::Error::from)?;
    // A running server pushes it; without one the edge is listed as pending.
    let receipt = revocation::await_receipt(app, &id.to_string(), Wait::Effective)
        .await
        .map_err(anyhow::Error::from)?;
    let mut answer = json!({
        "client.identifier": client.id,
        "name": client.name,
        "disabled_at": client.disabled_at.map(format_rfc3339),
    });
    let receipt = serde_json::to_value(receipt).map_err(anyhow::Error::from)?;
    if let (Some(answer), Value::Object(receipt)) = (answer.as_object_mut(), receipt) {
        answer.extend(receipt);
    }
    Ok(answer)
}

pub(super) async fn signing(config: Config, command: SigningCommand, format: Format) -> Result<(), CliError> {
    let app = server::open(config).await?;
    match command {
        SigningCommand::Rotate {
            purpose,
            compromised: Some(which),
        } => {
            let replaced = replace_compromised(&app, purpose.into(), &which).await?;
            output::object(&replaced, format);
        }
        SigningCommand::Rotate {
            purpose,
            compromised: None,
        } => {
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

async fn replace_compromised(app: &App, purpose: Purpose, which: &str) -> Result<Value, CliError> {
    let which = (which != SIGNER).then(|| signing_key_id(which)).transpose()?;
    let (actor, now) = (Actor::command_line(), app.clock.now());
    let mut tx = app.store.begin().await.map_err(anyhow::Error::from)?;
    let replaced =
        signing::replace_compromised(&mut tx, &app.keyring, &app.random, purpose, which, &actor, now)
            .await
            .map_err(anyhow::Error::from)?;
    let admin = match replaced.new {
        Some(drawn) if purpose == Purpose::ApiKey => Some(
            keys::create_admin(&mut tx, app, None, drawn, &actor, now)
                .await
                .map_err(|error| anyhow::anyhow!(error.problem().detail.clone()))?,
        ),
        _ => None,
    };
    tx.commit().await.map_err(anyhow::Error::from)?;
    Ok(json!({
        "purpose": purpose.as_str(),
        "removed": replaced.removed.iter().map(|id| id.kid()).collect::<Vec<_>>(),
        "new_signing_key": replaced.new.map(|(id, _)| id.kid()),
        "api_keys_revoked": replaced.api_keys,
        "admin_key_id": admin.as_ref().map(|made| made.key.id),
        "admin_key": admin.as_ref().map(|made| made.plain.expose()),
    }))
}

/// `k3`, as `portcullis keys signing list` shows it.
fn signing_key_id(kid: &str) -> Result<SigningKeyId, CliError> {
    kid.strip_prefix('k')
        .and_then(|number| number.parse().ok())
        .and_then(SigningKeyId::from_u64)
        .ok_or_else(|| CliError::Usage("--compromised takes a kid such as k3, or nothing".to_owned()))
}

/// A name that nobody has configured is a slip, and would be another feed.
fn known_group(config: &Config, group: Option<&str>) -> Result<(), CliError> {
    let is_known = |name: &str| config.edge_groups.iter().any(|group| group.name == name);
    match group.filter(|name| !is_known(name)) {
        Some(name) => Err(CliError::Refused(format!("`edge_groups` has no group {name:?}"))),
        None => Ok(()),
    }
}

pub(super) async fn feed(config: Config, command: FeedCommand, format: Format) -> Result<(), CliError> {
    let app = server::open(config).await?;
    match command {
        FeedCommand::Trust { group } => {
            known_group(&app.config, group.as_deref())?;
            let mut tx = app.store.begin_read().await.map_err(anyhow::Error::from)?;
            let trust = revocation::trust(&mut tx, &app.keyring, group.as_deref())
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
        FeedCommand::RotateRoot { finish, unchecked } => {
            let actor = Actor::command_line();
            let epoch = if finish {
                let epoch = revocation::replace_root(&app, unchecked, &actor).await;
                Some(epoch.map_err(anyhow::Error::from)?)
            } else {
                revocation::announce_root(&app, &actor)
                    .await
                    .map_err(anyhow::Error::from)?;
                None
            };
            let mut tx = app.store.begin_read().await.map_err(anyhow::Error::from)?;
            app.keyring.reload(&mut tx).await.map_err(anyhow::Error::from)?;
            let trust = revocation::trust(&mut tx, &app.keyring, None)
                .await
                .map_err(anyhow::Error::from)?;
            let next = if finish {
                "give every edge this ROOT_KEY (FEED_ID stays as it is) and deploy: the old root counts for nothing more"
            } else {
                "give every edge this ROOT_KEY, with both keys (FEED_ID stays as it is), and deploy; then `portcullis feed rotate-root --finish`"
            };
            output::object(
                &json!({"epoch": epoch, "root_key": trust.root_key, "feed_id": trust.feed_id, "next": next}),
                format,
            );
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
