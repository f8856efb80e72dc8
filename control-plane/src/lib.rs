//! The control plane: issues API keys and tokens, and pushes every revocation to the edge.
//!
//! One request's path: [`routes`] → [`http::frame`] → [`http::auth`] → a feature's `api.rs` → the feature's functions →
//! [`store`], where the change, its audit row and its outbox row are one transaction. The publisher in [`revocation`] takes
//! it from there.
//!
//! What is not here: formats (crate `shared`), checking credentials at the edge (crate `edge`).

pub mod api;
pub mod app;
pub mod audit;
pub mod authority;
pub mod backup;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod config;
pub mod dashboard;
pub mod demo;
pub mod edge;
pub mod error;
pub mod explain;
pub mod factors;
mod fair;
pub mod grants;
pub mod http;
pub mod issuers;
pub mod jobs;
pub mod keys;
pub mod mail;
pub mod members;
pub mod oauth;
pub mod orgs;
pub mod overview;
pub mod pages;
pub mod people;
pub mod policies;
pub mod random;
pub mod retention;
pub mod revocation;
pub mod revocations;
pub mod routes;
pub mod service_accounts;
pub mod sessions;
pub mod settings;
pub mod signals;
pub mod signing;
pub mod status_lists;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
mod text;
pub mod usage;
pub mod webhooks;
pub mod workspaces;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::app::App;

/// Serves until `stop` completes, then lets open requests finish.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = routes::router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}
