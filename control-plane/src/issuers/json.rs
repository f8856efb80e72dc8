//! Issuers as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::feed::issuer::WorkspaceRule;
use shared::id::WorkspaceId;
use shared::jwk::Thumbprint;
use shared::jwks::LeftOut;
use shared::scope::Catalogue;
use shared::time::UnixMillis;
use utoipa::ToSchema;

use super::change::Changed;
use super::rules::ClaimName;
use crate::http::time::Timestamp;
use crate::revocation::Receipt;
use crate::store::issuers::{BlockedSubject, TrustedIssuer};

/// How an issuer's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeysState {
    /// The last look-up found them.
    Fresh,
    /// It did not, and those of before count.
    Failing,
    /// It has not for too long: none count.
    Stale,
    /// The issuer is trusted no more.
    Removed,
}

/// A key of an issuer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IssuerKey)]
pub struct KeyView {
    /// Its name; empty if it has none.
    pub kid: String,
    /// What it is for.
    pub algorithm: &'static str,
    /// RFC 7638.
    pub thumbprint: String,
}

/// An issuer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Issuer)]
pub struct IssuerView {
    /// Its id.
    pub id: String,
    /// Its identifier.
    pub issuer: String,
    /// Whose it is.
    pub org: String,
    /// The version that edges are told; each change has a higher one.
    pub version: u64,
    /// What must be in `aud`.
    pub audiences: Vec<String>,
    /// The most that its tokens can do.
    pub scopes: Vec<String>,
    /// What its keys may be for.
    pub algorithms: Vec<String>,
    /// Which `typ` counts.
    pub token_types: Vec<&'static str>,
    /// Where the subject is.
    pub subject_claim: Option<ClaimName>,
    /// Where scopes are: the first of these that is there.
    pub scope_claims: Vec<ClaimName>,
    /// What values there mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub scope_values: Option<BTreeMap<String, Vec<String>>>,
    /// `all`, one workspace, or absent if a claim says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub workspace: Option<String>,
    /// The claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub workspace_claim: Option<ClaimName>,
    /// What its values mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>, nullable = false)]
    pub workspace_values: Option<BTreeMap<String, WorkspaceId>>,
    /// Where its keys are, if somebody has said so.
    pub jwks_uri: Option<String>,
    /// Where they were found.
    pub keys_uri: Option<String>,
    /// How they are.
    pub keys_state: KeysState,
    /// Those that count.
    pub keys: Vec<KeyView>,
    /// When they were found last.
    pub refreshed_at: Timestamp,
    /// When they are looked for again.
    pub next_refresh_at: Timestamp,
    /// What was wrong at the last look-up.
    pub failure: Option<String>,
    /// Look-ups that failed since they were found.
    pub failures: u64,
    /// Who trusted it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When anything about it changed last.
    pub updated_at: Timestamp,
}

/// A key that does not count.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LeftOutKey)]
pub struct LeftOutView {
    /// Its name.
    pub kid: String,
    /// Why.
    pub reason: String,
}

/// The answer to a change.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IssuerReceipt)]
pub struct ChangedView {
    /// The issuer as it is now.
    #[serde(flatten)]
    pub issuer: IssuerView,
    /// Keys of its set that do not count; absent if they were not looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub left_out: Option<Vec<LeftOutView>>,
    /// Who has the change, and from when on every default and strict route goes by it.
    #[serde(flatten)]
    pub receipt: Receipt,
}

/// Somebody who is blocked.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BlockedSubject)]
pub struct SubjectView {
    /// What the issuer calls them.
    pub subject: String,
    /// Since when.
    pub blocked_at: Option<Timestamp>,
}

/// The answer of `GET /v1/issuers/{id}`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IssuerShown)]
pub struct ShownView {
    /// The issuer.
    #[serde(flatten)]
    pub issuer: IssuerView,
    /// Up to 200 of them.
    pub blocked: Vec<SubjectView>,
}

