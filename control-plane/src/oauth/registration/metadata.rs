//! What a client says about itself (RFC 7591 §2, OpenID Connect Registration §2), read and checked: the same for one that
//! registers and for one that has a document.
//!
//! Members that we do not know are left out, as the RFC wants it. `scope` is one of them: some clients register with the
//! scope of the first challenge they met and ask for more later, so configuration is the cap, and the person's rights.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::id::ClientId;
use shared::scope::ScopeSet;
use shared::time::UnixMillis;
use url::Url;

use crate::config::{Config, admits};
use crate::oauth::clients::DEFAULT_GRACE_SECONDS;
use crate::oauth::token::DEVICE_CODE;
use crate::oauth::{assertion, backchannel, redirect};
use crate::store::clients::{ApplicationType, AuthMethod, Client, Origin};
use crate::text;

const MAX_URIS: usize = 10;
const MAX_KEYS: usize = 20;
const MAX_URI: usize = 1024;

/// What a client is, by its own account.
#[expect(clippy::struct_excessive_bools, reason = "each is a statement of its own")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(rename = "n")]
    pub(in crate::oauth) client_name: String,
    #[serde(rename = "r")]
    pub(in crate::oauth) redirect_uris: Vec<String>,
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::oauth) post_logout_redirect_uris: Vec<String>,
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(in crate::oauth) backchannel_logout_uri: Option<String>,
    #[serde(rename = "s", default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::oauth) backchannel_logout_session_required: bool,
    #[serde(rename = "m", with = "word")]
    pub(in crate::oauth) method: AuthMethod,
    #[serde(rename = "a", with = "word")]
    pub(in crate::oauth) application_type: ApplicationType,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(in crate::oauth) jwks: Option<Value>,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(in crate::oauth) jwks_uri: Option<String>,
    #[serde(rename = "d", default)]
    pub(in crate::oauth) dpop_bound_access_tokens: bool,
    #[serde(rename = "p", default)]
    pub(in crate::oauth) require_pushed_authorization_requests: bool,
    #[serde(rename = "g", default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::oauth) device_flow: bool,
}

/// The words of the database, in JSON.
mod word {
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) trait Word: FromStr {
        fn word(&self) -> &'static str;
    }

    impl Word for super::AuthMethod {
        fn word(&self) -> &'static str {
            self.as_str()
        }
    }

    impl Word for super::ApplicationType {
        fn word(&self) -> &'static str {
            self.as_str()
        }
    }

    pub(super) fn serialize<S: Serializer>(word: &impl Word, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(word.word())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, W: Word>(deserializer: D) -> Result<W, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("an unknown word"))
    }
}

/// Why metadata is refused: `error` of RFC 7591 §3.2.2, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{description}")]
pub struct MetadataError {
    /// `invalid_redirect_uri` or `invalid_client_metadata`.
    pub code: &'static str,
    /// What is wrong.
    pub description: String,
}

fn invalid(description: impl Into<String>) -> MetadataError {
    MetadataError {
        code: "invalid_client_metadata",
        description: description.into(),
    }
}

fn invalid_redirect(description: impl Into<String>) -> MetadataError {
    MetadataError {
        code: "invalid_redirect_uri",
        description: description.into(),
    }
}

/// Where metadata comes from; the two have other defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::oauth) enum Source {
    /// A document that anybody can read: no secret, and `client_name` must be there.
    Document,
    /// A registration: we can hand out a secret.
    Registration,
}

impl Metadata {
    /// Reads a JSON object.
    pub(in crate::oauth) fn read(
        members: &Map<String, Value>,
        source: Source,
        config: &Config,
    ) -> Result<Self, MetadataError> {
        let redirect_uris = list(members, "redirect_uris")?;
        if !(1..=MAX_URIS).contains(&redirect_uris.len()) {
            return Err(invalid_redirect(format!(
                "redirect_uris has 1 to {MAX_URIS} entries"
            )));
        }
        for uri in &redirect_uris {
            check_redirect(uri, config)?;
        }
        let application_type = application_type(members, &redirect_uris)?;
        let post_logout_redirect_uris = list(members, "post_logout_redirect_uris")?;
        if post_logout_redirect_uris.len() > MAX_URIS {
            return Err(invalid(format!(
                "post_logout_redirect_uris has at most {MAX_URIS} entries"
            )));
        }
        for uri in &post_logout_redirect_uris {
            check_redirect(uri, config)?;
        }
        let device_flow = asks_for_devices(members)?;
        let method = method(members, source)?;
        let (jwks, jwks_uri) = keys(members, config)?;
        if method == AuthMethod::PrivateKeyJwt && jwks.is_none() && jwks_uri.is_none() {
            return Err(invalid("private_key_jwt needs jwks or jwks_uri"));
        }
        Ok(Self {
            client_name: client_name(members, source, &redirect_uris)?,
            redirect_uris,
            post_logout_redirect_uris,
            backchannel_logout_uri: logout_uri(members, config)?,
            backchannel_logout_session_required: flag(members, "backchannel_logout_session_required")?,
            method,
            application_type,
            jwks,
            jwks_uri,
            dpop_bound_access_tokens: flag(members, "dpop_bound_access_tokens")?,
            require_pushed_authorization_requests: flag(members, "require_pushed_authorization_requests")?,
            device_flow,
        })
    }
}

