//! `portcullis doctor mcp`: from an MCP server's URL to everything that a client needs for a token, by every way that
//! clients take (MCP authorization 2026-07-28; RFC 9728, RFC 8414).

use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use super::metadata::{self, appended, inserted, is_listed, lists};
use super::probe::{Answer, Probe};
use super::report::{Fault, Report, Verdict};
use super::transport::is_protected;

const RESOURCE: &str = "oauth-protected-resource";

/// Walks the whole way.
pub(super) async fn examine(probe: &Probe, url: &str) -> Report {
    let mut report = Report::default();
    report.add("MCP URL", is_protected(url).map(|_| url.to_owned()));
    // 1. A request without a token: 401, and where to go from there.
    let answer = first_request(probe, url).await;
    let challenge = answer.and_then(|answer| challenge(&answer));
    let named = challenge
        .as_deref()
        .ok()
        .and_then(|text| parameter(text, "resource_metadata"));
    report.add(
        "challenge",
        challenge.clone().and_then(|text| has_metadata(&text)),
    );
    report.add(
        "scope in the challenge",
        challenge.and_then(|text| has_scope(&text)),
    );
    // 2. The resource's metadata: as the header says, with the path, and at the root.
    let mut server = None;
    let mut ways = Vec::new();
    ways.extend(named.map(|named| ("named by the challenge", named)));
    ways.push(("path-suffixed", inserted(url, RESOURCE)));
    ways.push(("at the root", root(url)));
    for (way, address) in ways {
        let found = resource(probe, url, &address).await;
        if let (None, Ok((_, issuer))) = (&server, &found) {
            server = Some(issuer.clone());
        }
        report.add(format!("resource metadata {way}"), found.map(|(said, _)| said));
    }
    // 3. The authorization server's metadata.
    if let Some(issuer) = server {
        authorization_server(&mut report, probe, &issuer).await;
    }
    report
}

/// What a client sends first.
async fn first_request(probe: &Probe, url: &str) -> Result<Answer, Fault> {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2026-07-28", "capabilities": {},
            "clientInfo": { "name": "portcullis-doctor", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let request = probe
        .request(Method::POST, url)?
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(body.to_string());
    probe.send(request).await
}

fn challenge(answer: &Answer) -> Result<String, Fault> {
    if answer.status != 401 {
        return Err(Fault::new(
            format!("a POST without a token is answered with {}", answer.status),
            "answer 401: clients begin to sign in at nothing else",
        ));
    }
    let text = answer.header("www-authenticate").unwrap_or_default();
    if text
        .get(..7)
        .is_none_or(|scheme| !scheme.eq_ignore_ascii_case("bearer "))
    {
        return Err(Fault::new(
            "401 without `WWW-Authenticate: Bearer …`",
            "send it, and let the proxy in front keep it",
        ));
    }
    Ok(text.to_owned())
}

fn has_metadata(challenge: &str) -> Verdict {
    let Some(address) = parameter(challenge, "resource_metadata") else {
        return Err(Fault::new(
            "the challenge has no `resource_metadata`",
            "add it (RFC 9728 §5.1)",
        ));
    };
    is_protected(&address)?;
    if parameter(challenge, "error").is_some() {
        return Err(Fault::new(
            "the challenge has an `error` where no token was sent",
            "leave it out (RFC 6750 §3.1): clients would take their sign-in for failed",
        ));
    }
    Ok(format!("401, resource_metadata is {address}"))
}

fn has_scope(challenge: &str) -> Verdict {
    match parameter(challenge, "scope").filter(|scope| !scope.is_empty()) {
        Some(scope) => Ok(scope),
        None => Err(Fault::new(
            "the challenge has no `scope`",
            "name what this URL needs: clients ask for exactly that, or for everything there is",
        )),
    }
}

/// A quoted or plain parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge.split_once(' ')?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim_start_matches([',', ' ']).eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
}

fn root(url: &str) -> String {
    inserted(
        &Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization()),
        RESOURCE,
    )
}

/// The document at one of its addresses, and the first authorization server.
async fn resource(probe: &Probe, url: &str, address: &str) -> Result<(String, String), Fault> {
    let document = probe.get(address).await?.document()?;
    let said = covers(&document, url)?;
    let issuer = document["authorization_servers"][0].as_str().unwrap_or_default();
    if issuer.is_empty() {
        return Err(Fault::new(
            "no `authorization_servers`",
            "list the issuer: the Worker's ISSUER",
        ));
    }
    Ok((format!("{said}, tokens from {issuer}"), issuer.to_owned()))
}

