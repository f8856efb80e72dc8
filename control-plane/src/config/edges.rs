//! `edges`, `[[edge_groups]]` and `[canary]`: who gets the feed, how, whom they admit, and whether we watch revocations arrive.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared::id::OrgId;
use url::Url;

use super::{Config, ConfigError};

const LONGEST_NAME: usize = 64;
/// One feed is for one customer or a few.
const MOST_ORGS: usize = 1000;

/// An edge deployment that gets the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Its name in receipts and metrics.
    pub name: String,
    /// Its base URL; none for an edge that fetches.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Who calls whom.
    #[serde(default)]
    pub mode: EdgeMode,
    /// The group that it belongs to; none: it admits every organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Edges that admit these organisations and nobody else, and are told of nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeGroup {
    /// Its name. The id of its feed is derived from it, so another name is another feed.
    pub name: String,
    /// Whom its edges admit.
    pub orgs: BTreeSet<OrgId>,
}

/// How the feed gets to an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EdgeMode {
    /// We call it.
    #[default]
    Push,
    /// It calls us, because we cannot reach it.
    Pull,
}

/// A credential that is revoked again and again, to see how long that takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Canary {
    /// Whether there is one; without it yes, where an edge is pushed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How often.
    pub interval_seconds: u64,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            enabled: None,
            interval_seconds: 60,
        }
    }
}

impl Edge {
    /// One that we push to.
    pub fn push(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            mode: EdgeMode::Push,
            group: None,
        }
    }

    /// One that fetches.
    pub fn pull(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: String::new(),
            mode: EdgeMode::Pull,
            group: None,
        }
    }

    /// The same in a group.
    #[must_use]
    pub fn in_group(self, group: impl Into<String>) -> Self {
        Self {
            group: Some(group.into()),
            ..self
        }
    }
}

impl Config {
    /// The edges that the publisher calls.
    pub fn pushed_edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(|edge| edge.mode == EdgeMode::Push)
    }

    /// The edges that call us.
    pub fn pulling_edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(|edge| edge.mode == EdgeMode::Pull)
    }

    /// Whether an edge admits an organisation. What is nobody's is for edges that admit everyone.
    pub fn admits(&self, edge: &Edge, org: Option<OrgId>) -> bool {
        let Some(name) = &edge.group else { return true };
        let mut groups = self.edge_groups.iter();
        let group = groups.find(|group| group.name == *name);
        group
            .zip(org)
            .is_some_and(|(group, org)| group.orgs.contains(&org))
    }

    /// Whether a canary is sent out.
    pub fn has_canary(&self) -> bool {
        self.canary.enabled.unwrap_or(true) && self.pushed_edges().next().is_some()
    }
}

/// Names stand before a slash and in metrics; an address must be one that can be called.
pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    validate_groups(config)?;
    let mut names = BTreeSet::new();
    config.edges.iter().try_for_each(|edge| {
        let Edge {
            name,
            url,
            mode,
            group,
        } = edge;
        if !names.insert(name) {
            return Err(invalid(format!("the name {name:?} is listed twice")));
        }
        if !is_name(name) {
            return Err(invalid(format!(
                "{name:?} is no name: use 1 to {LONGEST_NAME} letters, digits, `.`, `_` or `-`"
            )));
        }
        let is_unknown = |group: &&String| !config.edge_groups.iter().any(|known| known.name == **group);
        if let Some(group) = group.as_ref().filter(is_unknown) {
            return Err(invalid(format!(
                "{name:?} is in the group {group:?}, which `edge_groups` does not have"
            )));
        }
        match mode {
            EdgeMode::Push => address(name, url),
            EdgeMode::Pull if url.is_empty() => Ok(()),
            EdgeMode::Pull => Err(invalid(format!(
                "{name:?} fetches the feed itself: it has no URL"
            ))),
        }
    })
}

/// A group that admits nobody is a mistake.
fn validate_groups(config: &Config) -> Result<(), ConfigError> {
    let invalid = |problem: String| ConfigError::Invalid {
        key: "edge_groups",
        problem,
    };
    let mut names = BTreeSet::new();
    config.edge_groups.iter().try_for_each(|group| {
        let name = &group.name;
        if !names.insert(name) {
            return Err(invalid(format!("the name {name:?} is listed twice")));
        }
        if !is_name(name) {
            return Err(invalid(format!(
                "{name:?} is no name: use 1 to {LONGEST_NAME} letters, digits, `.`, `_` or `-`"
            )));
        }
        if group.orgs.is_empty() || group.orgs.len() > MOST_ORGS {
            return Err(invalid(format!(
                "{name:?} must admit 1 to {MOST_ORGS} organisations: list their ids (org_…) in `orgs`"
            )));
        }
        Ok(())
    })
}

fn invalid(problem: String) -> ConfigError {
    ConfigError::Invalid {
        key: "edges",
        problem,
    }
}

fn is_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(sound)
}

fn address(name: &str, url: &str) -> Result<(), ConfigError> {
    let url = Url::parse(url).map_err(|_| invalid(format!("{name:?} needs an absolute URL")))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
        return Err(invalid(format!(
            "{name:?} needs an http or https URL without a query"
        )));
    }
    Ok(())
}
