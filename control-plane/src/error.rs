//! The errors of `/v1` as problem+json (RFC 9457), and their one mapping to status codes.
//!
//! Each has a stable `code`, the field where there is one, what was wrong and what to do. The body is written by
//! `http::frame`, which knows the request id; here an error only becomes a response with a [`Problem`] attached.
//! OAuth endpoints answer RFC 6749 bodies instead: see `oauth`.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::store::StoreError;

/// What can go wrong, once. The row of the table is status, code, title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The same create was already answered.
    AlreadyCreated,
    /// The key was rotated before.
    AlreadyRotated,
    /// More than 64 KiB.
    BodyTooLarge,
    /// A lock was held too long.
    Busy,
    /// An OAuth client that is over.
    ClientDisabled,
    /// No credential.
    CredentialsMissing,
    /// An edge that would not understand what it is to be told.
    EdgesBehind,
    /// An edge that fetches knows more than this database.
    EdgeAhead,
    /// The invitation was accepted before.
    InvitationAccepted,
    /// More than the caller has itself.
    ExceedsCaller,
    /// One Idempotency-Key, two different requests.
    IdempotencyMismatch,
    /// Missing scope.
    InsufficientScope,
    /// Ours.
    Internal,
    /// A member of whom nothing is kept any more.
    Erased,
    /// A list cursor that we did not make.
    InvalidCursor,
    /// The token may count, but not with this proof (RFC 9449 §7.1).
    InvalidDpopProof,
    /// A field with a value that makes no sense.
    InvalidField,
    /// Not one JSON object.
    InvalidJson,
    /// A route policy that cannot be applied.
    InvalidPolicy,
    /// A message that its sender has not signed.
    InvalidSignature,
    /// A bad, expired or revoked credential.
    InvalidToken,
    /// An issuer that somebody trusts already.
    IssuerTaken,
    /// An issuer whose keys cannot be read.
    IssuerUnreachable,
    /// The key has ended.
    KeyExpired,
    /// The key is in quarantine.
    KeyQuarantined,
    /// The key was revoked.
    KeyRevoked,
    /// Nobody would be left who may do everything.
    LastOwner,
    /// A file of the operator's says it, and nothing else.
    ManagedByFile,
    /// Something else in the organisation is called this.
    NameTaken,
    /// Wrong method.
    MethodNotAllowed,
    /// A field that must be there.
    MissingField,
    /// Nothing sends mail here.
    NoMail,
    /// Nothing that could be replaced by another secret.
    NoSecret,
    /// No form that the caller accepts.
    NotAcceptable,
    /// Somebody must be shut out before.
    NotDeactivated,
    /// No such thing, or not the caller's.
    NotFound,
    /// A part of a standard that we leave out.
    NotSupported,
    /// Somebody changed it meanwhile.
    PreconditionFailed,
    /// A change that does not say what it changes.
    PreconditionRequired,
    /// Too often.
    RateLimited,
    /// The caller's rights changed meanwhile.
    RightsChanged,
    /// Several credentials in one request.
    SeveralCredentials,
    /// It took too long.
    Timeout,
    /// More things than an organisation may have.
    TooMany,
    /// A revocation of all that match, of which there are too many.
    TooManyMatches,
    /// A field that does not exist.
    UnknownField,
    /// Not JSON.
    UnsupportedMediaType,
    /// A webhook that is told nothing.
    WebhookDisabled,
    /// A key of an edge that has no business here.
    WrongEdge,
}

