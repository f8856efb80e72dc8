//! `/dashboard/keys`: the pages of API keys. They call the functions that `/v1/auth/keys` calls.
//!
//! | file | page |
//! | --- | --- |
//! | `list` | search, filter, page by page |
//! | `new` | what a new key should be; the key, once |
//! | `show` | one key: use, rights, history; another name |
//! | `rotate` | a successor, with an overlap |
//! | `revoke` | the end of a key, and who has heard of it |
//!
//! The same pages are at `/account/keys` for one's own keys: members have those without managing anybody else's ([`Side`]).

pub mod list;
pub mod new;
pub mod revoke;
pub mod rotate;
pub mod show;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use shared::time::UnixSeconds;

use super::Issued;
use super::api::key_id;
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{Shell, Visit, refused};
use crate::error::ApiError;
use crate::pages::Moment;
use crate::sessions::Instead;
use crate::store::keys::{ApiKey, KeyStatus};

/// From which side somebody comes to the pages: everybody's keys, or one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `/dashboard/keys`.
    All,
    /// `/account/keys`.
    Mine,
}

impl Side {
    /// Where its list is.
    pub(super) fn base(self) -> &'static str {
        match self {
            Self::All => "/dashboard/keys",
            Self::Mine => "/account/keys",
        }
    }

    /// What its list is called.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::All => "API keys",
            Self::Mine => "My keys",
        }
    }

    /// Whether whoever looks may make and change keys here.
    pub(super) fn may_manage(self, visit: &Visit) -> bool {
        visit.may(match self {
            Self::All => Act::ManageKeys,
            Self::Mine => Act::OwnKeys,
        })
    }

    /// The key, if it is on this side. Somebody else's is not there on one's own side, even for those who may see it.
    pub(super) async fn key(self, app: &App, visit: &Visit, id: &str) -> Result<ApiKey, Instead> {
        let id = key_id(id).map_err(refused)?;
        let key = super::show(app, &visit.caller, id).await.map_err(refused)?;
        if self == Self::Mine && key.user != visit.caller.user {
            return Err(refused(ApiError::not_found("key")));
        }
        Ok(key)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Side {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let is_mine = parts.uri.path().starts_with(Self::Mine.base());
        Ok(if is_mine { Self::Mine } else { Self::All })
    }
}

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
    base: &'static str,
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
    fn new(
        app: &App,
        (visit, side): (&Visit, Side),
        title: &'static str,
        issued: &Issued,
        old: Option<String>,
    ) -> Self {
        let base = app.config.resource.trim_end_matches('/');
        Self {
            shell: visit.shell(),
            base: side.base(),
            title,
            key: issued.plain.expose().to_owned(),
            id: issued.key.id.to_string(),
            name: issued.key.name.clone(),
            old,
            example: format!("curl -H \"Authorization: Bearer $PORTCULLIS_KEY\" {base}/…"),
        }
    }
}
