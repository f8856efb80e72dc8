//! Commands that work on the database of the configuration, beside a running server or without one: the server's
//! signing keys, the feed. OAuth clients are in `installation`.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use shared::id::SigningKeyId;

use super::{CliError, Format, output, server};
use crate::audit::Actor;
use crate::config::Config;
use crate::http::time::format_rfc3339;
use crate::revocation;
use crate::signing::{self, Purpose};
use crate::{app::App, keys};

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
