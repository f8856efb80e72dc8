//! The pages of members: `/dashboard/people`, and with the same handlers `/dashboard/service-accounts`.
//!
//! | file | does |
//! | --- | --- |
//! | `list` | who there is |
//! | `person` | one of them: role, keys, apps, sessions; suspended and resumed |
//! | `end` | the deactivation, with the list of what will die |
//! | `hand_over` | a key for somebody else in place of one that will die |
//! | `lines` | keys, apps and sessions as lines of a table |

mod end;
mod hand_over;
mod lines;
mod list;
mod person;
pub mod routes;

use crate::error::ApiError;
use crate::store::members::{MemberKind, MemberState};
use crate::store::orgs::Role;
use shared::id::UserId;

/// Which of the two the pages are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where its list is.
    pub base: &'static str,
    /// What its list is called.
    pub many: &'static str,
    /// What one is called.
    pub one: &'static str,
    /// Which members.
    pub kind: MemberKind,
}

/// `/dashboard/people`.
pub const PEOPLE: Place = Place {
    base: "/dashboard/people",
    many: "People",
    one: "member",
    kind: MemberKind::Person,
};

/// `/dashboard/service-accounts`.
pub const SERVICE_ACCOUNTS: Place = Place {
    base: "/dashboard/service-accounts",
    many: "Service accounts",
    one: "service account",
    kind: MemberKind::Service,
};

impl Place {
    /// Whether the pages are about programs.
    pub fn is_service(self) -> bool {
        self.kind == MemberKind::Service
    }

    /// The page of one.
    pub fn page_of(self, user: UserId) -> String {
        format!("{}/{user}", self.base)
    }

    /// The roles that one may have, the least first.
    pub fn roles(self) -> &'static [Role] {
        match self.kind {
            MemberKind::Person => &[Role::Viewer, Role::Member, Role::Admin, Role::Owner],
            MemberKind::Service => &[Role::Viewer, Role::Member, Role::Admin],
        }
    }
}

/// What a role is for, beside its name in a form.
pub fn role_in_words(role: &Role) -> &'static str {
    match role {
        Role::Viewer => "Sees what there is; keys may read",
        Role::Member => "Has keys of their own; they may read and write",
        Role::Admin => "Manages keys, apps and people",
        Role::Owner => "Everything, with settings and other owners",
    }
}

/// The role that a form or a query names.
pub(crate) fn role(text: &str) -> Option<Role> {
    text.parse().ok()
}

/// The state that a query names.
fn state(text: &str) -> Option<MemberState> {
    [
        MemberState::Active,
        MemberState::Suspended,
        MemberState::Deactivated,
    ]
    .into_iter()
    .find(|state| state.as_str() == text)
}

/// The colour of a state.
fn tone(state: MemberState) -> &'static str {
    match state {
        MemberState::Active => "good",
        MemberState::Suspended => "warn",
        MemberState::Deactivated => "plain",
    }
}

/// An id that is not even one is a member that is not there.
fn user_id(text: &str) -> Result<UserId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("member"))
}
