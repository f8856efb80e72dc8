//! Grant `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): a confidential client that was handed one of our access
//! tokens gets one of its own for the same subject, to call on with.
//!
//! It never widens: scopes are those of the subject token and of the client, the resource is the subject token's, the end is the subject token's at the latest, the
//! organisation is the client's own, and the status index is the subject token's, so what ends that one ends this one. There
//! is no refresh token. Like a client_credentials token it leaves no audit row; that its index is shared is kept
//! (`store::exchanges`) for each client that it came through, for the day on which one of them is disabled. Then everything
//! with that index ends, also what the clients before it hold.

use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::dpop::Proof;
use shared::id::{ClientId, StatusIndex, UserId};
use shared::policy::same_resource;
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::token::Claims;

use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use super::jws::{self, Type};
use super::pair::{self, Granted};
use super::{compact, dpop, effective, grants, lookup, resource};
use crate::app::App;
use crate::signing::{SigningError, SigningKey};
use crate::store::Tx;
use crate::store::clients::{Client, ClientKind};
use crate::store::orgs::IssueSubjects;

/// RFC 8693 §3: the one kind of token that is taken and given.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How many have acted before, at most (§4.1): a token has an end.
const MAX_ACTORS: usize = 4;

/// §2.2.2: one code for every token that is invalid or not acceptable, and one sentence, so that nothing can be tried out.
fn refused() -> OAuthError {
    OAuthError::invalid_request(
        "the subject_token or the actor_token does not count here, is bound to a key that you did not prove to hold, or may not be exchanged by this client",
    )
}

/// The key that owns the index is gone, and no other may sign for it.
fn replaced() -> OAuthError {
    OAuthError::invalid_request(
        "the key of the subject_token has been replaced: refresh the token, and exchange the new one",
    )
}

/// A token that was presented: ours, alive, and for a resource of ours.
struct Presented {
    claims: Claims,
    /// All members, also those that are none of ours to read.
    all: Map<String, Value>,
    kid: String,
    resource: String,
    effective: effective::Effective,
    index: StatusIndex,
}

/// Who presents tokens, with the proof of its key.
#[derive(Clone, Copy)]
struct Holder<'a> {
    client: &'a Client,
    proof: Option<&'a Proof>,
}

impl Holder<'_> {
    /// A token that is bound to a key counts beside a proof by that key only.
    fn holds(&self, claims: &Claims) -> bool {
        match (&claims.cnf, dpop::bound_to(claims)) {
            (None, _) => true,
            (Some(_), bound_to) => bound_to.is_some() && bound_to == self.proof.map(|proof| proof.key),
        }
    }
}

/// The claims of the new token.
#[derive(Serialize)]
struct Exchanged {
    #[serde(flatten)]
    claims: Claims,
    /// §4.1: who acts for the subject, and who did before.
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Value>,
}

/// Exchanges a token.
pub(super) async fn grant(
    app: &App,
    client: &Client,
    form: &Form,
    proof: Option<&Proof>,
) -> Result<Granted, OAuthError> {
    // 1. A client that can prove who it is and that somebody has registered, and a request for what there is.
    if client.kind == ClientKind::Public {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "token exchange is for confidential clients",
        ));
    }
    if client.org.is_none() {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "token exchange is for clients that an organisation has registered",
        ));
    }
    check_parameters(form)?;
    // 2. The tokens, alive by the same questions as /introspect asks.
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let holder = Holder { client, proof };
    let subject = present(app, &mut tx, holder, form.value("subject_token"))
        .await?
        .ok_or_else(refused)?;
    let actor = match form.value("actor_token") {
        Some(token) => {
            let actor = present(app, &mut tx, holder, Some(token)).await?;
            // Whoever holds somebody else's token is not them.
            let own = actor.filter(|actor| actor.claims.client_id == client.identifier);
            Some(own.ok_or_else(refused)?)
        }
        None => None,
    };
    confirm_target(form, &subject.resource)?;
    let act = act(client, &subject, actor.as_ref())?;
    // 3. Dated under whatever could end it, and judged again: what ends the token, or takes rights away, waits for us from
    // here on, or is seen. So with its index.
    let dated = date(app, &mut tx, client, &subject, now.seconds()).await?;
    let (iat, presenter) = dated.ok_or_else(refused)?;
    let effective = effective::judge(&mut tx, app, &subject.claims, now.seconds()).await?;
    let effective = effective.ok_or_else(refused)?;
    // 4. No more than the subject token and the client have.
    let scopes = scopes(app, client, form, effective.scopes)?;
    let exp = iat
        .saturating_add(app.config.tokens.access_seconds)
        .min(subject.claims.exp);
    if exp <= iat || !tx.extend_index(subject.index, exp).await? {
        return Err(refused());
    }
    tx.note_exchange(subject.index, &presenter.to_string(), exp)
        .await?;
    let key = signer(app, &mut tx, &subject).await?;
    dpop::spend(&mut tx, proof).await?;
    tx.commit().await?;
    // 5. Sign, outside the transaction.
    let scope = app.catalogue().join(scopes);
    let claims = Claims {
        client_id: client.identifier.clone(),
        aud: vec![subject.resource],
        scope: scope.clone(),
        exp,
        iat,
        nbf: None,
        jti: pair::jti(app)?,
        cnf: dpop::cnf(proof.map(|proof| proof.key)),
        ..subject.claims
    };
    let token_type = dpop::token_type(&claims);
    let access_token = match jws::sign(Type::AccessToken, &Exchanged { claims, act }, &key) {
        Err(SigningError::NoPrivateHalf(_)) => return Err(replaced()),
        signed => signed?,
    };
    Ok(Granted {
        access_token,
        token_type,
        issued_token_type: Some(ACCESS_TOKEN),
        expires_in: exp.0.saturating_sub(iat.0),
        refresh_token: None,
        scope,
        id_token: None,
    })
}

