//! CORS: apps in browsers read discovery and tokens from their own origin; nobody's script reads `/authorize`.

use reqwest::Method;

use super::probe::{Answer, Probe};
use super::report::{Fault, Verdict};

/// An origin that no deployment knows.
const ORIGIN: &str = "https://doctor.portcullis.example";

/// Scripts of any origin may call this.
pub(super) async fn is_open(probe: &Probe, method: Method, url: &str) -> Verdict {
    let preflight = preflight(probe, &method, url).await?;
    if !(200..300).contains(&preflight.status) {
        return Err(Fault::new(
            format!("the preflight is answered with {}", preflight.status),
            "answer OPTIONS with 204 and CORS headers, before any authentication",
        ));
    }
    is_readable(&preflight, "the preflight")?;
    let headers = preflight
        .header("access-control-allow-headers")
        .unwrap_or_default();
    for wanted in ["authorization", "content-type"] {
        let listed = headers
            .split(',')
            .any(|name| name.trim().eq_ignore_ascii_case(wanted));
        if !listed {
            return Err(Fault::new(
                format!("the preflight does not allow the header `{wanted}`"),
                "list it in Access-Control-Allow-Headers (`*` does not cover Authorization)",
            ));
        }
    }
    // An empty POST is an error, and scripts must be able to read why.
    let mut request = probe.request(method.clone(), url)?.header("origin", ORIGIN);
    if method == Method::POST {
        request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body("");
    }
    let answer = probe.send(request).await?;
    is_readable(&answer, "the answer")?;
    Ok("readable from any origin, without cookies".to_owned())
}

/// No script may call this.
pub(super) async fn is_closed(probe: &Probe, url: &str) -> Verdict {
    let preflight = preflight(probe, &Method::GET, url).await?;
    let answer = probe
        .send(probe.request(Method::GET, url)?.header("origin", ORIGIN))
        .await?;
    for (what, answer) in [("the preflight", preflight), ("the answer", answer)] {
        if answer.header("access-control-allow-origin").is_some() {
            return Err(Fault::new(
                format!("{what} has Access-Control-Allow-Origin"),
                "remove it (OAuth 2.1 §3.1): a browser is sent there, no script may read it",
            ));
        }
    }
    Ok("no script may read it".to_owned())
}

async fn preflight(probe: &Probe, method: &Method, url: &str) -> Result<Answer, Fault> {
    let request = probe
        .request(Method::OPTIONS, url)?
        .header("origin", ORIGIN)
        .header("access-control-request-method", method.as_str())
        .header("access-control-request-headers", "authorization, content-type");
    probe.send(request).await
}

fn is_readable(answer: &Answer, what: &str) -> Result<(), Fault> {
    let allowed = answer.header("access-control-allow-origin");
    if !allowed.is_some_and(|origin| origin == "*" || origin == ORIGIN) {
        return Err(Fault::new(
            format!("{what} has no Access-Control-Allow-Origin"),
            "send `*` on success and on errors: apps in browsers cannot read the answer",
        ));
    }
    if answer.header("access-control-allow-credentials").is_some() {
        return Err(Fault::new(
            format!("{what} allows credentials to any origin"),
            "remove Access-Control-Allow-Credentials: any page could act with people's cookies",
        ));
    }
    Ok(())
}