impl Metadata {
    /// The client that this is, without a row.
    pub(in crate::oauth) fn client(&self, identifier: &str, origin: Origin, id: ClientId) -> Client {
        Client {
            id,
            identifier: identifier.to_owned(),
            origin,
            stored: false,
            org: None,
            name: self.client_name.clone(),
            secret_digest: None,
            kind: self.method.kind(),
            application_type: self.application_type,
            token_endpoint_auth_method: self.method,
            jwks: self.jwks.clone(),
            jwks_uri: self.jwks_uri.clone(),
            redirect_uris: self.redirect_uris.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uris.clone(),
            backchannel_logout_uri: self.backchannel_logout_uri.clone(),
            backchannel_logout_session_required: self.backchannel_logout_session_required,
            refresh_grace_seconds: DEFAULT_GRACE_SECONDS,
            scopes: ScopeSet::EMPTY,
            dpop_bound_access_tokens: self.dpop_bound_access_tokens,
            require_pushed_authorization_requests: self.require_pushed_authorization_requests,
            device_flow: self.device_flow,
            created_at: UnixMillis(0),
            disabled_at: None,
        }
    }

    /// What a client said last.
    pub(in crate::oauth) fn of(client: &Client) -> Self {
        Self {
            client_name: client.name.clone(),
            redirect_uris: client.redirect_uris.clone(),
            post_logout_redirect_uris: client.post_logout_redirect_uris.clone(),
            backchannel_logout_uri: client.backchannel_logout_uri.clone(),
            backchannel_logout_session_required: client.backchannel_logout_session_required,
            method: client.token_endpoint_auth_method,
            application_type: client.application_type,
            jwks: client.jwks.clone(),
            jwks_uri: client.jwks_uri.clone(),
            dpop_bound_access_tokens: client.dpop_bound_access_tokens,
            require_pushed_authorization_requests: client.require_pushed_authorization_requests,
            device_flow: client.device_flow,
        }
    }
}

/// A member that is text, if it is there. `null` is the same as nothing.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, MetadataError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(format!("{name} is not a string"))),
    }
}

fn flag(members: &Map<String, Value>, name: &str) -> Result<bool, MetadataError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(set)) => Ok(*set),
        Some(_) => Err(invalid(format!("{name} is not true or false"))),
    }
}

