//! Who is calling an OAuth endpoint: `client_secret_basic`, `client_secret_post`, `private_key_jwt`, or a public client that
//! only says its name.
//!
//! What it does: find the credentials in a request; compare a secret in constant time, doing the same work whether or not
//! the client exists; take an assertion once. What it does not: read assertions (`assertion` does), or know mTLS.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared::crypto::sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::assertion::{self, Assertion, AssertionError};
use super::error::{ErrorCode, OAuthError};
use super::form::{Form, decode};
use super::lookup::{self, Asker, LookupError};
use crate::app::App;
use crate::audit::Actor;
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::store::clients::{AuthMethod, Client, ClientKind};

/// A client's name and proof as presented. A secret is wiped on drop and never printed.
pub struct ClientCredentials {
    /// The presented `client_id`.
    pub id: String,
    proof: Proof,
}

enum Proof {
    None,
    Secret(Zeroizing<String>),
    Assertion(Box<Assertion>),
}

impl std::fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ClientCredentials {
    /// Takes the credentials from the `Authorization` header or the form. RFC 6749 §2.3: not more than one method.
    pub fn find(headers: &HeaderMap, form: &Form) -> Result<Self, OAuthError> {
        let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
        let authorization = authorizations.next();
        if authorizations.next().is_some() {
            return Err(OAuthError::invalid_request("more than one Authorization header"));
        }
        let assertion = form.value("client_assertion");
        let claims_one = assertion.is_some() || form.value("client_assertion_type").is_some();
        if claims_one && (authorization.is_some() || form.value("client_secret").is_some()) {
            return Err(two_methods());
        }
        if claims_one {
            return Self::by_assertion(form, assertion.unwrap_or_default());
        }
        match (authorization, form.value("client_secret")) {
            (Some(_), Some(_)) => Err(two_methods()),
            (Some(header), None) => {
                let refused =
                    || OAuthError::invalid_client("the Authorization header is not valid HTTP Basic");
                let found = header.to_str().ok().and_then(basic).ok_or_else(refused)?;
                let (id, secret) = found;
                if form.value("client_id").is_some_and(|other| other != id.as_str()) {
                    return Err(OAuthError::invalid_request(
                        "client_id differs from the one in the Authorization header",
                    ));
                }
                Ok(Self {
                    id: id.to_string(),
                    proof: Proof::Secret(secret),
                })
            }
            (None, Some(secret)) => {
                let id = form
                    .value("client_id")
                    .ok_or_else(|| OAuthError::invalid_request("client_id is missing"))?;
                Ok(Self {
                    id: id.to_owned(),
                    proof: Proof::Secret(Zeroizing::new(secret.to_owned())),
                })
            }
            (None, None) => match form.value("client_id") {
                Some(id) => Ok(Self {
                    id: id.to_owned(),
                    proof: Proof::None,
                }),
                None => Err(OAuthError::invalid_client("client authentication is required")),
            },
        }
    }

    /// RFC 7521 §4.2.
    fn by_assertion(form: &Form, text: &str) -> Result<Self, OAuthError> {
        if form.value("client_assertion_type") != Some(assertion::TYPE) {
            return Err(OAuthError::invalid_client(format!(
                "client_assertion_type must be {}",
                assertion::TYPE
            )));
        }
        let assertion =
            assertion::parse(text).map_err(|error| OAuthError::invalid_client(error.to_string()))?;
        let id = assertion.client_id().to_owned();
        if form.value("client_id").is_some_and(|other| other != id) {
            return Err(OAuthError::invalid_request(
                "client_id differs from the assertion's sub",
            ));
        }
        let proof = Proof::Assertion(Box::new(assertion));
        Ok(Self { id, proof })
    }

