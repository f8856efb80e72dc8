//! `POST /.portcullis/feed` and `/.portcullis/feed/fetch`: the publisher's way in.
//!
//! Size, form, certificate and signature are checked here, with the isolate's own replica, before the hub is touched: what
//! is not signed for this feed costs no object anything. And no memory: unless the front of a body holds a certificate of
//! this feed, the rest is not even read. Order and content are the hub's to judge.

use serde_json::json;
use shared::feed::{
    EnvelopeType, MAX_FRAME, MAX_MESSAGE, PEEK, Refusal, VERSION, kinds, peek_message, split_message,
};
use wasm_bindgen::JsValue;
use worker::{Env, console_error};

use super::config::EdgeConfig;
use super::http::{self, Body, HeaderList, Incoming, now};
use super::isolate;
use super::response::{self, HUB_UNREACHABLE, METHOD_NOT_ALLOWED, OK, TOO_LARGE};

/// Takes feed messages.
pub(super) const PATH: &str = "/.portcullis/feed";
/// Gives them back to a publisher that lost them.
pub(super) const FETCH_PATH: &str = "/.portcullis/feed/fetch";
const CONTENT_TYPE: &str = "application/vnd.portcullis.feed";
/// A signed request is small.
const MAX_FETCH: usize = 4096;
/// A message without a snapshot: a batch of frames.
const MAX_FRAMES: usize = 6 << 20;

/// Answers both endpoints.
pub(super) async fn handle(
    request: &web_sys::Request,
    incoming: &Incoming,
    env: &Env,
    config: &EdgeConfig,
) -> Result<web_sys::Response, JsValue> {
    if incoming.method != "POST" {
        return response::refuse(METHOD_NOT_ALLOWED, &incoming.request_id, HeaderList::default());
    }
    let fetch = incoming.path == FETCH_PATH;
    let body = Body::open(request)?;
    let limit = if fetch {
        MAX_FETCH
    } else {
        match limit(&body.front(PEEK).await?, config) {
            Ok(limit) => limit,
            Err(refusal) => return refuse(response::feed_status(refusal), &refusal.to_string(), incoming),
        }
    };
    let Some(body) = body.whole(limit).await? else {
        return refuse(TOO_LARGE.status, TOO_LARGE.code, incoming);
    };
    let checked = if fetch {
        check_fetch(&body, config)
    } else {
        check_message(&body, config)
    };
    let (path, payload) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return refuse(response::feed_status(refusal), &refusal.to_string(), incoming),
    };
    let answer = match http::ask_hub(env, path, Some(payload)).await {
        Ok(answer) if answer.status != HUB_UNREACHABLE.status => answer,
        Ok(_) => return response::refuse(HUB_UNREACHABLE, &incoming.request_id, HeaderList::default()),
        Err(error) => {
            console_error!(
                "{} the hub did not answer: {}",
                incoming.request_id,
                http::describe(&error)
            );
            return response::refuse(HUB_UNREACHABLE, &incoming.request_id, HeaderList::default());
        }
    };
    let mut headers = HeaderList::default();
    let is_feed = fetch && answer.status == OK;
    headers.push(
        "content-type",
        if is_feed { CONTENT_TYPE } else { "application/json" },
    );
    headers.push("cache-control", "no-store");
    headers.push("x-request-id", &incoming.request_id);
    http::answer_bytes(answer.status, &headers, &answer.body)
}

/// How long a message may be that starts like this.
fn limit(front: &[u8], config: &EdgeConfig) -> Result<usize, Refusal> {
    let (kind, certificate) = peek_message(front)?;
    let checked = isolate::with(|isolate| isolate.replica(&config.trust).check_certificate(&certificate));
    checked.unwrap_or(Err(Refusal::Unexpected))?;
    Ok(if kind == EnvelopeType::Snapshot {
        MAX_MESSAGE
    } else {
        MAX_FRAMES
    })
}

/// Frames, snapshots and heartbeats, all signed for this feed.
fn check_message<'a>(body: &'a [u8], config: &EdgeConfig) -> Result<(&'static str, &'a [u8]), Refusal> {
    let envelopes = split_message(body)?;
    if envelopes.is_empty() {
        return Err(Refusal::Malformed);
    }
    for bytes in envelopes {
        let (kind, length) = authenticate(bytes, config)?;
        if kind == EnvelopeType::Fetch {
            return Err(Refusal::Unexpected);
        }
        if kind == EnvelopeType::Frame && length > MAX_FRAME {
            return Err(Refusal::Malformed);
        }
    }
    Ok(("/apply", body))
}

/// One signed fetch request: bare, or as a message of one. An envelope starts with its version; a message never does.
fn check_fetch<'a>(body: &'a [u8], config: &EdgeConfig) -> Result<(&'static str, &'a [u8]), Refusal> {
    let envelopes = if body.first() == Some(&VERSION) {
        vec![body]
    } else {
        split_message(body)?
    };
    let [envelope] = envelopes.as_slice() else {
        return Err(Refusal::Malformed);
    };
    match authenticate(envelope, config)? {
        (EnvelopeType::Fetch, _) => Ok(("/fetch", envelope)),
        _ => Err(Refusal::Unexpected),
    }
}

/// Who speaks, and whether that key may still say anything new. Gives the envelope's type and the length of its body.
fn authenticate(bytes: &[u8], config: &EdgeConfig) -> Result<(EnvelopeType, usize), Refusal> {
    let checked = isolate::with(|isolate| {
        let envelope = isolate.replica(&config.trust).authenticate(bytes)?;
        if envelope.certificate.not_after <= now().seconds() {
            return Err(Refusal::BadCertificate);
        }
        Ok((envelope.kind, envelope.body.len()))
    });
    checked.unwrap_or(Err(Refusal::Unexpected))
}

/// A refusal before the hub was asked, in the shape of the hub's own answers, with what this isolate knows.
fn refuse(status: u16, code: &str, incoming: &Incoming) -> Result<web_sys::Response, JsValue> {
    let answer = isolate::with(|isolate| {
        isolate.count_refusal(code);
        let head = isolate.head();
        json!({
            "epoch": head.as_ref().map(|head| head.epoch),
            "seq": head.as_ref().map(|head| head.seq),
            "digest": head.as_ref().map(|head| head.digest.as_str()),
            "accepted": 0,
            "known": 0,
            "refused": [{ "code": code }],
            "kinds": kinds::SUPPORTED,
            "counters": isolate.refused,
        })
    });
    response::json_answer(
        status,
        &answer.unwrap_or_default(),
        &incoming.request_id,
        HeaderList::default(),
    )
}
