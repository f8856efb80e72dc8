//! The one way to a URL that somebody else chose: client metadata documents, clients' keys, and where apps hear of a logout.
//!
//! https only, no redirect, no proxy, no credential, caps on time and size, an answer of 200 with JSON or none. Where a name
//! leads is decided by the resolver that the connection uses, so there is no second look-up that could answer differently
//! (DNS rebinding); the peer is checked once more after connecting. What it does not: keep anything ([`cache`] does), or
//! read what it got.

mod addresses;
pub mod cache;
mod site;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const TOTAL_LIMIT: Duration = Duration::from_secs(8);
/// How long an answer is kept that says nothing about it.
const DEFAULT_SECONDS: u64 = 600;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not an https URL of a host.
    #[error("not an https URL")]
    Url,
    /// It leads to an address that is not on the public internet.
    #[error("it leads to an address that is not on the public internet")]
    Address,
    /// No connection, or none in time.
    #[error("it cannot be reached")]
    Unreachable,
    /// Another status than 200; redirects are not followed.
    #[error("it answers {0} instead of 200")]
    Status(u16),
    /// Not JSON by its `Content-Type`.
    #[error("its Content-Type is not a JSON one")]
    ContentType,
    /// More bytes than are read.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// What came is not what was asked for.
    #[error("{0}")]
    Content(String),
    /// Too many from one address.
    #[error("too many look-ups from this address; try again in {0} s")]
    Limited(u64),
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The body.
    pub body: Vec<u8>,
    /// How long it may be kept, as its server says.
    pub fresh_seconds: u64,
}

/// Fetches. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fetcher {
    http: reqwest::Client,
    rule: Rule,
}

/// Which addresses may be reached.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Loopback too, and plain http there.
    loopback: bool,
}

impl Rule {
    fn admits(self, address: IpAddr) -> bool {
        addresses::is_public(address) || (self.loopback && address.is_loopback())
    }
}

impl Fetcher {
    /// `loopback`: addresses of this machine may be reached, by http too. For development only.
    pub fn new(loopback: bool) -> reqwest::Result<Self> {
        let rule = Rule { loopback };
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(Resolver(rule)))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(TOTAL_LIMIT)
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { http, rule })
    }

    /// The JSON text at a URL, of at most so many bytes.
    pub async fn json(&self, url: &str, most: usize) -> Result<Fetched, FetchError> {
        let url = self.check(url)?;
        let sent = self.http.get(url).header(ACCEPT, "application/json").send().await;
        let mut response = sent.map_err(|error| refused(&error))?;
        // Again, where the connection really went.
        if !response
            .remote_addr()
            .is_some_and(|peer| self.rule.admits(peer.ip()))
        {
            return Err(FetchError::Address);
        }
        if response.status().as_u16() != 200 {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        if !is_json(response.headers()) {
            return Err(FetchError::ContentType);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| refused(&error))? {
            if body.len().saturating_add(chunk.len()) > most {
                return Err(FetchError::TooLarge(most));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched {
            body,
            fresh_seconds: fresh_seconds(response.headers()),
        })
    }

    /// Sends a form to a URL, and gives the status of the answer, whose body is not read.
    pub async fn post_form(&self, url: &str, form: String) -> Result<u16, FetchError> {
        let url = self.check(url)?;
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let response = request.send().await.map_err(|error| refused(&error))?;
        Ok(response.status().as_u16())
    }

    /// Sends JSON to a URL with these headers, and gives the status of the answer, whose body is not read.
    pub async fn post_json(&self, url: &str, headers: HeaderMap, body: String) -> Result<u16, FetchError> {
        let url = self.check(url)?;
        let request = self
            .http
            .post(url)
            .headers(headers)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let response = request.send().await.map_err(|error| refused(&error))?;
        Ok(response.status().as_u16())
    }

    /// Whether a URL can be reached at all, as far as its text says.
    pub fn admits(&self, url: &str) -> Result<(), FetchError> {
        self.check(url).map(|_| ())
    }

    /// A URL that may be fetched. A host that is an address never meets the resolver, so it is looked at here.
    fn check(&self, url: &str) -> Result<Url, FetchError> {
        let url = Url::parse(url).map_err(|_| FetchError::Url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Url);
        }
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => self.literal(address.into())?,
            Some(Host::Ipv6(address)) => self.literal(address.into())?,
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err(FetchError::Url),
        };
        match url.scheme() {
            "https" => Ok(url),
            "http" if loopback && self.rule.loopback => Ok(url),
            _ => Err(FetchError::Url),
        }
    }

    fn literal(&self, address: IpAddr) -> Result<bool, FetchError> {
        if self.rule.admits(address) {
            Ok(address.is_loopback())
        } else {
            Err(FetchError::Address)
        }
    }
}

/// The system's resolver, and only what the rule admits. One address that it does not is enough to refuse the name.
struct Resolver(Rule);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() || !found.iter().all(|address| rule.admits(address.ip())) {
                return Err(FetchError::Address.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The cause at the bottom, if it is ours.
fn refused(error: &reqwest::Error) -> FetchError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<FetchError>() {
            return ours.clone();
        }
        cause = error.source();
    }
    FetchError::Unreachable
}

/// `application/json`, or any `application/…+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next()).unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// RFC 9111 §4.2.1, as far as a document of a few lines needs it: `max-age` less `Age`. Nothing may be kept: 0.
fn fresh_seconds(headers: &HeaderMap) -> u64 {
    let texts = headers.get_all(CACHE_CONTROL).iter();
    let joined = texts
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join(",");
    let mut fresh = DEFAULT_SECONDS;
    for directive in joined.split(',').map(|part| part.trim().to_ascii_lowercase()) {
        match directive.split_once('=') {
            None if directive == "no-store" || directive == "no-cache" => return 0,
            Some(("max-age", seconds)) => fresh = seconds.trim_matches('"').parse().unwrap_or(0),
            _ => {}
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse().ok());
    fresh.saturating_sub(age.unwrap_or(0))
}

#[cfg(test)]
mod tests;