impl Code {
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::AlreadyCreated => (S::CONFLICT, "already_created", "Already created"),
            Self::AlreadyRotated => (S::CONFLICT, "already_rotated", "Already rotated"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large"),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "Busy"),
            Self::ClientDisabled => (S::CONFLICT, "client_disabled", "The client is disabled"),
            Self::CredentialsMissing => (S::UNAUTHORIZED, "credentials_missing", "Credentials missing"),
            Self::EdgeAhead => (S::CONFLICT, "edge_ahead", "The edge knows more"),
            Self::EdgesBehind => (S::CONFLICT, "edges_behind", "An edge is behind"),
            Self::Erased => (S::CONFLICT, "erased", "The person was erased"),
            Self::ExceedsCaller => (S::FORBIDDEN, "exceeds_caller", "More than the caller has"),
            Self::IdempotencyMismatch => (
                S::UNPROCESSABLE_ENTITY,
                "idempotency_mismatch",
                "Idempotency-Key was used for another request",
            ),
            Self::InsufficientScope => (S::FORBIDDEN, "insufficient_scope", "Insufficient scope"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::InvalidCursor => (S::BAD_REQUEST, "invalid_cursor", "Invalid cursor"),
            Self::InvalidDpopProof => (S::UNAUTHORIZED, "invalid_dpop_proof", "Invalid DPoP proof"),
            Self::InvalidField => (S::BAD_REQUEST, "invalid_field", "Invalid field"),
            Self::InvalidJson => (S::BAD_REQUEST, "invalid_json", "Invalid JSON"),
            Self::InvalidPolicy => (
                S::UNPROCESSABLE_ENTITY,
                "invalid_policy",
                "The policy cannot be applied",
            ),
            Self::InvalidSignature => (S::UNAUTHORIZED, "invalid_signature", "Invalid signature"),
            Self::InvalidToken => (S::UNAUTHORIZED, "invalid_token", "Invalid credential"),
            Self::InvitationAccepted => (S::CONFLICT, "invitation_accepted", "The invitation was accepted"),
            Self::IssuerTaken => (S::CONFLICT, "issuer_taken", "The issuer is trusted already"),
            Self::IssuerUnreachable => (
                S::UNPROCESSABLE_ENTITY,
                "issuer_unreachable",
                "The issuer's keys cannot be read",
            ),
            Self::KeyExpired => (S::CONFLICT, "key_expired", "The key has expired"),
            Self::KeyQuarantined => (S::CONFLICT, "key_quarantined", "The key is in quarantine"),
            Self::KeyRevoked => (S::CONFLICT, "key_revoked", "The key is revoked"),
            Self::LastOwner => (S::CONFLICT, "last_owner", "The last owner"),
            Self::ManagedByFile => (S::CONFLICT, "managed_by_file", "Managed by a file"),
            Self::NameTaken => (S::CONFLICT, "name_taken", "The name is taken"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
            Self::MissingField => (S::BAD_REQUEST, "missing_field", "Missing field"),
            Self::NoMail => (S::SERVICE_UNAVAILABLE, "no_mail", "No mail"),
            Self::NoSecret => (S::CONFLICT, "no_secret", "No secret"),
            Self::NotAcceptable => (S::NOT_ACCEPTABLE, "not_acceptable", "Not acceptable"),
            Self::NotDeactivated => (S::CONFLICT, "not_deactivated", "Not deactivated"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "Not found"),
            Self::NotSupported => (S::NOT_IMPLEMENTED, "not_supported", "Not supported"),
            Self::PreconditionFailed => (S::PRECONDITION_FAILED, "precondition_failed", "Changed meanwhile"),
            Self::PreconditionRequired => (
                S::PRECONDITION_REQUIRED,
                "precondition_required",
                "Say what you change",
            ),
            Self::RateLimited => (S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests"),
            Self::RightsChanged => (S::CONFLICT, "rights_changed", "Rights changed"),
            Self::SeveralCredentials => (S::BAD_REQUEST, "several_credentials", "Several credentials"),
            Self::Timeout => (S::GATEWAY_TIMEOUT, "timeout", "Timeout"),
            Self::TooMany => (S::CONFLICT, "too_many", "Too many"),
            Self::TooManyMatches => (S::CONFLICT, "too_many_matches", "Too many credentials match"),
            Self::UnknownField => (S::BAD_REQUEST, "unknown_field", "Unknown field"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Unsupported media type",
            ),
            Self::WebhookDisabled => (S::CONFLICT, "webhook_disabled", "The webhook is disabled"),
            Self::WrongEdge => (S::FORBIDDEN, "wrong_edge", "Not an edge of this feed"),
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// A few words for people.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// The stable code in bodies, logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }
}

/// An error of the API.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Problem>);

/// What an error says.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which one.
    pub code: Code,
    /// What was wrong and what to do. Never holds a secret or unchecked input.
    pub detail: String,
    /// The field of the body or the query.
    pub field: Option<String>,
    /// Seconds until another attempt makes sense.
    pub retry_after: Option<u64>,
    /// The scopes that would do, space-separated.
    pub scope: Option<String>,
    /// The caller came under the scheme DPoP, and is answered under it.
    pub dpop: bool,
    /// More members of the body.
    pub extra: Map<String, Value>,
    /// For the log only.
    pub cause: Option<Arc<anyhow::Error>>,
}

impl ApiError {
    /// An error with its sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            code,
            detail: detail.into(),
            field: None,
            retry_after: None,
            scope: None,
            dpop: false,
            extra: Map::new(),
            cause: None,
        }))
    }

    /// A field that makes no sense.
    pub fn invalid_field(field: &str, detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidField, detail).field(field)
    }

    /// Something that is not there, or not the caller's: the two look alike.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}; check the id"))
    }

    /// A path that does not exist.
    pub fn nothing_here() -> Self {
        let detail = "there is nothing at this path; the API is described at /v1/docs";
        Self::new(Code::NotFound, detail)
    }

    /// A method that a path does not have.
    pub fn method_not_allowed() -> Self {
        let detail = "this path exists, but not with this method; see the Allow header";
        Self::new(Code::MethodNotAllowed, detail)
    }

    /// Something that is our fault. The cause is logged once, with the request id, and not sent.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let mut error = Self::new(
            Code::Internal,
            "this is our fault; try again, and report the request id if it stays",
        );
        error.0.cause = Some(Arc::new(cause.into()));
        error
    }

    /// Names the field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Says which scopes would do.
    #[must_use]
    pub fn needs(mut self, scope: impl Into<String>) -> Self {
        self.0.scope = Some(scope.into());
        self
    }

    /// Challenges under the scheme DPoP (RFC 9449 §7.1).
    #[must_use]
    pub fn under_dpop(mut self) -> Self {
        self.0.dpop = true;
        self
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Which error it is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Everything that it says.
    pub fn problem(&self) -> &Problem {
        &self.0
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        *error.0
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_busy() {
            return Self::new(Code::Busy, "the database is busy; nothing was changed, try again")
                .retry_after(1);
        }
        if error.is_moved() {
            return Self::new(
                Code::Busy,
                "the database was moved elsewhere and this server has not followed yet; nothing was changed, try again",
            )
            .retry_after(5);
        }
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        response.extensions_mut().insert(*self.0);
        response
    }
}