/// RFC 9728 §3.3, as clients compare: the URL itself, or something above it on the same host.
fn covers(document: &Value, url: &str) -> Verdict {
    let have = document["resource"].as_str().unwrap_or_default();
    let fault = || {
        Fault::new(
            format!("`resource` is `{have}`, which is neither `{url}` nor above it"),
            "set `resource` to the URL that people give to their client, or to its origin: clients refuse another one",
        )
    };
    let (ours, theirs) = (
        Url::parse(have).map_err(|_| fault())?,
        Url::parse(url).map_err(|_| fault())?,
    );
    let below = |path: &str, above: &str| {
        let above = above.trim_end_matches('/');
        path.strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if ours.origin() != theirs.origin() || !below(theirs.path(), ours.path()) {
        return Err(fault());
    }
    if ours == theirs {
        return Ok(format!("resource is `{have}`"));
    }
    Ok(format!("resource is `{have}`, above the URL"))
}

/// By every well-known form. Clients take the first that is there, so each that is there must be right.
async fn authorization_server(report: &mut Report, probe: &Probe, issuer: &str) {
    let mut addresses = vec![
        inserted(issuer, "oauth-authorization-server"),
        inserted(issuer, "openid-configuration"),
        appended(issuer, "openid-configuration"),
    ];
    addresses.dedup();
    let mut document = None;
    for address in addresses {
        let answer = probe.get(&address).await;
        let verdict = match answer {
            // The next form is tried (MCP: "clients MUST support").
            Ok(answer) if answer.status == 404 => Ok("not there; clients try the next".to_owned()),
            Ok(answer) => answer.document().and_then(|found| {
                let said = metadata::issuer_is(&found, issuer)?;
                document.get_or_insert(found);
                Ok(said)
            }),
            Err(fault) => Err(fault),
        };
        report.add(address, verdict);
    }
    let Some(document) = document else {
        let fix = "serve /.well-known/oauth-authorization-server at the issuer (RFC 8414)";
        report.add(
            "authorization server",
            Err(Fault::new("no metadata by any form", fix)),
        );
        return;
    };
    report.add(
        "PKCE",
        lists(&document, "code_challenge_methods_supported", "S256").map(|()| "S256".to_owned()),
    );
    report.add("registration", can_register(&document));
    report.add("iss in answers", says_iss(&document));
    report.add("grants and clients", serves_public_clients(&document));
}

/// Somebody's client is not known here: it must be able to introduce itself.
fn can_register(document: &Value) -> Verdict {
    let by_document = document["client_id_metadata_document_supported"] == true;
    let endpoint = document["registration_endpoint"].as_str();
    match (by_document, endpoint) {
        (true, Some(_)) => Ok("client id metadata documents, and dynamic registration".to_owned()),
        (true, None) => Ok("client id metadata documents".to_owned()),
        (false, Some(_)) => Ok("dynamic registration".to_owned()),
        (false, None) => Err(Fault::new(
            "neither `client_id_metadata_document_supported` nor a `registration_endpoint`",
            "switch one of them on: otherwise every client must be registered by hand",
        )),
    }
}

fn says_iss(document: &Value) -> Verdict {
    if document["authorization_response_iss_parameter_supported"] == true {
        return Ok("authorization_response_iss_parameter_supported".to_owned());
    }
    Err(Fault::new(
        "no `authorization_response_iss_parameter_supported: true`",
        "send `iss` in every answer of /authorize (RFC 9207): clients of several servers need it",
    ))
}

fn serves_public_clients(document: &Value) -> Verdict {
    lists(document, "response_types_supported", "code")?;
    lists(document, "grant_types_supported", "authorization_code")?;
    lists(document, "grant_types_supported", "refresh_token")?;
    if !is_listed(document, "token_endpoint_auth_methods_supported", "none") {
        return Err(Fault::new(
            "`token_endpoint_auth_methods_supported` does not list `none`",
            "let public clients in: an AI tool on somebody's machine keeps no secret",
        ));
    }
    Ok("code and refresh_token, for public clients too".to_owned())
}
