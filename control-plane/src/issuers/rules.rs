//! What may be said about an issuer, and by whom: pure functions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::crypto::Algorithm;
use shared::feed::IssuerBinding;
use shared::feed::issuer::{
    ClaimPath, Forms, MAX_AUDIENCES, MAX_ISSUER, MAX_PATH, MAX_VALUE, MAX_VALUES, WorkspaceRule,
};
use shared::id::WorkspaceId;
use shared::scope::{Catalogue, ScopeSet};
use url::Url;

use crate::app::App;
use crate::config::is_fetchable;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::store::orgs::Role;

/// The name of a claim: one text, or several from the outermost member in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ClaimName {
    /// At the top.
    One(String),
    /// Further in, such as `["realm_access", "roles"]`.
    Path(Vec<String>),
}

impl ClaimName {
    fn path(self) -> ClaimPath {
        match self {
            Self::One(name) => vec![name],
            Self::Path(path) => path,
        }
    }

    /// The shorter way to write a path.
    pub(super) fn of(path: &[String]) -> Self {
        match path {
            [name] => Self::One(name.clone()),
            _ => Self::Path(path.to_vec()),
        }
    }
}

/// What a caller says about an issuer: all of it to trust one, some of it to change one.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Where its keys are. An empty text: where its discovery document says.
    pub jwks_uri: Option<String>,
    /// What must be in `aud`.
    pub audiences: Option<Vec<String>>,
    /// The most that its tokens can do.
    pub scopes: Option<Vec<String>>,
    /// What its keys may be for.
    pub algorithms: Option<Vec<String>>,
    /// Which `typ` counts: `at+jwt`, `JWT`, `none`.
    pub token_types: Option<Vec<String>>,
    /// Where the subject is.
    pub subject_claim: Option<ClaimName>,
    /// Where scopes are.
    pub scope_claim: Option<ClaimName>,
    /// What the values there mean here.
    pub scope_values: Option<BTreeMap<String, Vec<String>>>,
    /// `all`, or one workspace.
    pub workspace: Option<String>,
    /// The claim that says which workspace.
    pub workspace_claim: Option<ClaimName>,
    /// What its values mean.
    pub workspace_values: Option<BTreeMap<String, WorkspaceId>>,
}

/// Whoever reaches every workspace and environment sees what is trusted there.
pub(super) fn may_see(app: &App, caller: &Caller) -> Result<(), ApiError> {
    if reaches_all(app, caller) {
        return Ok(());
    }
    let detail = "issuers are seen with a credential for all workspaces, of the widest environment";
    Err(ApiError::new(Code::ExceedsCaller, detail))
}

fn reaches_all(app: &App, caller: &Caller) -> bool {
    let widest = app.config.environments.iter().min();
    caller.workspace.is_none() && widest.is_none_or(|widest| caller.environment <= *widest)
}

/// Whoever reaches every workspace and environment, and administers: an issuer's tokens reach as far.
pub(super) fn may_administer(app: &App, caller: &Caller) -> Result<(), ApiError> {
    if matches!(caller.role, Role::Owner | Role::Admin) && reaches_all(app, caller) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::ExceedsCaller,
        "issuers need an owner's or an admin's credential for all workspaces, of the widest environment",
    ))
}

/// An issuer identifier: an https URL in its one form, without query or fragment (RFC 8414 §2), with or without a slash at its end.
pub(super) fn issuer(text: &str, app: &App) -> Result<(), ApiError> {
    let invalid = |detail: &str| Err(ApiError::invalid_field("issuer", detail));
    if text.len() > MAX_ISSUER || !is_fetchable(text, app.config.fetches_loopback()) || text.contains('?') {
        return invalid("must be an https URL of at most 512 bytes, without query and fragment, as in `iss`");
    }
    // What a parser would change is not what stands in tokens.
    let same = Url::parse(text).is_ok_and(|url| {
        url.as_str() == text || (url.path() == "/" && url.as_str().trim_end_matches('/') == text)
    });
    if !same {
        return invalid(
            "must be written in its normal form: lower-case host, no default port, no dot segments",
        );
    }
    if text.trim_end_matches('/') == app.config.issuer {
        return invalid("this is this installation's own issuer, whose tokens count anyway");
    }
    Ok(())
}

/// Names of algorithms, each once. Without a word about it all that this release knows.
pub(super) fn algorithms(names: Option<&[String]>) -> Result<Vec<Algorithm>, ApiError> {
    let Some(names) = names else {
        return Ok(Algorithm::ALL.to_vec());
    };
    let mut algorithms = Vec::new();
    for name in names {
        let known = Algorithm::from_jose(name).filter(|algorithm| !algorithms.contains(algorithm));
        let Some(algorithm) = known else {
            let all = Algorithm::ALL.map(Algorithm::jose).join(", ");
            let detail = format!("list some of {all}, each once");
            return Err(ApiError::invalid_field("algorithms", detail));
        };
        algorithms.push(algorithm);
    }
    if algorithms.is_empty() {
        return Err(ApiError::invalid_field(
            "algorithms",
            "list at least one, or leave it out",
        ));
    }
    Ok(algorithms)
}

/// Where keys are, if the caller says so.
pub(super) fn jwks_uri(text: &str, app: &App) -> Result<Option<String>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > 2048 || !is_fetchable(text, app.config.fetches_loopback()) {
        return Err(ApiError::invalid_field(
            "jwks_uri",
            "must be an https URL of at most 2048 bytes",
        ));
    }
    Ok(Some(text.to_owned()))
}