/// §2.1: which tokens come and which is wanted.
fn check_parameters(form: &Form) -> Result<(), OAuthError> {
    for name in ["subject_token", "subject_token_type"] {
        if form.value(name).is_none() {
            return Err(OAuthError::invalid_request(format!("{name} is missing")));
        }
    }
    if form.value("actor_token").is_some() != form.value("actor_token_type").is_some() {
        return Err(OAuthError::invalid_request(
            "actor_token and actor_token_type come together or not at all",
        ));
    }
    for name in ["subject_token_type", "actor_token_type", "requested_token_type"] {
        if form.value(name).is_some_and(|kind| kind != ACCESS_TOKEN) {
            return Err(OAuthError::invalid_request(format!(
                "{name} must be {ACCESS_TOKEN}"
            )));
        }
    }
    Ok(())
}

/// §2.1, §2.2.2: a target may be named, and is the subject token's own: what was agreed to for one part of the API is not
/// turned against another.
fn confirm_target(form: &Form, resource: &str) -> Result<(), OAuthError> {
    resource::confirm(form, resource)?;
    match form.value("audience") {
        Some(audience) if !same_resource(audience, resource) => Err(resource::refused()),
        _ => Ok(()),
    }
}

/// A token that counts: for a resource of ours, of the client's own organisation, and not bound to a key whose proof is not here.
async fn present(
    app: &App,
    tx: &mut Tx,
    holder: Holder<'_>,
    token: Option<&str>,
) -> Result<Option<Presented>, OAuthError> {
    let Some((claims, parsed)) = token.and_then(|text| jws::read_ours(app, text).zip(compact::read(text)))
    else {
        return Ok(None);
    };
    let mut audiences = claims.aud.iter();
    let Some(resource) = audiences.find_map(|audience| resource::named(app, Some(audience))) else {
        return Ok(None);
    };
    if !holder.holds(&claims) || claims.org.is_none() || claims.org != holder.client.org {
        return Ok(None);
    }
    let now = app.clock.now().seconds();
    let effective = effective::judge(tx, app, &claims, now).await?;
    // One that came of an identity assertion stays with the client that the identity provider named.
    let effective =
        effective.filter(|effective| effective.grant.is_some() || claims.sub.parse::<UserId>().is_err());
    let index = effective::index_of(app, &claims);
    Ok(effective
        .zip(index)
        .zip(parsed.kid)
        .map(|((effective, index), kid)| Presented {
            claims,
            resource: resource.clone(),
            all: parsed.claims,
            kid,
            effective,
            index,
        }))
}

