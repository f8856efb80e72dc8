//! A client of the server's own API, for the commands that work on a running server: as whoever `--profile` names, or with the
//! API key of a file or of the environment, or as whoever has signed in.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Host, Url};

use super::profile::{DEFAULT, Profiles, not_signed_in};
use super::{CliError, DEFAULT_URL, Remote};
use crate::config::environment_variable;

/// Longer than the longest wait for a receipt.
const LIMIT: Duration = Duration::from_mins(1);
/// A download.
const LONG: Duration = Duration::from_hours(24);

/// Who calls.
enum Caller {
    Key(SecretString),
    Profile(Profiles, String),
}

/// An API client.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    caller: Caller,
}

/// No redirects: a credential goes where it was sent to. No proxy of the environment.
pub(super) fn http_client() -> Result<reqwest::Client, CliError> {
    let client = reqwest::Client::builder()
        .timeout(LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .context("the HTTP client could not be made")?;
    Ok(client)
}

/// Keys and tokens go over https, or nowhere off this machine.
pub(super) fn safe(text: &str) -> Result<(), CliError> {
    let url = Url::parse(text).map_err(|error| CliError::Usage(format!("--url {text}: {error}")))?;
    if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "{text}: keys and tokens are sent by https only, by http only within this machine (127.0.0.1, ::1, localhost)"
    )))
}

/// Whether a URL leads to the machine that uses it.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl Client {
    /// Finds out who calls, and where.
    pub(super) fn new(remote: &Remote) -> Result<Self, CliError> {
        let (base, caller) = match key(remote)? {
            Some(key) => {
                let url = remote.url.clone().unwrap_or_else(|| DEFAULT_URL.to_owned());
                (url, Caller::Key(key))
            }
            None => signed_in(remote)?,
        };
        safe(&base)?;
        Ok(Self {
            http: http_client()?,
            base: base.trim_end_matches('/').to_owned(),
            caller,
        })
    }

    /// A long answer, to be read as it comes; its problem as an error. Takes as long as it takes.
    pub(super) async fn download(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<reqwest::Response, CliError> {
        let request = self.request(Method::GET, path, query).await?.timeout(LONG);
        let response = request
            .send()
            .await
            .with_context(|| format!("no answer from {}", self.base))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let answer: Value = response
            .json()
            .await
            .with_context(|| format!("{status}, and the answer is not JSON"))?;
        Err(refusal(status, &answer))
    }

    /// One call; the answer's JSON, or its problem as an error.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Value, CliError> {
        let mut request = self.request(method, path, query).await?;
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.answer(request).await
    }

    /// A change of what is as it was known to be; the answer's JSON, or its problem as an error.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Value,
        if_match: &str,
    ) -> Result<Value, CliError> {
        let request = self.request(method, path, query).await?;
        self.answer(request.header("If-Match", if_match).json(&body))
            .await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<reqwest::RequestBuilder, CliError> {
        let mut url = Url::parse(&format!("{}{path}", self.base))
            .map_err(|error| CliError::Usage(format!("--url {}: {error}", self.base)))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let token = match &self.caller {
            Caller::Key(key) => key.clone(),
            Caller::Profile(profiles, name) => profiles.access_token(&self.http, name).await?,
        };
        Ok(self.http.request(method, url).bearer_auth(token.expose_secret()))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, CliError> {
        let response = request
            .send()
            .await
            .with_context(|| format!("no answer from {}", self.base))?;
        let status = response.status();
        let answer: Value = response
            .json()
            .await
            .with_context(|| format!("{status}, and the answer is not JSON"))?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(refusal(status, &answer))
    }

    /// Every row of a list: follows the cursor until the limit or the end.
    pub(super) async fn list(
        &self,
        path: &str,
        member: &str,
        filters: &[(&str, String)],
        limit: Option<usize>,
    ) -> Result<Vec<Value>, CliError> {
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = filters.to_vec();
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page = self.call(Method::GET, path, &query, None, None).await?;
            rows.extend(page[member].as_array().cloned().unwrap_or_default());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || limit.is_some_and(|limit| rows.len() >= limit) {
                rows.truncate(limit.unwrap_or(usize::MAX));
                return Ok(rows);
            }
        }
    }
}

/// The API key, if one is to be used: a named profile goes before it.
fn key(remote: &Remote) -> Result<Option<SecretString>, CliError> {
    let text = match &remote.admin_key_file {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        None if remote.profile.is_some() => None,
        None => environment_variable("PORTCULLIS_ADMIN_KEY"),
    };
    Ok(text.map(|text| SecretString::from(text.trim().to_owned())))
}

/// Whoever has signed in. Their token goes to the server that gave it, and nowhere else.
fn signed_in(remote: &Remote) -> Result<(String, Caller), CliError> {
    let name = remote.profile.as_deref().unwrap_or(DEFAULT);
    let profiles = Profiles::open()?;
    let sign_in = profiles.find(name)?.ok_or_else(|| not_signed_in(name))?;
    if let Some(url) = &remote.url
        && url.trim_end_matches('/') != sign_in.url
    {
        return Err(CliError::Usage(format!(
            "the profile `{name}` is signed in at {}, not at {url}: sign in there under another --profile",
            sign_in.url
        )));
    }
    Ok((sign_in.url, Caller::Profile(profiles, name.to_owned())))
}

/// The exit code tells these apart.
fn refusal(status: StatusCode, answer: &Value) -> CliError {
    let problem = problem_text(answer);
    match status {
        StatusCode::UNAUTHORIZED => CliError::NotSignedIn(problem),
        StatusCode::NOT_FOUND => CliError::NotFound(problem),
        _ if status.is_client_error() => CliError::Refused(problem),
        _ => CliError::Failed(anyhow::anyhow!(problem)),
    }
}

/// What went wrong and what to do, and under which name the server's log has more.
fn problem_text(answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str();
    let detail = text("detail").unwrap_or("the server refused, without a reason");
    let about: Vec<&str> = ["code", "field", "request_id"]
        .into_iter()
        .filter_map(text)
        .collect();
    format!("{detail} [{}]", about.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_goes_over_the_network_in_the_clear() {
        for fine in [
            "https://auth.example.com",
            "http://127.0.0.1:7070",
            "http://[::1]:7070",
            "http://localhost",
        ] {
            assert!(safe(fine).is_ok(), "{fine}");
        }
        for wrong in [
            "http://auth.example.com",
            "http://10.0.0.7",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "auth.example.com",
            "",
        ] {
            assert!(matches!(safe(wrong), Err(CliError::Usage(_))), "{wrong}");
        }
        let remote = |url: &str| {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("key");
            std::fs::write(&file, "pc_live_x").expect("written");
            Client::new(&Remote {
                url: Some(url.to_owned()),
                profile: None,
                admin_key_file: Some(file),
            })
        };
        assert!(matches!(
            remote("http://auth.example.com"),
            Err(CliError::Usage(_))
        ));
        assert!(remote("https://auth.example.com").is_ok());
    }
}
