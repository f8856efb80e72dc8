//! What is in force: the routes, a box to test requests, the latest versions.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::SecretString;
use serde::Deserialize;

use super::{Line, PATH, VersionLine};
use crate::app::App;
use crate::dashboard::{PageQuery, Sent, Shell, Visit, link, refused, refused_form};
use crate::policies::{self, Holder, Trial, Tried};
use crate::sessions::Instead;

const LATEST: u32 = 10;

/// A request to test, and the next page of versions.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    /// `nobody`, or somebody with `scopes`.
    #[serde(default)]
    who: String,
    #[serde(default)]
    scopes: String,
    /// The last version that was looked at.
    #[serde(default)]
    before: String,
}

/// What came of a test.
struct Outcome {
    passes: bool,
    status: u16,
    sentence: String,
    steps: Vec<StepLine>,
}

struct StepLine {
    name: &'static str,
    passed: bool,
    found: String,
}

impl From<Tried> for Outcome {
    fn from(tried: Tried) -> Self {
        let steps = tried.explanation.steps.iter().map(|step| {
            let facts = step.facts.iter().filter(|(_, value)| !value.is_empty());
            let facts = facts.map(|(name, value)| format!("{}: {value}", name.replace('_', " ")));
            let mut found: Vec<String> = facts.collect();
            if let Some(reason) = step.reason {
                found.insert(0, reason.code().replace('_', " "));
            }
            StepLine {
                name: step.name,
                passed: step.reason.is_none(),
                found: found.join("; "),
            }
        });
        Self {
            passes: tried.reason.is_none(),
            status: tried.status,
            sentence: tried.sentence.clone(),
            steps: steps.collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/policies.html")]
#[expect(clippy::struct_excessive_bools, reason = "each is a statement of its own")]
struct PoliciesPage {
    shell: Shell,
    version: u64,
    applied: Option<VersionLine>,
    is_operator: bool,
    administers: bool,
    may_change: bool,
    managed_by_file: bool,
    routes: Vec<Line>,
    scopes: Vec<String>,
    presets: Vec<(String, String)>,
    resource: String,
    history: Vec<VersionLine>,
    next: String,
    methods: Vec<(&'static str, bool)>,
    query: Query,
    outcome: Option<Outcome>,
    failure: Option<String>,
}

/// `GET /dashboard/policies`.
pub async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    PageQuery(query): PageQuery<Query>,
) -> Result<Response, Instead> {
    if query.path.is_empty() {
        return Ok(visit.page(&page(&app, &visit, query, None, None).await?));
    }
    let holder = if query.who == "scopes" {
        let names = query.scopes.split([' ', ',']).filter(|name| !name.is_empty());
        Holder::Scopes(names.map(str::to_owned).collect())
    } else {
        Holder::Nobody
    };
    test(&app, visit, query, holder).await
}

/// `POST /dashboard/policies/test`: with a credential, which belongs into no address.
pub async fn post_test(State(app): State<Arc<App>>, Sent { visit, form }: Sent) -> Result<Response, Instead> {
    let text = |name: &str| form.value(name).unwrap_or_default().to_owned();
    let query = Query {
        method: text("method"),
        path: text("path"),
        who: "credential".to_owned(),
        ..Query::default()
    };
    let credential = form.value("credential").unwrap_or_default().trim();
    let holder = Holder::Credential(SecretString::from(credential));
    test(&app, visit, query, holder).await
}

async fn test(app: &Arc<App>, visit: Visit, query: Query, holder: Holder) -> Result<Response, Instead> {
    let trial = Trial {
        method: if query.method.is_empty() {
            "GET".to_owned()
        } else {
            query.method.clone()
        },
        path: query.path.clone(),
        origin: None,
        holder,
        draft: None,
    };
    match policies::test(app, &visit.caller, trial).await {
        Ok(tried) => {
            let page = page(app, &visit, query, Some(tried.into()), None).await?;
            Ok(visit.page(&page))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            let page = page(app, &visit, query, None, Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

async fn page(
    app: &App,
    visit: &Visit,
    query: Query,
    outcome: Option<Outcome>,
    failure: Option<String>,
) -> Result<PoliciesPage, Instead> {
    let current = policies::show(app, &visit.caller).await.map_err(refused)?;
    let (mut history, mut next) = (Vec::new(), String::new());
    if current.access.operator {
        let before = query.before.parse().ok();
        let (rows, more) = policies::history(app, &visit.caller, before, LATEST)
            .await
            .map_err(refused)?;
        if let Some(last) = rows.last().filter(|_| more) {
            next = link(PATH, &[("before", &last.version.to_string())]);
        }
        history = rows.iter().map(VersionLine::of).collect::<Result<_, _>>()?;
    }
    let policy = &current.policy;
    let method = if query.method.is_empty() {
        "GET"
    } else {
        &query.method
    };
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"].map(|name| (name, name == method));
    Ok(PoliciesPage {
        shell: visit.shell(),
        version: current.version,
        applied: current.applied.as_ref().map(VersionLine::of).transpose()?,
        is_operator: current.access.operator,
        administers: current.access.administers,
        may_change: current.access.may_change(),
        managed_by_file: current.access.managed_by_file,
        routes: Line::all(policy),
        scopes: policy.scopes.all().to_vec(),
        presets: policy
            .presets
            .iter()
            .map(|(name, scopes)| (name.clone(), scopes.join(", ")))
            .collect(),
        resource: policy.resource.clone(),
        history,
        next,
        methods: methods.to_vec(),
        query,
        outcome,
        failure,
    })
}
