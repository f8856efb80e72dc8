//! Why something is revoked, and by whom: what the database, the audit trail and receipts say of it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit::Actor;
use crate::error::ApiError;

/// The longest comment, in characters.
const MAX_COMMENT: usize = 500;

/// Why a credential is revoked, in the words of RFC 5280 §5.3.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// None given.
    #[default]
    Unspecified,
    /// Somebody else has it.
    KeyCompromise,
    /// Its user moved on.
    AffiliationChanged,
    /// Another key took its place.
    Superseded,
    /// Not needed any more.
    CessationOfOperation,
    /// Its user may not do this any more.
    PrivilegeWithdrawn,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The text in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key_compromise",
            Self::AffiliationChanged => "affiliation_changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation_of_operation",
            Self::PrivilegeWithdrawn => "privilege_withdrawn",
        }
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                format!("expected one of {known}")
            })
    }
}

/// What led to a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody who may asked for it.
    Asked,
    /// Whoever holds the credential gave it up.
    Possession,
    /// Somebody found the credential where it should not be.
    Leak,
    /// The credential was given up at an edge.
    Edge,
}

impl Cause {
    /// The text in the audit trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Possession => "possession",
            Self::Leak => "leak",
            Self::Edge => "edge",
        }
    }

    /// Whether the holder did it.
    pub fn is_by_holder(self) -> bool {
        matches!(self, Self::Possession | Self::Edge)
    }
}

/// A revocation's reason and its author.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Why<'a> {
    pub(crate) reason: Reason,
    pub(crate) cause: Cause,
    /// In other words, for people.
    pub(crate) comment: Option<&'a str>,
    pub(crate) actor: &'a Actor,
}

impl<'a> Why<'a> {
    /// Somebody who may asked for it, without a word.
    pub(crate) fn asked(reason: Reason, actor: &'a Actor) -> Self {
        Self {
            reason,
            cause: Cause::Asked,
            comment: None,
            actor,
        }
    }

    /// What the audit trail says of it.
    pub(crate) fn detail(&self) -> Value {
        let mut detail = json!({"reason": self.reason, "cause": self.cause.as_str()});
        if let Some(comment) = self.comment {
            detail["comment"] = comment.into();
        }
        detail
    }
}

/// A comment that can be shown: of one or more lines without control characters.
pub(crate) fn comment(text: Option<&str>) -> Result<Option<&str>, ApiError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().count() > MAX_COMMENT || text.chars().any(|c| c.is_control() && c != '\n') {
        let detail = format!("a comment has at most {MAX_COMMENT} characters, and no control characters");
        return Err(ApiError::invalid_field("comment", detail));
    }
    Ok(Some(text))
}
