//! Clients as the API shows them.

use serde::Serialize;
use shared::id::{ClientId, OrgId};

use super::Kind;
use crate::app::App;
use crate::http::tag::Tag;
use crate::http::time::Timestamp;
use crate::revocation::Receipt;
use crate::store::clients::Client;
use crate::store::{StoreError, Tx};

/// A client as lists and details show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a statement of its own")]
#[schema(as = Client)]
pub struct ClientView {
    /// Its number here; in `/v1`, in grants and in the audit trail.
    #[schema(value_type = String, example = "cli_000000001")]
    pub id: ClientId,
    /// What it calls itself in OAuth.
    pub client_id: String,
    /// Whose it is; nobody's, if nobody registered it.
    #[schema(value_type = Option<String>, example = "org_000000001")]
    pub org: Option<OrgId>,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// `registered`, `metadata_document` or `dynamic`.
    pub origin: &'static str,
    /// How it proves who it is.
    pub token_endpoint_auth_method: &'static str,
    /// The most that it may ask for; what configuration says, if nobody registered it.
    pub scopes: Vec<String>,
    /// Where people may be sent back to.
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after they have signed out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where it hears of the end of sessions.
    pub backchannel_logout_uri: Option<String>,
    /// Where its public keys are.
    pub jwks_uri: Option<String>,
    /// Whether it gets only tokens that are bound to a key of its own.
    pub dpop_bound_access_tokens: bool,
    /// Whether it must push its authorization requests.
    pub require_pushed_authorization_requests: bool,
    /// Whether it may begin the device flow.
    pub device_flow: bool,
    /// How many grants it has from people of the organisation.
    pub grants: u64,
    /// There are at least so many: no more were counted.
    pub grants_is_minimum: bool,
    /// When it was made, or let in first.
    pub created_at: Timestamp,
    /// Since when it gets no tokens.
    pub disabled_at: Option<Timestamp>,
}

impl ClientView {
    /// The client as an organisation sees it; its grants are counted up to `most`.
    pub(super) async fn read(
        tx: &mut Tx,
        app: &App,
        org: OrgId,
        client: Client,
        most: u32,
    ) -> Result<Self, StoreError> {
        let now = app.clock.now().seconds();
        let counts = tx.grants_of_clients(org, &[client.id], now, most).await?;
        let grants = counts.get(&client.id).copied().unwrap_or_default();
        Ok(Self::new(app, grants, client, most))
    }

    /// Some clients as an organisation sees them; the grants of each are counted up to `most`.
    pub(super) async fn read_all(
        tx: &mut Tx,
        app: &App,
        org: OrgId,
        clients: Vec<Client>,
        most: u32,
    ) -> Result<Vec<Self>, StoreError> {
        let now = app.clock.now().seconds();
        let ids: Vec<ClientId> = clients.iter().map(|client| client.id).collect();
        let counts = tx.grants_of_clients(org, &ids, now, most).await?;
        let grants = |client: &Client| counts.get(&client.id).copied().unwrap_or_default();
        let clients = clients.into_iter();
        Ok(clients
            .map(|client| Self::new(app, grants(&client), client, most))
            .collect())
    }

    fn new(app: &App, grants: u64, client: Client, most: u32) -> Self {
        let scopes = app.catalogue().names(client.scopes);
        Self {
            id: client.id,
            kind: Kind::of(&client),
            origin: client.origin.as_str(),
            token_endpoint_auth_method: client.token_endpoint_auth_method.as_str(),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            client_id: client.identifier,
            org: client.org,
            name: client.name,
            redirect_uris: client.redirect_uris,
            post_logout_redirect_uris: client.post_logout_redirect_uris,
            backchannel_logout_uri: client.backchannel_logout_uri,
            jwks_uri: client.jwks_uri,
            dpop_bound_access_tokens: client.dpop_bound_access_tokens,
            require_pushed_authorization_requests: client.require_pushed_authorization_requests,
            device_flow: client.device_flow,
            grants,
            grants_is_minimum: grants >= u64::from(most),
            created_at: client.created_at.into(),
            disabled_at: client.disabled_at.map(Timestamp::from),
        }
    }

    /// The version of what can be changed about it.
    pub fn tag(&self) -> Tag {
        let flags = (
            self.dpop_bound_access_tokens,
            self.require_pushed_authorization_requests,
            self.device_flow,
            self.disabled_at,
        );
        let addresses = (
            &self.redirect_uris,
            &self.post_logout_redirect_uris,
            &self.backchannel_logout_uri,
        );
        Tag::of(&(self.id, &self.name, &self.scopes, addresses, flags))
    }

    /// Whether it shows a secret.
    pub fn has_secret(&self) -> bool {
        matches!(
            self.token_endpoint_auth_method,
            "client_secret_basic" | "client_secret_post"
        )
    }
}

/// What became of a client that was disabled, and who has it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ClientDisabled)]
pub struct Disabled {
    /// The client as it is now.
    #[serde(flatten)]
    pub client: ClientView,
    /// Who has it, and from when on no token of it is let in.
    #[serde(flatten)]
    pub receipt: Receipt,
}
