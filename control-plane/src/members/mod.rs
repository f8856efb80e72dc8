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
//! | `holdings` | what acts for a member, and would die with a deactivation |
//! | `api`, `page` | HTTP: `/v1`, and the dashboard |
//!
//! What it does not: add members (invitations do), or look at credentials (`http::auth`, `oauth::grants` and the edge do).

pub mod api;
mod change;
mod holdings;
pub mod page;
mod rules;
#[cfg(test)]
mod tests;

pub use change::{Change, MemberReceipt, change};
pub(crate) use change::{Suspension, suspend_by_signal};
pub use holdings::{Holdings, holdings};

use serde::{Deserialize, Serialize};
use shared::id::UserId;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::paging;
use crate::http::tag::Tag;
use crate::http::time::Timestamp;
use crate::store::members::{Member, MemberFilter, MemberKind, MemberState};
use crate::store::orgs::Role;

/// The longest text that is searched for.
const MAX_SEARCH: usize = 254;

/// A member as the API shows them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Member)]
pub struct MemberView {
    /// Who.
    #[schema(value_type = String, example = "usr_000000001")]
    pub user: UserId,
    /// A person, or a program.
    pub kind: MemberKind,
    /// Their address; a program has none.
    pub email: Option<String>,
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
            kind: member.kind,
            email: (member.kind == MemberKind::Person).then_some(member.email),
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
    Tag::of(&(member.user, member.version, &member.name))
}

/// One member of the caller's organisation.
pub async fn view(app: &App, caller: &Caller, user: UserId) -> Result<MemberView, ApiError> {
    show(app, caller, user).await.map(|(member, _)| member)
}

/// The same, and which version of them this is.
pub async fn show(app: &App, caller: &Caller, user: UserId) -> Result<(MemberView, Tag), ApiError> {
    let member = app.store.begin_read().await?.member(caller.org, user).await?;
    let member = member.ok_or_else(|| ApiError::not_found("member"))?;
    let tag = tag(&member);
    Ok((MemberView::new(app, member), tag))
}

/// What a list of members shows.
#[derive(Clone, Debug, Default)]
pub struct Listing<'a> {
    /// People or programs.
    pub kind: MemberKind,
    /// With this role.
    pub role: Option<Role>,
    /// In this state.
    pub state: Option<MemberState>,
    /// How the name begins, or the address, if there is an `@` in it.
    pub search: &'a str,
    /// After the page before.
    pub cursor: Option<&'a str>,
    /// At most so many.
    pub limit: u32,
}

/// Where a page begins: what the list is ordered by, and the id.
#[derive(Serialize, Deserialize)]
struct Place(bool, String, UserId);

/// A page of members by name (or by address, if that is searched), and the cursor of the next one.
pub async fn list(
    app: &App,
    caller: &Caller,
    listing: Listing<'_>,
) -> Result<(Vec<MemberView>, Option<String>), ApiError> {
    let search = listing.search.trim().to_lowercase();
    if search.len() > MAX_SEARCH || search.contains('\0') {
        let detail = format!("must have at most {MAX_SEARCH} bytes");
        return Err(ApiError::invalid_field("search", detail));
    }
    let by_email = search.contains('@');
    let after = match listing.cursor {
        None => None,
        Some(text) => {
            let Place(email, text, user) = paging::decode(text)?;
            if email != by_email || text.contains('\0') {
                return Err(ApiError::new(
                    Code::InvalidCursor,
                    "the cursor is one of another search; begin at the first page",
                ));
            }
            Some((text, user))
        }
    };
    let filter = MemberFilter {
        org: caller.org,
        kind: listing.kind,
        role: listing.role,
        state: listing.state,
        begins_with: search,
        by_email,
        after,
        limit: listing.limit.saturating_add(1),
    };
    let mut tx = app.store.begin_read().await?;
    let mut members = tx.members(&filter).await?;
    let next = paging::next(&mut members, listing.limit, |last| {
        let text = if by_email {
            last.email.clone()
        } else {
            last.search_name.clone()
        };
        Place(by_email, text, last.user)
    });
    let views = members.into_iter().map(|member| MemberView::new(app, member));
    Ok((views.collect(), next))
}
