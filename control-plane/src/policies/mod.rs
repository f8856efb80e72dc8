//! The route policy while the server runs: what is in force, who may change it, and how.
//!
//! | file | does |
//! | --- | --- |
//! | `live` | the policy that this process goes by; follows what other instances put in force |
//! | `draft` | a document somebody wrote, with every mistake at its place: pure |
//! | `diff` | what a draft changes, route by route: pure |
//! | `warn` | what of that is worth a second look: pure |
//! | `rules` | who may do what |
//! | `change` | check, apply, roll back: one transaction each, with history, audit row, feed entry and receipt |
//! | `read` | what is in force, and the history |
//! | `trial` | would this request pass, and why |
//! | `json`, `api` | HTTP |
//! | `page` | the dashboard |
//!
//! **Where it comes from.** With `policy_file` the file is the policy, and nothing here changes it. Without, what edges were told
//! last is in force, and is changed here; before the first change that is the demo's, or that of a file that is configured no more.
//! `resource` always comes from the configuration.
//!
//! The policy is the whole installation's. It is changed by owners and admins of the operator's organisation (`orgs::operator`).
//!
//! What it does not: enforce (the edge does), or publish (`revocation` does).

pub mod api;
mod change;
mod diff;
mod draft;
pub mod json;
mod live;
pub mod page;
mod read;
mod rules;
#[cfg(test)]
pub(crate) mod tests;
mod trial;
mod warn;

pub use change::{Applied, Checked, apply, check, roll_back};
pub use diff::{Changes, MemberChange, RouteChange, RouteChangeKind, SettingChange};
pub use draft::{MAX_BODY, MAX_FORM, parse};
pub(crate) use live::publish_at_start;
pub use live::{Live, follow, of_configuration};
pub use read::{Current, Shown, changes_back, changes_of, history, show, version};
pub use rules::{Access, access};
pub use trial::{Holder, Trial, Tried, test};
pub use warn::Warning;
