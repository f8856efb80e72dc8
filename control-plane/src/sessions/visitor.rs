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
        })
    }

    /// The browser that sends a form of ours back, and the form.
    pub(crate) fn sent(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<(Self, Form), Instead> {
        let form = parse_form(headers, body)?;
        let form_token = cookie::read(&app.config, Kind::Form, headers).map(|secret| FormToken::of(&secret));
        let given = form.value("csrf").unwrap_or_default();
        let Some(form_token) = form_token.filter(|token| token.is(given)) else {
            return Err(PageError::forged().into());
        };
        if !is_same_origin(&app.config, headers) {
            return Err(PageError::forged().into());
        }
        let visitor = Self {
            form_token,
            cookie: None,
        };
        Ok((visitor, form))
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
