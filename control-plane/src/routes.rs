//! Every path on one screen.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::{admission, budget, frame, health};
use crate::pages::PageError;
use crate::{
    api, audit, edge, explain, factors, issuers, keys, mail, members, oauth, overview, pages, people,
    policies, retention, revocations, sessions, settings, signals, status_lists, usage, webhooks,
};

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
        .merge(for_readers())
        .merge(for_revocations())
        .route("/v1/explain", post(explain::api::post))
        // Members
        .route("/v1/memberships", get(members::api::list))
        .route(
            "/v1/memberships/{user}",
            get(members::api::show).patch(members::api::change_role),
        )
        .route("/v1/memberships/{user}/suspend", post(members::api::suspend))
        .route("/v1/memberships/{user}/resume", post(members::api::resume))
        .route(
            "/v1/memberships/{user}/deactivate",
            post(members::api::deactivate),
        )
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
        .merge(for_verifiers())
        .merge(for_signals())
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
        .route("/account/org", post(sessions::switch_org))
        .merge(for_people())
        .merge(for_the_organisation())
        .merge(for_people_pages())
        .merge(for_organisation_pages())
        .merge(for_edges())
        .merge(for_issuers())
        .merge(for_usage())
        .merge(for_policies())
        .merge(for_gate_pages())
        .merge(for_audit())
        .merge(for_webhooks())
        .merge(for_settings())
        .merge(for_records())
        // Second factors and passkeys
        .route("/login/code", get(factors::get_code).post(factors::post_code))
        .route("/login/passkey", post(factors::post_passkey))
        .route("/account/totp", get(factors::get_app).post(factors::post_app))
        .route("/account/totp/remove", post(factors::remove_app))
        .route("/account/totp/codes", post(factors::post_recovery_codes))
        .route(
            "/account/passkeys",
            get(factors::get_passkeys).post(factors::add_passkey),
        )
        .route("/account/passkeys/{id}/rename", post(factors::rename_passkey))
        .route("/account/passkeys/{id}/remove", post(factors::remove_passkey))
        .merge(for_dashboard())
        .route(pages::assets::PATH, get(pages::assets::get))
        .route("/favicon.ico", get(pages::assets::favicon))
        // Operation
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready));
    if app.config.metrics_listen.is_none() && app.config.dev {
        router = router.route("/metrics", get(health::metrics));
    }
    if app.config.dev {
        router = router.route("/dev/outbox", get(mail::outbox::get));
    }
    framed(router, app)
}

/// The description of `/v1`, for programs and for people.
fn for_readers() -> Router<Arc<App>> {
    use api::docs;
    Router::new()
        .route("/v1/whoami", get(api::whoami::get))
        .route("/v1/openapi.json", get(docs::openapi))
        .route("/v1/docs", get(docs::index))
        .route(docs::ERRORS, get(docs::errors))
        .route("/v1/docs/{group}", get(docs::group))
}

/// What administrators see. Each path has a line in `authority::PAGES`.
fn for_dashboard() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::page::root))
        .route("/dashboard", get(overview::page::get))
        .merge(for_key_pages())
}

/// The same pages on both sides; which one it is they see by their path.
fn for_key_pages() -> Router<Arc<App>> {
    use keys::page::{list, new, revoke, rotate, show};
    Router::new()
        .route("/dashboard/keys", get(list::get))
        .route("/dashboard/keys/new", get(new::get).post(new::post))
        .route("/dashboard/keys/{id}", get(show::get))
        .route("/dashboard/keys/{id}/rename", post(show::rename))
        .route("/dashboard/keys/{id}/rotate", get(rotate::get).post(rotate::post))
        .route("/dashboard/keys/{id}/revoke", get(revoke::get).post(revoke::post))
        .route("/dashboard/keys/{id}/receipt", get(revoke::receipt))
        .route("/account/keys", get(list::get))
        .route("/account/keys/new", get(new::get).post(new::post))
        .route("/account/keys/{id}", get(show::get))
        .route("/account/keys/{id}/rename", post(show::rename))
        .route("/account/keys/{id}/rotate", get(rotate::get).post(rotate::post))
        .route("/account/keys/{id}/revoke", get(revoke::get).post(revoke::post))
        .route("/account/keys/{id}/receipt", get(revoke::receipt))
}

