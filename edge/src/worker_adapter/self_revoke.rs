//! `POST /v1/auth/self-revoke` while the control plane does not answer: whoever shows a credential may end it (I8).
//!
//! The gate has judged the credential as for any other route. Its index goes to the region's local set, on disk there before
//! the answer, and from there to the hub, the other regions and the publisher, until a frame says the same. This isolate
//! refuses it at once, the others with their next refresh.

use serde_json::json;
use shared::id::StatusIndex;
use wasm_bindgen::JsValue;
use worker::{Env, console_error};

use super::config::EdgeConfig;
use super::http::{self, HeaderList, Incoming};
use super::isolate;
use super::peers::{self, Peer, READ_MS};
use super::response::{self, ACCEPTED, OK, ORIGIN_UNREACHABLE};

/// The canonical path of the route.
pub(super) const PATH: &str = "/v1/auth/self-revoke";
/// How long the control plane may take: somebody who has lost a key waits.
pub(super) const WAIT_MS: u32 = 4000;

/// Whether a status says that the control plane is not there: a proxy in front of it says so in its stead.
pub(super) fn is_absent(status: u16) -> bool {
    matches!(status, 502..=504 | 520..=530)
}

/// Ends it here.
pub(super) async fn end_here(
    index: StatusIndex,
    incoming: &Incoming,
    cors: HeaderList,
    env: &Env,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    let region = isolate::with(|isolate| isolate.home().cloned()).flatten();
    let body = serde_json::to_vec(&[index]).unwrap_or_default();
    let told = match &region {
        Some(region) => {
            peers::ask_peer(env, config, Peer::Region(region), "/local", Some(&body), READ_MS).await
        }
        None => Err(JsValue::from_str("no region")),
    };
    match told {
        Ok(answer) if answer.status == OK => {
            isolate::with(|isolate| isolate.end_locally(index));
            let mut headers = cors;
            headers.push("cache-control", "no-store");
            let report = json!({ "status": "revoked_at_edge", "region": region });
            response::json_answer(ACCEPTED, &report, &incoming.request_id, headers)
        }
        Ok(answer) => {
            console_error!("{} the region answered {}", incoming.request_id, answer.status);
            response::refuse(ORIGIN_UNREACHABLE, &incoming.request_id, cors)
        }
        Err(error) => {
            console_error!(
                "{} the region did not answer: {}",
                incoming.request_id,
                http::describe(&error)
            );
            response::refuse(ORIGIN_UNREACHABLE, &incoming.request_id, cors)
        }
    }
}
