//! Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document): the `client_id` is the URL of a document that
//! says what the client is. Whoever controls the URL is the client, so the host is what a person can judge it by.
//!
//! What it does: tell which URLs are such names, and read what stands there. What it does not: fetch (`http::fetch`), keep.

use serde_json::{Map, Value};
use shared::strict_json;
use url::{Host, Url};

use super::registration::metadata::{Metadata, MetadataError, Source};
use crate::config::{Config, admits};

/// The largest document (draft §6.6).
pub(super) const MAX_BYTES: usize = 5 * 1024;
const MAX_URL: usize = 1024;

/// Whether a `client_id` is of this kind: https is nobody else's beginning, and none of ours.
pub(super) fn is_document(client_id: &str) -> bool {
    client_id.starts_with("https://") || client_id.starts_with("http://")
}

/// Draft §3: an https URL in its one form, with a path, without query, fragment, user or dot segments; of a host that this server
/// admits. In development also http to this machine.
pub(super) fn check_url(client_id: &str, config: &Config) -> Result<(), &'static str> {
    if !config.clients.metadata_documents {
        return Err("this server takes no client metadata documents");
    }
    if client_id.len() > MAX_URL {
        return Err("the URL is too long");
    }
    let url = Url::parse(client_id).map_err(|_| "it is not a URL")?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !(loopback && config.fetches_loopback()) {
        return Err("the URL is not an https one");
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("the URL has a fragment or a user");
    }
    // Draft §3: SHOULD NOT. One page that takes parameters would be any number of clients.
    if url.query().is_some() {
        return Err("the URL has a query");
    }
    if url.path() == "/" {
        return Err("the URL has no path");
    }
    // What a parser would change is not the name that the document has: dot segments, default ports, capitals in the host.
    if url.as_str() != client_id {
        return Err("the URL is not written in its normal form");
    }
    let encoded_dots = url.path_segments().is_some_and(|mut segments| {
        segments.any(|segment| {
            matches!(
                segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
                "." | ".."
            )
        })
    });
    if encoded_dots {
        return Err("the URL has dot segments");
    }
    if !admits(&config.clients.metadata_document_hosts, &url) {
        return Err("this server does not admit clients of that host");
    }
    Ok(())
}

/// Reads the document at a URL (draft §4).
pub(super) fn read(client_id: &str, body: &[u8], config: &Config) -> Result<Metadata, MetadataError> {
    let invalid = |description: &str| MetadataError {
        code: "invalid_client_metadata",
        description: description.to_owned(),
    };
    let members: Map<String, Value> =
        strict_json::from_slice(body).map_err(|_| invalid("the document is not a JSON object"))?;
    if members.get("client_id").and_then(Value::as_str) != Some(client_id) {
        return Err(invalid(
            "the document's client_id is not the URL that it was read from",
        ));
    }
    if ["client_secret", "client_secret_expires_at"]
        .iter()
        .any(|name| members.contains_key(*name))
    {
        return Err(invalid(
            "the document has a client_secret, which anybody can read there",
        ));
    }
    Metadata::read(&members, Source::Document, config)
}

/// The host by which a person can judge the client.
pub(super) fn host(client_id: &str) -> Option<String> {
    Url::parse(client_id).ok()?.host_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const URL: &str = "https://app.example.com/client.json";

    #[test]
    fn urls_that_are_names() {
        let config = Config::default();
        for good in [
            URL,
            "https://app.example.com/a/b",
            "https://app.example.com:8443/c",
        ] {
            assert_eq!(check_url(good, &config), Ok(()), "{good}");
        }
        for wrong in [
            "http://app.example.com/client.json",
            "http://127.0.0.1/client.json",
            "https://app.example.com",
            "https://app.example.com/",
            "https://app.example.com/a#b",
            "https://app.example.com/a?v=1",
            "https://app.example.com/a?",
            "https://me@app.example.com/a",
            "https://me:x@app.example.com/a",
            "https://app.example.com/a/../b",
            "https://app.example.com/./b",
            "https://app.example.com/a/%2e%2E/b",
            "https://app.example.com/a/.%2e",
            "https://APP.example.com/a",
            "https://app.example.com:443/a",
            "https:app.example.com/a",
            "https://app.example.com\\a",
            "https://app.example.com/ä",
            &format!("https://app.example.com/{}", "a".repeat(1024)),
        ] {
            assert!(check_url(wrong, &config).is_err(), "{wrong}");
        }
        let dev = Config {
            dev: true,
            ..Config::default()
        };
        assert_eq!(check_url("http://127.0.0.1:9/client.json", &dev), Ok(()));
        assert!(check_url("http://app.example.com/client.json", &dev).is_err());
        let mut listed = Config::default();
        listed.clients.metadata_document_hosts = vec!["*.example.com".to_owned()];
        assert_eq!(check_url(URL, &listed), Ok(()));
        assert!(check_url("https://app.example.net/client.json", &listed).is_err());
        listed.clients.metadata_documents = false;
        assert!(check_url(URL, &listed).is_err());
    }

    #[test]
    fn documents_that_count() {
        let good = json!({"client_id": URL, "client_name": "Notes", "redirect_uris": ["https://app.example.com/cb"]});
        let read_with = |member: &str, value: Value| {
            let mut document = good.clone();
            document[member] = value;
            read(URL, document.to_string().as_bytes(), &Config::default())
        };
        let plain = read_with("x", json!(1)).expect("unknown members are left out");
        assert_eq!(
            (plain.client_name.as_str(), plain.method.as_str()),
            ("Notes", "none")
        );
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert!(read_with("jwks", json!({"keys": [key]})).is_ok());
        let mut private = key.clone();
        private["d"] = json!("AAAA");
        for (member, value) in [
            ("client_id", json!("https://app.example.com/client.json/")),
            ("client_id", Value::Null),
            ("client_name", Value::Null),
            ("client_name", json!("Notes\u{202e}")),
            ("redirect_uris", Value::Null),
            ("redirect_uris", json!([])),
            ("redirect_uris", json!("https://app.example.com/cb")),
            ("redirect_uris", json!(["http://app.example.com/cb"])),
            ("redirect_uris", json!(["javascript:alert(1)"])),
            ("redirect_uris", json!([7])),
            ("client_secret", json!("x")),
            ("client_secret", Value::Null),
            ("client_secret_expires_at", json!(0)),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("token_endpoint_auth_method", json!("client_secret_post")),
            ("token_endpoint_auth_method", json!("client_secret_jwt")),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("jwks", json!({"keys": [private]})),
            ("jwks", json!({"keys": []})),
            ("jwks", json!([])),
            ("jwks_uri", json!("http://app.example.com/jwks")),
            ("application_type", json!("desktop")),
            ("grant_types", json!(["client_credentials"])),
            ("response_types", json!(["token"])),
            ("dpop_bound_access_tokens", json!("yes")),
        ] {
            assert!(read_with(member, value.clone()).is_err(), "{member} {value}");
        }
        for wrong in ["", "[]", "{", "null"] {
            assert!(
                read(URL, wrong.as_bytes(), &Config::default()).is_err(),
                "{wrong}"
            );
        }
        let twice = format!(
            r#"{{"client_id":"{URL}","client_id":"{URL}","client_name":"x","redirect_uris":["https://a.example/"]}}"#
        );
        assert!(
            read(URL, twice.as_bytes(), &Config::default()).is_err(),
            "a member twice"
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, url in ".{0,60}") {
            let config = Config { dev: true, ..Config::default() };
            let _ = read(&url, &bytes, &config);
            let _ = check_url(&url, &config);
            let _ = check_url(&format!("https://{url}"), &config);
        }
    }
}