/// More ways to revoke, and quarantine.
fn for_revocations() -> Router<Arc<App>> {
    use revocations::{api, possession};
    Router::new()
        .route("/v1/revocations", post(api::create))
        .route("/v1/revocations/{id}", get(api::show))
        .route("/v1/revocations/{id}/credentials", get(api::credentials))
        .route("/v1/auth/keys/{id}/quarantine", post(api::quarantine))
        .route("/v1/auth/keys/{id}/release", post(api::release))
        .route(possession::PATH, post(possession::post))
}

/// How people come in: sign-up, invitations, forgotten passwords.
fn for_people() -> Router<Arc<App>> {
    use people::{accept, api, confirm, forgot, reset, sign_up};
    Router::new()
        .route("/signup", get(sign_up::get).post(sign_up::post))
        .route("/signup/confirm", get(confirm::get).post(confirm::post))
        .route("/password/forgot", get(forgot::get).post(forgot::post))
        .route("/password/reset", get(reset::get).post(reset::post))
        .route("/invitation", get(accept::get).post(accept::post))
        .route("/v1/invitations", get(api::list).post(api::create))
        .route("/v1/invitations/{id}", delete(api::revoke))
        .route("/v1/invitations/{id}/resend", post(api::resend))
        // Where the list of members was.
        .route("/account/members", get(people::page::moved))
}

/// What administrators see and change of their organisation: programs, workspaces, clients, and what acts for its people.
fn for_the_organisation() -> Router<Arc<App>> {
    use crate::grants;
    Router::new()
        .route("/v1/auth/keys/{id}/reissue", post(keys::api::reissue))
        .route("/v1/memberships/{user}/holdings", get(members::api::holdings))
        .merge(for_programs())
        .route("/v1/grants", get(grants::api::list))
        .route(
            "/v1/grants/{id}",
            get(grants::api::show).delete(grants::api::revoke),
        )
        .route(
            "/v1/memberships/{user}/sign-in",
            get(factors::api::show).delete(factors::api::remove),
        )
        .route(
            "/v1/sessions",
            get(sessions::api::list).delete(sessions::api::end_all),
        )
        .route("/v1/sessions/{id}", delete(sessions::api::end_one))
}

/// Pages on people, programs, and what acts for them. Each has a line in `authority::PAGES`.
fn for_people_pages() -> Router<Arc<App>> {
    use crate::members::page::routes::{people as page, rename, service_accounts as account};
    use crate::{grants::page as grant, people::page as invitation, service_accounts::page as new_account};
    Router::new()
        .route("/dashboard/people", get(page::get))
        .route(
            "/dashboard/people/invite",
            get(invitation::get_invite).post(invitation::post_invite),
        )
        .route("/dashboard/people/invitations", get(invitation::get_list))
        .route(
            "/dashboard/people/invitations/{id}/revoke",
            post(invitation::post_revoke),
        )
        .route(
            "/dashboard/people/invitations/{id}/resend",
            post(invitation::post_resend),
        )
        .route("/dashboard/people/{id}", get(page::show))
        .route("/dashboard/people/{id}/role", post(page::change_role))
        .route("/dashboard/people/{id}/suspend", post(page::suspend))
        .route("/dashboard/people/{id}/resume", post(page::resume))
        .route(
            "/dashboard/people/{id}/deactivate",
            get(page::before_end).post(page::end),
        )
        .route(
            "/dashboard/people/{id}/reissue",
            get(page::before_reissue).post(page::reissue),
        )
        .route("/dashboard/service-accounts", get(account::get))
        .route(
            "/dashboard/service-accounts/new",
            get(new_account::get).post(new_account::post),
        )
        .route("/dashboard/service-accounts/{id}", get(account::show))
        .route(
            "/dashboard/service-accounts/{id}/role",
            post(account::change_role),
        )
        .route("/dashboard/service-accounts/{id}/rename", post(rename))
        .route("/dashboard/service-accounts/{id}/suspend", post(account::suspend))
        .route("/dashboard/service-accounts/{id}/resume", post(account::resume))
        .route(
            "/dashboard/service-accounts/{id}/deactivate",
            get(account::before_end).post(account::end),
        )
        .route(
            "/dashboard/service-accounts/{id}/reissue",
            get(account::before_reissue).post(account::reissue),
        )
        .route("/dashboard/grants", get(grant::get_list))
        .route(
            "/dashboard/grants/{id}/revoke",
            get(grant::get_revoke).post(grant::post_revoke),
        )
        .route("/account/apps", get(grant::get_own))
        .route("/account/apps/{client}/revoke", post(grant::post_own))
}

