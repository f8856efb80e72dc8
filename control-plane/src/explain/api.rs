//! The endpoint: HTTP in, HTTP out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use edge::validator::{Explanation, Step};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::time::UnixSeconds;
use utoipa::ToSchema;

use super::Question;
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Admin;
use crate::http::json::{NO_STORE, StrictJson};
use crate::http::time::format_rfc3339;

/// The body of `POST /v1/explain`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Question)]
pub struct Body {
    /// An API key or a token; none: what a caller without one is told.
    #[schema(value_type = Option<String>)]
    credential: Option<SecretString>,
    /// The request's method.
    #[serde(default = "get")]
    #[schema(default = "GET", example = "GET")]
    method: String,
    /// The request's path and query.
    #[schema(example = "/v1/memory/x")]
    path: String,
    /// The request's `Origin`.
    origin: Option<String>,
    /// A DPoP proof: with it the credential comes under the scheme DPoP.
    dpop: Option<String>,
    /// To an MCP server: the header `Mcp-Method`.
    mcp_method: Option<String>,
    /// To an MCP server: the header `Mcp-Name`.
    mcp_name: Option<String>,
    /// To an MCP server: the header `MCP-Protocol-Version`.
    mcp_version: Option<String>,
}

/// For the document: the answer.
#[derive(Debug, ToSchema)]
#[schema(as = Explanation)]
#[expect(dead_code)]
struct ExplanationView {
    /// Whether the edge would let the request in.
    allowed: bool,
    /// `allowed`, `public`, or why not.
    verdict: String,
    /// What was asked, in order.
    steps: Vec<StepView>,
}

/// For the document: one question of the edge.
#[derive(Debug, ToSchema)]
#[schema(as = ExplanationStep)]
#[expect(dead_code)]
struct StepView {
    /// Which one.
    step: String,
    /// Whether the request got past it.
    passed: bool,
    /// Why not.
    #[schema(value_type = Option<String>)]
    reason: Option<String>,
    /// What it went by.
    #[schema(value_type = Object)]
    facts: Value,
}

fn get() -> String {
    "GET".to_owned()
}

/// `POST /v1/explain`
#[utoipa::path(
    post, path = "/v1/explain", tag = "explain",
    summary = "Would the edge let a request in, and why",
    description = "Decided by the edge's own code from the state that edges have now. Nothing is counted, nothing is sent anywhere. Of a \
        credential of another organisation only that it is not yours is said.",
    request_body = Body,
    responses((status = 200, description = "Each question that the edge asks, and what came of it.", body = ExplanationView)),
)]
pub async fn post(
    State(app): State<Arc<App>>,
    Admin(caller): Admin,
    StrictJson(body, _): StrictJson<Body>,
) -> Result<Response, ApiError> {
    let scheme = if body.dpop.is_some() { "DPoP" } else { "Bearer" };
    let header = body
        .credential
        .map(|text| SecretString::from(format!("{scheme} {}", text.expose_secret())));
    let asked = Question {
        method: &body.method,
        path: &body.path,
        authorization: header.as_ref().map(secrecy::ExposeSecret::expose_secret),
        origin: body.origin.as_deref(),
        proof: body.dpop.as_deref(),
        mcp: [
            body.mcp_method.as_deref(),
            body.mcp_name.as_deref(),
            body.mcp_version.as_deref(),
        ],
    };
    let explanation = super::explain(&app, &caller, &asked).await?;
    Ok(([NO_STORE], Json(view(&explanation))).into_response())
}

/// The steps as JSON.
pub(crate) fn view(explanation: &Explanation) -> Value {
    let reason = explanation.reason();
    let verdict = match reason {
        Some(reason) => reason.code(),
        None if explanation.public => "public",
        None => "allowed",
    };
    json!({
        "allowed": reason.is_none(),
        "verdict": verdict,
        "steps": explanation.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(step: &Step) -> Value {
    let mut facts = Map::new();
    for (name, value) in &step.facts {
        let value = match value.parse() {
            Ok(seconds) if name.ends_with("_at") => format_rfc3339(UnixSeconds(seconds).millis()),
            _ => value.clone(),
        };
        // Several of one name (ceilings, subjects) go together.
        match facts.get_mut(*name) {
            Some(Value::String(known)) => known.extend(["; ", value.as_str()]),
            _ => drop(facts.insert((*name).to_owned(), value.into())),
        }
    }
    json!({ "step": step.name, "passed": step.reason.is_none(), "reason": step.reason, "facts": facts })
}
