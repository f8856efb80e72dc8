//! Grant `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523 §2.1) with an identity assertion (ID-JAG): what MCP calls
//! enterprise-managed authorization. The identity provider of an organisation decides, so the person is not asked here.
//!
//! The token is a person's: a suspension, another role or the end of their membership reaches it. It has a status index of its
//! own, and no refresh token: the client brings the next assertion. A provider speaks for members of its own organisation;
//! it makes no account, and lets nobody into another one.

use serde_json::json;
use shared::dpop::Proof;
use shared::scope::ScopeSet;
use shared::token::{Claims, Status, StatusReference};

use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use super::id_jag::{self, Refused};
use super::jws::{self, Type};
use super::pair::{self, Granted};
use super::scopes::Asked;
use super::{dpop, grants, lookup, providers, resource};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::orgs;
use crate::signing::{self, Purpose};
use crate::store::clients::{Client, ClientKind};
use crate::store::grants::Terms;
use crate::store::not_before::AssertedToken;
use crate::store::status_lists::Holder;

/// RFC 7523 §2.1.
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The one profile of it, for metadata.
pub(super) const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// Takes an assertion.
#[expect(
    clippy::too_many_lines,
    reason = "a column of five steps, in the order of the profile"
)]
pub(super) async fn grant(
    app: &App,
    client: &Client,
    form: &Form,
    proof: Option<&Proof>,
    actor: &Actor,
) -> Result<Granted, OAuthError> {
    // 1. A client that can prove who it is.
    if client.kind == ClientKind::Public {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "jwt-bearer is for confidential clients",
        ));
    }
    // 2. What it brings: of a provider that an organisation trusts, for us, for this client, alive, and really signed.
    let text = form
        .value("assertion")
        .ok_or_else(|| OAuthError::invalid_request("assertion is missing"))?;
    let assertion = id_jag::parse(text)?;
    let now = app.clock.now();
    let provider = providers::trusted(app, &assertion.claims.iss).ok_or(Refused::Issuer)?;
    assertion.check(provider, &app.config.issuer, &client.identifier, now.seconds())?;
    assertion.check_holder(proof.map(|proof| proof.key))?;
    let resource = resource::named(app, Some(&assertion.claims.resource)).ok_or(Refused::Resource)?;
    resource::confirm(form, &resource)?;
    let keys = providers::keys(app, provider).await.map_err(|error| {
        tracing::warn!(issuer = provider.issuer, %error, "an identity provider's keys could not be read");
        OAuthError::new(
            ErrorCode::TemporarilyUnavailable,
            "the keys of the assertion's issuer cannot be read now",
        )
    })?;
    assertion.verify(&keys)?;
    // 3. For the first time, and about an active member, whose membership is held: what ends it waits for us or is seen.
    let mut tx = app.store.begin().await?;
    let (digest, expires) = assertion.digest();
    if !tx.take_assertion(&digest, expires).await? {
        return Err(Refused::Replay.into());
    }
    let email = assertion.claims.email.to_lowercase();
    let (user, _) = tx.user_by_email(&email).await?.ok_or(Refused::Person)?;
    let terms = Terms {
        client: lookup::remember(&mut tx, app, client, actor, now).await?,
        user,
        org: provider.org,
        scopes: ScopeSet::EMPTY,
        identity: 0,
        resource: resource.clone(),
        session: None,
        auth_time: assertion.issued_at(),
    };
    let dated = grants::date(&mut tx, app, &terms, Some(terms.auth_time), now)
        .await?
        .ok_or(Refused::Person)?;
    // What the provider vouched for before it was revoked does not count; its clock may be ahead of ours.
    let latest = dated.iat.max(terms.auth_time);
    let not_before = tx.note_assertion(&provider.issuer, provider.org, latest).await?;
    if not_before.is_some_and(|at| terms.auth_time <= at.saturating_add(id_jag::SKEW_SECONDS)) {
        return Err(Refused::Superseded.into());
    }
    // 4. No more than the assertion, the request, the client and the person have.
    let scopes = scopes(app, client, form, assertion.claims.scope.as_deref(), dated.rights)?;
    let exp = dated.iat.saturating_add(app.config.tokens.access_seconds);
    let (signing_key, index) = signing::draw_index(
        &mut tx,
        Purpose::AccessToken,
        &terms.org.into(),
        Some(exp),
        &app.random,
        now,
    )
    .await?;
    let holder = Holder {
        org: terms.org,
        user: Some(user),
        client: terms.client,
        issued_at: dated.iat,
    };
    tx.note_holder(index, holder).await?;
    let signer = app.keyring.key(&mut tx, signing_key).await?;
    tx.insert_asserted_token(&AssertedToken {
        index,
        org: terms.org,
        user,
        client: terms.client,
        issuer: provider.issuer.clone(),
        scopes,
        created_at: now,
        expires: exp,
    })
    .await?;
    dpop::spend(&mut tx, proof).await?;
    let scope = app.catalogue().join(scopes);
    let event = Event {
        org: Some(terms.org),
        actor,
        action: "access_token.assert",
        target: user.to_string(),
        detail: json!({
            "client_id": terms.client,
            "issuer": provider.issuer,
            "subject": assertion.claims.sub,
            "resource": resource,
            "scope": scope,
            "index": index,
        }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    // 5. Sign, outside the transaction.
    let claims = Claims {
        iss: app.config.issuer.clone(),
        sub: user.to_string(),
        aud: vec![terms.resource],
        client_id: client.identifier.clone(),
        scope: scope.clone(),
        exp,
        iat: dated.iat,
        nbf: None,
        jti: pair::jti(app)?,
        sid: None,
        org: Some(terms.org),
        workspace: None,
        status: Some(Status {
            status_list: StatusReference::new(&app.config.issuer, index),
        }),
        cnf: dpop::cnf(proof.map(|proof| proof.key)),
    };
    Ok(Granted {
        access_token: jws::sign(Type::AccessToken, &claims, &signer)?,
        token_type: dpop::token_type(&claims),
        issued_token_type: None,
        expires_in: exp.0.saturating_sub(dated.iat.0),
        refresh_token: None,
        scope,
        id_token: None,
    })
}

/// What all four have: the request, the client, the assertion, the person. A request or an assertion without scopes leaves it
/// to the others. Scopes of OpenID Connect are left out: nobody signs in here.
fn scopes(
    app: &App,
    client: &Client,
    form: &Form,
    asserted: Option<&str>,
    rights: ScopeSet,
) -> Result<ScopeSet, OAuthError> {
    let catalogue = app.catalogue();
    let invalid = |why: &str| OAuthError::new(ErrorCode::InvalidScope, why);
    let asked = match (form.value("scope"), asserted) {
        (Some(text), _) => {
            let asked = Asked::parse(text, catalogue);
            asked
                .ok_or_else(|| invalid("a scope is unknown or malformed"))?
                .scopes
        }
        (None, Some(_)) => lookup::cap(app, client),
        (None, None) => lookup::default_scopes(app, client),
    };
    let asserted = asserted.map_or(ScopeSet::ALL, |text| catalogue.parse_known(text.split(' ')));
    let left = [lookup::cap(app, client), asserted, rights]
        .into_iter()
        .fold(asked, |left, ceiling| orgs::capped(left, ceiling, catalogue));
    if left.is_empty() {
        return Err(invalid(
            "the request, the assertion, the client and the person have no scope in common",
        ));
    }
    Ok(left)
}
