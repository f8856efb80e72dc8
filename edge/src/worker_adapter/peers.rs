//! Asking hub and regions, each behind a Durable Object binding or a URL, and the colo's cache. The only file that calls
//! `peers.js`.
//!
//! A question carries no secret but the uplink key, which `peers.js` puts onto requests to URLs; an answer is a status, the
//! teller's [`Account`] of itself, and bytes.

use js_sys::{Array, Promise, Uint8Array};
use shared::dpop::Proof;
use shared::feed::{Head, MAX_MESSAGE};
use shared::strict_json;
use shared::time::UnixMillis;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use super::config::EdgeConfig;
use crate::replication::{Account, Place, RegionName};

/// The header that carries an account.
pub(super) const ACCOUNT: &str = "portcullis-account";
// Times until an answer begins; its body may take longer.
/// How long a region may take to say what is new: somebody's request waits for it. It may have to ask the hub first.
pub(super) const READ_MS: u32 = 4000;
/// How long the hub may take to answer a region.
pub(super) const PULL_MS: u32 = 2000;
/// How long a region may take to take in what the hub pushes: the publisher waits for it.
pub(super) const PUSH_MS: u32 = 500;
/// How long the hub may take over what a publisher sends, which may be a snapshot of many megabytes.
pub(super) const WRITE_MS: u32 = 50_000;

#[wasm_bindgen(module = "/src/worker_adapter/peers.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn ask(
        env: &JsValue,
        base: &str,
        region: &str,
        path: &str,
        body: JsValue,
        timeout_ms: u32,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn all(promises: &Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_name = poll)]
    fn long_poll(
        env: &JsValue,
        url: &str,
        etag: &str,
        report: &str,
        timeout_ms: u32,
        limit: u32,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_name = has_brake)]
    fn brake_is_bound(env: &JsValue) -> Result<bool, JsValue>;
    #[wasm_bindgen(catch, js_name = over_brake)]
    fn over(env: &JsValue, key: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_name = carry)]
    fn post(env: &JsValue, url: &str, body: Uint8Array, timeout_ms: u32) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_name = pass_on)]
    fn pass(env: &JsValue, region: &str, path: &str, request: &web_sys::Request) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_name = cached)]
    fn look_up(key: &str) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_name = keep)]
    fn put(key: &str, started: f64, account: &str, body: Uint8Array) -> Result<Promise, JsValue>;
}

/// Who is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer<'a> {
    /// The hub.
    Hub,
    /// One of the regions.
    Region(&'a RegionName),
}

/// What a peer answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What it says of itself; `None` if it cannot say, or what it says cannot be read.
    pub(super) account: Option<Account>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn read(parts: &JsValue) -> Option<Self> {
        let parts: &Array = parts.dyn_ref()?;
        let account = parts.get(1).as_string()?;
        Some(Self {
            status: status(&parts.get(0)),
            account: strict_json::read_any(account.as_bytes()).ok(),
            body: Uint8Array::new(&parts.get(2)).to_vec(),
        })
    }

    /// Where the peer says that it stands.
    pub(super) fn head(&self) -> Option<Head> {
        let place = self.account.as_ref()?.head.as_ref()?;
        Head::try_from(place).ok()
    }
}

/// A question on its way. It belongs to the request that asked, and is never kept beyond it.
pub(super) struct Question(Promise);

impl Question {
    /// Sends it: POST with a body, GET without.
    pub(super) fn send(
        env: &Env,
        config: &EdgeConfig,
        peer: Peer<'_>,
        path: &str,
        body: Option<&[u8]>,
        timeout_ms: u32,
    ) -> Result<Self, JsValue> {
        let body = body.map_or(JsValue::UNDEFINED, |bytes| Uint8Array::from(bytes).into());
        let (base, region) = match peer {
            Peer::Hub => (config.hub_url.as_deref(), ""),
            Peer::Region(name) => (config.region_url(name), name.as_str()),
        };
        ask(env, base.unwrap_or_default(), region, path, body, timeout_ms).map(Self)
    }

    /// Waits for the answer; the error is that there is none.
    pub(super) async fn answer(self) -> Result<Answer, JsValue> {
        let parts = JsFuture::from(self.0).await?;
        Answer::read(&parts).ok_or_else(|| JsValue::from_str("not an answer of a peer"))
    }

    /// All answers, in order; `None` for those who gave none.
    pub(super) async fn all(questions: Vec<Self>) -> Vec<Option<Answer>> {
        let promises: Array = questions.iter().map(|question| &question.0).collect();
        let answers = match all(&promises) {
            Ok(answers) => JsFuture::from(answers).await,
            Err(error) => Err(error),
        };
        let Some(answers) = answers.ok().and_then(|answers| answers.dyn_into::<Array>().ok()) else {
            return questions.iter().map(|_| None).collect();
        };
        answers.iter().map(|parts| Answer::read(&parts)).collect()
    }
}

