//! All checks of one deployment, in order. Where a document is missing, the checks that need it are not repeated as
//! faults of their own.

use reqwest::Method;
use serde_json::Value;
use shared::time::UnixSeconds;

use super::probe::{Answer, Probe};
use super::report::{Fault, Report, Verdict};
use super::{cors, edge, jwks, metadata, pages, transport};

const OAUTH: &str = "oauth-authorization-server";
const OPENID: &str = "openid-configuration";
const RESOURCE: &str = "oauth-protected-resource";

/// What is looked at.
pub(super) struct Target {
    pub(super) issuer: String,
    pub(super) edge: String,
    pub(super) client_id: Option<String>,
}

/// Looks at everything.
pub(super) async fn examine(probe: &Probe, target: &Target, now: UnixSeconds) -> Report {
    let mut report = Report::default();
    let issuer = &target.issuer;
    report.add("issuer", metadata::is_issuer(issuer));
    // 1. The way there, and the clock at its end.
    let first = probe.get(&metadata::inserted(issuer, OAUTH)).await;
    report.add(
        "TLS of the issuer",
        read(&first, |answer| transport::tls(issuer, answer, now)),
    );
    if let Ok(answer) = &first {
        report.add("clock", transport::clock(answer, now));
    }
    // 2. The documents.
    let oauth = document(&mut report, OAUTH, issuer, &first, metadata::required_members);
    let second = probe.get(&metadata::appended(issuer, OPENID)).await;
    let openid = document(&mut report, OPENID, issuer, &second, metadata::openid_members);
    if let (Some(oauth), Some(openid)) = (&oauth, &openid) {
        report.add("both documents", metadata::agree(oauth, openid));
    }
    // 3. What they point to.
    if let Some(document) = oauth.or(openid) {
        endpoints(&mut report, probe, target, &document).await;
    }
    sign_in(&mut report, probe, issuer).await;
    // 4. The edge.
    at_the_edge(&mut report, probe, target, now).await;
    report
}

/// Looks at a document by its own rules; gives it if it is one at all.
fn document(
    report: &mut Report,
    name: &str,
    issuer: &str,
    answer: &Result<Answer, Fault>,
    members: fn(&Value) -> Verdict,
) -> Option<Value> {
    let document = answer.clone().and_then(|answer| answer.document());
    match document {
        Ok(document) => {
            report.add(
                format!("issuer in {name}"),
                metadata::issuer_is(&document, issuer),
            );
            report.add(format!("members of {name}"), members(&document));
            Some(document)
        }
        Err(fault) => {
            report.add(format!("issuer in {name}"), Err(fault));
            None
        }
    }
}

async fn endpoints(report: &mut Report, probe: &Probe, target: &Target, document: &Value) {
    let address = |name: &str| document[name].as_str();
    if let Some(url) = address("jwks_uri") {
        let keys = probe.get(url).await.and_then(|answer| answer.document());
        report.add("keys", keys.and_then(|keys| jwks::is_sound(&keys)));
    }
    let discovery = [
        metadata::inserted(&target.issuer, OAUTH),
        metadata::appended(&target.issuer, OPENID),
    ];
    for url in discovery.iter().map(String::as_str).chain(address("jwks_uri")) {
        report.add(
            format!("CORS of {}", path_of(url)),
            cors::is_open(probe, Method::GET, url).await,
        );
    }
    for name in ["token_endpoint", "revocation_endpoint", "registration_endpoint"] {
        if let Some(url) = address(name) {
            report.add(
                format!("CORS of {}", path_of(url)),
                cors::is_open(probe, Method::POST, url).await,
            );
        }
    }
    if let Some(url) = address("userinfo_endpoint") {
        report.add(
            format!("CORS of {}", path_of(url)),
            cors::is_open(probe, Method::GET, url).await,
        );
    }
    if let Some(url) = address("authorization_endpoint") {
        let client = target.client_id.as_deref();
        report.add(
            format!("CORS of {}", path_of(url)),
            cors::is_closed(probe, url).await,
        );
        report.add(
            "unregistered redirect_uri",
            pages::stays(probe, url, client, false).await,
        );
        report.add("http redirect_uri", pages::stays(probe, url, client, true).await);
    }
}

async fn sign_in(report: &mut Report, probe: &Probe, issuer: &str) {
    let page = probe
        .get(&format!("{}/login", issuer.trim_end_matches('/')))
        .await;
    let https = issuer.starts_with("https://");
    report.add(
        "headers of /login",
        read(&page, |page| pages::is_protected(page, https)),
    );
    if let Ok(page) = &page {
        report.add("cookies of /login", pages::cookies(page, https));
    }
}

async fn at_the_edge(report: &mut Report, probe: &Probe, target: &Target, now: UnixSeconds) {
    let base = target.edge.trim_end_matches('/');
    let health = probe
        .get(&format!("{}/.portcullis/health", origin_of(base)))
        .await;
    report.add(
        "TLS of the edge",
        read(&health, |answer| transport::tls(base, answer, now)),
    );
    if let Ok(answer) = health {
        let fresh = answer.document().and_then(|health| edge::is_fresh(&health));
        report.add("state of the edge", fresh);
    }
    let root = metadata::inserted(origin_of(base), RESOURCE);
    let own = metadata::inserted(base, RESOURCE);
    let suffixed = format!("{root}/any/path");
    let mut addresses = vec![root, suffixed];
    if !addresses.contains(&own) {
        addresses.push(own);
    }
    for url in addresses {
        let document = probe.get(&url).await.and_then(|answer| answer.document());
        let verdict = document.and_then(|document| edge::leads_to(&document, &target.edge, &target.issuer));
        report.add(path_of(&url), verdict);
        report.add(
            format!("CORS of {}", path_of(&url)),
            cors::is_open(probe, Method::GET, &url).await,
        );
    }
}

fn read(answer: &Result<Answer, Fault>, check: impl FnOnce(&Answer) -> Verdict) -> Verdict {
    answer.as_ref().map_err(Clone::clone).and_then(check)
}

/// `https://host:port`.
fn origin_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at.saturating_add(3));
    let slash = url.get(after_scheme..).and_then(|rest| rest.find('/'));
    slash
        .and_then(|at| url.get(..after_scheme.saturating_add(at)))
        .unwrap_or(url)
}

fn path_of(url: &str) -> String {
    url.strip_prefix(origin_of(url)).unwrap_or(url).to_owned()
}
