//! Whom an event is about (RFC 9493, SSF 1.0 §3): a member of the transmitter's organisation, and perhaps one session.
//!
//! Formats: `email`; `iss_sub` with our own issuer; `opaque` with our own id; `complex` of `user`, `session` and `tenant`. What an
//! identity provider calls its people is not known here, so its own `iss_sub` names nobody.

use serde_json::Value;
use shared::id::{OrgId, SessionId, UserId};

use crate::app::App;
use crate::store::{StoreError, Tx};

/// Somebody that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) user: UserId,
    /// Only this session.
    pub(super) session: Option<SessionId>,
}

/// Finds the person; `None` if there is nobody here that this could be.
pub(super) async fn find(
    tx: &mut Tx,
    app: &App,
    org: OrgId,
    subject: &Value,
) -> Result<Option<Subject>, StoreError> {
    let (user, session) = if subject["format"] == "complex" {
        // A part that we cannot match narrows the subject to nobody: never wider than was said.
        let known = ["format", "user", "session", "tenant"];
        let members = subject.as_object().into_iter().flatten();
        if members
            .map(|(name, _)| name.as_str())
            .any(|name| !known.contains(&name))
        {
            return Ok(None);
        }
        let tenant = &subject["tenant"];
        if !tenant.is_null() && opaque(tenant) != Some(&org.to_string()) {
            return Ok(None);
        }
        let session = match &subject["session"] {
            Value::Null => None,
            session => match opaque(session).and_then(|id| id.parse().ok()) {
                Some(session) => Some(session),
                None => return Ok(None),
            },
        };
        (&subject["user"], session)
    } else {
        (subject, None)
    };
    let Some(user) = person(tx, app, user).await? else {
        return Ok(None);
    };
    // Alive or not: what is done restricts in any case.
    let member = tx.member(org, user).await?;
    Ok(member.map(|member| Subject {
        user: member.user,
        session,
    }))
}

async fn person(tx: &mut Tx, app: &App, subject: &Value) -> Result<Option<UserId>, StoreError> {
    let text = |name: &str| subject[name].as_str();
    match text("format") {
        Some("email") => {
            let Some(email) = text("email") else {
                return Ok(None);
            };
            Ok(tx
                .user_by_email(&email.to_lowercase())
                .await?
                .map(|(user, _)| user))
        }
        Some("iss_sub") if text("iss") == Some(&app.config.issuer) => {
            Ok(text("sub").and_then(|sub| sub.parse().ok()))
        }
        Some("opaque") => Ok(opaque(subject).and_then(|id| id.parse().ok())),
        _ => Ok(None),
    }
}

fn opaque(subject: &Value) -> Option<&str> {
    subject["id"].as_str().filter(|_| subject["format"] == "opaque")
}
