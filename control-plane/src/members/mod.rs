//! Members of an organisation: their roles, and how somebody is shut out. The API and the command line call these functions.
//!
//! A member's role is the ceiling of every key and token that acts for them. A change of it goes to the edge as a ceiling
//! with the membership's version, so it reaches credentials that were given out long before:
//!
//! | change | the edge is told | lifted by |
//! | --- | --- | --- |
//! | another role | a ceiling: the rights of that role | another role |
//! | suspend | a ceiling of nothing | resume |
//! | deactivate | the same; a not-before; a revoked bit for each key and grant | resume, but what was ended stays dead |
//!
//! | file | does |
//! | --- | --- |
//! | `rules` | who may do what to whom |
//! | `change` | one change: one transaction, one receipt |
//! | `api` | HTTP |
//!
//! What it does not: add members (invitations do), or look at credentials (`http::auth`, `oauth::grants` and the edge do).

pub mod api;
mod change;
mod rules;
#[cfg(test)]
mod tests;

pub use change::{Change, MemberReceipt, change};
pub(crate) use change::{Suspension, suspend_by_signal};

use serde::Serialize;
use shared::id::UserId;

use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::http::tag::Tag;
use crate::http::time::Timestamp;
use crate::store::members::{Member, MemberState};
use crate::store::orgs::Role;

/// A member as the API shows them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Member)]
pub struct MemberView {
    /// Who.
    #[schema(value_type = String, example = "usr_000000001")]
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they may do while they are active.
    pub role: Role,
    /// Where they stand.
    pub state: MemberState,
    /// The most that their keys and tokens can do now.
    pub ceiling: Vec<String>,
    /// When they joined.
    pub created_at: Timestamp,
    /// When an administrator changed something last.
    pub changed_at: Option<Timestamp>,
}

impl MemberView {
    fn new(app: &App, member: Member) -> Self {
        let ceiling = rules::ceiling(app, member.role, member.state);
        let names = app.catalogue().names(app.catalogue().expand(ceiling));
        Self {
            user: member.user,
            email: member.email,
            name: member.name,
            role: member.role,
            state: member.state,
            ceiling: names.into_iter().map(str::to_owned).collect(),
            created_at: member.created_at.into(),
            changed_at: member.changed_at.map(Timestamp::from),
        }
    }
}

/// The version of what can be changed about a member.
pub(crate) fn tag(member: &Member) -> Tag {
    Tag::of(&(member.user, member.version))
}

/// One member of the caller's organisation, and which version of them this is.
pub async fn show(app: &App, caller: &Caller, user: UserId) -> Result<(MemberView, Tag), ApiError> {
    let member = app.store.begin_read().await?.member(caller.org, user).await?;
    let member = member.ok_or_else(|| ApiError::not_found("member"))?;
    let tag = tag(&member);
    Ok((MemberView::new(app, member), tag))
}

/// A page of members after one of them, and whether there are more.
pub async fn list(
    app: &App,
    caller: &Caller,
    after: Option<UserId>,
    page: u32,
) -> Result<(Vec<MemberView>, bool), ApiError> {
    let mut tx = app.store.begin_read().await?;
    let mut members = tx.members(caller.org, after, page.saturating_add(1)).await?;
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    let more = members.len() > page;
    members.truncate(page);
    let views = members.into_iter().map(|member| MemberView::new(app, member));
    Ok((views.collect(), more))
}
