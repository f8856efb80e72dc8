//! Which client a `client_id` names: one that an administrator registered, a document at a URL, or a sealed registration.
//!
//! The last two cost no row until a person lets them in ([`remember`]). From then on the row holds what a registration says,
//! and what a document said when somebody last agreed to it; the document itself goes on counting, and where it has come to
//! show another face than the one that was agreed to, people are asked again.
//! What it does not: decide whether a request really comes from the client (`client_auth` does).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shared::id::{ClientId, LIMIT};
use shared::policy::CompiledPolicy;
use shared::scope::{Catalogue, ScopeSet};
use shared::strict_json;
use shared::time::UnixMillis;
use url::Url;

use super::built_in;
use super::documents;
use super::registration::metadata::Metadata;
use super::registration::sealed::{self, Seals};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::address::ClientAddress;
use crate::http::fetch::cache::Cache;
use crate::http::fetch::{FetchError, Fetcher};
use crate::http::limit::Limiter;
use crate::signing::Keyring;
use crate::store::clients::{Client, Origin};
use crate::store::{StoreError, Tx};

/// In which registrations and look-ups are counted.
const HOUR: Duration = Duration::from_hours(1);
/// The largest JWK Set that is read from a `jwks_uri`.
const MAX_KEY_SET: usize = 32 * 1024;
/// No `client_id` is longer.
const MAX_IDENTIFIER: usize = 2048;

/// What clients that nobody registered share: caches, rates, seals, and the scopes that they may have.
#[derive(Debug)]
pub struct OpenClients {
    pub(super) seals: Seals,
    pub(super) registrations: Limiter,
    look_ups: Limiter,
    documents: Cache<Metadata>,
    keys: Cache<Value>,
    /// As configured: scopes are never taken out of the catalogue, so what was found once stays.
    cap: Option<ScopeSet>,
    default: Option<ScopeSet>,
}

impl OpenClients {
    /// Builds it; an error names a scope that the catalogue lacks.
    pub fn build(
        config: &Config,
        catalogue: &Catalogue,
        keyring: &Keyring,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let set = |names: &Option<Vec<String>>| {
            let parsed = names.as_ref().map(|names| catalogue.parse(names)).transpose();
            parsed.map_err(|error| anyhow::anyhow!("configuration: [clients]: {error}"))
        };
        let cap = set(&config.clients.open_scopes)?;
        let default = set(&config.clients.default_scopes)?;
        let per_hour = |name, most: NonZeroU32| Limiter::new(name, most.get().into(), HOUR, clock);
        let fetcher = Fetcher::new(config.fetches_loopback())?;
        Ok(Self {
            seals: Seals::new(keyring, &config.issuer, &config.brand)?,
            registrations: per_hour("registrations_per_address", config.registrations_per_hour()),
            look_ups: per_hour("client_look_ups", config.look_ups_per_hour()),
            documents: Cache::new(fetcher.clone(), documents::MAX_BYTES),
            keys: Cache::new(fetcher, MAX_KEY_SET),
            cap,
            default,
        })
    }

    /// The scopes that such clients may have. A scope that implies others is for those who administer: nobody hands it to an app
    /// that nobody has looked at.
    pub(super) fn cap(&self, catalogue: &Catalogue) -> ScopeSet {
        let modest = || {
            let names = catalogue.all().iter();
            let single = names.filter_map(|name| catalogue.parse([name]).ok());
            single
                .filter(|scope| catalogue.expand(*scope) == *scope)
                .fold(ScopeSet::EMPTY, ScopeSet::union)
        };
        self.cap.unwrap_or_else(modest)
    }

    /// What they get without asking: the preset `read`, if nothing else is configured.
    fn default(&self, policy: &CompiledPolicy) -> ScopeSet {
        let read = || {
            let preset = policy.policy.presets.get("read");
            preset.and_then(|names| policy.catalogue().parse(names).ok())
        };
        let default = self.default.or_else(read).unwrap_or_default();
        default.intersection(self.cap(policy.catalogue()))
    }

    /// Forgets addresses that have their whole share again. A job.
    pub fn tidy(&self) {
        self.registrations.prune();
        self.look_ups.prune();
    }
}

/// On whose behalf something is looked up: whose share it comes out of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    /// A browser at this address.
    Address(ClientAddress),
    /// A program: each host that we look up documents at has a share of its own.
    Program,
}

