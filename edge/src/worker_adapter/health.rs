//! `GET /.portcullis/health`: what this isolate knows and how old it is, for operators and tests. No secrets, no names.
//!
//! An isolate that has not been asked anything for a while refreshes first, so that what is shown is what is.

use serde_json::{Value, json};
use wasm_bindgen::JsValue;
use worker::Env;

use super::config::EdgeConfig;
use super::feed;
use super::http::{HeaderList, Incoming, now};
use super::isolate::{self, Cause, Isolate};
use super::response;
use crate::replication::Place;
use crate::validator::CacheReport;

/// The endpoint.
pub(super) const PATH: &str = "/.portcullis/health";

/// Answers with what is known.
pub(super) async fn handle(
    incoming: &Incoming,
    env: &Env,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    if !matches!(incoming.method.as_str(), "GET" | "HEAD") {
        return response::refuse(
            response::METHOD_NOT_ALLOWED,
            &incoming.request_id,
            HeaderList::default(),
        );
    }
    if isolate::with(|isolate| isolate.is_refresh_due(now())) == Some(true) {
        feed::refresh_first(env, config, Cause::Health).await;
    }
    let mut headers = HeaderList::default();
    headers.push("cache-control", "no-store");
    let report = isolate::with(report).unwrap_or_default();
    response::json_answer(response::OK, &report, &incoming.request_id, headers)
}

/// What was counted and has not left yet.
fn usage(isolate: &Isolate) -> Value {
    let (waiting, failures, uncounted) = isolate.usage.account();
    json!({ "waiting": waiting, "failures": failures, "uncounted": uncounted })
}

fn report(isolate: &mut Isolate) -> Value {
    let now = now();
    let age = isolate.contact_age_ms(now);
    let mut reads = serde_json::Map::new();
    reads.extend(
        isolate
            .reads()
            .map(|(cause, count)| (cause.to_owned(), count.into())),
    );
    let total = isolate
        .reads()
        .map(|(_, count)| count)
        .fold(0, u64::saturating_add);
    let status = match age {
        _ if isolate.is_cold() => "no_state",
        Some(age) if age <= shared::policy::DEFAULT_MAX_STALENESS_MS && !isolate.is_copy() => "ok",
        _ => "stale",
    };
    let [fast, other] = isolate.decisions;
    json!({
        "status": status,
        "head": isolate.head().map(Place::from),
        "contact_age_ms": age,
        "feed_age_ms": isolate.feed_age_ms(now),
        "region": {
            "name": isolate.home(),
            "head": isolate.account().head,
            "contact_age_ms": isolate.account().contact_age_ms,
        },
        "incompatible": isolate.account().incompatible,
        "revoked": isolate.revoked_count(),
        "local": isolate.local_count(),
        "statements_cached": isolate.cache.len(),
        "statements": cache_report(isolate.cache.report()),
        "decisions": { "fast": fast, "other": other },
        // Never shrinks: the most that this isolate has needed so far.
        "wasm_memory_bytes": core::arch::wasm32::memory_size::<0>().saturating_mul(65_536),
        "shared_reads": isolate.shared_reads,
        "hub_reads": total,
        "hub_reads_by_cause": reads,
        "usage": usage(isolate),
        "refused": { "hub": isolate.account().refused, "gate": isolate.refused },
    })
}

fn cache_report(report: CacheReport) -> Value {
    json!({
        "bytes": report.bytes,
        "hits": report.hits,
        "misses": report.misses,
        "evicted": report.evicted,
    })
}