/// Pages on workspaces, sessions, sign-in methods and OAuth clients.
fn for_organisation_pages() -> Router<Arc<App>> {
    use crate::{clients::page as client, factors::admin_page as sign_in, workspaces::page as workspace};
    use sessions::page as session;
    Router::new()
        .route(
            "/dashboard/workspaces",
            get(workspace::get_list).post(workspace::post_new),
        )
        .route("/dashboard/workspaces/{id}", get(workspace::get))
        .route("/dashboard/workspaces/{id}/rename", post(workspace::post_rename))
        .route(
            "/dashboard/workspaces/{id}/archive",
            get(workspace::get_archive).post(workspace::post_archive),
        )
        .route(
            "/dashboard/workspaces/{id}/restore",
            post(workspace::post_restore),
        )
        .route("/dashboard/sessions", get(session::get_list))
        .route("/dashboard/sessions/{id}/end", post(session::post_end))
        .route(
            "/dashboard/sessions/end-all",
            get(session::get_end_all).post(session::post_end_all),
        )
        .route("/dashboard/sign-in", get(sign_in::get))
        .route(
            "/dashboard/sign-in/{id}/remove",
            get(sign_in::get_remove).post(sign_in::post_remove),
        )
        .route("/dashboard/clients", get(client::get_list))
        .route(
            "/dashboard/clients/new",
            get(client::get_new).post(client::post_new),
        )
        .route("/dashboard/clients/{id}", get(client::get))
        .route(
            "/dashboard/clients/{id}/edit",
            get(client::get_edit).post(client::post_edit),
        )
        .route(
            "/dashboard/clients/{id}/rotate-secret",
            get(client::get_secret).post(client::post_secret),
        )
        .route(
            "/dashboard/clients/{id}/revoke",
            get(client::get_revoke).post(client::post_revoke),
        )
        .route(
            "/dashboard/clients/{id}/disable",
            get(client::get_disable).post(client::post_disable),
        )
}

/// Service accounts, workspaces and OAuth clients.
fn for_programs() -> Router<Arc<App>> {
    use crate::{clients::api as client, service_accounts::api as account, workspaces::api as workspace};
    Router::new()
        .route("/v1/service-accounts", get(account::list).post(account::create))
        .route(
            "/v1/service-accounts/{user}",
            get(account::show).patch(account::change),
        )
        .route("/v1/service-accounts/{user}/suspend", post(account::suspend))
        .route("/v1/service-accounts/{user}/resume", post(account::resume))
        .route(
            "/v1/service-accounts/{user}/deactivate",
            post(account::deactivate),
        )
        .route("/v1/workspaces", get(workspace::list).post(workspace::create))
        .route(
            "/v1/workspaces/{id}",
            get(workspace::show).patch(workspace::rename),
        )
        .route("/v1/workspaces/{id}/archive", post(workspace::archive))
        .route("/v1/workspaces/{id}/restore", post(workspace::restore))
        .route("/v1/clients", get(client::list).post(client::create))
        .route(
            "/v1/clients/{id}",
            get(client::show).patch(client::update).delete(client::disable),
        )
        .route("/v1/clients/{id}/rotate-secret", post(client::rotate_secret))
        .route("/v1/clients/{id}/revoke", post(client::revoke))
}

