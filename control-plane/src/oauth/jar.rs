//! Request objects (RFC 9101): an authorization request as a JWT that the client has signed, so that nobody on its way can
//! change it. By value only, in `request`; at `/par`, and at `/authorize`, where it is then kept like a pushed one.
//!
//! Nothing counts but what is in the object. Its `typ` is required (§10.8): a client assertion, or any other JWT of the
//! client's, is never taken for a request. What it does not: encrypted objects, or objects behind a `request_uri`.

use serde_json::{Map, Value};
use shared::crypto::Algorithm;
use shared::time::UnixSeconds;
use url::form_urlencoded::Serializer;

use super::compact;
use super::lookup::{self, Asker};
use super::{pushed, request};
use crate::app::App;
use crate::http::address::ClientAddress;
use crate::pages::PageError;
use crate::store::clients::Client;

/// What objects may be signed with, by the names of JOSE: for metadata.
pub(super) const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];
const TYPE: &str = "oauth-authz-req+jwt";
/// An object ends at most so long after now.
const MAX_LIFE_SECONDS: u64 = 600;
/// A client's clock may be ahead by so much.
const SKEW_SECONDS: u64 = 60;

/// Why an object does not count, in one sentence for the client's developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) &'static str);

/// Keeps the request of a query that is an object, and gives the query that asks for it; `None` if the query is none.
pub(super) async fn keep(
    app: &App,
    query: &str,
    address: ClientAddress,
) -> Result<Option<String>, PageError> {
    let (form, _) = request::parse(query)?;
    let Some(object) = form.value("request") else {
        return Ok(None);
    };
    // Without an object that counts nobody knows where an answer may go: the person is told.
    let refused = || {
        PageError::bad_request(
            "The app that sent you here did not sign its request as it must. Nothing was done. Go back to the app and start \
             again.",
        )
    };
    let client = request::client(app, &form, Asker::Address(address)).await?;
    if client.require_pushed_authorization_requests || form.value("request_uri").is_some() {
        return Err(refused());
    }
    let parameters = open(app, &client, object).await.map_err(|_| refused())?;
    let uri = pushed::uri_of(object);
    let mut tx = app.store.begin().await?;
    pushed::keep(&mut tx, app, &client.identifier, &uri, parameters).await?;
    tx.commit().await?;
    Ok(Some(pushed::query(&client.identifier, &uri)))
}

/// The parameters in a client's object, form-encoded.
pub(super) async fn open(app: &App, client: &Client, object: &str) -> Result<String, Refused> {
    // 1. A JWS of the right kind, signed with a key of this client.
    let jws = compact::read(object).ok_or(Refused(
        "the request object is not a compact JWS with one JSON object",
    ))?;
    if jws.typ != TYPE {
        return Err(Refused("the request object's typ must be oauth-authz-req+jwt"));
    }
    let known = ALGORITHMS.into_iter().filter_map(Algorithm::from_jose);
    if !known.into_iter().any(|known| known == jws.algorithm) {
        return Err(Refused(
            "the request object's algorithm is refused: use RS256, PS256, ES256 or Ed25519",
        ));
    }
    let keys = lookup::keys(app, client)
        .await
        .map_err(|_| Refused("the client has no keys, or they could not be fetched"))?;
    if !jws.is_signed_by(&keys) {
        return Err(Refused(
            "no key that is registered for this client has signed the request object",
        ));
    }
    // 2. By this client, for us, now.
    check_claims(app, client, &jws.claims)?;
    // 3. What it asks for.
    let mut parameters = Serializer::new(String::new());
    parameters.append_pair("client_id", &client.identifier);
    for name in request::PARAMETERS {
        match jws.claims.get(name) {
            None => {}
            Some(Value::String(text)) => {
                parameters.append_pair(name, text);
            }
            Some(Value::Number(number)) => {
                parameters.append_pair(name, &number.to_string());
            }
            Some(_) => {
                return Err(Refused(
                    "a parameter in the request object is neither text nor a number",
                ));
            }
        }
    }
    Ok(parameters.finish())
}

fn check_claims(app: &App, client: &Client, claims: &Map<String, Value>) -> Result<(), Refused> {
    let is = |name: &str, wanted: &str| claims.get(name).and_then(Value::as_str) == Some(wanted);
    if !is("iss", &client.identifier) || !is("client_id", &client.identifier) || is("sub", &client.identifier)
    {
        return Err(Refused(
            "the request object's iss and client_id must be the client_id, and its sub must not",
        ));
    }
    let issuer = app.config.issuer.as_str();
    let for_us = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(|one| one == issuer),
        Some(one) => one == issuer,
        None => false,
    };
    if !for_us {
        return Err(Refused(
            "the request object's aud must be this server's issuer identifier",
        ));
    }
    if claims.contains_key("request") || claims.contains_key("request_uri") {
        return Err(Refused("a request object holds no other"));
    }
    let now = app.clock.now().seconds();
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(date) => seconds(date)
            .map(Some)
            .ok_or(Refused("a time in the request object is not a number")),
    };
    let ahead = now.saturating_add(SKEW_SECONDS);
    let alive = time("exp")?.is_some_and(|exp| exp > now && exp <= ahead.saturating_add(MAX_LIFE_SECONDS));
    if !alive || time("iat")?.is_some_and(|at| at > ahead) || time("nbf")?.is_some_and(|at| at > ahead) {
        return Err(Refused(
            "the request object is expired, from the future, without exp, or valid for more than ten minutes",
        ));
    }
    Ok(())
}

/// RFC 7519 §2: a NumericDate may have a fraction, which is dropped.
fn seconds(date: &Value) -> Option<UnixSeconds> {
    if let Some(whole) = date.as_u64() {
        return Some(UnixSeconds(whole));
    }
    let date = date
        .as_f64()
        .filter(|date| (0.0..9_007_199_254_740_992.0).contains(date))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked just above"
    )]
    Some(UnixSeconds(date as u64))
}
