//! OAuth clients: making one, with a secret that is shown once, and disabling one, which kills its tokens.

use serde_json::{Value, json};
use shared::base62;
use shared::crypto::sha256;
use shared::feed::{Entry, Subject};
use shared::id::{ClientId, OrgId};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};
use zeroize::Zeroizing;

use super::backchannel;
use super::redirect::{self, RedirectUriError};
use super::registration::metadata::check_set;
use crate::audit::{self, Actor, Event};
use crate::random::{Random, RandomError};
use crate::revocation::{self, Reach};
use crate::store::clients::{ApplicationType, AuthMethod, Client, ClientKind, Origin};
use crate::store::{StoreError, Tx};
use crate::text;

/// How long a refresh token can be retried, unless the client says otherwise.
pub const DEFAULT_GRACE_SECONDS: u64 = 30;
/// The longest that a refresh token can be retried.
pub const MAX_GRACE_SECONDS: u64 = 300;
/// Client ids are drawn below this.
const ID_LIMIT: u64 = 1 << 32;

/// A client's secret in clear: 256 random bits in base62 after `<brand>_secret_`. Shown once, then only its SHA-256 is left.
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// The text, to be shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn generate(brand: &str, random: &Random) -> Result<Self, RandomError> {
        // The first byte of base62 text of bytes must not be zero; it adds nothing else.
        let mut bytes = Zeroizing::new([1u8; 33]);
        random.fill(bytes.get_mut(1..).unwrap_or_default())?;
        Ok(Self(Zeroizing::new(format!(
            "{brand}_secret_{}",
            base62::encode_bytes(bytes.as_slice())
        ))))
    }
}

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientSecret(redacted)")
    }
}

/// What a new client should be.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Whose it is: its people may use it, and its own tokens belong there. Without one it is for everybody's people, and has no
    /// tokens of its own.
    pub org: Option<OrgId>,
    /// What people call it.
    pub name: String,
    /// The most it may ask for, and what it gets without asking.
    pub scopes: ScopeSet,
    /// Whether it can keep a secret.
    pub kind: ClientKind,
    /// Where people may be sent back to, in full; without one it signs nobody in.
    pub redirect_uris: Vec<String>,
    /// How long a refresh token can be retried: 0 to [`MAX_GRACE_SECONDS`].
    pub refresh_grace_seconds: u64,
    /// Where it runs.
    pub application_type: ApplicationType,
    /// Its public keys, as a JWK Set: a confidential client that has some proves who it is with them, and gets no secret.
    pub jwks: Option<Value>,
    /// Or where they are.
    pub jwks_uri: Option<String>,
    /// Where people may be sent after they have signed out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it hears of the end of sessions.
    pub backchannel_logout_uri: Option<String>,
    /// Whether it needs the session's `sid` there.
    pub backchannel_logout_session_required: bool,
    /// Whether it gets only tokens that are bound to a key of its own (RFC 9449).
    pub dpop_bound_access_tokens: bool,
    /// Whether it must push its authorization requests (RFC 9126).
    pub require_pushed_authorization_requests: bool,
    /// Whether it may begin the device flow (RFC 8628).
    pub device_flow: bool,
}

impl NewClient {
    /// A client without anything that is not asked for.
    pub fn new(org: OrgId, name: &str, scopes: ScopeSet, kind: ClientKind) -> Self {
        Self {
            org: Some(org),
            name: name.to_owned(),
            scopes,
            kind,
            redirect_uris: Vec::new(),
            refresh_grace_seconds: DEFAULT_GRACE_SECONDS,
            application_type: ApplicationType::Web,
            jwks: None,
            jwks_uri: None,
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            dpop_bound_access_tokens: false,
            require_pushed_authorization_requests: false,
            device_flow: false,
        }
    }

    fn method(&self) -> AuthMethod {
        let keys = self.jwks.is_some() || self.jwks_uri.is_some();
        match self.kind {
            ClientKind::Public => AuthMethod::None,
            ClientKind::Confidential if keys => AuthMethod::PrivateKeyJwt,
            ClientKind::Confidential => AuthMethod::ClientSecretBasic,
        }
    }
}

/// A client that was just made. The only moment at which its secret is known.
#[derive(Debug)]
pub struct CreatedClient {
    /// What is kept.
    pub client: Client,
    /// To be shown once; a public client has none.
    pub secret: Option<ClientSecret>,
}

