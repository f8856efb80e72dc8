//! Errors as pages. The text is written by `http::frame`, which knows the request id, as it is for problem+json.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::store::StoreError;

/// An error that a person sees in a browser.
#[derive(Clone, Debug)]
pub struct PageError(Box<PageProblem>);

/// What it says.
#[derive(Clone, Debug)]
pub struct PageProblem {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable word for logs.
    pub code: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What happened and what to do. Never holds a secret or unchecked input.
    pub detail: String,
    /// Seconds until another attempt makes sense.
    pub retry_after: Option<u64>,
    /// For the log only.
    pub cause: Option<Arc<anyhow::Error>>,
}

impl PageError {
    /// An error with its words.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(PageProblem {
            status,
            code,
            title,
            detail: detail.into(),
            retry_after: None,
            cause: None,
        }))
    }

    /// The request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "This request does not work",
            detail,
        )
    }

    /// A form that we did not give to this browser, or too long ago.
    pub fn forged() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "form_refused",
            "This form has expired",
            "Nothing was changed. Go back, load the page again and send the form once more. Cookies must be allowed.",
        )
    }

    /// There is no such page, or not for this user.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    /// Too often. The sentence is the same whatever was tried.
    pub fn too_many(retry_after: u64) -> Self {
        let minutes = retry_after.div_ceil(60);
        let unit = if minutes == 1 { "minute" } else { "minutes" };
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many attempts",
            format!("There were too many attempts. Wait {minutes} {unit}, then try again."),
        );
        error.0.retry_after = Some(retry_after);
        error
    }

    /// Too much mail. The sentence is the same whether or not any was sent.
    pub fn too_many_mails(retry_after: u64) -> Self {
        let minutes = retry_after.div_ceil(60);
        let unit = if minutes == 1 { "minute" } else { "minutes" };
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests",
            format!(
                "Mail was asked for too often. Look for the last one, or wait {minutes} {unit} and try again."
            ),
        );
        error.0.retry_after = Some(retry_after);
        error
    }

    /// Something that is our fault. The cause is logged once, with the request id, and not shown.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong",
            "This is our fault. Try again; if it stays, report the request id below.",
        );
        error.0.cause = Some(Arc::new(cause.into()));
        error
    }

    /// What it says.
    pub fn problem(&self) -> &PageProblem {
        &self.0
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        if error.is_busy() || error.is_moved() {
            let mut error = Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "Busy",
                "The database is busy. Nothing was changed; try again in a moment.",
            );
            error.0.retry_after = Some(1);
            return error;
        }
        Self::internal(error)
    }
}

impl From<crate::random::RandomError> for PageError {
    fn from(error: crate::random::RandomError) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(*self.0);
        response
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    detail: &'a str,
    request_id: &'a str,
}

/// The page of an error. Cookies that were set with it stay.
pub fn render_error(problem: &PageProblem, request_id: &str, headers: &HeaderMap) -> Response {
    let page = ErrorPage {
        title: problem.title,
        detail: &problem.detail,
        request_id,
    };
    let mut response = super::html(problem.status, &page);
    // A template that can not be rendered is an error page as well: this ends there.
    response.extensions_mut().remove::<PageProblem>();
    for cookie in headers.get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
