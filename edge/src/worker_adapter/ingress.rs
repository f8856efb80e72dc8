//! `POST /.portcullis/feed`, `/.portcullis/feed/fetch` and `/.portcullis/usage/collect`: the publisher's way in.
//!
//! Size, form, certificate and signature are checked here, with the isolate's own replica, before the hub is touched: what
//! is not signed for this feed costs no object anything. And no memory: unless the front of a body holds a certificate of
//! this feed, the rest is not even read. Order and content are the hub's to judge; a hub that is silent is passed by, and its
//! regions judge for themselves.

use std::collections::BTreeSet;

use serde_json::json;
use shared::feed::{
    EnvelopeType, MAX_FRAME, MAX_MESSAGE, PEEK, Refusal, VERSION, kinds, peek_message, split_message,
};
use wasm_bindgen::JsValue;
use worker::{Env, console_error};

use super::config::EdgeConfig;
use super::http::{self, Body, HeaderList, Incoming, now};
use super::isolate;
use super::peers::{self, Answer, Peer, Question, WRITE_MS};
use super::response::{self, HUB_UNREACHABLE, METHOD_NOT_ALLOWED, OK, TOO_LARGE};
use crate::replication::{LEASE_MARGIN_MS, LEASE_MS, MAX_LOCAL, Place, RegionReport};

/// Takes feed messages.
pub(super) const PATH: &str = "/.portcullis/feed";
/// Gives them back to a publisher that lost them.
pub(super) const FETCH_PATH: &str = "/.portcullis/feed/fetch";
/// Hands usage out to the control plane.
pub(super) const COLLECT_PATH: &str = "/.portcullis/usage/collect";
const CONTENT_TYPE: &str = "application/vnd.portcullis.feed";
const USAGE_TYPE: &str = "application/vnd.portcullis.usage";
/// A signed request is small.
const MAX_FETCH: usize = 4096;
/// A message without a snapshot: a batch of frames.
const MAX_FRAMES: usize = 6 << 20;
/// How long the hub may take, its pushes to regions included, before the message goes to the regions directly.
const HUB_WAIT_MS: u32 = 2000;
/// The same for a snapshot, which may take long to take in.
const BULK_WAIT_MS: u32 = WRITE_MS;
/// How long a region may take then.
const REGION_WAIT_MS: u32 = 2000;

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
    let question = match incoming.path.as_str() {
        FETCH_PATH => Some((EnvelopeType::Fetch, "/fetch")),
        COLLECT_PATH => Some((EnvelopeType::Collect, "/collect")),
        _ => None,
    };
    let fetch = question.is_some();
    let body = Body::open(request)?;
    let mut is_bulk = false;
    let limit = if fetch {
        MAX_FETCH
    } else {
        match limit(&body.front(PEEK).await?, config) {
            Ok(limit) => {
                is_bulk = limit > MAX_FRAMES;
                limit
            }
            Err(refusal) => return refuse(response::feed_status(refusal), &refusal.to_string(), incoming),
        }
    };
    let Some(body) = body.whole(limit).await? else {
        return refuse(TOO_LARGE.status, TOO_LARGE.code, incoming);
    };
    let checked = match question {
        Some((kind, path)) => check_question(&body, kind, config).map(|envelope| (path, envelope)),
        None => check_message(&body, config),
    };
    let (path, payload) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return refuse(response::feed_status(refusal), &refusal.to_string(), incoming),
    };
    let patience = if is_bulk || fetch {
        BULK_WAIT_MS
    } else {
        HUB_WAIT_MS
    };
    let answer = match ask_hub(env, config, path, payload, patience).await {
        Some(answer) => answer,
        None if fetch => {
            return response::refuse(HUB_UNREACHABLE, &incoming.request_id, HeaderList::default());
        }
        None => return tell_regions(env, config, payload, incoming).await,
    };
    let mut headers = dated();
    let is_feed = fetch && answer.status == OK;
    headers.push(
        "content-type",
        match question {
            Some((EnvelopeType::Collect, _)) if is_feed => USAGE_TYPE,
            _ if is_feed => CONTENT_TYPE,
            _ => "application/json",
        },
    );
    headers.push("cache-control", "no-store");
    headers.push("x-request-id", &incoming.request_id);
    http::answer_bytes(answer.status, &headers, &answer.body)
}

