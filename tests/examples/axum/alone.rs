//! An axum origin that protects itself: no gateway in front of it. It fetches the feed from the control plane, and judges every
//! credential by the route policy.
//!
//! ISSUER, RESOURCE, CONTROL_PLANE, and FEED_ID and ROOT_KEY as `portcullis feed trust` prints them; UPLINK_KEY as
//! `portcullis edge key NAME` does, for an edge with mode = "pull"; PORT.

use std::error::Error;
use std::time::Duration;

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Extension, Json, Router};
use portcullis_edge::{Gate, Identity, PortcullisLayer, Settings};
use serde_json::{Value, json};
use tower_layer::Layer as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::new(
        &variable("ISSUER")?,
        &variable("RESOURCE")?,
        &variable("CONTROL_PLANE")?,
        variable("UPLINK_KEY")?.into(),
    );
    let gate = Gate::start(&settings.trusting(&variable("ROOT_KEY")?, &variable("FEED_ID")?))?;

    let router = Router::new()
        .route("/public/hello", get(async || Json(json!({ "hello": "anybody" }))))
        .route("/v1/memory/{name}", get(memory).post(memory))
        .route("/admin/{page}", get(admin));
    // Around the whole router: what is routed by is the path that was judged.
    let app = Router::new().fallback_service(PortcullisLayer::alone(gate.clone()).layer(router));

    // Nobody is let in before the feed was heard; ready() only spares the first callers a wait.
    gate.ready(Duration::from_secs(10)).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", variable("PORT")?.parse()?)).await?;
    println!("listening");
    axum::serve(listener, app).await?;
    Ok(())
}

/// A handler says by its arguments that it wants to know who calls.
async fn memory(
    Extension(caller): Extension<Identity>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Json<Value> {
    let headers: serde_json::Map<_, _> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    Json(json!({
        "name": name,
        "caller": { "subject": caller.subject, "org": caller.org, "scopes": caller.scopes },
        "headers": headers,
    }))
}

async fn admin(Extension(caller): Extension<Identity>, Path(page): Path<String>) -> Json<Value> {
    Json(json!({ "page": page, "caller": { "subject": caller.subject, "org": caller.org } }))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("set {name}"))
}
