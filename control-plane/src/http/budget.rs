//! How often one credential may call `/v1`: a count for each, in this process, and the headers that tell it where it stands.
//!
//! `http::auth` charges a call as soon as it knows who calls; [`tell`] puts `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers) on the answer, and `Retry-After` comes with the refusal. The count belongs to the
//! credential and not to its person, so that a job gone wild leaves its owner free to stop it.
//!
//! What it does not: count calls without a valid credential (they have no budget; signatures are checked before anything
//! else), or share counts with other instances, each of which admits as much.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::limit::{Standing, TooMany};
use crate::app::App;
use crate::error::{ApiError, Code};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");
/// The window of the policy.
const WINDOW_SECONDS: u64 = 60;

/// Where a caller's count stands, for the answer's headers.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<OnceLock<Standing>>);

/// The middleware.
pub async fn tell(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let told = Told::default();
    request.extensions_mut().insert(told.clone());
    let mut response = next.run(request).await;
    if let Some(standing) = told.0.get() {
        let most = app.config.effective_rate_limits().calls_per_credential;
        let policy = format!("\"credential\";q={most};w={WINDOW_SECONDS}");
        let now = format!(
            "\"credential\";r={};t={}",
            standing.remaining, standing.full_after_seconds
        );
        for (name, text) in [(POLICY, policy), (STANDING, now)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    response
}

/// Counts a call of this credential, or refuses it.
pub fn charge(app: &App, parts: &Parts, credential: &str) -> Result<(), ApiError> {
    let (standing, refusal) = match app.limits.call(credential) {
        Ok(standing) => (standing, None),
        Err(many) => (
            Standing {
                remaining: 0,
                full_after_seconds: many.retry_after_seconds,
            },
            Some(many),
        ),
    };
    if let Some(told) = parts.extensions.get::<Told>() {
        // One request has one caller.
        let _ = told.0.set(standing);
    }
    refusal.map_or(Ok(()), |many| Err(refused(many)))
}

fn refused(many: TooMany) -> ApiError {
    let detail =
        "this credential calls too often; wait as long as `Retry-After` says, and see the header `RateLimit`";
    ApiError::new(Code::RateLimited, detail).retry_after(many.retry_after_seconds)
}
