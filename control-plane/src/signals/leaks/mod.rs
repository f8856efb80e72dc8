//! `POST /v1/signals/leaks`: a secret scanner found credentials of ours, in the format of GitHub's secret scanning partner
//! programme: `[{"token", "type", "url", "source"}]`, signed (ECDSA P-256, SHA-256) over the raw body.
//!
//! What is found and real is revoked with its line of rotations, or lowered to reading, as `leaks.action` says; its user gets a
//! mail. The answer says for each whether it was real (`true_positive`), by the SHA-256 of the token: no secret is sent back.
//! A report that comes again changes nothing. Whoever has not signed learns nothing at all.
//!
//! | file | does |
//! | --- | --- |
//! | `keys` | the scanner's public keys |
//! | `found` | one token: is it ours, and what is done |

mod found;
pub(super) mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::crypto::sha256;
use utoipa::ToSchema;

use crate::app::App;
use crate::audit::Actor;
use crate::error::{ApiError, Code};
use crate::http::frame::RequestId;
use crate::http::limit::Limited;

/// The largest report that is read.
pub const MAX_BODY: usize = 256 * 1024;
/// Each is looked at alone.
const MAX_TOKENS: usize = 500;
const MAX_TEXT: usize = 2048;

/// One finding.
#[derive(Deserialize, ToSchema)]
#[schema(as = LeakFinding)]
struct Finding {
    /// What was found.
    token: String,
    /// Which pattern it fits.
    #[serde(rename = "type")]
    kind: String,
    /// Where it was found.
    #[serde(default)]
    url: Option<String>,
    /// In what it was found.
    #[serde(default)]
    source: Option<String>,
}

/// For the document: what became of one.
#[derive(ToSchema)]
#[schema(as = LeakLabel)]
#[expect(dead_code)]
struct Label {
    /// SHA-256 of the token, hexadecimal.
    token_hash: String,
    /// As it was reported.
    token_type: String,
    /// `true_positive` or `false_positive`.
    #[expect(clippy::struct_field_names, reason = "the programme's word")]
    label: String,
}

/// The endpoint.
#[utoipa::path(
    post, path = "/v1/signals/leaks", tag = "signals", operation_id = "leaks",
    summary = "Report leaked credentials",
    description = "In the format of GitHub's secret scanning partner programme, signed over the raw body. What is real is revoked or \
        put in quarantine, as the deployment says.",
    request_body = Vec<Finding>,
    security(()),
    responses(
        (status = 200, description = "For each whether it was real, by the SHA-256 of the token.", body = Vec<Label>),
        (status = 401, description = "`invalid_signature`."),
        (status = 404, description = "This deployment takes no reports."),
    ),
)]
pub async fn post(
    State(app): State<Arc<App>>,
    _: Limited,
    Extension(request): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    if !app.config.leaks.enabled {
        return Err(ApiError::not_found("path"));
    }
    // 1. Who says so. Until then nothing of the body is read.
    keys::verify(&app, &headers, &body).await?;
    // 2. What.
    let findings: Vec<Finding> = serde_json::from_slice(&body).map_err(|_| {
        let detail = "the body must be a JSON array of objects with `token` and `type`";
        ApiError::new(Code::InvalidJson, detail)
    })?;
    if findings.len() > MAX_TOKENS {
        let detail = format!("report at most {MAX_TOKENS} tokens at once");
        return Err(ApiError::new(Code::InvalidJson, detail));
    }
    // 3. Each in a transaction of its own: what is done stays done if a later one fails, and the report comes again.
    let actor = Actor {
        who: "secret-scanning".to_owned(),
        credential: None,
        request_id: Some(request.0),
    };
    let mut labels = Vec::with_capacity(findings.len());
    for finding in &findings {
        let real = found::handle(&app, finding, &actor).await?;
        let label = if real { "true_positive" } else { "false_positive" };
        metrics::counter!("portcullis_leaks_total", "label" => label).increment(1);
        labels.push(answer(finding, label));
    }
    Ok(Json(Value::Array(labels)).into_response())
}

fn answer(finding: &Finding, label: &str) -> Value {
    let hash = hex::encode(sha256(finding.token.as_bytes()));
    let kind: String = finding.kind.chars().take(MAX_TEXT).collect();
    json!({ "token_hash": hash, "token_type": kind, "label": label })
}
