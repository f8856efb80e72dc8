//! One token that was found: whether it is ours, what is done, and who is told.

use serde_json::json;
use shared::id::KeyId;
use shared::key;
use url::Url;

use super::{Finding, MAX_TEXT};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::config::LeakAction;
use crate::error::ApiError;
use crate::http::auth;
use crate::mail::{self, Letter};
use crate::oauth::grants;
use crate::oauth::opaque::{Kind, Opaque};
use crate::signals::effects;
use crate::store::Tx;
use crate::store::keys::ApiKey;

/// Deals with a finding; whether it is a credential that we gave out.
pub(super) async fn handle(app: &App, finding: &Finding, actor: &Actor) -> Result<bool, ApiError> {
    if let Some(token) = Opaque::parse(Kind::Refresh, &finding.token) {
        return refresh_token(app, finding, &token, actor).await;
    }
    let Some(key) = genuine(app, &finding.token).await? else {
        return Ok(false);
    };
    let action = app.config.leaks.action;
    let mut tx = app.store.begin().await?;
    let stopped = effects::stop_line(&mut tx, app, &key, action, actor).await?;
    if stopped.is_empty() {
        // Dead already, or in quarantine: nothing is new, and nobody gets a mail twice.
        return Ok(true);
    }
    note(&mut tx, app, finding, (&key, &stopped), actor).await?;
    tell(&mut tx, app, finding, &key).await?;
    tx.commit().await?;
    app.feed.wake();
    if action == LeakAction::Revoke {
        let count = u64::try_from(stopped.len()).unwrap_or(u64::MAX);
        metrics::counter!("portcullis_api_keys_revoked_total").increment(count);
    }
    Ok(true)
}

/// The key with this text, if we signed it and know it: the checksum, then the signature, then the row.
async fn genuine(app: &App, text: &str) -> Result<Option<ApiKey>, ApiError> {
    let Ok(parsed) = key::parse(text) else {
        return Ok(None);
    };
    let mut tx = app.store.begin_read().await?;
    let row = tx.key(KeyId::from(parsed.statement.index)).await?;
    let Some(row) = row.filter(|row| parsed.brand == app.config.brand && auth::states_the_same(&parsed, row))
    else {
        return Ok(None);
    };
    if app.keyring.known(row.signing_key).is_none() {
        // Another process may have made it a moment ago.
        app.keyring.reload(&mut tx).await.map_err(ApiError::internal)?;
    }
    // What a removed signer signed is dead, and proves nothing any more.
    let verifier = app.keyring.api_key_verifier(row.signing_key);
    Ok(verifier
        .is_some_and(|verifier| verifier.verify(&parsed.message, &parsed.signature))
        .then_some(row))
}

/// The one row that names the place; those of the keys themselves are beside it.
async fn note(
    tx: &mut Tx,
    app: &App,
    finding: &Finding,
    (key, stopped): (&ApiKey, &[KeyId]),
    actor: &Actor,
) -> Result<(), ApiError> {
    let event = Event {
        org: Some(key.org),
        actor,
        action: "signal.leak",
        target: key.id.to_string(),
        detail: json!({
            "type": short(&finding.kind),
            "source": finding.source.as_deref().map(short),
            "url": place(finding),
            "action": app.config.leaks.action,
            "keys": stopped,
        }),
    };
    Ok(audit::record(tx, &app.random, &event, app.clock.now()).await?)
}

async fn tell(tx: &mut Tx, app: &App, finding: &Finding, key: &ApiKey) -> Result<(), ApiError> {
    if !app.config.has_mail() {
        return Ok(());
    }
    // Of a program nobody reads letters: an owner is told.
    let profile = match tx.profile(key.user).await? {
        Some(profile) => Some(profile),
        None => match tx.first_owner(key.org).await? {
            Some(owner) => tx.profile(owner).await?,
            None => None,
        },
    };
    let Some((email, _)) = profile else {
        return Ok(());
    };
    let revoked = app.config.leaks.action == LeakAction::Revoke;
    let letter = Letter::leaked_key(
        &key.masked,
        &key.id.to_string(),
        place(finding).as_deref(),
        revoked,
    );
    mail::queue(tx, app, Some(&email), letter, app.clock.now())
        .await
        .map_err(ApiError::internal)
}

/// Ends the grant of a refresh token. There is no reading it down: whoever has it gets tokens with it.
async fn refresh_token(
    app: &App,
    finding: &Finding,
    token: &Opaque,
    actor: &Actor,
) -> Result<bool, ApiError> {
    let mut tx = app.store.begin().await?;
    let Some(row) = tx.refresh_token(&token.digest()).await? else {
        return Ok(false);
    };
    let Some(grant) = tx
        .grant(row.grant)
        .await?
        .filter(|grant| grant.revoked_at.is_none())
    else {
        return Ok(true);
    };
    let now = app.clock.now();
    if grants::revoke(&mut tx, app, &grant, grants::Reason::Leak, actor, now).await? {
        let event = Event {
            org: Some(grant.terms.org),
            actor,
            action: "signal.leak",
            target: grant.id.to_string(),
            detail: json!({
                "type": short(&finding.kind),
                "source": finding.source.as_deref().map(short),
                "url": place(finding),
                "action": LeakAction::Revoke,
            }),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
        tx.commit().await?;
        app.feed.wake();
        metrics::counter!("portcullis_grants_revoked_total", "reason" => "leak").increment(1);
    }
    Ok(true)
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Where it was found, as far as it can be told without the token: no user, query or fragment, and nothing that holds it.
fn place(finding: &Finding) -> Option<String> {
    let text = finding.url.as_deref().filter(|text| text.len() <= MAX_TEXT)?;
    let mut url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    if holds(url.as_str(), &finding.token) {
        url.set_path("");
    }
    (!holds(url.as_str(), &finding.token)).then(|| url.to_string())
}

/// In any case, and however it is percent-encoded: a host is written in small letters.
fn holds(text: &str, token: &str) -> bool {
    let decoded: String = url::form_urlencoded::parse(text.as_bytes())
        .flat_map(|(name, value)| [name, value])
        .collect();
    let token = token.to_ascii_lowercase();
    // Its last part is what counts: what stands before is the same for all keys.
    let body = token.rsplit('_').next().unwrap_or_default();
    [text.to_ascii_lowercase(), decoded.to_ascii_lowercase()]
        .iter()
        .any(|text| body.len() < 8 || text.contains(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_never_holds_the_token() {
        let token = "pc_live_4uXabcdefghijk";
        let place = |url: &str| {
            place(&Finding {
                token: token.to_owned(),
                kind: "k".to_owned(),
                url: Some(url.to_owned()),
                source: None,
            })
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            place("https://github.com/o/r/blob/12/a.txt?x=1#L3"),
            some("https://github.com/o/r/blob/12/a.txt")
        );
        assert_eq!(
            place(&format!("https://github.com/o/r?key={token}")),
            some("https://github.com/o/r")
        );
        for path in [token, "4UXABCDEFGHIJK", "%34uXabcdefghijk"] {
            assert_eq!(
                place(&format!("https://github.com/o/{path}/x")),
                some("https://github.com/"),
                "{path}"
            );
        }
        assert_eq!(place("https://4uxabcdefghijk.example/x"), None);
        for wrong in [
            "javascript:alert(1)",
            "not a url",
            "https://me:x@github.com/",
            "ftp://a.example/",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
        assert_eq!(place(&format!("https://github.com/{}", "a".repeat(3000))), None);
    }
}
