//! An authorization request (RFC 6749 §4.1.1), read and checked before anybody is asked anything.
//!
//! Two kinds of refusal: while `client_id` and `redirect_uri` are not known to belong together, a page, because sending the
//! browser on would make us an open redirector; afterwards an answer to the client (§4.1.2.1).

use std::collections::BTreeSet;

use axum::response::Response;
use shared::jwk::Thumbprint;
use shared::time::UnixSeconds;

use super::error;
use super::form::Form;
use super::lookup::{self, Asker, LookupError};
use super::pushed::{self, Opened};
use super::scopes::{Asked, Identity};
use super::{login_after, pkce, redirect, resource};
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::pages::PageError;
use crate::store::clients::{Client, Origin};

/// Everything that an authorization request may say, but who sends it. The rest is ignored (RFC 6749 §3.1).
pub(super) const PARAMETERS: [&str; 13] = [
    "response_type",
    "response_mode",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "resource",
    "prompt",
    "max_age",
    "login_hint",
    "dpop_jkt",
];
const MAX_STATE: usize = 4096;
const MAX_NONCE: usize = 512;

/// The `error` codes of the authorization endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorCode {
    AccessDenied,
    ConsentRequired,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    LoginRequired,
    RequestNotSupported,
    RequestUriNotSupported,
    UnsupportedResponseType,
}

impl ErrorCode {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::ConsentRequired => "consent_required",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::LoginRequired => "login_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::UnsupportedResponseType => "unsupported_response_type",
        }
    }

    /// The same to a client that pushes its request (RFC 9126 §2.3).
    pub(super) fn pushed(self) -> error::ErrorCode {
        match self {
            Self::InvalidScope => error::ErrorCode::InvalidScope,
            Self::InvalidTarget => error::ErrorCode::InvalidTarget,
            Self::UnsupportedResponseType => error::ErrorCode::UnsupportedResponseType,
            _ => error::ErrorCode::InvalidRequest,
        }
    }
}

/// Where an answer goes: known to be the client's own.
#[derive(Clone, Debug)]
pub(super) struct Recipient {
    pub(super) client: Client,
    pub(super) redirect_uri: String,
    state: Option<String>,
}

impl Recipient {
    /// The code.
    pub(super) fn code(&self, app: &App, code: &str) -> Response {
        self.answer(app, &[("code", code)])
    }

    /// RFC 6749 §4.1.2.1.
    pub(super) fn error(&self, app: &App, code: ErrorCode, description: &str) -> Response {
        self.answer(
            app,
            &[("error", code.as_str()), ("error_description", description)],
        )
    }

    fn answer(&self, app: &App, parameters: &[(&str, &str)]) -> Response {
        let mut all = parameters.to_vec();
        if let Some(state) = &self.state {
            all.push(("state", state));
        }
        // RFC 9207: the client learns who answered, also in errors.
        all.push(("iss", &app.config.issuer));
        redirect::answer(&self.redirect_uri, &all)
    }
}

/// What the client says about asking the person (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) none: bool,
    pub(super) login: bool,
    pub(super) consent: bool,
}

/// A request that makes sense.
#[derive(Clone, Debug)]
pub(super) struct AuthorizationRequest {
    pub(super) recipient: Recipient,
    pub(super) asked: Asked,
    /// What the tokens will be for (RFC 8707).
    pub(super) resource: String,
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    /// `dpop_jkt` (RFC 9449 §10): who may exchange the code.
    pub(super) bound_to: Option<Thumbprint>,
    pub(super) prompt: Prompt,
    pub(super) max_age: Option<u64>,
    pub(super) login_hint: Option<String>,
    /// What it was pushed as, to be used up.
    pub(super) pushed: Option<Opened>,
    /// A sign-in after this moment was for this request.
    login_after: Option<UnixSeconds>,
}

impl AuthorizationRequest {
    /// Whether somebody who proved at `auth_time` who they are must do so again.
    pub(super) fn needs_login(&self, auth_time: UnixSeconds, now: UnixSeconds) -> bool {
        let asked_to = self.login_after.is_some_and(|at| auth_time >= at);
        let too_old = self
            .max_age
            .is_some_and(|most| most == 0 || now.0.saturating_sub(auth_time.0) > most);
        (self.prompt.login || too_old) && !asked_to
    }
}

/// Why a request goes no further.
#[derive(Debug)]
pub(super) enum Refusal {
    /// To the person: the client is not known.
    Page(PageError),
    /// To the client, once the person has signed in (unless `prompt=none` forbids to ask: `silent`).
    Client {
        recipient: Box<Recipient>,
        silent: bool,
        code: ErrorCode,
        description: &'static str,
    },
}

impl From<LookupError> for PageError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Store(error) => error.into(),
            LookupError::Document(why) => Self::bad_request(format!(
                "The app that sent you here says who it is in a document that this server cannot use: {why}. Nothing was \
                 done.",
            )),
        }
    }
}

