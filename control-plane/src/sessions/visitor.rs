//! Forms for people who are not signed in: a cookie of its own ties each to the browser that got it.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::cookie::{self, Kind, Secret};
use super::csrf::{FormToken, is_same_origin};
use super::{Instead, parse_form};
use crate::app::App;
use crate::oauth::form::Form;
use crate::pages::PageError;
use crate::random::RandomError;

/// A browser without a session, as far as its forms go.
#[derive(Debug)]
pub(crate) struct Visitor {
    secret: Secret,
    form_token: FormToken,
    cookie: Option<HeaderValue>,
}

impl Visitor {
    /// The browser that asks for a form.
    pub(crate) fn of(app: &App, headers: &HeaderMap) -> Result<Self, RandomError> {
        let secret = match cookie::read(&app.config, Kind::Form, headers) {
            Some(secret) => secret,
            None => Secret::draw(&app.random)?,
        };
        Ok(Self {
            form_token: FormToken::of(&secret),
            cookie: cookie::set(&app.config, Kind::Form, &secret),
            secret,
        })
    }

    /// The browser that sends a form of ours back, and the form.
    pub(crate) fn sent(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<(Self, Form), Instead> {
        let form = parse_form(headers, body)?;
        let secret = sent_by(app, Kind::Form, headers, &form)?;
        let visitor = Self {
            form_token: FormToken::of(&secret),
            cookie: None,
            secret,
        };
        Ok((visitor, form))
    }

    /// What its cookie holds.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The value of the hidden field `csrf`.
    pub(crate) fn csrf(&self) -> &str {
        self.form_token.expose()
    }

    /// The page, with the cookie that its form needs.
    pub(crate) fn keep(&self, mut response: Response) -> Response {
        if let Some(cookie) = &self.cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
        response
    }
}

/// The secret of the cookie of this kind, if a page of ours that this very browser got sent the form.
pub(crate) fn sent_by(app: &App, kind: Kind, headers: &HeaderMap, form: &Form) -> Result<Secret, PageError> {
    let given = form.value("csrf").unwrap_or_default();
    let secret = cookie::read(&app.config, kind, headers);
    let secret = secret.filter(|secret| FormToken::of(secret).is(given));
    secret
        .filter(|_| is_same_origin(&app.config, headers))
        .ok_or_else(PageError::forged)
}