    /// Whether these are the credentials of this client. Without a client the same work ends in false. An assertion is
    /// only compared with what the client uses: `confirm` verifies it.
    pub fn are_of(&self, client: Option<&Client>) -> bool {
        let method = client.map(|client| client.token_endpoint_auth_method);
        match &self.proof {
            Proof::None => method == Some(AuthMethod::None),
            Proof::Assertion(_) => method == Some(AuthMethod::PrivateKeyJwt),
            Proof::Secret(secret) => {
                let presented = sha256(secret.as_bytes());
                let digest = client.and_then(|client| client.secret_digest);
                bool::from(presented.ct_eq(&digest.unwrap_or_default())) & digest.is_some()
            }
        }
    }
}

fn two_methods() -> OAuthError {
    OAuthError::invalid_request("use one client authentication method, not two")
}

/// Reads the form of an OAuth endpoint and says which client sent it.
pub(super) async fn identify(
    app: &App,
    address: ClientAddress,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Client, Form), OAuthError> {
    // RFC 6749 §2.3.1: credentials must not be in the URI, where logs keep them. No parameter belongs there.
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(OAuthError::invalid_request(
            "parameters go into the body, not into the URL",
        ));
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let form = Form::parse(content_type, body)?;
    let credentials = ClientCredentials::find(headers, &form)?;
    let client = authenticate(app, address, &credentials).await?;
    Ok((client, form))
}

/// One answer for a wrong id, a wrong secret and a disabled client, after the same work. Attempts are limited (OAuth 2.1
/// §2.4.1), and so are the requests of a client that is one program; a public one is as many as there are people.
async fn authenticate(
    app: &App,
    address: ClientAddress,
    credentials: &ClientCredentials,
) -> Result<Client, OAuthError> {
    app.limits.may_authenticate(&credentials.id, address)?;
    let outcome = prove(app, credentials).await;
    if outcome
        .as_ref()
        .is_err_and(|error| error.code == ErrorCode::InvalidClient)
    {
        app.limits.failed_authentication(&credentials.id, address);
    }
    let client = outcome?;
    if client.kind == ClientKind::Confidential {
        app.limits.client_request(&credentials.id)?;
    }
    Ok(client)
}

async fn prove(app: &App, credentials: &ClientCredentials) -> Result<Client, OAuthError> {
    let client = lookup::find(app, &credentials.id, Asker::Program).await?;
    let matches = credentials.are_of(client.as_ref());
    let client = client
        .filter(|client| matches && client.disabled_at.is_none())
        .ok_or_else(|| OAuthError::invalid_client("client authentication failed"))?;
    if let Proof::Assertion(assertion) = &credentials.proof {
        confirm(app, &client, assertion).await?;
    }
    Ok(client)
}

/// RFC 7523 §3: the claims, the signature, and that it comes for the first time. What does not verify is not remembered.
async fn confirm(app: &App, client: &Client, assertion: &Assertion) -> Result<(), OAuthError> {
    let refused = |error: AssertionError| OAuthError::invalid_client(error.to_string());
    let now = app.clock.now();
    assertion
        .check(&app.config.issuer, now.seconds())
        .map_err(refused)?;
    let keys = lookup::keys(app, client)
        .await
        .map_err(|error| OAuthError::invalid_client(format!("the client's keys: {error}")))?;
    assertion.verify(&keys).map_err(refused)?;
    let (digest, expires) = assertion.digest();
    let mut tx = app.store.begin().await?;
    if !tx.take_assertion(&digest, expires).await? {
        return Err(OAuthError::invalid_client(
            "the client assertion was used before: each has its own jti",
        ));
    }
    tx.commit().await?;
    Ok(())
}

impl From<LookupError> for OAuthError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Store(error) => error.into(),
            error @ LookupError::Document(_) => Self::invalid_client(error.to_string()),
        }
    }
}

/// The client as the one who acts, for the audit trail.
pub(super) fn actor(client: &Client, request: RequestId) -> Actor {
    Actor {
        who: client.id.to_string(),
        credential: None,
        request_id: Some(request.0),
    }
}

/// RFC 6749 §2.3.1: `Basic base64(form-encoded id ":" form-encoded secret)`.
fn basic(header: &str) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some((decode(id)?, decode(secret)?))
}