impl Asker {
    fn leave(self, app: &App, url: &str) -> Result<(), FetchError> {
        let share = match self {
            Self::Address(address) => address.counted(),
            Self::Program => format!("host {}", documents::host(url).unwrap_or_default()),
        };
        app.open_clients
            .look_ups
            .take(&share)
            .map_err(|many| FetchError::Limited(many.retry_after_seconds))
    }
}

/// Why it cannot be said which client it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The URL names no client that we take, or its document cannot be read.
    #[error("the client's metadata document: {0}")]
    Document(String),
}

/// The client with this `client_id`; `None` if there is none. It may be disabled.
pub(super) async fn find(app: &App, client_id: &str, asker: Asker) -> Result<Option<Client>, LookupError> {
    // No text with a NUL can be asked for in PostgreSQL.
    if client_id.len() > MAX_IDENTIFIER || client_id.contains('\0') {
        return Ok(None);
    }
    let mut tx = app.store.begin_read().await?;
    let row = tx.client_by_identifier(client_id).await?;
    drop(tx);
    if client_id == built_in::COMMAND_LINE {
        return Ok(Some(built_in::client(app, row)?));
    }
    if documents::is_document(client_id) {
        return document(app, client_id, row, asker).await.map(Some);
    }
    if row.is_some() || !sealed::is_sealed(client_id) || !app.config.registration_is_open() {
        return Ok(row);
    }
    let Some(registration) = app.open_clients.seals.open(client_id) else {
        return Ok(None);
    };
    let digest = registration.metadata.method.has_secret();
    let mut client = registration
        .metadata
        .client(client_id, Origin::Dynamic, number(app)?);
    client.secret_digest = digest.then(|| app.open_clients.seals.secret_digest(client_id));
    client.created_at = registration.issued_at.millis();
    Ok(Some(client))
}

/// A client with a document. One that somebody has let in keeps its tokens while its document cannot be reached; new people
/// are asked only about what it says now.
async fn document(
    app: &App,
    client_id: &str,
    row: Option<Client>,
    asker: Asker,
) -> Result<Client, LookupError> {
    documents::check_url(client_id, &app.config).map_err(|why| LookupError::Document(why.to_owned()))?;
    let now = app.clock.now();
    let read = |body: &[u8]| {
        documents::read(client_id, body, &app.config).map_err(|error| FetchError::Content(error.description))
    };
    let found = app
        .open_clients
        .documents
        .get(client_id, now, || asker.leave(app, client_id), read)
        .await;
    let metadata = match (found, &row) {
        (Ok(metadata), _) => metadata,
        (Err(error), Some(_)) if matches!(asker, Asker::Program) => {
            tracing::warn!(client = client_id, %error, "a client's document could not be read; its last one counts");
            return row.ok_or_else(|| LookupError::Document(error.to_string()));
        }
        (Err(error), _) => return Err(LookupError::Document(error.to_string())),
    };
    let Some(row) = row else {
        let client = metadata.client(client_id, Origin::MetadataDocument, number(app)?);
        return Ok(Client {
            created_at: now,
            ..client
        });
    };
    let client = metadata.client(client_id, Origin::MetadataDocument, row.id);
    let stored = has_same_face(&row, &client);
    if stored && !proves_itself_alike(&row, &client) {
        renew(app, &row, &client, now).await?;
    }
    Ok(Client {
        stored,
        created_at: row.created_at,
        disabled_at: row.disabled_at,
        ..client
    })
}

/// Whether what people agreed to is what the client shows now.
fn has_same_face(row: &Client, now: &Client) -> bool {
    row.name == now.name && row.redirect_uris == now.redirect_uris && row.kind == now.kind
}

/// Also whether it is for devices: there its name is all that it proves.
fn proves_itself_alike(row: &Client, now: &Client) -> bool {
    row.token_endpoint_auth_method == now.token_endpoint_auth_method
        && row.jwks == now.jwks
        && row.jwks_uri == now.jwks_uri
        && row.device_flow == now.device_flow
        && row.backchannel_logout_uri == now.backchannel_logout_uri
}

