//! The one client that comes with the server: its own command line, `portcullis-cli`, and what its access tokens may do.
//!
//! It signs people in with the device flow, and its tokens are for `/v1` of this very server: their audience is the issuer,
//! which no other client can ask for (`resource`). It is public, as every command line is: the person sees on the device
//! page what they allow, and their role is the ceiling, now and at every call.
//!
//! It has no row until somebody signs in with it; from then on `portcullis clients disable` turns it off.

use shared::id::{GrantId, OrgId, UserId};
use shared::policy::same_resource;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::clients::DEFAULT_GRACE_SECONDS;
use super::{effective, jws};
use crate::app::App;
use crate::store::StoreError;
use crate::store::clients::{ApplicationType, AuthMethod, Client, ClientKind, Origin};
use crate::store::orgs::Role;

/// Its `client_id`.
pub const COMMAND_LINE: &str = "portcullis-cli";

/// The client, with what its row says if it has one.
pub(super) fn client(app: &App, row: Option<Client>) -> Result<Client, StoreError> {
    let (id, stored) = match &row {
        Some(row) => (row.id, true),
        None => (super::lookup::number(app)?, false),
    };
    Ok(Client {
        id,
        identifier: COMMAND_LINE.to_owned(),
        origin: Origin::BuiltIn,
        stored,
        org: None,
        name: "Portcullis command line".to_owned(),
        secret_digest: None,
        kind: ClientKind::Public,
        application_type: ApplicationType::Native,
        token_endpoint_auth_method: AuthMethod::None,
        jwks: None,
        jwks_uri: None,
        redirect_uris: Vec::new(),
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
        backchannel_logout_session_required: false,
        refresh_grace_seconds: DEFAULT_GRACE_SECONDS,
        scopes: app
            .catalogue()
            .parse_known(app.catalogue().all().iter().map(String::as_str)),
        dpop_bound_access_tokens: false,
        require_pushed_authorization_requests: false,
        device_flow: true,
        created_at: row.as_ref().map_or(UnixMillis(0), |row| row.created_at),
        disabled_at: row.and_then(|row| row.disabled_at),
    })
}

/// Somebody who signed in at the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) org: OrgId,
    pub(crate) user: UserId,
    pub(crate) role: Role,
    pub(crate) membership_version: u64,
    /// What the token says under the ceiling of the role, the hierarchy expanded.
    pub(crate) scopes: ScopeSet,
    pub(crate) grant: GrantId,
}

/// Whoever an access token for `/v1` acts for; `None`: the text is none, or does not count any more.
pub(crate) async fn person(app: &App, text: &str) -> Result<Option<Person>, StoreError> {
    // 1. Ours, for us alone, of the command line, and bound to no key that the request does not prove (RFC 9449 §7.2).
    let Some(claims) = jws::read_ours(app, text) else {
        return Ok(None);
    };
    let for_us = matches!(claims.aud.as_slice(), [audience] if same_resource(audience, &app.config.issuer));
    if !for_us || claims.client_id != COMMAND_LINE || claims.cnf.is_some() {
        return Ok(None);
    }
    // 2. Alive by the database: its grant, session, client, person.
    let mut tx = app.store.begin_read().await?;
    let judged = effective::judge(&mut tx, app, &claims, app.clock.now().seconds()).await?;
    let Some((scopes, grant)) = judged.and_then(|judged| Some((judged.scopes, judged.grant?))) else {
        return Ok(None);
    };
    // 3. What they may do now.
    let (org, user) = (grant.terms.org, grant.terms.user);
    let member = tx.membership(org, user).await?.filter(|member| member.alive);
    Ok(member.map(|member| Person {
        org,
        user,
        role: member.role,
        membership_version: member.version,
        scopes: app.catalogue().expand(scopes),
        grant: grant.id,
    }))
}