/// A binding that trusts nobody with anything yet.
pub(super) fn nothing() -> IssuerBinding {
    IssuerBinding {
        audiences: Vec::new(),
        cap: ScopeSet::EMPTY,
        forms: Forms::ALL,
        subject: vec!["sub".to_owned()],
        // RFC 9068 §2.2.3; Okta and Azure write `scp`.
        scopes: vec![vec!["scope".to_owned()], vec!["scp".to_owned()]],
        scope_values: None,
        workspace: WorkspaceRule::All,
        keys: BTreeMap::new(),
    }
}

/// Puts what was asked for into a binding. Workspaces are looked up by the caller: see [`workspaces`].
pub(super) fn apply(
    binding: &mut IssuerBinding,
    asked: Asked,
    caller: &Caller,
    catalogue: &Catalogue,
) -> Result<(), ApiError> {
    if let Some(audiences) = asked.audiences {
        binding.audiences = texts("audiences", audiences, MAX_AUDIENCES)?;
    }
    if binding.audiences.is_empty() {
        return Err(ApiError::invalid_field(
            "audiences",
            "list what the issuer writes into `aud` for this API",
        ));
    }
    if let Some(names) = asked.scopes {
        binding.cap = scopes("scopes", &names, caller, catalogue)?;
    }
    if let Some(types) = asked.token_types {
        binding.forms = forms(&types)?;
    }
    if let Some(claim) = asked.subject_claim {
        binding.subject = path("subject_claim", claim)?;
    }
    if let Some(claim) = asked.scope_claim {
        binding.scopes = vec![path("scope_claim", claim)?];
    }
    if let Some(values) = asked.scope_values {
        let mut read = BTreeMap::new();
        for (value, names) in table("scope_values", values)? {
            read.insert(value, scopes("scope_values", &names, caller, catalogue)?);
        }
        // None: the values are names of our scopes again.
        binding.scope_values = Some(read).filter(|values| !values.is_empty());
    }
    match (asked.workspace, asked.workspace_claim, asked.workspace_values) {
        (None, None, None) => {}
        (Some(text), None, None) => {
            binding.workspace = match text.as_str() {
                "all" => WorkspaceRule::All,
                id => WorkspaceRule::Fixed(id.parse().map_err(|_| {
                    ApiError::invalid_field("workspace", "must be `all` or an id such as ws_000000001")
                })?),
            };
        }
        (None, Some(claim), Some(values)) => {
            binding.workspace = WorkspaceRule::Claim {
                path: path("workspace_claim", claim)?,
                values: table("workspace_values", values)?,
            };
        }
        _ => {
            let detail = "give `workspace`, or `workspace_claim` with `workspace_values`";
            return Err(ApiError::invalid_field("workspace", detail));
        }
    }
    Ok(())
}

/// The workspaces that a binding names: each must be the organisation's own.
pub(super) fn workspaces(binding: &IssuerBinding) -> Vec<WorkspaceId> {
    match &binding.workspace {
        WorkspaceRule::All => Vec::new(),
        WorkspaceRule::Fixed(workspace) => vec![*workspace],
        WorkspaceRule::Claim { values, .. } => values.values().copied().collect(),
    }
}

/// A person never gives more than they have; the hierarchy is expanded on their side only.
fn scopes(
    field: &str,
    names: &[String],
    caller: &Caller,
    catalogue: &Catalogue,
) -> Result<ScopeSet, ApiError> {
    let set = catalogue.parse(names).map_err(|unknown| {
        let known = catalogue.all().join(", ");
        ApiError::invalid_field(field, format!("{unknown}; this deployment has {known}"))
    })?;
    if caller.scopes.contains(set) {
        return Ok(set);
    }
    let detail = "the issuer would have scopes that the caller does not have";
    Err(ApiError::new(Code::ExceedsCaller, detail).field(field))
}

fn forms(types: &[String]) -> Result<Forms, ApiError> {
    let has = |name: &str| types.iter().any(|known| known == name);
    let forms = Forms {
        at_jwt: has("at+jwt"),
        jwt: has("JWT"),
        none: has("none"),
    };
    let known = types
        .iter()
        .all(|name| matches!(name.as_str(), "at+jwt" | "JWT" | "none"));
    if types.is_empty() || !known {
        let detail = "list some of `at+jwt`, `JWT` and `none` (a header without `typ`)";
        return Err(ApiError::invalid_field("token_types", detail));
    }
    Ok(forms)
}

fn path(field: &str, claim: ClaimName) -> Result<ClaimPath, ApiError> {
    let path = claim.path();
    let sound = |name: &String| is_text(name);
    if (1..=MAX_PATH).contains(&path.len()) && path.iter().all(sound) {
        return Ok(path);
    }
    let detail =
        format!("must be the name of a claim, or a list of at most {MAX_PATH} names from the outermost in");
    Err(ApiError::invalid_field(field, detail))
}

fn texts(field: &str, list: Vec<String>, most: usize) -> Result<Vec<String>, ApiError> {
    if list.len() <= most && list.iter().all(|text| is_text(text)) {
        return Ok(list);
    }
    let detail = format!("at most {most} texts of 1 to {MAX_VALUE} bytes");
    Err(ApiError::invalid_field(field, detail))
}

fn table<T>(field: &str, values: BTreeMap<String, T>) -> Result<BTreeMap<String, T>, ApiError> {
    if values.len() <= MAX_VALUES && values.keys().all(|value| is_text(value)) {
        return Ok(values);
    }
    let detail = format!("at most {MAX_VALUES} values of 1 to {MAX_VALUE} bytes");
    Err(ApiError::invalid_field(field, detail))
}

fn is_text(text: &str) -> bool {
    (1..=MAX_VALUE).contains(&text.len()) && !text.chars().any(char::is_control)
}
