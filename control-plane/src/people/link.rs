//! What is in a mailed link: drawn, found in a query or a form, and refused.

use axum::response::Response;
use url::Url;

use crate::app::App;
use crate::oauth::form::Form;
use crate::oauth::opaque::{Kind, Opaque};
use crate::pages::{self, PageError};
use crate::random::RandomError;

/// A new secret for a link.
pub(super) fn draw(app: &App) -> Result<Opaque, RandomError> {
    Opaque::generate(Kind::Link, &app.random)
}

/// The secret in the query of a link that was opened.
pub(super) fn in_query(query: Option<&str>) -> Result<Opaque, PageError> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let found = pairs.find_map(|(name, value)| (name == "token").then_some(value));
    found
        .and_then(|text| Opaque::parse(Kind::Link, &text))
        .ok_or_else(dead)
}

/// The secret in the form behind it.
pub(super) fn in_form(form: &Form) -> Result<Opaque, PageError> {
    form.value("token")
        .and_then(|text| Opaque::parse(Kind::Link, text))
        .ok_or_else(dead)
}

/// One sentence for every reason.
pub(super) fn dead() -> PageError {
    PageError::new(
        axum::http::StatusCode::NOT_FOUND,
        "dead_link",
        "This link does not work any more",
        "It was used, taken back or replaced by a newer one, it has run out, or it was not copied whole. Ask for another one.",
    )
}

/// A page of ours, for mails.
pub(super) fn page(app: &App, path: &str) -> anyhow::Result<Url> {
    Ok(Url::parse(&app.config.issuer)?.join(path)?)
}

/// A page whose address holds a secret.
pub(super) fn hidden(mut response: Response) -> Response {
    pages::hide_address(&mut response);
    response
}