impl IssuerView {
    /// The issuer as it stands.
    pub fn new(row: &TrustedIssuer, catalogue: &Catalogue) -> Self {
        let binding = row.entry.binding.as_ref();
        let names = |scopes| {
            let names = catalogue.names(scopes).into_iter();
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let (workspace, claim, values) = match binding.map(|binding| &binding.workspace) {
            None => (None, None, None),
            Some(WorkspaceRule::All) => (Some("all".to_owned()), None, None),
            Some(WorkspaceRule::Fixed(workspace)) => (Some(workspace.to_string()), None, None),
            Some(WorkspaceRule::Claim { path, values }) => {
                (None, Some(ClaimName::of(path)), Some(values.clone()))
            }
        };
        let forms = binding.map(|binding| binding.forms);
        let types = [
            ("at+jwt", forms.is_some_and(|forms| forms.at_jwt)),
            ("JWT", forms.is_some_and(|forms| forms.jwt)),
            ("none", forms.is_some_and(|forms| forms.none)),
        ];
        Self {
            id: row.id.to_string(),
            issuer: row.entry.issuer.clone(),
            org: row.entry.org.to_string(),
            version: row.entry.version,
            audiences: binding
                .map(|binding| binding.audiences.clone())
                .unwrap_or_default(),
            scopes: binding.map(|binding| names(binding.cap)).unwrap_or_default(),
            algorithms: row.algorithms.clone(),
            token_types: types
                .into_iter()
                .filter(|(_, has)| *has)
                .map(|(name, _)| name)
                .collect(),
            subject_claim: binding.map(|binding| ClaimName::of(&binding.subject)),
            scope_claims: binding
                .map(|binding| binding.scopes.iter().map(|path| ClaimName::of(path)).collect())
                .unwrap_or_default(),
            scope_values: binding
                .and_then(|binding| binding.scope_values.as_ref())
                .map(|values| {
                    let values = values.iter();
                    values
                        .map(|(value, scopes)| (value.clone(), names(*scopes)))
                        .collect()
                }),
            workspace,
            workspace_claim: claim,
            workspace_values: values,
            jwks_uri: row.jwks_uri.clone(),
            keys_uri: row.watch.keys_uri.clone(),
            keys_state: state(row),
            keys: binding.map(|binding| keys(&binding.keys)).unwrap_or_default(),
            refreshed_at: row.watch.refreshed_at.into(),
            next_refresh_at: row.watch.due_at.into(),
            failure: row.watch.failure.clone(),
            failures: row.watch.failures,
            created_by: row.created_by.clone(),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

impl ChangedView {
    /// The answer to a change.
    pub fn new(changed: &Changed, catalogue: &Catalogue) -> Self {
        let view = |(kid, why): &(String, LeftOut)| LeftOutView {
            kid: kid.clone(),
            reason: why.to_string(),
        };
        let left_out = changed.left_out.as_ref();
        Self {
            issuer: IssuerView::new(&changed.issuer, catalogue),
            left_out: left_out.map(|keys| keys.iter().map(view).collect()),
            receipt: changed.receipt.clone(),
        }
    }
}

impl From<&BlockedSubject> for SubjectView {
    fn from(blocked: &BlockedSubject) -> Self {
        Self {
            subject: blocked.subject.clone(),
            blocked_at: blocked.blocked_at.map(|at: UnixMillis| at.into()),
        }
    }
}

fn state(row: &TrustedIssuer) -> KeysState {
    match &row.entry.binding {
        None => KeysState::Removed,
        Some(binding) if binding.keys.is_empty() => KeysState::Stale,
        Some(_) if row.watch.failures > 0 => KeysState::Failing,
        Some(_) => KeysState::Fresh,
    }
}

fn keys(keys: &BTreeMap<String, shared::crypto::VerifyingKey>) -> Vec<KeyView> {
    let keys = keys.iter();
    keys.map(|(kid, key)| KeyView {
        kid: kid.clone(),
        algorithm: key.algorithm().jose(),
        thumbprint: Thumbprint::of(key).to_string(),
    })
    .collect()
}
