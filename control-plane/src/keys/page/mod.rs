//! `/dashboard/keys`: the pages of API keys. They call the functions that `/v1/auth/keys` calls.
//!
//! | file | page |
//! | --- | --- |
//! | `list` | search, filter, page by page |
//! | `new` | what a new key should be; the key, once |
//! | `show` | one key: use, rights, history; another name |
//! | `rotate` | a successor, with an overlap |
//! | `revoke` | the end of a key, and who has heard of it |

pub mod list;
pub mod new;
pub mod revoke;
pub mod rotate;
pub mod show;
#[cfg(test)]
mod tests;

use askama::Template;
use shared::time::UnixSeconds;

use super::Issued;
use crate::app::App;
use crate::dashboard::Shell;
use crate::pages::Moment;
use crate::store::keys::{ApiKey, KeyStatus};

/// A key as pages show it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) masked: String,
    pub(super) scopes: String,
    pub(super) environment: String,
    pub(super) workspace: String,
    pub(super) owner: String,
    /// Tone and word of the pill.
    pub(super) tone: &'static str,
    pub(super) status: &'static str,
    pub(super) is_live: bool,
    pub(super) ends: Option<Moment>,
    pub(super) last_used: Option<Moment>,
    pub(super) requests: u64,
}

impl Line {
    fn new(
        app: &App,
        key: &ApiKey,
        owner: Option<&String>,
        workspaces: &[(String, String)],
        now: UnixSeconds,
    ) -> Self {
        let status = key.status(now);
        let (tone, word) = match status {
            _ if key.quarantine.is_some() && key.revoked.is_none() => ("warn", "in quarantine"),
            KeyStatus::Active => ("good", "active"),
            KeyStatus::Rotating => ("warn", "rotating out"),
            KeyStatus::Expired => ("plain", "expired"),
            KeyStatus::Revoked => ("bad", "revoked"),
        };
        let workspace = key
            .workspace
            .map_or_else(|| "all".to_owned(), |id| id.to_string());
        let called = workspaces.iter().find(|(id, _)| *id == workspace);
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            masked: key.masked.clone(),
            scopes: app.catalogue().names(key.scopes).join(", "),
            environment: key.environment.to_string(),
            workspace: called.map_or(workspace.clone(), |(_, name)| name.clone()),
            owner: owner.cloned().unwrap_or_else(|| key.user.to_string()),
            tone,
            status: word,
            is_live: matches!(status, KeyStatus::Active | KeyStatus::Rotating),
            ends: key.ends_at().map(|at| at.millis().into()),
            last_used: None,
            requests: 0,
        }
    }
}

/// The page that shows a key's text: the only one that ever does.
#[derive(Template)]
#[template(path = "dashboard/key_once.html")]
struct OncePage {
    shell: Shell,
    /// `The key was made`, `The key was rotated`.
    title: &'static str,
    key: String,
    id: String,
    name: String,
    /// What becomes of the key that this one takes over from.
    old: Option<String>,
    example: String,
}

impl OncePage {
    fn new(app: &App, shell: Shell, title: &'static str, issued: &Issued, old: Option<String>) -> Self {
        let base = app.config.resource.trim_end_matches('/');
        Self {
            shell,
            title,
            key: issued.plain.expose().to_owned(),
            id: issued.key.id.to_string(),
            name: issued.key.name.clone(),
            old,
            example: format!("curl -H \"Authorization: Bearer $PORTCULLIS_KEY\" {base}/…"),
        }
    }
}
