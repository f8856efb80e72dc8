//! How people come in: sign-up, invitations into an organisation, and a new password for those who forgot theirs.
//!
//! Each goes over a mailed link with 256 random bits, of which the database holds the SHA-256. A link works once and for a
//! while. Opening it changes nothing, as mail scanners open links too: the page behind it has a button. No page tells whether
//! an address has an account; the mail does, to whoever reads it.
//!
//! | file | does |
//! | --- | --- |
//! | `sign_up`, `confirm` | an account with an organisation of its own |
//! | `invite`, `api`, `page`, `accept` | into somebody else's organisation |
//! | `forgot`, `reset` | a new password |
//! | `link`, `fields` | help them |
//!
//! What it does not: sign in (`sessions`), send mail (`mail`), or change what members may do.

pub mod accept;
pub mod api;
pub mod confirm;
mod fields;
pub mod forgot;
mod invite;
mod link;
pub mod page;
pub mod reset;
pub mod sign_up;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use shared::time::UnixMillis;

use crate::app::App;
use crate::mail::{self, Letter};
use crate::pages::{self, PageError};
use crate::store::Tx;

pub use invite::{invite, list, list_pending, resend, revoke};

/// Invitations that ran out are kept for so long, with their answers: people ask about them.
const KEPT_MS: u64 = 30 * 24 * 3600 * 1000;

/// A page that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    title: &'a str,
    text: &'a str,
    /// Where to go on, and what that is called.
    next: Option<(&'a str, &'a str)>,
}

fn message(title: &str, text: &str, next: Option<(&str, &str)>) -> Response {
    pages::html(StatusCode::OK, &MessagePage { title, text, next })
}

/// Queues the notice of a new password, where there is mail.
pub(crate) async fn tell_of_new_password(
    tx: &mut Tx,
    app: &App,
    email: &str,
    now: UnixMillis,
) -> Result<(), PageError> {
    if !app.config.has_mail() {
        return Ok(());
    }
    let forgot = link::page(app, "/password/forgot").map_err(PageError::internal)?;
    mail::queue(tx, app, Some(email), Letter::password_changed(now, &forgot), now)
        .await
        .map_err(PageError::internal)
}

/// The job that forgets links that ran out.
pub(crate) async fn forget(app: Arc<App>) -> anyhow::Result<()> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    tx.forget_links(now).await?;
    tx.forget_invitations(UnixMillis(now.0.saturating_sub(KEPT_MS)))
        .await?;
    Ok(tx.commit().await?)
}
