//! Every path on one screen.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::{frame, health};
use crate::{keys, oauth, pages, sessions};

/// The largest body that anything here reads.
pub const MAX_BODY: usize = 64 * 1024;

/// All endpoints of the main listener.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        // API keys
        .route("/v1/auth/keys", get(keys::api::list).post(keys::api::create))
        .route("/v1/auth/keys/self/rotate", post(keys::api::rotate_itself))
        .route(
            "/v1/auth/keys/{id}",
            get(keys::api::show)
                .patch(keys::api::rename)
                .delete(keys::api::revoke),
        )
        .route("/v1/auth/keys/{id}/rotate", post(keys::api::rotate))
        // OAuth
        .route(
            "/authorize",
            get(oauth::authorize::get).post(oauth::consent::post),
        )
        .route(
            "/device",
            get(oauth::device::page::get).post(oauth::device::page::post),
        )
        .route("/introspect", post(oauth::introspect::post))
        .merge(for_scripts())
        // Sign-in
        .route("/login", get(sessions::login::get).post(sessions::login::post))
        .route("/logout", get(oauth::logout::get).post(oauth::logout::post))
        .route("/account", get(sessions::landing))
        .route("/account/sessions", get(sessions::get_list))
        .route("/account/sessions/end-all", post(sessions::end_everywhere))
        .route("/account/sessions/{sid}/end", post(sessions::end_one))
        .route(
            "/account/password",
            get(sessions::get_password).post(sessions::post_password),
        )
        .route(&pages::stylesheet_path(), get(pages::stylesheet))
        // Operation
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready));
    if app.config.metrics_listen.is_none() && app.config.dev {
        router = router.route("/metrics", get(health::metrics));
    }
    framed(router, app)
}

/// What programs in a browser call, from any origin. `/authorize` is never among them.
fn for_scripts() -> Router<Arc<App>> {
    use oauth::cors::{open, preflight};
    Router::new()
        .route("/token", post(oauth::token::post).options(preflight))
        .route(
            "/device_authorization",
            post(oauth::device::begin::post).options(preflight),
        )
        .route("/par", post(oauth::par::post).options(preflight))
        .route("/revoke", post(oauth::revoke::post).options(preflight))
        .route(
            "/userinfo",
            get(oauth::userinfo::get)
                .post(oauth::userinfo::get)
                .options(preflight),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(oauth::metadata::get).options(preflight),
        )
        .route(
            "/.well-known/openid-configuration",
            get(oauth::metadata::get).options(preflight),
        )
        .route("/.well-known/jwks.json", get(oauth::jwks::get).options(preflight))
        .route_layer(middleware::from_fn(open))
}

/// The listener of `metrics_listen`.
pub fn metrics_router(app: Arc<App>) -> Router {
    framed(Router::new().route("/metrics", get(health::metrics)), app)
}

/// What is around every route, from the inside out.
fn framed(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), time_limit))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), frame::frame))
        .with_state(app)
}

async fn not_found() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "there is nothing at this path; see the README for the paths there are",
    )
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(
        Code::MethodNotAllowed,
        "this path exists, but not with this method; see the Allow header",
    )
}

async fn time_limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let limit = Duration::from_secs(app.config.limits.request_seconds);
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(
            Code::Timeout,
            "the request took too long; ask for its result before trying again",
        )
        .into_response(),
    }
}

/// The panic's text may hold anything, so it is neither logged nor sent; its place is on stderr by the panic hook.
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let response = ApiError::internal(anyhow::anyhow!("a handler panicked")).into_response();
    debug_assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    response
}
