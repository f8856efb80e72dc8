//! The demo's apps, and who lets them act: OAuth clients whose secrets nobody has seen, and grants that nobody has a token of.
//!
//! A grant has an index like any other, which is revoked when the demo is removed.

use serde_json::json;
use shared::id::{ClientId, GrantId, LIMIT, UserId};
use shared::scope::ScopeSet;
use shared::time::UnixMillis;

use super::story::{APPS, App as Story, GRANTS, Known};
use super::{DAY_MS, HOUR_MS, Stage};
use crate::error::ApiError;
use crate::keys::scopes_of;
use crate::oauth::clients::{self, DEFAULT_GRACE_SECONDS, NewClient};
use crate::oauth::scopes::{Asked, Identity};
use crate::signing::{self, Purpose};
use crate::store::clients::{ApplicationType, AuthMethod, Client, ClientKind, Origin};
use crate::store::grants::{Grant, Terms};
use crate::store::{StoreError, Tx};

/// Below what a client's number is drawn.
const CLIENT_IDS: u64 = 1 << 32;

/// Makes them, and gives the numbers of apps and grants.
pub(super) async fn make(
    tx: &mut Tx,
    stage: &Stage<'_>,
    people: &[UserId],
) -> Result<(usize, usize), ApiError> {
    let mut apps = Vec::new();
    for story in &APPS {
        let scopes = scopes_of(Some(story.preset), None, &stage.app.policy().policy)?;
        let id = match story.known {
            Known::Registered => register(tx, stage, story, scopes).await?,
            Known::ByDocument(address) => note(tx, stage, story, address).await?,
        };
        tx.insert_demo_object("client", id.get()).await?;
        let age = story.age_days.saturating_mul(DAY_MS);
        tx.backdate_demo_client(id, stage.before(age)).await?;
        apps.push(id);
    }
    let mut granted = 0_usize;
    for (client, user, preset, age_days, hours) in GRANTS {
        let (Some(client), Some(user)) = (apps.get(client).copied(), people.get(user).copied()) else {
            continue;
        };
        let scopes = scopes_of(Some(preset), None, &stage.app.policy().policy)?;
        let times = (
            stage.before(age_days.saturating_mul(DAY_MS)),
            stage.before(hours.saturating_mul(HOUR_MS)),
        );
        grant(tx, stage, (client, user, scopes), times).await?;
        granted = granted.saturating_add(1);
    }
    Ok((apps.len(), granted))
}

/// One that an administrator registered.
async fn register(
    tx: &mut Tx,
    stage: &Stage<'_>,
    story: &Story,
    scopes: ScopeSet,
) -> Result<ClientId, ApiError> {
    let new = NewClient {
        redirect_uris: story.redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
        application_type: story.application_type,
        device_flow: story.device_flow,
        ..NewClient::new(stage.org, story.name, scopes, story.kind)
    };
    let (app, now) = (stage.app, stage.now);
    let made = clients::create(tx, &app.random, &app.config.brand, new, stage.actor, now).await;
    Ok(made.map_err(ApiError::internal)?.client.id)
}

/// One that nobody registered: it is known by the address of its document, because somebody let it in.
async fn note(tx: &mut Tx, stage: &Stage<'_>, story: &Story, address: &str) -> Result<ClientId, ApiError> {
    let id = stage.app.random.below(CLIENT_IDS).map_err(ApiError::internal)?;
    let client = Client {
        id: ClientId::from_u64(id).ok_or(StoreError::Corrupt("client id"))?,
        identifier: address.to_owned(),
        origin: Origin::MetadataDocument,
        stored: true,
        org: None,
        name: story.name.to_owned(),
        secret_digest: None,
        kind: ClientKind::Public,
        application_type: ApplicationType::Native,
        token_endpoint_auth_method: AuthMethod::None,
        jwks: None,
        jwks_uri: None,
        redirect_uris: story.redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
        backchannel_logout_session_required: false,
        refresh_grace_seconds: DEFAULT_GRACE_SECONDS,
        scopes: ScopeSet::default(),
        dpop_bound_access_tokens: false,
        require_pushed_authorization_requests: false,
        device_flow: false,
        created_at: stage.now,
        disabled_at: None,
    };
    if !tx.insert_client(&client).await? {
        return Err(ApiError::internal(anyhow::anyhow!("{address} is known already")));
    }
    let detail = json!({ "name": client.name, "client_id": address });
    stage
        .record(tx, "client.create", client.id.to_string(), detail)
        .await?;
    Ok(client.id)
}

/// What somebody lets an app do, since when, and when it acted last.
async fn grant(
    tx: &mut Tx,
    stage: &Stage<'_>,
    (client, user, scopes): (ClientId, UserId, ScopeSet),
    (made, acted): (UnixMillis, UnixMillis),
) -> Result<(), ApiError> {
    let app = stage.app;
    let tokens = &app.config.tokens;
    let expires = made.seconds().saturating_add(tokens.refresh_max_seconds);
    let (signing_key, index) = signing::draw_index(
        tx,
        Purpose::AccessToken,
        &stage.org.into(),
        Some(expires.max(stage.now.seconds())),
        &app.random,
        stage.now,
    )
    .await?;
    let identity = Identity::from_bits(0b1111);
    let id = app.random.below(LIMIT).map_err(ApiError::internal)?;
    let grant = Grant {
        id: GrantId::from_u64(id).ok_or(StoreError::Corrupt("grant id"))?,
        terms: Terms {
            client,
            user,
            org: stage.org,
            scopes,
            identity: identity.bits(),
            resource: app.config.resource.clone(),
            session: None,
            auth_time: made.seconds(),
        },
        issued_at: made.seconds(),
        index,
        signing_key,
        bound_to: None,
        idle_expires: expires.min(acted.seconds().saturating_add(tokens.refresh_idle_seconds)),
        expires,
        created_at: made,
        revoked_at: None,
    };
    tx.insert_grant(&grant).await?;
    tx.add_consent(&grant.terms, made).await?;
    tx.insert_demo_object("grant", grant.id.get()).await?;
    tx.backdate_demo_grant(grant.id, made, acted).await?;
    let scopes = Asked { scopes, identity }.join(app.catalogue());
    let detail = json!({ "client_id": client, "user": user, "scopes": scopes });
    stage
        .record(tx, "grant.create", grant.id.to_string(), detail)
        .await
}
