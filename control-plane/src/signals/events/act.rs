//! What follows from an event: one transaction with the `jti`, the change, and its row in the audit trail.

use serde_json::{Map, Value, json};
use shared::time::UnixMillis;

use super::set::SecurityEvent;
use super::subject::{self, Subject};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::config::SignalTransmitter;
use crate::error::ApiError;
use crate::members::{self, Suspension};
use crate::signals::effects::{self, Ended};
use crate::store::Tx;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// The events that say something to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    SessionRevoked,
    CredentialChange,
    AccountDisabled,
    AccountEnabled,
    Verification,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        if let Some(name) = name.strip_prefix(CAEP) {
            return match name {
                "session-revoked" => Some(Self::SessionRevoked),
                "credential-change" => Some(Self::CredentialChange),
                _ => None,
            };
        }
        if let Some(name) = name.strip_prefix(RISC) {
            return match name {
                "account-disabled" => Some(Self::AccountDisabled),
                "account-enabled" => Some(Self::AccountEnabled),
                _ => None,
            };
        }
        (name.strip_prefix(SSF) == Some("verification")).then_some(Self::Verification)
    }

    fn action(self) -> &'static str {
        match self {
            Self::SessionRevoked => "signal.session_revoked",
            Self::CredentialChange => "signal.credential_change",
            Self::AccountDisabled => "signal.account_disabled",
            Self::AccountEnabled => "signal.account_enabled",
            Self::Verification => "signal.verification",
        }
    }
}

/// Does what the events ask for; nothing if they came before.
pub(super) async fn act(
    app: &App,
    transmitter: &SignalTransmitter,
    event: &SecurityEvent,
    actor: &Actor,
) -> Result<(), ApiError> {
    let mut tx = app.store.begin().await?;
    let (digest, until) = event.digest();
    if !tx.take_assertion(&digest, until).await? {
        // RFC 8935 §2: acknowledged as it was the first time.
        return Ok(());
    }
    for (name, claims) in &event.events {
        let Some(kind) = Kind::of(name) else { continue };
        one(&mut tx, app, transmitter, event, (kind, claims), actor).await?;
    }
    tx.commit().await?;
    app.feed.wake();
    Ok(())
}

async fn one(
    tx: &mut Tx,
    app: &App,
    transmitter: &SignalTransmitter,
    event: &SecurityEvent,
    (kind, claims): (Kind, &Map<String, Value>),
    actor: &Actor,
) -> Result<(), ApiError> {
    let now = app.clock.now();
    // Before SSF 1.0 each event named its own subject.
    let said = event.subject.as_ref().or_else(|| claims.get("subject"));
    let found = match said {
        Some(said) if kind != Kind::Verification => subject::find(tx, app, transmitter.org, said).await?,
        _ => None,
    };
    let outcome = match found {
        Some(subject) => effect(tx, app, transmitter, (kind, subject), actor, now).await?,
        None if kind == Kind::Verification => json!("noted"),
        None => json!("nobody here is meant"),
    };
    let target = found.map_or_else(|| transmitter.issuer.clone(), |subject| subject.user.to_string());
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(short);
    let entry = Event {
        org: Some(transmitter.org),
        actor,
        action: kind.action(),
        target,
        detail: json!({
            "jti": short(&event.jti),
            "session": found.and_then(|subject| subject.session),
            "initiating_entity": text("initiating_entity"),
            "credential_type": text("credential_type"),
            "change_type": text("change_type"),
            "reason": text("reason"),
            "outcome": outcome,
        }),
    };
    Ok(audit::record(tx, &app.random, &entry, now).await?)
}

async fn effect(
    tx: &mut Tx,
    app: &App,
    transmitter: &SignalTransmitter,
    (kind, Subject { user, session }): (Kind, Subject),
    actor: &Actor,
    now: UnixMillis,
) -> Result<Value, ApiError> {
    let member = (transmitter.org, user);
    let ended = |ended: Ended| json!({ "ended": ended });
    Ok(match (kind, session) {
        (Kind::SessionRevoked, Some(sid)) => ended(effects::end_session(tx, user, sid, now).await?),
        (Kind::SessionRevoked, None) => ended(effects::end_access(tx, member, now).await?),
        // Whoever comes back shows everything again: a session is a new sign-in, with the second factor, and apps ask anew.
        (Kind::CredentialChange, _) => {
            let gone = effects::end_access(tx, member, now).await?;
            tx.forget_consents_of_member(member.0, user).await?;
            tx.void_password_resets(user, now).await?;
            ended(gone)
        }
        (Kind::AccountDisabled, _) => {
            let suspension = members::suspend_by_signal(tx, app, member, actor, now).await?;
            let gone = match suspension {
                Suspension::LastOwner => Ended::default(),
                Suspension::Done | Suspension::Before => effects::end_sessions_here(tx, member, now).await?,
            };
            json!({ "suspended": suspension, "ended": gone })
        }
        (Kind::AccountEnabled | Kind::Verification, _) => json!("noted"),
    })
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_by_their_full_names_only() {
        for (name, expected) in [
            (
                "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
                Some(Kind::SessionRevoked),
            ),
            (
                "https://schemas.openid.net/secevent/caep/event-type/credential-change",
                Some(Kind::CredentialChange),
            ),
            (
                "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
                Some(Kind::AccountDisabled),
            ),
            (
                "https://schemas.openid.net/secevent/risc/event-type/account-enabled",
                Some(Kind::AccountEnabled),
            ),
            (
                "https://schemas.openid.net/secevent/ssf/event-type/verification",
                Some(Kind::Verification),
            ),
            (
                "https://schemas.openid.net/secevent/risc/event-type/session-revoked",
                None,
            ),
            (
                "https://schemas.openid.net/secevent/caep/event-type/token-claims-change",
                None,
            ),
            ("session-revoked", None),
            ("", None),
        ] {
            assert_eq!(Kind::of(name), expected, "{name}");
        }
    }
}
