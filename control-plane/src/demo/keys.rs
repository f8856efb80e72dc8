//! The demo's keys: issued, dated back, two of them in the middle of a rotation, one revoked.

use shared::id::{KeyId, UserId, WorkspaceId};
use shared::key::Environment;

use super::story::{self, KEYS};
use super::{DAY_MS, Stage};
use crate::error::ApiError;
use crate::keys::{self, Made};
use crate::store::Tx;

/// How long the old key of a rotation lives on.
const OVERLAP_SECONDS: u64 = 3 * 86_400;

/// Makes them, and gives each with its story.
pub(super) async fn make(
    tx: &mut Tx,
    stage: &Stage<'_>,
    (people, workspaces): (&[UserId], &[WorkspaceId]),
) -> Result<Vec<(KeyId, &'static story::Key)>, ApiError> {
    let (app, now) = (stage.app, stage.now);
    let environments = &app.config.environments;
    let mut made: Vec<(KeyId, &'static story::Key)> = Vec::new();
    for story in &KEYS {
        let Some(user) = people.get(story.owner).copied() else {
            continue;
        };
        let environment = if environments.contains(&story.environment) {
            story.environment
        } else {
            *environments.iter().min().unwrap_or(&Environment::Live)
        };
        let key = Made {
            org: stage.org,
            user,
            name: story.name,
            workspace: story.workspace.and_then(|n| workspaces.get(n).copied()),
            environment,
            // A catalogue without the preset: the demo shows a key that can do everything its owner may.
            scopes: keys::scopes_of(Some(story.preset), None, &app.policy().policy)?,
            expires_at: story
                .ends_in_days
                .map(|days| now.saturating_add(days.saturating_mul(DAY_MS)).seconds()),
        };
        let id = keys::make(tx, app, key, stage.actor, now).await?.key.id;
        tx.insert_demo_object("key", id.get()).await?;
        let age = story.age_days.saturating_mul(DAY_MS);
        tx.backdate_demo_key(id, stage.before(age)).await?;
        made.push((id, story));
    }
    for (new, story) in &made {
        let old = made.iter().find(|(_, other)| story.replaces == Some(other.name));
        if let Some((old, _)) = old {
            let until = now.seconds().saturating_add(OVERLAP_SECONDS);
            if tx.claim_rotation(*old, until, now.seconds()).await? {
                tx.set_successor(*old, *new).await?;
            }
        }
        if let Some(reason) = story.revoked
            && let Some(key) = tx.key(*new).await?
        {
            keys::revoke_held(tx, app, &key, reason, stage.actor.who.clone()).await?;
        }
    }
    Ok(made)
}
