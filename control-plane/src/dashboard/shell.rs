//! The frame around every page: navigation, organisation, who is signed in, the last message.

use crate::authority::{self, Act};
use crate::http::auth::Caller;
use crate::sessions::{Session, csrf};
use crate::store::orgs::Role;
use crate::store::{StoreError, Tx};

/// Groups of the navigation: title, then path and label of each page. A page that is not in the table of pages, or not for
/// this role, is left out.
const NAVIGATION: [(&str, &[(&str, &str)]); 5] = [
    (
        "",
        &[
            ("/dashboard", "Overview"),
            ("/dashboard/keys", "API keys"),
            ("/dashboard/clients", "OAuth clients"),
            ("/dashboard/grants", "Grants"),
        ],
    ),
    ("You", &[("/account/keys", "My keys")]),
    (
        "Organisation",
        &[
            ("/dashboard/people", "People"),
            ("/dashboard/service-accounts", "Service accounts"),
            ("/dashboard/workspaces", "Workspaces"),
            ("/dashboard/sessions", "Sessions"),
            ("/dashboard/sign-in", "Sign-in methods"),
        ],
    ),
    (
        "Gate",
        &[
            ("/dashboard/policies", "Route policies"),
            ("/dashboard/issuers", "Trusted issuers"),
            ("/dashboard/edge", "Edge"),
        ],
    ),
    (
        "Record",
        &[
            ("/dashboard/audit", "Audit"),
            ("/dashboard/webhooks", "Webhooks"),
            ("/dashboard/retention", "Retention"),
            ("/dashboard/settings", "Settings"),
        ],
    ),
];

/// The frame of a page.
#[derive(Clone, Debug)]
pub struct Shell {
    /// For the hidden field `csrf` of every form.
    pub csrf: String,
    /// What the organisation is called.
    pub org: String,
    /// The address of whoever is signed in.
    pub email: String,
    /// Their name.
    pub name: String,
    /// What they are here.
    pub role: Role,
    /// A sentence from the form before.
    pub flash: Option<String>,
    /// The navigation.
    pub groups: Vec<Group>,
}

/// Some pages that belong together.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they are called; empty for the first.
    pub title: &'static str,
    /// Links to them.
    pub links: Vec<Link>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where.
    pub path: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// Whether this is the page, or the page is below it.
    pub is_here: bool,
}

impl Shell {
    pub(super) async fn load(
        tx: &mut Tx,
        session: &Session,
        caller: &Caller,
        path: &str,
        flash: Option<String>,
    ) -> Result<Self, StoreError> {
        let org = tx.org_name(caller.org).await?.unwrap_or_default();
        let (email, name) = tx.profile(caller.user).await?.unwrap_or_default();
        Ok(Self {
            csrf: csrf::token(session),
            org,
            email,
            name,
            role: caller.role,
            flash,
            groups: groups(caller.role, path),
        })
    }

    /// Whether whoever looks may do something.
    pub fn may(&self, act: Act) -> bool {
        authority::allows(self.role, act)
    }
}

fn groups(role: Role, here: &str) -> Vec<Group> {
    let is_open = |path: &str| {
        let line = authority::PAGES
            .iter()
            .find(|(method, page, _)| *method == "GET" && *page == path);
        line.is_some_and(|(_, _, act)| authority::allows(role, *act))
    };
    let is_here = |path: &str| {
        let rest = here.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || path != "/dashboard" && rest.starts_with('/'))
    };
    let groups = NAVIGATION.iter().map(|(title, links)| Group {
        title,
        links: links
            .iter()
            .filter(|(path, _)| is_open(path))
            .map(|(path, label)| Link {
                path,
                label,
                is_here: is_here(path),
            })
            .collect(),
    });
    groups.filter(|group| !group.links.is_empty()).collect()
}