/// Keeps how a client proves itself now, so that a key which it has withdrawn does not count again when its document cannot be
/// read. What people agreed to stays.
async fn renew(app: &App, row: &Client, client: &Client, now: UnixMillis) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    if tx.update_client(row.id, client).await? {
        let event = Event {
            org: None,
            actor: &Actor {
                who: client.identifier.clone(),
                credential: None,
                request_id: None,
            },
            action: "client.renew_keys",
            target: row.id.to_string(),
            detail: json!({ "client_id": client.identifier }),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
    }
    tx.commit().await
}

/// A number for a client without a row.
pub(super) fn number(app: &App) -> Result<ClientId, StoreError> {
    ClientId::from_u64(app.random.below(LIMIT)?).ok_or(StoreError::Corrupt("client id"))
}

/// Gives a client that a person lets in its row, in the transaction of the agreement. Gives its number.
pub(super) async fn remember(
    tx: &mut Tx,
    app: &App,
    client: &Client,
    actor: &Actor,
    now: UnixMillis,
) -> Result<ClientId, StoreError> {
    if client.stored {
        return Ok(client.id);
    }
    let (id, action) = if tx.insert_client(client).await? {
        (client.id, "client.remember")
    } else {
        let row = tx.client_by_identifier(&client.identifier).await?;
        let row = row.ok_or(StoreError::Corrupt("client"))?;
        // Somebody else was first, or it was disabled meanwhile; or its document has changed.
        if client.origin == Origin::Dynamic
            || has_same_face(&row, client)
            || !tx.update_client(row.id, client).await?
        {
            return Ok(row.id);
        }
        tx.forget_consents(row.id).await?;
        (row.id, "client.update")
    };
    let event = Event {
        org: None,
        actor,
        action,
        target: id.to_string(),
        detail: json!({
            "client_id": client.identifier,
            "origin": client.origin.as_str(),
            "name": client.name,
            "redirect_uris": client.redirect_uris,
        }),
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(id)
}

/// A client's public keys: its own, or those at its address.
pub(super) async fn keys(app: &App, client: &Client) -> Result<Arc<Value>, FetchError> {
    if let Some(set) = &client.jwks {
        return Ok(Arc::new(set.clone()));
    }
    let uri = client
        .jwks_uri
        .as_deref()
        .ok_or_else(|| FetchError::Content("the client has no keys".to_owned()))?;
    let read = |body: &[u8]| {
        strict_json::from_slice(body).map_err(|_| FetchError::Content("it is not a JSON object".to_owned()))
    };
    let leave = || {
        // Of the host: a query makes a new address, and is the same server's burden.
        let share = format!("keys host {}", documents::host(uri).unwrap_or_default());
        app.open_clients
            .look_ups
            .take(&share)
            .map_err(|many| FetchError::Limited(many.retry_after_seconds))
    };
    app.open_clients.keys.get(uri, app.clock.now(), leave, read).await
}

/// The most that a client may ask for.
pub(super) fn cap(app: &App, client: &Client) -> ScopeSet {
    match client.origin {
        Origin::BuiltIn | Origin::Registered => client.scopes,
        Origin::MetadataDocument | Origin::Dynamic => app.open_clients.cap(app.catalogue()),
    }
}

/// What it gets without asking.
pub(super) fn default_scopes(app: &App, client: &Client) -> ScopeSet {
    match client.origin {
        Origin::BuiltIn | Origin::Registered => client.scopes,
        Origin::MetadataDocument | Origin::Dynamic => app.open_clients.default(&app.policy()),
    }
}

/// Who vouches for a client, in a sentence for the person who is asked; `None` if an administrator does.
pub(super) fn warning(client: &Client) -> Option<String> {
    let local = client
        .redirect_uris
        .iter()
        .all(|uri| Url::parse(uri).is_ok_and(|url| url.scheme() == "http"));
    let who = match client.origin {
        Origin::Registered => return None,
        Origin::BuiltIn => {
            let words = "It is this server's own command line, on the computer that showed you the code, and it will do there \
                         what you may do here. Go on only if you have just asked for that yourself.";
            return Some(words.to_owned());
        }
        Origin::MetadataDocument => {
            let host = documents::host(&client.identifier).unwrap_or_default();
            format!("It says that it is an app of {host}.")
        }
        Origin::Dynamic => "It has registered itself under this name; nobody has checked it.".to_owned(),
    };
    Some(if local {
        format!("{who} It runs on your computer, where any program could pretend to be it.")
    } else {
        who
    })
}