/// Other issuers that an organisation trusts.
fn for_issuers() -> Router<Arc<App>> {
    use issuers::api;
    Router::new()
        .route("/v1/issuers", get(api::list).post(api::create))
        .route(
            "/v1/issuers/{id}",
            get(api::show).patch(api::change).delete(api::remove),
        )
        .route("/v1/issuers/{id}/refresh", post(api::refresh))
        .route("/v1/issuers/{id}/block", post(api::block))
        .route("/v1/issuers/{id}/unblock", post(api::unblock))
}

/// Edges: what operators see of them, and what those ask for that we cannot reach.
fn for_edges() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/edge/status", get(edge::status::get))
        .route("/v1/edge/feed", get(edge::pull::get))
}

/// The route policy of the installation.
fn for_policies() -> Router<Arc<App>> {
    use policies::api;
    Router::new()
        .route("/v1/policy", get(api::show).put(api::apply))
        .route("/v1/policy/check", post(api::check))
        .route("/v1/policy/test", post(api::test))
        .route("/v1/policy/rollback", post(api::roll_back))
        .route("/v1/policy/history", get(api::history))
        .route("/v1/policy/history/{version}", get(api::version))
        .layer(DefaultBodyLimit::max(policies::MAX_BODY))
}

/// Pages about the gate: route policy, trusted issuers, edges.
fn for_gate_pages() -> Router<Arc<App>> {
    use issuers::page as issuer;
    use policies::page::{edit, index, version};
    let documents = DefaultBodyLimit::max(policies::MAX_FORM);
    Router::new()
        .route("/dashboard/policies", get(index::get))
        .route("/dashboard/policies/test", post(index::post_test))
        .route(
            "/dashboard/policies/edit",
            get(edit::get).post(edit::post).layer(documents),
        )
        .route("/dashboard/policies/versions/{id}", get(version::get))
        .route("/dashboard/policies/versions/{id}/receipt", get(version::receipt))
        .route(
            "/dashboard/policies/versions/{id}/restore",
            get(version::ask).post(version::restore),
        )
        .route("/dashboard/issuers", get(issuer::list))
        .route(
            "/dashboard/issuers/new",
            get(issuer::get_new).post(issuer::post_new),
        )
        .route("/dashboard/issuers/{id}", get(issuer::show))
        .route(
            "/dashboard/issuers/{id}/edit",
            get(issuer::get_edit).post(issuer::post_edit),
        )
        .route("/dashboard/issuers/{id}/refresh", post(issuer::refresh))
        .route("/dashboard/issuers/{id}/block", post(issuer::block))
        .route("/dashboard/issuers/{id}/unblock", post(issuer::unblock))
        .route(
            "/dashboard/issuers/{id}/remove",
            get(issuer::ask_removal).post(issuer::remove),
        )
        .route("/dashboard/edge", get(edge::page::get))
        .route("/dashboard/edge/live", get(edge::page::live))
}

/// What the edges counted.
fn for_usage() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/usage", get(usage::api::get))
        .route("/v1/edge/usage", post(usage::carry::post))
}

/// Who did what.
fn for_audit() -> Router<Arc<App>> {
    use audit::api;
    Router::new()
        .route("/v1/audit", get(api::list))
        .route("/v1/audit/export", get(api::export))
        .route("/v1/audit/verify", get(api::verify))
}

/// Where organisations hear of changes.
fn for_webhooks() -> Router<Arc<App>> {
    use webhooks::api;
    Router::new()
        .route("/v1/webhooks", get(api::list).post(api::create))
        .route(
            "/v1/webhooks/{id}",
            get(api::show).patch(api::change).delete(api::remove),
        )
        .route("/v1/webhooks/{id}/rotate-secret", post(api::rotate_secret))
        .route("/v1/webhooks/{id}/ping", post(api::ping))
        .route("/v1/webhooks/{id}/messages", get(api::messages))
        .route("/v1/webhooks/{id}/messages/{message}/replay", post(api::replay))
}