fn list(members: &Map<String, Value>, name: &str) -> Result<Vec<String>, MetadataError> {
    let wrong = || invalid(format!("{name} is not a list of strings"));
    match members.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn check_redirect(uri: &str, config: &Config) -> Result<(), MetadataError> {
    redirect::check(uri).map_err(|error| invalid_redirect(error.to_string()))?;
    let url = Url::parse(uri).map_err(|_| invalid_redirect("a redirect URI is malformed"))?;
    if admits(&config.clients.redirect_hosts, &url) {
        Ok(())
    } else {
        Err(invalid_redirect(
            "a redirect URI leads to a host that this server does not admit",
        ))
    }
}

/// OpenID Connect Back-Channel Logout 1.0 §2.2, within the hosts that such apps may be at.
fn logout_uri(members: &Map<String, Value>, config: &Config) -> Result<Option<String>, MetadataError> {
    let Some(uri) = text(members, "backchannel_logout_uri")? else {
        return Ok(None);
    };
    let url = Url::parse(uri)
        .ok()
        .filter(|url| backchannel::check_uri(uri) && (url.scheme() == "https" || config.fetches_loopback()));
    let url = url.ok_or_else(|| invalid("backchannel_logout_uri is not an https URL without a fragment"))?;
    if admits(&config.clients.redirect_hosts, &url) {
        Ok(Some(uri.to_owned()))
    } else {
        Err(invalid(
            "backchannel_logout_uri is at a host that this server does not admit",
        ))
    }
}

/// OpenID Connect Registration §2: a web client is reached by https, a native one on its own machine or (RFC 8252 §7.2) by
/// an https link that the app has claimed. A client that does not say what it is, is what its redirect URIs make of it.
fn application_type(
    members: &Map<String, Value>,
    redirect_uris: &[String],
) -> Result<ApplicationType, MetadataError> {
    let on_a_machine = redirect_uris.iter().any(|uri| !redirect::is_assured(uri));
    match text(members, "application_type")? {
        Some("web") if on_a_machine => Err(invalid_redirect(
            "a web client has https redirect URIs; with loopback or an app's own scheme it is application_type native",
        )),
        Some("native") => Ok(ApplicationType::Native),
        None if on_a_machine => Ok(ApplicationType::Native),
        Some("web") | None => Ok(ApplicationType::Web),
        Some(_) => Err(invalid("application_type is web or native")),
    }
}

/// Authorization code or device: whatever else is asked for, a person stands behind it. Whether it is for devices too: only
/// if it says so, because RFC 7591 §2 means `authorization_code` without a word.
fn asks_for_devices(members: &Map<String, Value>) -> Result<bool, MetadataError> {
    let grants = list(members, "grant_types")?;
    let people = ["authorization_code", DEVICE_CODE];
    if !grants.is_empty() && !grants.iter().any(|grant| people.contains(&grant.as_str())) {
        return Err(invalid("grant_types must have authorization_code"));
    }
    let responses = list(members, "response_types")?;
    if !responses.is_empty() && !responses.iter().any(|response| response == "code") {
        return Err(invalid("response_types must have code"));
    }
    Ok(grants.iter().any(|grant| grant == DEVICE_CODE))
}

/// RFC 7591 §2: `client_secret_basic` without a word. A document can be read by anybody, so there it is `none`.
fn method(members: &Map<String, Value>, source: Source) -> Result<AuthMethod, MetadataError> {
    let method = match text(members, "token_endpoint_auth_method")? {
        None if source == Source::Document => AuthMethod::None,
        None => AuthMethod::ClientSecretBasic,
        Some(word) => word.parse().map_err(|_| {
            invalid(
                "token_endpoint_auth_method is none, client_secret_basic, client_secret_post or private_key_jwt",
            )
        })?,
    };
    if source == Source::Document && method.has_secret() {
        return Err(invalid(
            "a client with a metadata document has no secret: use none or private_key_jwt",
        ));
    }
    Ok(method)
}

/// Public keys in the metadata or at an address; never both (RFC 7591 §2).
fn keys(
    members: &Map<String, Value>,
    config: &Config,
) -> Result<(Option<Value>, Option<String>), MetadataError> {
    let jwks = members.get("jwks").filter(|set| !set.is_null());
    if let Some(set) = jwks {
        check_set(set)?;
    }
    let jwks_uri = text(members, "jwks_uri")?;
    if let Some(uri) = jwks_uri {
        let secure = Url::parse(uri).is_ok_and(|url| {
            url.scheme() == "https" || (url.scheme() == "http" && config.fetches_loopback())
        });
        if !secure || uri.len() > MAX_URI {
            return Err(invalid("jwks_uri is not an https URL"));
        }
    }
    if jwks.is_some() && jwks_uri.is_some() {
        return Err(invalid("jwks and jwks_uri cannot both be there"));
    }
    Ok((jwks.cloned(), jwks_uri.map(str::to_owned)))
}

/// A JWK Set with at least one key that we can use, and no private one.
pub(in crate::oauth) fn check_set(set: &Value) -> Result<(), MetadataError> {
    let keys = set
        .get("keys")
        .and_then(Value::as_array)
        .filter(|keys| (1..=MAX_KEYS).contains(&keys.len()));
    let keys = keys.ok_or_else(|| invalid(format!("a JWK Set has 1 to {MAX_KEYS} keys")))?;
    let mut usable = false;
    for key in keys {
        let key = key
            .as_object()
            .ok_or_else(|| invalid("a key is not a JSON object"))?;
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]
            .iter()
            .any(|name| key.contains_key(*name))
        {
            return Err(invalid(
                "a key is private: make another one, and publish its public half only",
            ));
        }
        usable = usable || assertion::admits(key);
    }
    if usable {
        Ok(())
    } else {
        Err(invalid("none of the keys is for RS256, PS256, ES256 or Ed25519"))
    }
}

fn client_name(
    members: &Map<String, Value>,
    source: Source,
    redirect_uris: &[String],
) -> Result<String, MetadataError> {
    match text(members, "client_name")? {
        Some(name) => text::name(name)
            .map(str::to_owned)
            .ok_or_else(|| invalid("client_name has 1 to 100 characters, all of which can be seen")),
        None if source == Source::Document => Err(invalid("client_name is missing")),
        None => Ok(redirect_uris
            .first()
            .map(|uri| redirect::place(uri))
            .unwrap_or_default()),
    }
}