/// Asks a peer.
pub(super) async fn ask_peer(
    env: &Env,
    config: &EdgeConfig,
    peer: Peer<'_>,
    path: &str,
    body: Option<&[u8]>,
    timeout_ms: u32,
) -> Result<Answer, JsValue> {
    Question::send(env, config, peer, path, body, timeout_ms)?
        .answer()
        .await
}

/// Asks the hub whether a proof is new, and has it remembered. Gives the status; somebody's request waits for it.
pub(super) async fn ask_about_proof(env: &Env, config: &EdgeConfig, proof: &Proof) -> Result<u16, JsValue> {
    let question = [
        proof.id.as_slice(),
        &proof.ends.0.to_be_bytes(),
        proof.key.0.as_slice(),
    ]
    .concat();
    let answer = ask_peer(env, config, Peer::Hub, "/proof", Some(&question), READ_MS).await?;
    Ok(answer.status)
}

/// What a control plane answered to a poll.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) status: u16,
    /// Empty if it sent none.
    pub(super) etag: String,
    pub(super) body: Vec<u8>,
}

/// Polls a control plane. The error is that it gave no answer, or too long a one.
pub(super) async fn poll(
    env: &Env,
    url: &str,
    etag: Option<&str>,
    report: &str,
    timeout_ms: u32,
) -> Result<Polled, JsValue> {
    let limit = u32::try_from(MAX_MESSAGE).unwrap_or(u32::MAX);
    let asked = long_poll(env, url, etag.unwrap_or_default(), report, timeout_ms, limit)?;
    let parts: Array = JsFuture::from(asked).await?.dyn_into()?;
    Ok(Polled {
        status: status(&parts.get(0)),
        etag: parts.get(1).as_string().unwrap_or_default(),
        body: Uint8Array::new(&parts.get(2)).to_vec(),
    })
}

/// Whether the optional rate limiter is bound.
pub(super) fn has_brake(env: &Env) -> bool {
    brake_is_bound(env).unwrap_or(false)
}

/// Counts a key at the rate limiter; whether that is too many. One that fails says no.
pub(super) async fn is_over_brake(env: &Env, key: &str) -> bool {
    let Ok(asked) = over(env, key) else { return false };
    let answer = JsFuture::from(asked).await;
    answer.is_ok_and(|over| over.as_bool() == Some(true))
}

/// Posts usage to a control plane, with the uplink key; gives the status.
pub(super) async fn carry(env: &Env, url: &str, body: &[u8], timeout_ms: u32) -> Result<u16, JsValue> {
    let answer = JsFuture::from(post(env, url, Uint8Array::from(body), timeout_ms)?).await?;
    Ok(status(&answer))
}

/// A status code as it crosses.
fn status(number: &JsValue) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; a status has three digits"
    )]
    let status = number.as_f64().unwrap_or(0.0) as u16;
    status
}

/// Hands a request of a peer to the object that it is for. `None`: that object is not here.
pub(super) async fn pass_on(
    env: &Env,
    region: &str,
    path: &str,
    request: &web_sys::Request,
) -> Result<Option<web_sys::Response>, JsValue> {
    let answer = JsFuture::from(pass(env, region, path, request)?).await?;
    if answer.is_undefined() {
        return Ok(None);
    }
    answer.dyn_into().map(Some)
}

/// An answer that another isolate of this colo got within the last second, and when that one's read started.
pub(super) async fn cached(key: &str) -> Option<(UnixMillis, Account, Vec<u8>)> {
    let parts = JsFuture::from(look_up(key).ok()?).await.ok()?;
    let parts: &Array = parts.dyn_ref()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; a time in milliseconds fits"
    )]
    let started = UnixMillis(parts.get(0).as_f64()? as u64);
    let account = strict_json::read_any(parts.get(1).as_string()?.as_bytes()).ok()?;
    Some((started, account, Uint8Array::new(&parts.get(2)).to_vec()))
}

/// Leaves an answer for the other isolates of this colo.
pub(super) async fn keep(key: &str, started: UnixMillis, answer: &Answer) {
    let Some(account) = answer
        .account
        .as_ref()
        .and_then(|account| serde_json::to_string(account).ok())
    else {
        return;
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay below 2^53")]
    let started = started.0 as f64;
    if let Ok(kept) = put(key, started, &account, Uint8Array::from(answer.body.as_slice())) {
        let _ = JsFuture::from(kept).await;
    }
}

/// The query with which a copy of the feed says where it stands.
pub(super) fn place_query(head: Option<&Place>) -> String {
    match head {
        Some(place) => format!(
            "epoch={}&after={}&digest={}",
            place.epoch, place.seq, place.digest
        ),
        None => "epoch=0&after=0".to_owned(),
    }
}