impl From<PageError> for Refusal {
    fn from(error: PageError) -> Self {
        Self::Page(error)
    }
}

/// The browser that brings a query, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor<'a> {
    pub(super) browser: &'a [u8; 32],
    pub(super) address: ClientAddress,
}

/// Reads a query that a browser brought.
pub(super) async fn read(
    app: &App,
    query: &str,
    visitor: Visitor<'_>,
) -> Result<AuthorizationRequest, Refusal> {
    let whose = Asker::Address(visitor.address);
    let (form, repeated) = parse(query)?;
    let login_after = login_after::read(app, query).map_err(PageError::internal)?;
    // RFC 9126 §4: of a request that was pushed, nothing that the browser brings counts but its name.
    if let Some(uri) = form.value("request_uri").filter(|uri| pushed::is_ours(uri)) {
        let client = form.value("client_id").unwrap_or_default();
        let (opened, parameters) = pushed::open(app, client, uri, visitor.browser).await?;
        let request = check_pushed(app, &parameters, whose).await?;
        return Ok(AuthorizationRequest {
            pushed: Some(opened),
            login_after,
            ..request
        });
    }
    let request = check(app, &form, &repeated, whose).await?;
    if request.recipient.client.require_pushed_authorization_requests {
        return Err(Refusal::Client {
            silent: request.prompt.none,
            recipient: Box::new(request.recipient),
            code: ErrorCode::InvalidRequest,
            description: "this client must push its requests (RFC 9126)",
        });
    }
    Ok(AuthorizationRequest {
        login_after,
        ..request
    })
}

/// What of a client's form is its authorization request, form-encoded: its credentials are not.
pub(super) fn parameters(form: &Form, client: &Client) -> String {
    let mut parameters = url::form_urlencoded::Serializer::new(String::new());
    parameters.append_pair("client_id", &client.identifier);
    for name in PARAMETERS {
        if let Some(value) = form.value(name) {
            parameters.append_pair(name, value);
        }
    }
    parameters.finish()
}

/// Says in a request that is to be kept which key its code is bound to.
pub(super) fn bind(parameters: &mut String, key: &Thumbprint) {
    // Base64url needs no form encoding.
    parameters.push_str("&dpop_jkt=");
    parameters.push_str(&key.to_string());
}

/// Checks a request that was pushed, when it comes and when it is opened.
pub(super) async fn check_pushed(
    app: &App,
    parameters: &str,
    whose: Asker,
) -> Result<AuthorizationRequest, Refusal> {
    let (form, repeated) = parse(parameters)?;
    check(app, &form, &repeated, whose).await
}

/// The parameters of a query, and which came more than once.
pub(super) fn parse(query: &str) -> Result<(Form, BTreeSet<String>), PageError> {
    let (form, repeated) = Form::from_query(query).map_err(|_| {
        PageError::bad_request("The link that led here is damaged. Go back to the app and start again.")
    })?;
    if ["client_id", "redirect_uri", "request", "request_uri"]
        .iter()
        .any(|name| repeated.contains(*name))
    {
        return Err(PageError::bad_request(
            "The link that led here names its app or its return address twice. Go back to the app and start again.",
        ));
    }
    Ok((form, repeated))
}

async fn check(
    app: &App,
    form: &Form,
    repeated: &BTreeSet<String>,
    whose: Asker,
) -> Result<AuthorizationRequest, Refusal> {
    // 1. The client and where it wants its answer: before this holds, nobody is sent anywhere.
    let mut recipient = recipient(app, form, whose).await?;
    let state = form.value("state").filter(|_| !repeated.contains("state"));
    recipient.state = state.filter(|state| state.len() <= MAX_STATE).map(str::to_owned);
    let prompt = form.value("prompt");
    let silent = prompt == Some("none");
    let refuse = |recipient: &Recipient, code, description| Refusal::Client {
        recipient: Box::new(recipient.clone()),
        silent,
        code,
        description,
    };
    let invalid = |description| refuse(&recipient, ErrorCode::InvalidRequest, description);
    // 2. RFC 6749 §3.1.
    if !repeated.is_empty() {
        return Err(invalid("a parameter is given more than once"));
    }
    if state.is_some_and(|state| state.len() > MAX_STATE) {
        return Err(invalid("state is too long"));
    }
    // 3. What is asked for: a code, bound to a challenge.
    if let Some((code, description)) = unsupported(form) {
        return Err(refuse(&recipient, code, description));
    }
    let challenge = form
        .value("code_challenge")
        .ok_or_else(|| invalid("code_challenge is missing: this server asks for PKCE (RFC 7636)"))?;
    if form.value("code_challenge_method") != Some("S256") {
        return Err(invalid("code_challenge_method must be S256"));
    }
    if !pkce::is_challenge(challenge) {
        return Err(invalid("code_challenge is not the base64url of a SHA-256"));
    }
    let nonce = form.value("nonce").map(str::to_owned);
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > MAX_NONCE) {
        return Err(invalid("nonce is too long"));
    }
    let bound_to = match form.value("dpop_jkt") {
        Some(text) => Some(
            text.parse()
                .map_err(|_| invalid("dpop_jkt is not the base64url of a SHA-256"))?,
        ),
        None => None,
    };
    let resource = resource::named(app, form.value("resource")).ok_or_else(|| {
        refuse(
            &recipient,
            ErrorCode::InvalidTarget,
            "the resource is not one that this server knows",
        )
    })?;
    let asked = asked(app, &recipient.client, form).ok_or_else(|| {
        refuse(
            &recipient,
            ErrorCode::InvalidScope,
            "a scope is unknown, or beyond what this client may have",
        )
    })?;
    let prompt = match prompt {
        Some(text) => read_prompt(text).ok_or_else(|| invalid("prompt is not one that this server knows"))?,
        None => Prompt::default(),
    };
    let max_age = match form.value("max_age") {
        Some(text) => Some(
            text.parse()
                .map_err(|_| invalid("max_age is not a number of seconds"))?,
        ),
        None => None,
    };
    Ok(AuthorizationRequest {
        asked,
        resource: resource.clone(),
        challenge: challenge.to_owned(),
        nonce,
        bound_to,
        prompt,
        max_age,
        login_hint: form.value("login_hint").map(str::to_owned),
        pushed: None,
        login_after: None,
        recipient,
    })
}