/// What owners set, and erasing people.
fn for_settings() -> Router<Arc<App>> {
    use settings::api;
    Router::new()
        .route("/v1/settings", get(api::show).patch(api::change))
        .route("/v1/settings/signing-keys/{purpose}/rotate", post(api::rotate))
        .route("/v1/people/{user}/erase", post(retention::api::erase))
}

/// Pages: audit, webhooks, retention, settings.
fn for_records() -> Router<Arc<App>> {
    use webhooks::page as hooks;
    Router::new()
        .route("/dashboard/audit", get(audit::page::get))
        .route("/dashboard/audit/export", get(audit::page::export))
        .route("/dashboard/audit/verify", get(audit::page::verify))
        .route("/dashboard/webhooks", get(hooks::list))
        .route(
            "/dashboard/webhooks/new",
            get(hooks::get_new).post(hooks::post_new),
        )
        .route("/dashboard/webhooks/{id}", get(hooks::show).post(hooks::change))
        .route("/dashboard/webhooks/{id}/switch", post(hooks::switch))
        .route("/dashboard/webhooks/{id}/ping", post(hooks::ping))
        .route("/dashboard/webhooks/{id}/replay", post(hooks::replay))
        .route(
            "/dashboard/webhooks/{id}/rotate",
            get(hooks::get_rotate).post(hooks::post_rotate),
        )
        .route(
            "/dashboard/webhooks/{id}/remove",
            get(hooks::get_remove).post(hooks::post_remove),
        )
        .route(
            "/dashboard/retention",
            get(retention::page::get).post(retention::page::post),
        )
        .route(
            "/dashboard/retention/erase/{user}",
            get(retention::page::get_erase).post(retention::page::post_erase),
        )
        .route(
            "/dashboard/settings",
            get(settings::page::get).post(settings::page::post),
        )
        .route(
            "/dashboard/settings/rotate",
            get(settings::page::get_rotate).post(settings::page::post_rotate),
        )
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
        .route(
            "/register",
            post(oauth::registration::register).options(preflight),
        )
        .route(
            "/register/{client_id}",
            get(oauth::registration::manage::show)
                .put(oauth::registration::manage::update)
                .delete(oauth::registration::manage::remove)
                .options(preflight),
        )
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
        // The layer is around what refuses a method, too: a script must be able to read why.
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(open))
}

/// What those read who verify our tokens themselves.
fn for_verifiers() -> Router<Arc<App>> {
    use oauth::cors::{open, preflight};
    Router::new()
        .route(
            "/status-lists",
            get(status_lists::api::get_all).options(preflight),
        )
        .route(
            "/status-lists/{n}",
            get(status_lists::api::get).options(preflight),
        )
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(open))
}

/// What others tell us.
fn for_signals() -> Router<Arc<App>> {
    // A scanner may report hundreds of tokens at once.
    let reports = DefaultBodyLimit::max(signals::leaks::MAX_BODY);
    Router::new()
        .route("/v1/signals/leaks", post(signals::leaks::post).layer(reports))
        .route("/v1/signals/events", post(signals::events::post))
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
        // Who may call what of `/v1`, before any handler.
        .layer(from_fn_with_state(app.clone(), admission::admit))
        .layer(from_fn_with_state(app.clone(), budget::tell))
        .layer(from_fn_with_state(app.clone(), time_limit))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), frame::frame))
        .with_state(app)
}

/// For a browser that looks for a page: a page.
async fn not_found(uri: Uri, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_page = accept.is_some_and(|types| types.contains("text/html")) && !uri.path().starts_with("/v1/");
    if is_page {
        let detail =
            "There is no page at this address. It may have been mistyped, or what it showed is gone.";
        return PageError::not_found(detail).into_response();
    }
    ApiError::nothing_here().into_response()
}

async fn method_not_allowed() -> ApiError {
    ApiError::method_not_allowed()
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
