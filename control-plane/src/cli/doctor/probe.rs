//! The only part that touches the network: one request, one whole answer. Follows no redirect, sends no credential.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value;

use super::super::CliError;
use super::report::Fault;

const LIMIT: Duration = Duration::from_secs(15);
/// No document that is looked at here is larger.
const MAX_BODY: usize = 1024 * 1024;

/// The client.
pub(super) struct Probe {
    http: Client,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The server's certificate (DER), if there was TLS.
    pub(super) certificate: Option<Vec<u8>>,
}

impl Probe {
    /// Ready to ask.
    pub(super) fn new() -> Result<Self, CliError> {
        let http = Client::builder()
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .tls_info(true)
            .no_proxy()
            .build()
            .context("the HTTP client could not be made")?;
        Ok(Self { http })
    }

    /// `GET url`.
    pub(super) async fn get(&self, url: &str) -> Result<Answer, Fault> {
        self.send(self.request(Method::GET, url)?).await
    }

    /// A request to be completed and sent.
    pub(super) fn request(&self, method: Method, url: &str) -> Result<RequestBuilder, Fault> {
        let parsed = Url::parse(url)
            .map_err(|error| Fault::new(format!("`{url}` is not a URL ({error})"), "give a whole URL"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(Fault::new(format!("`{url}` is not a web address"), "use https"));
        }
        Ok(self.http.request(method, parsed))
    }

    /// Sends it and reads the answer, up to a limit.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Fault> {
        let failed = |error: reqwest::Error| {
            let mut text = error.to_string();
            let mut cause: &dyn std::error::Error = &error;
            while let Some(next) = cause.source() {
                text = format!("{text}: {next}");
                cause = next;
            }
            Fault::new(
                text,
                "see that the address is right, the server runs and its certificate is valid",
            )
        };
        let mut response = request.send().await.map_err(failed)?;
        let certificate = response
            .extensions()
            .get::<reqwest::tls::TlsInfo>()
            .and_then(|info| info.peer_certificate().map(<[u8]>::to_vec));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return Err(Fault::new(
                    "an answer of more than 1 MiB",
                    "see what answers there",
                ));
            }
        }
        Ok(Answer {
            status,
            headers,
            body,
            certificate,
        })
    }
}

impl Answer {
    /// The first header of that name, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The JSON object of a 200.
    pub(super) fn document(&self) -> Result<Value, Fault> {
        if self.status != 200 {
            let fix = "let this address answer 200 with the document, without a redirect";
            return Err(Fault::new(format!("answer {}", self.status), fix));
        }
        let kind = self.header("content-type").unwrap_or_default();
        let essence = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let is_json = essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"));
        if !is_json {
            return Err(Fault::new(
                format!("Content-Type `{kind}`"),
                "send it as application/json",
            ));
        }
        serde_json::from_slice::<Value>(&self.body)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| Fault::new("the body is not a JSON object", "see what answers there"))
    }
}
