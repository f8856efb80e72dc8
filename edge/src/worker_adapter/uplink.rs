//! `/.portcullis/peer/hub/…` and `/.portcullis/peer/region/NAME/…`: the objects of this Worker, for gates, regions and hubs
//! that run elsewhere. Without `UPLINK_KEY` there are no such addresses.
//!
//! The uplink key lets its holder read the feed, restrict, and take part in the book of leases: it belongs to the machines
//! of one edge and to nobody else.

use wasm_bindgen::JsValue;
use worker::Env;

use super::config::EdgeConfig;
use super::http::{HeaderList, Incoming};
use super::peers;
use super::response::{self, NOT_FOUND, UPLINK_KEY_REFUSED};

/// The front of all these addresses.
pub(super) const PREFIX: &str = "/.portcullis/peer/";

/// Hands the request to the object, whose own answer goes back.
pub(super) async fn handle(
    request: &web_sys::Request,
    incoming: &Incoming,
    env: &Env,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    let refuse = |problem| response::refuse(problem, &incoming.request_id, HeaderList::default());
    let (Some(key), Some(rest)) = (&config.uplink_key, incoming.path.strip_prefix(PREFIX)) else {
        return refuse(NOT_FOUND);
    };
    if !key.is_in(incoming.authorization.as_deref()) {
        return refuse(UPLINK_KEY_REFUSED);
    }
    let (region, path) = match rest.strip_prefix("region/").and_then(|rest| rest.split_once('/')) {
        Some((name, path)) if config.region(name).is_some() => (name, path),
        Some(_) => return refuse(NOT_FOUND),
        None => ("", rest.strip_prefix("hub/").unwrap_or_default()),
    };
    let expected = match (region, path) {
        (_, "state") => "GET",
        (_, "apply" | "local" | "usage") | ("", "fetch" | "proof" | "collect") => "POST",
        (name, "canary" | "quota") if !name.is_empty() => "POST",
        _ => return refuse(NOT_FOUND),
    };
    if incoming.method != expected {
        return refuse(response::METHOD_NOT_ALLOWED);
    }
    let path = match &incoming.query {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    };
    match peers::pass_on(env, region, &path, request).await? {
        Some(answer) => Ok(answer),
        None => refuse(NOT_FOUND),
    }
}
