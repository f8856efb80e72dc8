//! OAuth clients: making one, with a secret that is shown once, and disabling one, which kills its tokens.

use serde_json::json;
use shared::base62;
use shared::crypto::sha256;
use shared::feed::{Entry, Subject};
use shared::id::{ClientId, OrgId};
use shared::scope::ScopeSet;
use shared::time::UnixMillis;
use zeroize::Zeroizing;

use super::redirect::{self, RedirectUriError};
use crate::audit::{self, Actor, Event};
use crate::random::{Random, RandomError};
use crate::store::clients::{Client, ClientKind};
use crate::store::{StoreError, Tx};
use crate::{revocation, text};

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
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Whose.
    pub org: OrgId,
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
    /// A public client signs people in or does nothing.
    #[error("a public client needs a redirect URI")]
    NoRedirectUri,
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
    let name = text::name(&new.name).ok_or(CreateError::Name)?.to_owned();
    for uri in &new.redirect_uris {
        redirect::check(uri).map_err(|error| CreateError::RedirectUri(uri.clone(), error))?;
    }
    if new.kind == ClientKind::Public && new.redirect_uris.is_empty() {
        return Err(CreateError::NoRedirectUri);
    }
    if new.refresh_grace_seconds > MAX_GRACE_SECONDS {
        return Err(CreateError::Grace);
    }
    let secret = match new.kind {
        ClientKind::Confidential => Some(ClientSecret::generate(brand, random)?),
        ClientKind::Public => None,
    };
    let client = Client {
        id: ClientId::from_u64(random.below(ID_LIMIT)?).ok_or(StoreError::Corrupt("client id"))?,
        org: new.org,
        name,
        secret_digest: secret.as_ref().map(|secret| sha256(secret.expose().as_bytes())),
        kind: new.kind,
        redirect_uris: new.redirect_uris,
        refresh_grace_seconds: new.refresh_grace_seconds,
        scopes: new.scopes,
        created_at: now,
        disabled_at: None,
    };
    tx.insert_client(&client).await?;
    let event = Event {
        org: Some(client.org),
        actor,
        action: "client.create",
        target: client.id.to_string(),
        detail: json!({
            "name": client.name,
            "kind": client.kind.as_str(),
            "scope_bits": client.scopes,
            "redirect_uris": client.redirect_uris,
        }),
    };
    audit::record(tx, random, &event, now).await?;
    Ok(CreatedClient { client, secret })
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
        let subject = id.to_string();
        let entry = Entry::NotBefore(Subject::Client(subject.clone()), not_before);
        let outbox = revocation::enqueue(tx, &subject, &entry, now).await?;
        tx.insert_receipt(&subject, now, outbox).await?;
        let client = tx.client(id).await?;
        let event = Event {
            org: client.as_ref().map(|client| client.org),
            actor,
            action: "client.disable",
            target: subject,
            detail: json!({ "not_before": not_before }),
        };
        audit::record(tx, random, &event, now).await?;
    }
    tx.client(id).await
}
