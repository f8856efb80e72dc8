//! OAuth clients as an organisation's administrators see them: registered, looked at, changed, given another secret, disabled.
//!
//! What kind of client it is decides the rest: whether it can keep a secret, and whether it sends people anywhere.
//!
//! | kind | can keep a secret | signs people in | for |
//! | --- | --- | --- | --- |
//! | `web` | yes | at its redirect URIs | an app with a server |
//! | `browser` | no: PKCE | at its redirect URIs | an app that is all in the browser |
//! | `native` | no: PKCE | at its redirect URIs, or on a device | an app on somebody's machine, a command line |
//! | `mcp` | no: PKCE | at its redirect URIs | an MCP client that cannot register itself |
//! | `machine` | yes | never | a program that acts for itself (`client_credentials`) |
//!
//! Clients that nobody registered (their `client_id` is a URL, or they registered themselves) are seen here while people of the
//! organisation let them act for them; they belong to nobody, so what can be done is to take back what they were given.
//!
//! The API, the dashboard and the command line call these functions (I11). What it does not: talk OAuth (`oauth` does).

pub mod api;
pub mod page;
#[cfg(test)]
mod tests;
mod view;

use shared::id::ClientId;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::idempotency::{self, Idempotency};
use crate::http::paging;
use crate::http::tag::IfMatch;
use crate::keys::{confirm_rights, hold_caller};
use crate::oauth::clients::{self as oauth_clients, ClientSecret, CreateError, NewClient};
use crate::orgs::{must_administer, must_reach_everything};
use crate::revocation::{self, Receipt, Wait};
use crate::revocations::{Answer, Reason, Request, RevocationReceipt, Target, revoke_target};
use crate::store::clients::{ApplicationType, Client, ClientFilter, ClientKind, Origin};
use crate::store::{StoreError, Tx};

pub use view::{ClientView, Disabled};

/// The operation's name in the idempotency table.
const OPERATION: &str = "client.create";
/// So many grants are counted for each client of a list, and no more.
const COUNTED_IN_LISTS: u32 = 10;
/// And for one that is looked at.
const COUNTED: u32 = 1000;

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ClientKind)]
pub enum Kind {
    /// An app with a server.
    Web,
    /// An app that is all in the browser.
    Browser,
    /// An app on somebody's machine.
    Native,
    /// An MCP client.
    Mcp,
    /// A program that acts for itself.
    Machine,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Web, Self::Browser, Self::Native, Self::Mcp, Self::Machine];

    /// The text in JSON and in forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Browser => "browser",
            Self::Native => "native",
            Self::Mcp => "mcp",
            Self::Machine => "machine",
        }
    }

    /// What a stored client is. An MCP client is kept as the app that it is.
    pub fn of(client: &Client) -> Self {
        match (client.kind, client.application_type) {
            (ClientKind::Confidential, _) if client.redirect_uris.is_empty() => Self::Machine,
            (ClientKind::Confidential, _) => Self::Web,
            (ClientKind::Public, ApplicationType::Web) => Self::Browser,
            (ClientKind::Public, ApplicationType::Native) => Self::Native,
        }
    }

    fn has_secret(self) -> bool {
        matches!(self, Self::Web | Self::Machine)
    }
}

/// What can be said about a client when it is made, and again later.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What people call it.
    pub name: String,
    /// The most that it may ask for.
    pub scopes: ScopeSet,
    /// Where people may be sent back to, in full.
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after they have signed out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it hears of the end of sessions.
    pub backchannel_logout_uri: Option<String>,
    /// Where its public keys are: then it shows no secret.
    pub jwks_uri: Option<String>,
    /// Whether it gets only tokens that are bound to a key of its own (RFC 9449).
    pub dpop_bound_access_tokens: bool,
    /// Whether it must push its authorization requests (RFC 9126).
    pub require_pushed_authorization_requests: bool,
    /// Whether it may begin the device flow (RFC 8628).
    pub device_flow: bool,
}

/// A client that was just made, or given another secret. The only moment at which the secret is known.
#[derive(Debug)]
pub struct WithSecret {
    /// The client.
    pub client: ClientView,
    /// To be shown once; a client that proves itself otherwise has none.
    pub secret: Option<ClientSecret>,
}

/// Which clients a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WhichClients)]
pub enum Which {
    /// Registered, and in use.
    #[default]
    Registered,
    /// Registered, and disabled since.
    Disabled,
    /// Registered by nobody, and let in by people of the organisation.
    LetIn,
}

