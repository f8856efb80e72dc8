//! What would reach out of the demo, if it could: invitations without a letter, and webhooks that are switched off.

use serde_json::json;
use shared::id::{InvitationId, KeyId, LIMIT, MessageId, UserId, WebhookId};

use super::story::{self, INVITED, TOLD};
use super::{DAY_MS, HOUR_MS, Stage};
use crate::error::ApiError;
use crate::http::time::format_rfc3339;
use crate::store::invitations::Invitation;
use crate::store::webhooks::Delivery;
use crate::store::{StoreError, Tx};
use crate::webhooks;

/// How long an invitation can be accepted.
const LINK_DAYS: u64 = 7;

/// Asks people in, who never hear of it. Nobody has the link. Gives the number of them.
pub(super) async fn invite(tx: &mut Tx, stage: &Stage<'_>, people: &[UserId]) -> Result<usize, ApiError> {
    let mut made = 0_usize;
    for (email, role, by, age_hours) in INVITED {
        let Some(invited_by) = people.get(by).copied() else {
            continue;
        };
        let id = stage.app.random.below(LIMIT).map_err(ApiError::internal)?;
        let created_at = stage.before(age_hours.saturating_mul(HOUR_MS));
        let invitation = Invitation {
            id: InvitationId::from_u64(id).ok_or(StoreError::Corrupt("invitation id"))?,
            org: stage.org,
            email: email.to_owned(),
            role,
            invited_by,
            created_at,
            expires_at: created_at.saturating_add(LINK_DAYS.saturating_mul(DAY_MS)),
            accepted_at: None,
            revoked_at: None,
        };
        // The digest of nothing that anybody knows.
        let digest = stage.app.random.bytes::<32>().map_err(ApiError::internal)?;
        tx.insert_invitation(&invitation, &digest).await?;
        tx.insert_demo_object("invitation", id).await?;
        let detail = json!({ "email": email, "role": role });
        stage
            .record(tx, "invitation.create", invitation.id.to_string(), detail)
            .await?;
        made = made.saturating_add(1);
    }
    Ok(made)
}

/// Makes webhooks that were told of some of the keys, and are told of nothing any more. Gives the number of them.
pub(super) async fn tell(
    tx: &mut Tx,
    stage: &Stage<'_>,
    keys: &[(KeyId, &'static story::Key)],
) -> Result<usize, ApiError> {
    let mut made = 0_usize;
    for story in &TOLD {
        let new = webhooks::New {
            url: story.url.to_owned(),
            description: story.description.to_owned(),
            events: story.events.iter().map(|event| (*event).to_owned()).collect(),
        };
        let who = stage.actor.who.clone();
        let (hook, _) = webhooks::drawn(stage.app, stage.org, new, who, stage.now)?;
        tx.insert_webhook(&hook).await?;
        tx.insert_demo_object("webhook", hook.id.get()).await?;
        let detail = json!({ "url": hook.url, "events": hook.events, "enabled": false });
        stage
            .record(tx, "webhook.create", hook.id.to_string(), detail)
            .await?;
        let since = stage.before(story.off_hours.saturating_mul(HOUR_MS));
        let first = stage.before(story.age_days.saturating_mul(DAY_MS));
        let (delivered, failing) = match story.answer {
            Ok(_) => (Some(since), None),
            Err(_) => (None, Some(first)),
        };
        tx.switch_off_demo_webhook(hook.id, story.off, (first, since), (delivered, failing))
            .await?;
        for ((key, _), hours) in keys.iter().zip(story.messages) {
            let message = message(stage, hook.id, story, *key, *hours)?;
            tx.insert_demo_delivery(&message).await?;
        }
        made = made.saturating_add(1);
    }
    Ok(made)
}

/// A message of so many hours ago about a key, taken or given up.
fn message(
    stage: &Stage<'_>,
    webhook: WebhookId,
    story: &story::Told,
    key: KeyId,
    hours: u64,
) -> Result<Delivery, ApiError> {
    let id = stage.app.random.below(LIMIT).map_err(ApiError::internal)?;
    let at = stage.before(hours.saturating_mul(HOUR_MS));
    let payload = json!({
        "type": story.event,
        "timestamp": format_rfc3339(at),
        "data": { "org": stage.org, "id": key, "actor": stage.actor.who, "detail": {} },
    });
    let (taken, last) = match story.answer {
        Ok(_) => (true, at.saturating_add(180)),
        Err(_) => (false, at.saturating_add(DAY_MS)),
    };
    Ok(Delivery {
        id: MessageId::from_u64(id).ok_or(StoreError::Corrupt("message id"))?,
        webhook,
        event: story.event.to_owned(),
        payload: payload.to_string(),
        created_at: at,
        due_at: None,
        attempts: if taken { 1 } else { 9 },
        last_at: Some(last),
        last_status: story.answer.ok(),
        last_error: story.answer.err().map(str::to_owned),
        delivered_at: taken.then_some(last),
        given_up_at: (!taken).then_some(last),
    })
}
