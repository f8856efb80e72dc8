//! Errors of the OAuth endpoints, as RFC 6749 §5.2 wants them.
//!
//! The description is for the developer of the client and holds nothing that came from the request but parameter names.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::form::FormError;
use crate::http::limit::TooMany;
use crate::signing::SigningError;
use crate::store::StoreError;

/// The `error` codes that the token endpoint gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// RFC 8628 §3.5.
    AccessDenied,
    /// RFC 8628 §3.5.
    AuthorizationPending,
    /// RFC 8628 §3.5.
    ExpiredToken,
    /// RFC 6749 §5.2.
    InvalidClient,
    /// RFC 9449 §5.
    InvalidDpopProof,
    /// RFC 6749 §5.2.
    InvalidGrant,
    /// RFC 6749 §5.2.
    InvalidRequest,
    /// RFC 9101 §6.3, to a client that pushes its request.
    InvalidRequestObject,
    /// RFC 6749 §5.2.
    InvalidScope,
    /// RFC 8707 §2.
    InvalidTarget,
    /// RFC 6749 §4.1.2.1, used here for a fault of ours.
    ServerError,
    /// RFC 8628 §3.5.
    SlowDown,
    /// RFC 6749 §4.1.2.1, used here when the edge has not yet acknowledged what we need.
    TemporarilyUnavailable,
    /// RFC 6585 §4 by its status; no specification gives OAuth a word of its own for it.
    TooManyRequests,
    /// RFC 6749 §5.2.
    UnauthorizedClient,
    /// RFC 6749 §5.2.
    UnsupportedGrantType,
    /// RFC 6749 §4.1.2.1, to a client that pushes its request (RFC 9126 §2.3).
    UnsupportedResponseType,
    /// RFC 7009 §2.2.1.
    UnsupportedTokenType,
}

impl ErrorCode {
    /// The text on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::AuthorizationPending => "authorization_pending",
            Self::ExpiredToken => "expired_token",
            Self::InvalidClient => "invalid_client",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidRequestObject => "invalid_request_object",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::ServerError => "server_error",
            Self::SlowDown => "slow_down",
            Self::TemporarilyUnavailable | Self::TooManyRequests => "temporarily_unavailable",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// An error answer of an OAuth endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    /// The code.
    pub code: ErrorCode,
    /// What was wrong and what to do, in one sentence.
    pub description: String,
    /// Seconds until another attempt makes sense.
    pub retry_after: Option<u64>,
}

impl OAuthError {
    /// An error with this code.
    pub fn new(code: ErrorCode, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
            retry_after: (code == ErrorCode::TemporarilyUnavailable).then_some(1),
        }
    }

    /// `invalid_request`.
    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    /// `invalid_client`.
    pub fn invalid_client(description: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidClient, description)
    }
}

impl From<TooMany> for OAuthError {
    fn from(too_many: TooMany) -> Self {
        let description = "too many requests, or too many failures; wait as long as Retry-After says";
        Self {
            retry_after: Some(too_many.retry_after_seconds),
            ..Self::new(ErrorCode::TooManyRequests, description)
        }
    }
}

impl From<FormError> for OAuthError {
    fn from(error: FormError) -> Self {
        Self::invalid_request(error.to_string())
    }
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        if error.is_busy() || error.is_moved() {
            return Self::new(
                ErrorCode::TemporarilyUnavailable,
                "the database is busy; try again in a second",
            );
        }
        tracing::error!(%error, "an OAuth request failed");
        Self::new(ErrorCode::ServerError, "internal error")
    }
}

impl From<SigningError> for OAuthError {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Store(error) => error.into(),
            SigningError::NoIndex(_) => {
                tracing::warn!(%error, "a token could not be issued");
                Self::new(
                    ErrorCode::TemporarilyUnavailable,
                    "the edge has not acknowledged new status indexes yet",
                )
            }
            error => {
                tracing::error!(%error, "a token could not be signed");
                Self::new(ErrorCode::ServerError, "internal error")
            }
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code.as_str(), "error_description": self.description });
        let mut response = (self.code.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        // RFC 6749 §5.1, also for errors: nothing on the way may keep an answer of this endpoint.
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        );
        // RFC 6749 §5.2: a client that tried the header must be told the scheme.
        if self.code == ErrorCode::InvalidClient {
            let basic = header::HeaderValue::from_static("Basic realm=\"portcullis\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, basic);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
