//! An axum origin behind a gateway (the Worker, or `portcullis gate`): it believes the gateway's signed word, and nothing else. Whoever
//! reaches it around the gateway has none.
//!
//! GATEWAY: the gateway's URL, where its keys are; RESOURCE: its resource identifier; SELF: this origin as the gateway addresses it
//! (its ORIGIN); PORT. The gateway needs an ASSERTION_KEY.

use std::error::Error;

use axum::routing::get;
use axum::{Extension, Json, Router};
use portcullis_edge::{AssertionVerifier, Identity, PortcullisLayer};
use serde_json::{Value, json};
use tower_layer::Layer as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let verifier =
        AssertionVerifier::fetching(&variable("RESOURCE")?, &variable("SELF")?, &variable("GATEWAY")?)?;
    let router = Router::new()
        .route("/public/hello", get(async || Json(json!({ "hello": "anybody" }))))
        .route("/v1/memory/{name}", get(memory).post(memory))
        .route("/health", get(async || "ok"));
    // The gateway says nothing on public routes; a handler that wants to know who calls refuses whoever is nobody.
    let app =
        Router::new().fallback_service(PortcullisLayer::behind_with_public_routes(verifier).layer(router));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", variable("PORT")?.parse()?)).await?;
    println!("listening");
    axum::serve(listener, app).await?;
    Ok(())
}

/// Without an identity the answer is 401: nobody got here through the gateway.
async fn memory(caller: Option<Extension<Identity>>) -> Result<Json<Value>, axum::http::StatusCode> {
    let Some(Extension(caller)) = caller else {
        return Err(axum::http::StatusCode::UNAUTHORIZED);
    };
    Ok(Json(json!({
        "caller": { "subject": caller.subject, "org": caller.org, "scopes": caller.scopes },
        "may_write": caller.has_scope("memory:write"),
    })))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("set {name}"))
}