/// What this server does not do, and a request for nothing at all.
fn unsupported(form: &Form) -> Option<(ErrorCode, &'static str)> {
    let has = |name: &str| form.value(name).is_some();
    if has("request") {
        return Some((
            ErrorCode::RequestNotSupported,
            "request objects are not supported",
        ));
    }
    if has("request_uri") {
        return Some((ErrorCode::RequestUriNotSupported, "request_uri is not supported"));
    }
    match form.value("response_type") {
        Some("code") => {}
        Some(_) => {
            return Some((
                ErrorCode::UnsupportedResponseType,
                "this server answers with a code: response_type=code",
            ));
        }
        None => return Some((ErrorCode::InvalidRequest, "response_type is missing")),
    }
    form.value("response_mode")
        .filter(|mode| *mode != "query")
        .map(|_| {
            (
                ErrorCode::InvalidRequest,
                "this server answers in the query: response_mode=query",
            )
        })
}

/// The client that a request names, or a page for whoever followed it.
pub(super) async fn client(app: &App, form: &Form, whose: Asker) -> Result<Client, PageError> {
    let unknown = || {
        PageError::bad_request(
            "The app that sent you here is not known, or is switched off. Nothing was done. Ask whoever gave you the link.",
        )
    };
    let id = form.value("client_id").ok_or_else(unknown)?;
    lookup::find(app, id, whose)
        .await?
        .filter(|client| client.disabled_at.is_none())
        .ok_or_else(unknown)
}

async fn recipient(app: &App, form: &Form, whose: Asker) -> Result<Recipient, PageError> {
    let client = client(app, form, whose).await?;
    let redirect_uri = match (form.value("redirect_uri"), client.redirect_uris.as_slice()) {
        (Some(asked), registered) if registered.iter().any(|uri| redirect::matches(uri, asked)) => {
            asked.to_owned()
        }
        (None, [only]) => only.clone(),
        _ => {
            return Err(PageError::bad_request(
                "The app that sent you here asks for an answer to an address that is not registered for it. Nothing was \
                 sent there.",
            ));
        }
    };
    Ok(Recipient {
        client,
        redirect_uri,
        state: None,
    })
}

/// RFC 6749 §3.3: what is asked for, or the client's default. Never more than the client may have.
pub(super) fn asked(app: &App, client: &Client, form: &Form) -> Option<Asked> {
    let Some(text) = form.value("scope") else {
        return Some(Asked {
            scopes: lookup::default_scopes(app, client),
            identity: Identity::default(),
        });
    };
    let asked = Asked::parse(text, app.catalogue())?;
    let cap = lookup::cap(app, client);
    if client.origin != Origin::Registered {
        // Clients that do not know us ask for all that metadata lists. They get less, and are told (RFC 6749 §3.3).
        let scopes = asked.scopes.intersection(cap);
        return Some(Asked { scopes, ..asked }).filter(|asked| !asked.is_empty());
    }
    app.catalogue().satisfies(cap, asked.scopes).then_some(asked)
}

fn read_prompt(text: &str) -> Option<Prompt> {
    let mut prompt = Prompt::default();
    for word in text.split(' ') {
        match word {
            "none" => prompt.none = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return None,
        }
    }
    // "none" and a wish to be asked at once.
    (!prompt.none || text == "none").then_some(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts() {
        assert_eq!(
            read_prompt("login consent"),
            Some(Prompt {
                none: false,
                login: true,
                consent: true
            })
        );
        assert!(read_prompt("none").is_some_and(|prompt| prompt.none));
        for wrong in ["", "none login", "create", "login  consent"] {
            assert_eq!(read_prompt(wrong), None, "{wrong:?}");
        }
    }
}
