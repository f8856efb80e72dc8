//! Health and metrics, for whoever runs the gate: `/health/live`, `/health/ready`, `/metrics`.
//!
//! Ready is a gate that would let somebody in on a route with the default bound: it holds a policy, and has heard the control
//! plane within two seconds. One that is not ready goes on to answer: routes with a longer bound or with `allow_stale` are open.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use super::{Server, not_found};
use crate::answer::{self, Body};
use crate::question;

const JSON: &str = "application/json";
/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4";

/// Answers one question.
pub(super) fn answer(server: &Server, request: &Request<Incoming>) -> Response<Body> {
    let request_id = question::request_id(request.headers());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return answer::problem(edge::answer::METHOD_NOT_ALLOWED, &request_id);
    }
    match request.uri().path() {
        "/health/live" => text(StatusCode::OK, JSON, "{\"status\":\"live\"}".into()),
        "/health/ready" => ready(server),
        "/metrics" => text(StatusCode::OK, METRICS, metrics(server)),
        _ => not_found(&request_id),
    }
}

fn ready(server: &Server) -> Response<Body> {
    let is_ready = server.gate.is_ready();
    let mut status = server.gate.status();
    if let Some(members) = status.as_object_mut() {
        let word = if is_ready { "ready" } else { "not_ready" };
        members.insert("status".into(), word.into());
    }
    let code = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    text(code, JSON, status.to_string())
}

fn text(code: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(answer::full(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn metrics(server: &Server) -> String {
    let status = server.gate.status();
    let number = |name: &str| status.get(name).and_then(Value::as_u64);
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a String does not fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        }
    };
    let seconds = |name: &str| number(name).map(|ms| format!("{}.{:03}", ms / 1000, ms % 1000));
    let ready = u8::from(server.gate.is_ready());
    gauge(
        "portcullis_gate_ready",
        "Whether its state is fresh.",
        Some(ready.to_string()),
    );
    gauge(
        "portcullis_gate_contact_age_seconds",
        "Since the control plane was heard.",
        seconds("contactAgeMs"),
    );
    gauge(
        "portcullis_gate_feed_age_seconds",
        "Since the newest heartbeat came.",
        seconds("feedAgeMs"),
    );
    let whole = |name: &str| number(name).map(|value| value.to_string());
    gauge(
        "portcullis_gate_feed_epoch",
        "The epoch that it has reached.",
        whole("epoch"),
    );
    gauge(
        "portcullis_gate_feed_seq",
        "The frame that it has reached.",
        whole("seq"),
    );
    gauge(
        "portcullis_gate_revoked",
        "Credentials that are revoked.",
        whole("revoked"),
    );
    let name = "portcullis_gate_decisions_total";
    let _ = write!(
        out,
        "# HELP {name} Decisions by outcome.\n# TYPE {name} counter\n"
    );
    for (outcome, count) in server.gate.counts() {
        let _ = writeln!(out, "{name}{{outcome=\"{outcome}\"}} {count}");
    }
    let name = "portcullis_gate_upstream_failures_total";
    let count = server.unreachable.load(Ordering::Relaxed);
    let _ = write!(
        out,
        "# HELP {name} Requests that were let in and got no answer.\n# TYPE {name} counter\n{name} {count}\n"
    );
    out
}
