//! `GET /.portcullis/canary?region=`: whether a region lets a canary live, for the measure of how fast revocations are.
//!
//! Form and signature are checked here, so that nothing else costs a region anything. Whether it lives, the region says from
//! its own state, not this isolate.

use serde_json::json;
use shared::verdict::Reason;
use wasm_bindgen::JsValue;
use worker::{Env, console_error};

use super::config::EdgeConfig;
use super::feed;
use super::http::{self, HeaderList, Incoming};
use super::isolate::{self, Cause};
use super::object::parameter;
use super::peers::{self, Peer, READ_MS};
use super::response::{self, INVALID_TOKEN, METHOD_NOT_ALLOWED, NOT_FOUND, OK, STATE_STALE};
use crate::validator::Validator;

/// The endpoint.
pub(super) const PATH: &str = "/.portcullis/canary";

/// Answers 200 with where the region stands, 401 for one that is dead or none, 404 for no region, 503 for one that is stale.
pub(super) async fn handle(
    incoming: &Incoming,
    env: &Env,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    let refuse = |problem| response::refuse(problem, &incoming.request_id, HeaderList::default());
    if incoming.method != "GET" {
        return refuse(METHOD_NOT_ALLOWED);
    }
    feed::warm_up(env, config).await;
    let mut checked = check(incoming, config);
    if checked == Some(Err(Reason::SigningKeyUnknown)) {
        feed::refresh_first(env, config, Cause::Stale).await;
        checked = check(incoming, config);
    }
    match checked {
        None => return refuse(STATE_STALE),
        Some(Err(_)) => return refuse(INVALID_TOKEN),
        Some(Ok(())) => {}
    }
    let name = parameter(incoming.query.as_deref(), "region");
    let Some(region) = name.and_then(|name| config.region(name)) else {
        return refuse(NOT_FOUND);
    };
    let header = incoming.authorization.as_deref().unwrap_or_default().as_bytes();
    let peer = Peer::Region(region);
    let answer = match peers::ask_peer(env, config, peer, "/canary", Some(header), READ_MS).await {
        Ok(answer) => answer,
        Err(error) => {
            console_error!("{} did not answer: {}", region, http::describe(&error));
            return refuse(STATE_STALE);
        }
    };
    let head = answer.head();
    match (answer.status, head) {
        (OK, Some(head)) => {
            let report = json!({ "region": region, "epoch": head.epoch, "seq": head.seq });
            let mut headers = HeaderList::default();
            headers.push("cache-control", "no-store");
            response::json_answer(OK, &report, &incoming.request_id, headers)
        }
        (status, _) if status == INVALID_TOKEN.status => refuse(INVALID_TOKEN),
        _ => refuse(STATE_STALE),
    }
}

/// Form and signature. `None`: there is no state to check with.
fn check(incoming: &Incoming, config: &EdgeConfig) -> Option<Result<(), Reason>> {
    isolate::with(|isolate| {
        let (state, local, policy, _) = isolate.deciding()?;
        let validator = Validator {
            deployment: &config.deployment,
            state,
            local,
            policy,
        };
        let statement = validator.canary_statement(incoming.authorization.as_deref());
        Some(statement.map(|_| ()))
    })
    .flatten()
}