/// Why a client was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is empty, too long, or not what it looks like.
    #[error("a client's name has 1 to 100 characters, all of which can be seen")]
    Name,
    /// A redirect URI that cannot be one.
    #[error("{0}: {1}")]
    RedirectUri(String, RedirectUriError),
    /// A public client signs people in, here or on a device, or does nothing.
    #[error("a public client needs a redirect URI, or the device flow")]
    NoRedirectUri,
    /// An address for logout tokens that cannot be one.
    #[error("the back-channel logout URI is an https URL without a fragment")]
    LogoutUri,
    /// Two sources of keys, or one that holds none.
    #[error(
        "keys are a JWK Set of public keys for RS256, PS256, ES256 or Ed25519, or the https address of one, not both"
    )]
    Keys,
    /// Too long a grace time.
    #[error("the grace time is 0 to {MAX_GRACE_SECONDS} seconds")]
    Grace,
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a client. A confidential one may use `client_credentials`; one with redirect URIs signs people in.
pub async fn create(
    tx: &mut Tx,
    random: &Random,
    brand: &str,
    new: NewClient,
    actor: &Actor,
    now: UnixMillis,
) -> Result<CreatedClient, CreateError> {
    let name = check(&new)?;
    let method = new.method();
    let secret = method
        .has_secret()
        .then(|| ClientSecret::generate(brand, random))
        .transpose()?;
    let id = ClientId::from_u64(random.below(ID_LIMIT)?).ok_or(StoreError::Corrupt("client id"))?;
    let client = Client {
        id,
        identifier: id.to_string(),
        origin: Origin::Registered,
        stored: true,
        org: new.org,
        name,
        secret_digest: secret.as_ref().map(|secret| sha256(secret.expose().as_bytes())),
        kind: new.kind,
        application_type: new.application_type,
        token_endpoint_auth_method: method,
        jwks: new.jwks,
        jwks_uri: new.jwks_uri,
        redirect_uris: new.redirect_uris,
        post_logout_redirect_uris: new.post_logout_redirect_uris,
        backchannel_logout_uri: new.backchannel_logout_uri,
        backchannel_logout_session_required: new.backchannel_logout_session_required,
        refresh_grace_seconds: new.refresh_grace_seconds,
        scopes: new.scopes,
        dpop_bound_access_tokens: new.dpop_bound_access_tokens,
        require_pushed_authorization_requests: new.require_pushed_authorization_requests,
        device_flow: new.device_flow,
        created_at: now,
        disabled_at: None,
    };
    tx.insert_client(&client).await?;
    let event = Event {
        org: client.org,
        actor,
        action: "client.create",
        target: client.id.to_string(),
        detail: json!({
            "name": client.name,
            "kind": client.kind.as_str(),
            "token_endpoint_auth_method": client.token_endpoint_auth_method.as_str(),
            "scope_bits": client.scopes,
            "redirect_uris": client.redirect_uris,
            "device_flow": client.device_flow,
        }),
    };
    audit::record(tx, random, &event, now).await?;
    Ok(CreatedClient { client, secret })
}

/// Whether a client can be like this; gives its name.
fn check(new: &NewClient) -> Result<String, CreateError> {
    let name = text::name(&new.name).ok_or(CreateError::Name)?.to_owned();
    for uri in new.redirect_uris.iter().chain(&new.post_logout_redirect_uris) {
        redirect::check(uri).map_err(|error| CreateError::RedirectUri(uri.clone(), error))?;
    }
    if new.kind == ClientKind::Public && new.redirect_uris.is_empty() && !new.device_flow {
        return Err(CreateError::NoRedirectUri);
    }
    if new.refresh_grace_seconds > MAX_GRACE_SECONDS {
        return Err(CreateError::Grace);
    }
    check_keys(new)?;
    if new
        .backchannel_logout_uri
        .as_deref()
        .is_some_and(|uri| !backchannel::check_uri(uri))
    {
        return Err(CreateError::LogoutUri);
    }
    Ok(name)
}

fn check_keys(new: &NewClient) -> Result<(), CreateError> {
    let right = match (&new.jwks, &new.jwks_uri) {
        (None, None) => true,
        (Some(set), None) => check_set(set).is_ok(),
        (None, Some(uri)) => uri.starts_with("https://"),
        (Some(_), Some(_)) => false,
    };
    right.then_some(()).ok_or(CreateError::Keys)
}