/// The hub's answer, if it gives one in time.
async fn ask_hub(
    env: &Env,
    config: &EdgeConfig,
    path: &str,
    payload: &[u8],
    patience_ms: u32,
) -> Option<Answer> {
    let asked = peers::ask_peer(env, config, Peer::Hub, path, Some(payload), patience_ms).await;
    match asked {
        // All its own answers carry an account; what a proxy says in its stead does not.
        Ok(answer) if answer.account.is_some() => Some(answer),
        Ok(answer) => {
            console_error!("the hub answered {}", answer.status);
            None
        }
        Err(error) => {
            console_error!("the hub did not answer: {}", http::describe(&error));
            None
        }
    }
}

/// Past a hub that is silent, to all regions at once: their isolates go on with them while their leases last. The hub will
/// get the same message again; until it has, nobody can say what a lease is worth.
async fn tell_regions(
    env: &Env,
    config: &EdgeConfig,
    message: &[u8],
    incoming: &Incoming,
) -> Result<web_sys::Response, JsValue> {
    let (mut regions, mut questions) = (Vec::new(), Vec::new());
    for region in &config.regions {
        let peer = Peer::Region(region);
        if let Ok(question) = Question::send(env, config, peer, "/apply", Some(message), REGION_WAIT_MS) {
            regions.push(region);
            questions.push(question);
        }
    }
    let answers = Question::all(questions).await;
    if !answers.iter().flatten().any(|answer| answer.account.is_some()) {
        return response::refuse(HUB_UNREACHABLE, &incoming.request_id, HeaderList::default());
    }
    let mut local = BTreeSet::new();
    let mut reports = Vec::new();
    for (region, answer) in regions.into_iter().zip(&answers) {
        let heard = answer.as_ref().filter(|answer| answer.account.is_some());
        let account = heard.and_then(|answer| answer.account.as_ref());
        let place = account.and_then(|account| account.head.clone());
        local.extend(
            account
                .into_iter()
                .flat_map(|account| account.local.iter().copied()),
        );
        let has_all = heard.is_some_and(|answer| answer.status == OK);
        reports.push(RegionReport {
            name: region.clone(),
            epoch: place.as_ref().map(|place| place.epoch),
            seq: place.as_ref().map(|place| place.seq),
            digest: place.map(|place| place.digest),
            lease_ms: if has_all {
                0
            } else {
                LEASE_MS.saturating_add(LEASE_MARGIN_MS)
            },
            age_ms: heard.map(|_| 0),
        });
    }
    let local: Vec<_> = local.into_iter().take(MAX_LOCAL).collect();
    let answer = json!({
        "epoch": null,
        "seq": null,
        "digest": null,
        "accepted": 0,
        "known": 0,
        "refused": [],
        "kinds": kinds::SUPPORTED,
        "counters": {},
        "hub": false,
        "regions": reports,
        "local": local,
    });
    response::json_answer(OK, &answer, &incoming.request_id, dated())
}

/// The publisher compares clocks by it. Not every platform adds it: workerd on its own does not.
fn dated() -> HeaderList {
    let mut headers = HeaderList::default();
    headers.push("date", &http::date());
    headers
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
        if matches!(kind, EnvelopeType::Fetch | EnvelopeType::Collect) {
            return Err(Refusal::Unexpected);
        }
        if kind == EnvelopeType::Frame && length > MAX_FRAME {
            return Err(Refusal::Malformed);
        }
    }
    Ok(("/apply", body))
}

/// One signed question of this kind: bare, or as a message of one. An envelope starts with its version; a message never does.
fn check_question<'a>(
    body: &'a [u8],
    expected: EnvelopeType,
    config: &EdgeConfig,
) -> Result<&'a [u8], Refusal> {
    let envelopes = if body.first() == Some(&VERSION) {
        vec![body]
    } else {
        split_message(body)?
    };
    let [envelope] = envelopes.as_slice() else {
        return Err(Refusal::Malformed);
    };
    match authenticate(envelope, config)? {
        (kind, _) if kind == expected => Ok(envelope),
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
        let head = isolate.head().map(Place::from);
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
    response::json_answer(status, &answer.unwrap_or_default(), &incoming.request_id, dated())
}
