//! `[clients]`: apps that nobody registered here, and what they may be. `[fetch]`: what our own look-ups may reach.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{Config, ConfigError};

/// Apps that nobody registered here.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// Whether the URL of a Client ID Metadata Document is accepted as `client_id`.
    pub metadata_documents: bool,
    /// The hosts whose documents are accepted: `app.example.com` or `*.example.com`. Without any, all.
    pub metadata_document_hosts: Vec<String>,
    /// Whether clients may register themselves (RFC 7591); without it, only in `dev`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration: Option<bool>,
    /// Where such apps may send people back to: hosts as above, `loopback`, or an app's own scheme with a colon. Without
    /// any, everywhere that a redirect URI may lead.
    pub redirect_hosts: Vec<String>,
    /// The scopes that such apps may be given; without it, all but those that imply others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_scopes: Option<Vec<String>>,
    /// The scopes of a request that names none; without it, those of the preset `read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_scopes: Option<Vec<String>>,
    /// Registrations from one address (IPv6: one /64) in an hour; without it 20, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registrations_per_hour: Option<NonZeroU32>,
    /// Documents and key sets that are looked up for one address in an hour; without it 60, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_ups_per_hour: Option<NonZeroU32>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            metadata_documents: true,
            metadata_document_hosts: Vec::new(),
            registration: None,
            redirect_hosts: Vec::new(),
            open_scopes: None,
            default_scopes: None,
            registrations_per_hour: None,
            look_ups_per_hour: None,
        }
    }
}

/// What our own look-ups may reach.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// Whether they may reach this machine, by http too. In `dev` only, and without it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_loopback: Option<bool>,
}

impl Config {
    /// Whether clients may register themselves.
    pub fn registration_is_open(&self) -> bool {
        self.clients.registration.unwrap_or(self.dev)
    }

    /// Registrations from one address in an hour.
    pub fn registrations_per_hour(&self) -> NonZeroU32 {
        self.clients.registrations_per_hour.unwrap_or(self.share(20))
    }

    /// Look-ups for one address in an hour.
    pub fn look_ups_per_hour(&self) -> NonZeroU32 {
        self.clients.look_ups_per_hour.unwrap_or(self.share(60))
    }

    /// Whether our own look-ups may reach this machine.
    pub fn fetches_loopback(&self) -> bool {
        self.fetch.allow_loopback.unwrap_or(self.dev)
    }

    fn share(&self, strict: u32) -> NonZeroU32 {
        NonZeroU32::new(if self.dev { 100_000 } else { strict }).unwrap_or(NonZeroU32::MIN)
    }
}

/// Whether a host, or a redirect URI, is one of these patterns; a list without any admits all.
pub fn admits(patterns: &[String], url: &Url) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, url))
}

fn matches(pattern: &str, url: &Url) -> bool {
    if let Some(scheme) = pattern.strip_suffix(':') {
        return url.scheme() == scheme;
    }
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if pattern == "loopback" {
        return loopback;
    }
    // The host of any other scheme is whatever its author liked to write there.
    let host = url
        .host_str()
        .filter(|_| matches!(url.scheme(), "https" | "http"));
    host.is_some_and(|host| match pattern.strip_prefix("*.") {
        Some(domain) => host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => host == pattern,
    })
}

pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let invalid = |key, problem: &str| {
        Err(ConfigError::Invalid {
            key,
            problem: problem.to_owned(),
        })
    };
    if config.fetch.allow_loopback == Some(true) && !config.dev {
        return invalid("fetch.allow_loopback", "is for `dev` only");
    }
    let is_host = |pattern: &str| {
        let host = pattern.strip_prefix("*.").unwrap_or(pattern);
        !host.contains('*') && Host::parse(host).is_ok_and(|parsed| parsed.to_string() == host)
    };
    if !config
        .clients
        .metadata_document_hosts
        .iter()
        .all(|pattern| is_host(pattern))
    {
        let problem = "must be host names in lower case, such as app.example.com or *.example.com";
        return invalid("clients.metadata_document_hosts", problem);
    }
    let is_place = |pattern: &str| pattern == "loopback" || pattern.ends_with(':') || is_host(pattern);
    if !config
        .clients
        .redirect_hosts
        .iter()
        .all(|pattern| is_place(pattern))
    {
        let problem =
            "must be host names, `loopback`, or an app's scheme with a colon, such as com.example.app:";
        return invalid("clients.redirect_hosts", problem);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, url, expected) in [
            ("app.example.com", "https://app.example.com/cb", true),
            ("app.example.com", "https://app.example.com:8443/cb", true),
            (
                "app.example.com",
                "https://app.example.com.evil.example/cb",
                false,
            ),
            ("app.example.com", "https://xapp.example.com/cb", false),
            ("app.example.com", "com.example.app://app.example.com/cb", false),
            ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://.example.com/", false),
            ("*.example.com", "https://evilexample.com/", false),
            ("loopback", "http://127.0.0.1:9/cb", true),
            ("loopback", "http://[::1]/cb", true),
            ("loopback", "https://app.example.com/", false),
            ("com.example.app:", "com.example.app:/cb", true),
            ("com.example.app:", "com.example.apple:/cb", false),
        ] {
            let parsed = Url::parse(url).expect("a URL");
            assert_eq!(
                admits(&[pattern.to_owned()], &parsed),
                expected,
                "{pattern} {url}"
            );
            assert!(admits(&[], &parsed));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            validate(&config)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert_eq!(check(|_| {}), "");
        assert_eq!(
            check(|config| config.clients.redirect_hosts = vec!["loopback".into(), "a.b:".into()]),
            ""
        );
        assert!(check(|config| config.fetch.allow_loopback = Some(true)).contains("fetch.allow_loopback"));
        let hosts = "clients.metadata_document_hosts";
        for wrong in [
            "https://a.example",
            "A.example",
            "",
            "*",
            "a.example/x",
            "loopback:",
        ] {
            let mut config = Config::default();
            config.clients.metadata_document_hosts = vec![wrong.to_owned()];
            let error = validate(&config).expect_err(wrong).to_string();
            assert!(error.contains(hosts), "{error}");
        }
    }

    #[test]
    fn strict_by_default_and_generous_in_dev() {
        let strict = Config::default();
        assert!(!strict.registration_is_open() && !strict.fetches_loopback());
        assert_eq!(
            (
                strict.registrations_per_hour().get(),
                strict.look_ups_per_hour().get()
            ),
            (20, 60)
        );
        let dev = Config {
            dev: true,
            ..Config::default()
        };
        assert!(dev.registration_is_open() && dev.fetches_loopback());
        assert_eq!(dev.registrations_per_hour().get(), 100_000);
    }
}