/// Who acts: the actor token's subject before those who acted so far. §4.4: if the subject token says who may, nobody else
/// does; without an actor token it is the client itself that acts.
fn act(client: &Client, subject: &Presented, actor: Option<&Presented>) -> Result<Option<Value>, OAuthError> {
    let acts = actor.map_or(client.identifier.as_str(), |actor| actor.claims.sub.as_str());
    if let Some(may_act) = subject.all.get("may_act") {
        let issuer = may_act
            .get("iss")
            .is_none_or(|iss| *iss == subject.claims.iss.as_str());
        if !issuer || may_act.get("sub").and_then(Value::as_str) != Some(acts) {
            return Err(refused());
        }
    }
    let before = subject.all.get("act").cloned();
    let Some(actor) = actor else { return Ok(before) };
    let mut members = Map::from_iter([("sub".to_owned(), json!(actor.claims.sub))]);
    if let Some(before) = before {
        members.insert("act".to_owned(), before);
    }
    let act = Value::Object(members);
    let depth = std::iter::successors(Some(&act), |act| act.get("act")).count();
    if depth > MAX_ACTORS {
        return Err(OAuthError::invalid_request(
            "too many have acted for this subject",
        ));
    }
    Ok(Some(act))
}

/// What is asked for, or all that both have; `admin` of one gives what the other has.
fn scopes(app: &App, client: &Client, form: &Form, subject: ScopeSet) -> Result<ScopeSet, OAuthError> {
    let catalogue = app.catalogue();
    let cap = lookup::cap(app, client);
    let both = subject
        .intersection(catalogue.expand(cap))
        .union(cap.intersection(catalogue.expand(subject)));
    let invalid = |why: &str| Err(OAuthError::new(ErrorCode::InvalidScope, why));
    let Some(text) = form.value("scope") else {
        if both.is_empty() {
            return invalid("the subject token and this client have no scope in common");
        }
        return Ok(both);
    };
    match catalogue.parse(text.split(' ')) {
        Ok(asked) if catalogue.satisfies(both, asked) => Ok(asked),
        Ok(_) => invalid("a scope is beyond what the subject token and this client have"),
        Err(_) => invalid("a scope is unknown or malformed"),
    }
}

/// Dates the token after every `not_before` of the person, the session, and either client, and gives the client whose token
/// was presented. `None` if one of them is over.
async fn date(
    app: &App,
    tx: &mut Tx,
    client: &Client,
    subject: &Presented,
    now: UnixSeconds,
) -> Result<Option<(UnixSeconds, ClientId)>, OAuthError> {
    let Some(org) = subject.claims.org else {
        return Ok(None);
    };
    let subjects = IssueSubjects {
        org,
        workspace: None,
        user: subject.effective.grant.as_ref().map(|grant| grant.terms.user),
    };
    let earliest = if let Some(grant) = &subject.effective.grant {
        let since = Some(subject.claims.iat);
        let Some(dated) = grants::date(tx, app, &grant.terms, since, now.millis()).await? else {
            return Ok(None);
        };
        dated.iat
    } else {
        let earliest = tx.issue_time(subjects, now).await?;
        // Judged before the rows were held: what ended its client or its organisation meanwhile ends this, too.
        let Some(first) = tx.client_by_identifier(&subject.claims.sub).await? else {
            return Ok(None);
        };
        let Some(iat) = tx.client_issue_time(first.id, earliest).await? else {
            return Ok(None);
        };
        let killed = |at: Option<UnixSeconds>| at.is_some_and(|at| subject.claims.iat <= at);
        if killed(tx.not_before(subjects).await?) || killed(tx.client_not_before(first.id).await?) {
            return Ok(None);
        }
        iat
    };
    let presenter = tx.client_by_identifier(&subject.claims.client_id).await?;
    let Some(presenter) = presenter.map(|client| client.id) else {
        return Ok(None);
    };
    // Both locked, in one order; the organisation's row, which is locked, keeps others of its clients' exchanges apart.
    let mut iat = earliest;
    for id in [client.id.min(presenter), client.id.max(presenter)] {
        let Some(at) = tx.client_issue_time(id, iat).await? else {
            return Ok(None);
        };
        iat = at;
    }
    // `earliest` may be past the organisation's already, by the first client's.
    tx.issue_time(subjects, iat).await?;
    // The smaller one's own record of what it issued last.
    tx.client_issue_time(client.id.min(presenter), iat).await?;
    Ok(Some((iat, presenter)))
}

/// The key that owns the index: no other may sign for it.
async fn signer(
    app: &App,
    tx: &mut Tx,
    subject: &Presented,
) -> Result<std::sync::Arc<SigningKey>, OAuthError> {
    let id = subject.kid.parse().map_err(|_| refused())?;
    Ok(app.keyring.key(tx, id).await?)
}