/// A page of clients, newest first (those that were let in: by number), and the cursor of the next one.
pub async fn list(
    app: &App,
    caller: &Caller,
    which: Which,
    cursor: Option<&str>,
    limit: u32,
) -> Result<(Vec<ClientView>, Option<String>), ApiError> {
    must_reach_everything(app, caller)?;
    let place = paging::place::<(UnixMillis, ClientId)>(cursor)?;
    let one_more = limit.saturating_add(1);
    let mut tx = app.store.begin_read().await?;
    let mut rows = match which {
        Which::LetIn => {
            let after = place.map(|(_, id)| id);
            tx.clients_let_in(caller.org, after, one_more).await?
        }
        Which::Registered | Which::Disabled => {
            let filter = ClientFilter {
                org: caller.org,
                disabled: which == Which::Disabled,
                before: place,
                limit: one_more,
            };
            tx.clients_of(&filter).await?
        }
    };
    let next = paging::next(&mut rows, limit, |last| (last.created_at, last.id));
    let views = ClientView::read_all(&mut tx, app, caller.org, rows, COUNTED_IN_LISTS).await?;
    Ok((views, next))
}

/// One client: the organisation's own, or one that its people let in.
pub async fn show(app: &App, caller: &Caller, id: ClientId) -> Result<ClientView, ApiError> {
    must_reach_everything(app, caller)?;
    let mut tx = app.store.begin_read().await?;
    let client = tx.client(id).await?.ok_or_else(not_found)?;
    let own = client.org == Some(caller.org);
    let view = ClientView::read(&mut tx, app, caller.org, client, COUNTED).await?;
    if own || (view.org.is_none() && view.grants > 0) {
        return Ok(view);
    }
    Err(not_found())
}

fn not_found() -> ApiError {
    ApiError::not_found("client")
}

/// Registers a client of the organisation. It may ask for no more than whoever registers it has.
pub async fn create(
    app: &App,
    caller: &Caller,
    (kind, settings): (Kind, Settings),
    idempotency: Option<Idempotency>,
) -> Result<WithSecret, ApiError> {
    must_administer(app, caller)?;
    fits(kind, &settings)?;
    within(caller, settings.scopes)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let new = new_client(caller, kind, settings);
    let made = oauth_clients::create(&mut tx, &app.random, &app.config.brand, new, &caller.actor(), now)
        .await
        .map_err(refused)?;
    let (who, number) = ((caller.org, caller.user), made.client.id.get());
    if let Some(before) = idempotency::claim(&mut tx, who, OPERATION, idempotency, number, now).await? {
        // What was made a moment ago is not committed.
        let before = ClientId::from_u64(before).ok_or(StoreError::Corrupt("client id"))?;
        let detail = "this request was answered before; a secret is shown only once: make another one if the answer was lost";
        return Err(idempotency::shown_once(&before, detail));
    }
    let client = ClientView::read(&mut tx, app, caller.org, made.client, COUNTED).await?;
    tx.commit().await?;
    Ok(WithSecret {
        client,
        secret: made.secret,
    })
}

/// Makes a client of the organisation what the settings say.
pub async fn update(
    app: &App,
    caller: &Caller,
    id: ClientId,
    settings: Settings,
    seen: &IfMatch,
) -> Result<ClientView, ApiError> {
    must_administer(app, caller)?;
    let now = app.clock.now();
    let (mut tx, before) = hold(app, caller, id).await?;
    let now_there = ClientView::read(&mut tx, app, caller.org, before.clone(), 0).await?;
    seen.confirm(&now_there.tag())?;
    let kind = Kind::of(&before);
    fits(kind, &settings)?;
    // What it has already is not given a second time.
    if !before.scopes.contains(settings.scopes) {
        within(caller, settings.scopes)?;
    }
    let mut new = new_client(caller, kind, settings);
    // How it proves who it is stays.
    new.jwks.clone_from(&before.jwks);
    new.jwks_uri.clone_from(&before.jwks_uri);
    new.application_type = before.application_type;
    let updated = oauth_clients::update(&mut tx, &app.random, &before, new, &caller.actor(), now)
        .await
        .map_err(refused)?
        .ok_or_else(over)?;
    let view = ClientView::read(&mut tx, app, caller.org, updated, COUNTED).await?;
    tx.commit().await?;
    Ok(view)
}

/// Gives a client another secret. The old one counts for nothing from then on.
pub async fn rotate_secret(app: &App, caller: &Caller, id: ClientId) -> Result<WithSecret, ApiError> {
    must_administer(app, caller)?;
    let now = app.clock.now();
    let (mut tx, before) = hold(app, caller, id).await?;
    if before.disabled_at.is_some() {
        return Err(over());
    }
    let secret = oauth_clients::rotate_secret(
        &mut tx,
        &app.random,
        &app.config.brand,
        &before,
        &caller.actor(),
        now,
    )
    .await?
    .ok_or_else(|| {
        let detail = "this client shows no secret: it is public, or proves who it is with a key";
        ApiError::new(Code::NoSecret, detail)
    })?;
    let client = ClientView::read(&mut tx, app, caller.org, before, COUNTED).await?;
    tx.commit().await?;
    Ok(WithSecret {
        client,
        secret: Some(secret),
    })
}

