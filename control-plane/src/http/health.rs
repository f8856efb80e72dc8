//! `/health/live`, `/health/ready`, `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::App;

const PING_LIMIT: Duration = Duration::from_secs(2);

/// The process answers. Never looks at anything else: a restart would not mend a database.
pub async fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

/// Work can be done: the database answers and the publisher runs.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let database = matches!(
        tokio::time::timeout(PING_LIMIT, app.store.ping()).await,
        Ok(Ok(()))
    );
    let publisher = app.feed.alive(app.clock.now());
    let ready = database && publisher;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = |fine: bool| if fine { "ok" } else { "failing" };
    let body = json!({
        "status": if ready { "ready" } else { "not_ready" },
        "checks": {"database": word(database), "publisher": word(publisher)},
    });
    (status, Json(body)).into_response()
}

/// Prometheus text.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        app.metrics.render(),
    )
        .into_response()
}