/// Makes a client what it should be from now on. How it proves who it is stays, and with it the secret; so does whose it is.
/// Where people may be sent back to is part of what they agreed to: if that changes, they are asked again. Scopes count for what
/// is asked for from now on; what people gave it before stays until it is revoked. `None`: it is disabled.
pub(crate) async fn update(
    tx: &mut Tx,
    random: &Random,
    before: &Client,
    new: NewClient,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Option<Client>, CreateError> {
    let name = check(&new)?;
    let client = Client {
        name,
        jwks: new.jwks,
        jwks_uri: new.jwks_uri,
        application_type: new.application_type,
        redirect_uris: new.redirect_uris,
        post_logout_redirect_uris: new.post_logout_redirect_uris,
        backchannel_logout_uri: new.backchannel_logout_uri,
        backchannel_logout_session_required: new.backchannel_logout_session_required,
        scopes: new.scopes,
        dpop_bound_access_tokens: new.dpop_bound_access_tokens,
        require_pushed_authorization_requests: new.require_pushed_authorization_requests,
        device_flow: new.device_flow,
        ..before.clone()
    };
    if !tx.update_client(client.id, &client).await? || !tx.set_client_scopes(client.id, client.scopes).await?
    {
        return Ok(None);
    }
    if client.redirect_uris != before.redirect_uris {
        tx.forget_consents(client.id).await?;
    }
    let event = Event {
        org: client.org,
        actor,
        action: "client.update",
        target: client.id.to_string(),
        detail: json!({
            "from": {"name": before.name, "scope_bits": before.scopes, "redirect_uris": before.redirect_uris},
            "to": {"name": client.name, "scope_bits": client.scopes, "redirect_uris": client.redirect_uris},
        }),
    };
    audit::record(tx, random, &event, now).await?;
    Ok(Some(client))
}

/// Gives a client another secret; the old one counts for nothing from the commit on. Tokens that it has live on. `None`: it is
/// disabled, or it shows no secret.
pub(crate) async fn rotate_secret(
    tx: &mut Tx,
    random: &Random,
    brand: &str,
    before: &Client,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Option<ClientSecret>, StoreError> {
    if !before.token_endpoint_auth_method.has_secret() {
        return Ok(None);
    }
    let secret = ClientSecret::generate(brand, random)?;
    let client = Client {
        secret_digest: Some(sha256(secret.expose().as_bytes())),
        ..before.clone()
    };
    if !tx.update_client(client.id, &client).await? {
        return Ok(None);
    }
    let event = Event {
        org: client.org,
        actor,
        action: "client.rotate_secret",
        target: client.id.to_string(),
        detail: json!({"name": client.name}),
    };
    audit::record(tx, random, &event, now).await?;
    Ok(Some(secret))
}

/// Disables a client for good: it gets no token any more, and those that it has die at the edge. The receipt is that of the
/// subject `cli_…`. A second call changes nothing. `None`: there is no such client.
pub async fn disable(
    tx: &mut Tx,
    random: &Random,
    id: ClientId,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Option<Client>, StoreError> {
    if let Some(not_before) = tx.disable_client(id, now).await? {
        let client = tx.client(id).await?.ok_or(StoreError::Corrupt("client"))?;
        let subject = id.to_string();
        // Tokens that others got in exchange for this client's name those others, and share its indexes: whatever has such an
        // index ends, also what the clients before it hold.
        for index in tx.exchanged_indexes(&subject, now.seconds()).await? {
            if tx.revoke_index(index, now).await? {
                let reach = Reach::of_index(tx, index).await?;
                revocation::enqueue(tx, &reach, &subject, &Entry::revoked(index), now).await?;
            }
        }
        let reach = Reach::from(client.org);
        revocation::enqueue(tx, &reach, &subject, &blocked(&client, not_before), now).await?;
        let entry = Entry::NotBefore(Subject::Client(client.identifier), not_before);
        let outbox = revocation::enqueue(tx, &reach, &subject, &entry, now).await?;
        tx.insert_receipt(&subject, now, outbox).await?;
        let event = Event {
            org: client.org,
            actor,
            action: "client.disable",
            target: subject,
            detail: json!({ "not_before": not_before }),
        };
        audit::record(tx, random, &event, now).await?;
    }
    tx.client(id).await
}

/// What the edge is told when everything is revoked that a client was issued until `at`, and the client goes on. The ceiling
/// takes nothing away; after a restore it tells such a client from a disabled one, which has another, or none if that was long ago.
pub(crate) fn superseded(client: &Client, at: UnixSeconds) -> Vec<Entry> {
    let subject = Subject::Client(client.identifier.clone());
    let mut entries = vec![Entry::NotBefore(subject.clone(), at)];
    if client.disabled_at.is_none() {
        entries.push(Entry::Ceiling {
            subject,
            // Times before which nothing counts only grow, and so do these.
            version: at.0.saturating_mul(2),
            scopes: ScopeSet::ALL,
        });
    }
    entries
}

/// The ceiling of a disabled client: above that of [`superseded`] at the same time.
fn blocked(client: &Client, at: UnixSeconds) -> Entry {
    Entry::Ceiling {
        subject: Subject::Client(client.identifier.clone()),
        version: at.0.saturating_mul(2).saturating_add(1),
        scopes: ScopeSet::EMPTY,
    }
}