/// Disables a client for good: it gets no token any more, and those that it has die at the edge. A second call gives the same
/// receipt.
pub async fn disable(app: &App, caller: &Caller, id: ClientId, wait: Wait) -> Result<Disabled, ApiError> {
    must_administer(app, caller)?;
    let now = app.clock.now();
    let (mut tx, _) = hold(app, caller, id).await?;
    oauth_clients::disable(&mut tx, &app.random, id, &caller.actor(), now).await?;
    tx.commit().await?;
    app.feed.wake();
    let receipt: Receipt = revocation::await_receipt(app, &id.to_string(), wait).await?;
    Ok(Disabled {
        client: show(app, caller, id).await?,
        receipt,
    })
}

/// Revokes everything that a client has from the organisation and its people; it may ask again.
pub async fn revoke_all(
    app: &App,
    caller: &Caller,
    id: ClientId,
    reason: Reason,
    wait: Wait,
) -> Result<RevocationReceipt, ApiError> {
    let request = Request {
        reason,
        comment: None,
        wait,
    };
    match revoke_target(app, caller, Target::Client(id.to_string()), request).await? {
        Answer::Many(receipt) => Ok(*receipt),
        Answer::Key(_) | Answer::Single(_) => {
            Err(ApiError::internal(anyhow::anyhow!("not a client's receipt")))
        }
    }
}

/// A client that the organisation registered, in a transaction that holds the caller.
async fn hold(app: &App, caller: &Caller, id: ClientId) -> Result<(Tx, Client), ApiError> {
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let client = tx.client(id).await?;
    let client = client
        .filter(|client| client.org == Some(caller.org) && client.origin == Origin::Registered)
        .ok_or_else(not_found)?;
    Ok((tx, client))
}

fn over() -> ApiError {
    ApiError::new(
        Code::ClientDisabled,
        "this client was disabled, which is for good: register another one",
    )
}

fn within(caller: &Caller, scopes: ScopeSet) -> Result<(), ApiError> {
    if caller.scopes.contains(scopes) {
        return Ok(());
    }
    let detail = "the client could ask for scopes that the caller does not have";
    Err(ApiError::new(Code::ExceedsCaller, detail).field("scopes"))
}

/// What a kind of client needs, and what makes no sense for it.
fn fits(kind: Kind, settings: &Settings) -> Result<(), ApiError> {
    let field = |name: &str, detail: &str| Err(ApiError::invalid_field(name, detail));
    if kind == Kind::Machine {
        if !settings.redirect_uris.is_empty() {
            return field(
                "redirect_uris",
                "a machine signs nobody in, so it sends nobody anywhere",
            );
        }
        if settings.device_flow {
            return field("device_flow", "a machine signs nobody in");
        }
    } else if settings.redirect_uris.is_empty() && !(kind == Kind::Native && settings.device_flow) {
        return field(
            "redirect_uris",
            "give at least one: where people come back to after they signed in",
        );
    }
    if !kind.has_secret() && settings.jwks_uri.is_some() {
        return field(
            "jwks_uri",
            "only a client that can keep a secret proves who it is",
        );
    }
    if settings.redirect_uris.len() > 10 || settings.post_logout_redirect_uris.len() > 10 {
        return field("redirect_uris", "at most 10 of each");
    }
    Ok(())
}

fn new_client(caller: &Caller, kind: Kind, settings: Settings) -> NewClient {
    let client_kind = if kind.has_secret() {
        ClientKind::Confidential
    } else {
        ClientKind::Public
    };
    let native = match kind {
        Kind::Native => true,
        Kind::Mcp => settings
            .redirect_uris
            .iter()
            .any(|uri| !uri.starts_with("https://")),
        Kind::Web | Kind::Browser | Kind::Machine => false,
    };
    NewClient {
        application_type: if native {
            ApplicationType::Native
        } else {
            ApplicationType::Web
        },
        redirect_uris: settings.redirect_uris,
        post_logout_redirect_uris: settings.post_logout_redirect_uris,
        backchannel_logout_uri: settings.backchannel_logout_uri,
        jwks_uri: settings.jwks_uri,
        dpop_bound_access_tokens: settings.dpop_bound_access_tokens,
        require_pushed_authorization_requests: settings.require_pushed_authorization_requests,
        device_flow: settings.device_flow,
        ..NewClient::new(caller.org, &settings.name, settings.scopes, client_kind)
    }
}

fn refused(error: CreateError) -> ApiError {
    let field = match &error {
        CreateError::Name => "name",
        CreateError::RedirectUri(..) | CreateError::NoRedirectUri => "redirect_uris",
        CreateError::LogoutUri => "backchannel_logout_uri",
        CreateError::Keys => "jwks_uri",
        CreateError::Grace => "refresh_grace_seconds",
        CreateError::Random(_) | CreateError::Store(_) => {
            return match error {
                CreateError::Store(error) => error.into(),
                other => ApiError::internal(other),
            };
        }
    };
    ApiError::invalid_field(field, error.to_string())
}
