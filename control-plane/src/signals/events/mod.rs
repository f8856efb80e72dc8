//! `POST /v1/signals/events`: security events of an organisation's identity provider, pushed (RFC 8935) as Security Event Tokens
//! (RFC 8417) in the profiles of OpenID Shared Signals: CAEP and RISC.
//!
//! | event | what is done |
//! | --- | --- |
//! | CAEP `session-revoked` | the named session ends; without one, all of the person's, and what apps hold for them in the organisation |
//! | CAEP `credential-change` | the same for all sessions, and apps ask for consent again |
//! | RISC `account-disabled` | the member is suspended, and their sessions here end |
//! | RISC `account-enabled`, SSF `verification` | a row in the audit trail; an administrator lets people in again |
//! | anything else | nothing |
//!
//! Each is one transaction with its audit row and the `jti`: an event that comes again is acknowledged and does nothing. A person
//! is looked for among the members of the transmitter's organisation only.
//!
//! | file | does |
//! | --- | --- |
//! | `set` | reads one and checks it |
//! | `subject` | whom it is about |
//! | `act` | does it |
//!
//! What it does not: manage streams, or poll (RFC 8936).

mod act;
mod set;
mod subject;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::json;

use self::set::Refused;
use crate::app::App;
use crate::audit::Actor;
use crate::error::{ApiError, Code};
use crate::http::frame::RequestId;
use crate::http::limit::Limited;

/// The endpoint.
#[utoipa::path(
    post, path = "/v1/signals/events", tag = "signals", operation_id = "events",
    summary = "Push a security event",
    description = "A Security Event Token (RFC 8417) of an organisation's identity provider, pushed (RFC 8935): CAEP and RISC.",
    request_body(content = String, content_type = "application/secevent+jwt"),
    security(()),
    responses(
        (status = 202, description = "Taken, and done."),
        (status = 400, description = "Refused: `err` and `description` (RFC 8935 §2.3).", content_type = "application/json", body = Object),
        (status = 404, description = "This deployment takes no events."),
    ),
)]
pub async fn post(
    State(app): State<Arc<App>>,
    _: Limited,
    Extension(request): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if app.config.signal_transmitters.is_empty() {
        return ApiError::not_found("path").into_response();
    }
    let outcome = receive(&app, request, &headers, &body).await;
    let result = match &outcome {
        Ok(()) => "accepted",
        Err(Failed::Refused(refused)) => refused.code(),
        Err(Failed::Later(_)) => "failed",
    };
    metrics::counter!("portcullis_security_events_total", "result" => result).increment(1);
    match outcome {
        // RFC 8935 §2.2: no body.
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(Failed::Refused(refused)) => {
            // §2.3.
            let body = json!({ "err": refused.code(), "description": refused.to_string() });
            let mut response = (StatusCode::BAD_REQUEST, Json(body)).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(Failed::Later(error)) => error.into_response(),
    }
}

/// Why an event was not taken.
enum Failed {
    /// It never will be.
    Refused(Refused),
    /// Its transmitter may send it again.
    Later(ApiError),
}

impl<E: Into<ApiError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Later(error.into())
    }
}

async fn receive(app: &App, request: RequestId, headers: &HeaderMap, body: &[u8]) -> Result<(), Failed> {
    // 1. The form (RFC 8935 §2.1).
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .unwrap_or_default();
    if !content_type
        .trim()
        .eq_ignore_ascii_case("application/secevent+jwt")
    {
        return Err(Failed::Refused(Refused::ContentType));
    }
    let text = std::str::from_utf8(body).map_err(|_| Failed::Refused(Refused::Shape))?;
    let token = set::parse(text).map_err(Failed::Refused)?;
    // 2. Who speaks, and that they do.
    let transmitter = token.transmitter(app).map_err(Failed::Refused)?;
    let keys = set::keys(app, transmitter, &token).await.map_err(|error| {
        tracing::warn!(issuer = transmitter.issuer, %error, "a transmitter's keys could not be read");
        let detail = "the transmitter's keys cannot be read now; send the event again";
        Failed::Later(ApiError::new(Code::Busy, detail).retry_after(30))
    })?;
    let event = token
        .check(&keys, transmitter, &app.config.issuer, app.clock.now().seconds())
        .map_err(Failed::Refused)?;
    // 3. What follows.
    let actor = Actor {
        who: transmitter.issuer.clone(),
        credential: None,
        request_id: Some(request.0),
    };
    act::act(app, transmitter, &event, &actor).await?;
    Ok(())
}
