//! A client of the server's own API, for the commands that work on a running server.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{CliError, Remote};
use crate::config::environment_variable;

/// Longer than the longest wait for a receipt.
const LIMIT: Duration = Duration::from_mins(1);

/// A download.
const LONG: Duration = Duration::from_hours(24);

/// An API client with the admin key.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    admin_key: SecretString,
}

impl Client {
    /// Reads the admin key from the file or the environment.
    pub(super) fn new(remote: &Remote) -> Result<Self, CliError> {
        let text = match &remote.admin_key_file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            None => environment_variable("PORTCULLIS_ADMIN_KEY").ok_or_else(|| {
                CliError::Usage("no admin key: set PORTCULLIS_ADMIN_KEY or give --admin-key-file".to_owned())
            })?,
        };
        let http = reqwest::Client::builder()
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("the HTTP client could not be made")?;
        let base = remote.url.trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            base,
            admin_key: SecretString::from(text.trim().to_owned()),
        })
    }

    /// A long answer, to be read as it comes; its problem as an error. Takes as long as it takes.
    pub(super) async fn download(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<reqwest::Response, CliError> {
        let mut url = url::Url::parse(&format!("{}{path}", self.base))
            .map_err(|error| CliError::Usage(format!("--url {}: {error}", self.base)))?;
        url.query_pairs_mut().extend_pairs(query);
        let response = self
            .http
            .get(url)
            .bearer_auth(self.admin_key.expose_secret())
            .timeout(LONG)
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
        Err(CliError::Refused(problem_text(&answer)))
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
        let mut request = self.request(method, path, query)?;
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
        let request = self
            .request(method, path, query)?
            .header("If-Match", if_match)
            .json(&body);
        self.answer(request).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<reqwest::RequestBuilder, CliError> {
        let mut url = url::Url::parse(&format!("{}{path}", self.base))
            .map_err(|error| CliError::Usage(format!("--url {}: {error}", self.base)))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self
            .http
            .request(method, url)
            .bearer_auth(self.admin_key.expose_secret()))
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
        let problem = problem_text(&answer);
        if status.is_client_error() {
            Err(CliError::Refused(problem))
        } else {
            Err(CliError::Failed(anyhow::anyhow!(problem)))
        }
    }
}

fn problem_text(answer: &Value) -> String {
    let text = |name: &str| answer[name].as_str().unwrap_or_default();
    let field = answer["field"]
        .as_str()
        .map(|field| format!(" ({field})"))
        .unwrap_or_default();
    format!(
        "{}{field}: {} [{}]",
        text("code"),
        text("detail"),
        text("request_id")
    )
}
