//! The border to the runtime: requests in, answers out, the clock. The only file that calls `http.js`; what goes to hub and
//! regions is in [`peers`](super::peers).
//!
//! What it does not do: decide anything. Header lists cross as one text of lines, because each crossing costs.

use js_sys::{Date, Promise, Uint8Array};
use shared::time::UnixMillis;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

// All of them `catch`: an exception that passed through Rust would skip its destructors, and leave borrows behind (I13).
#[wasm_bindgen(module = "/src/worker_adapter/http.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn facts(request: &web_sys::Request) -> Result<String, JsValue>;
    #[wasm_bindgen(catch)]
    fn header(request: &web_sys::Request, name: &str) -> Result<Option<String>, JsValue>;
    #[wasm_bindgen(catch)]
    fn forward(
        request: &web_sys::Request,
        url: &str,
        flags: u32,
        request_headers: &str,
        response_headers: &str,
        lifetime_ms: f64,
        wait_ms: u32,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn respond(status: u16, headers: &str, body: JsValue) -> Result<web_sys::Response, JsValue>;
    #[wasm_bindgen(catch)]
    fn open_body(request: &web_sys::Request) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    fn front_of_body(body: &JsValue, count: u32) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn rest_of_body(body: &JsValue, limit: f64) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn load_copy(env: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn save_copy(env: &JsValue, bytes: Uint8Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn has_copy(env: &JsValue) -> Result<bool, JsValue>;
    #[wasm_bindgen(catch)]
    fn sleep(milliseconds: u32) -> Result<Promise, JsValue>;
}

/// Now, by the platform's clock. It stands still between I/O, so it is no stopwatch for code.
pub(super) fn now() -> UnixMillis {
    // A float of milliseconds: whole and positive. `as` saturates, and never panics.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; a time in milliseconds fits"
    )]
    UnixMillis(Date::now() as u64)
}

/// The same as `Date` says it (RFC 9110 §5.6.7).
pub(super) fn date() -> String {
    Date::new_0().to_utc_string().into()
}

/// A random key; `None` outside a request, where the runtime has no entropy.
pub(super) fn random() -> Option<[u8; 16]> {
    let mut key = [0; 16];
    #[expect(clippy::disallowed_methods, reason = "the one module that asks the runtime")]
    getrandom::getrandom(&mut key).ok()?;
    Some(key)
}

/// Waits on a timer of this request's own.
pub(super) async fn pause(milliseconds: u32) {
    if let Ok(timer) = sleep(milliseconds) {
        let _ = JsFuture::from(timer).await;
    }
}

/// What the gate looks at in a request. Copied out of the runtime in one call. Has no Debug: it holds the credential.
pub(super) struct Incoming {
    pub(super) method: String,
    /// Scheme and authority, `https://api.example`.
    pub(super) base: String,
    /// From the first `/` up to the query, exactly as sent. Empty if the target was not a path (`OPTIONS *`).
    pub(super) path: String,
    /// After the `?`, exactly as sent.
    pub(super) query: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) upgrade: Option<String>,
    /// CORS preflight: the method to come.
    pub(super) preflight_method: Option<String>,
    pub(super) preflight_headers: Option<String>,
    /// The DPoP headers (RFC 9449), joined by commas.
    pub(super) proof: Option<String>,
    pub(super) mcp_method: Option<String>,
    pub(super) mcp_name: Option<String>,
    pub(super) mcp_version: Option<String>,
    /// The least seq that the decision must be made from, as sent.
    pub(super) min_seq: Option<String>,
    /// Where the caller is, as the platform knows it: continent, country, longitude, and the data centre's name, with spaces
    /// between, then the address, if the platform says it.
    pub(super) place: String,
    /// The caller's `X-Request-Id` if it is harmless, else a new one.
    pub(super) request_id: String,
}

impl Incoming {
    /// Reads the request; `None` would mean that the runtime broke its promise.
    pub(super) fn read(request: &web_sys::Request) -> Option<Self> {
        let text = facts(request).ok()?;
        let mut lines = text.split('\n');
        let method = lines.next()?.to_owned();
        let url = lines.next()?;
        let mut next = || lines.next().map(|line| (line != "\0").then(|| line.to_owned()));
        let (authorization, origin, sent_id, upgrade) = (next()?, next()?, next()?, next()?);
        let (preflight_method, preflight_headers) = (next()?, next()?);
        let proof = next()?;
        let (mcp_method, mcp_name, mcp_version) = (next()?, next()?, next()?);
        let (min_seq, place) = (next()?, next()??);
        let fresh_id = next()??;
        let (base, path, query) = split_url(url);
        Some(Self {
            method,
            base: base.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            authorization,
            origin,
            upgrade,
            preflight_method,
            preflight_headers,
            proof,
            mcp_method,
            mcp_name,
            mcp_version,
            min_seq,
            place,
            request_id: sent_id.filter(|id| is_harmless_id(id)).unwrap_or(fresh_id),
        })
    }

    /// `host[:port]` as the runtime saw it: what the Host header says.
    pub(super) fn authority(&self) -> &str {
        self.base.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Whether the caller wants to speak WebSocket (RFC 6455 §4.1).
    pub(super) fn is_websocket(&self) -> bool {
        self.upgrade
            .as_deref()
            .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    }
}

/// `(scheme://authority, path, query)`, without decoding or resolving anything: that is for `shared::path`.
pub(super) fn split_url(url: &str) -> (&str, &str, Option<&str>) {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    let (before, query) = match url.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (url, None),
    };
    let authority = before.find("://").map_or(0, |at| at.saturating_add(3));
    let slash = before
        .get(authority..)
        .and_then(|rest| rest.find('/'))
        .map(|at| at.saturating_add(authority));
    match slash.and_then(|at| before.split_at_checked(at)) {
        Some((base, path)) => (base, path, query),
        None => (before, "", query),
    }
}

fn is_harmless_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

/// One header of the request, several of the same name joined by `, `.
pub(super) fn request_header(request: &web_sys::Request, name: &str) -> Option<String> {
    header(request, name).ok().flatten()
}

/// Header names and values in the form in which they cross.
#[derive(Clone, Debug, Default)]
pub(super) struct HeaderList(String);

impl HeaderList {
    /// From what [`lines`](Self::lines) gave.
    pub(super) fn of(lines: String) -> Self {
        Self(lines)
    }

    /// Lines "name", "value", each with its line break.
    pub(super) fn lines(&self) -> &str {
        &self.0
    }

    /// Adds a header. A value with a character that no header may hold is left out: it would break the list.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return;
        }
        for part in [name, "\n", value, "\n"] {
            self.0.push_str(part);
        }
    }
}

impl HeaderList {
    /// Adds all headers of another list.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }
}

/// What to do with a request on its way to the origin. See `forward` in `http.js`.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five independent switches, which cross as one number"
)]
pub(super) struct ForwardRules {
    /// A route that is not public: caches are bypassed, the answer is private.
    pub(super) guarded: bool,
    /// Take the credential that the gate consumed away, and its proof.
    pub(super) remove_authorization: bool,
    pub(super) websocket: bool,
    /// The policy answers CORS on this route; what the origin says about it is dropped.
    pub(super) own_cors: bool,
    /// A DELETE has no body: on an MCP route it was not judged as a message.
    pub(super) bodiless_delete: bool,
    /// How long the connection may stay open on a guarded route.
    pub(super) lifetime_ms: u64,
}

/// Sends the request on and streams the answer back. `None` for a body where none is allowed; an
/// error means that the origin gave no answer, within `wait_ms` if that is given.
pub(super) async fn send(
    request: &web_sys::Request,
    url: &str,
    rules: ForwardRules,
    request_headers: &HeaderList,
    response_headers: &HeaderList,
    wait_ms: Option<u32>,
) -> Result<Option<web_sys::Response>, JsValue> {
    let flags = u32::from(rules.guarded)
        | u32::from(rules.remove_authorization) << 1
        | u32::from(rules.websocket) << 2
        | u32::from(rules.own_cors) << 3
        | u32::from(rules.bodiless_delete) << 4;
    #[expect(clippy::cast_precision_loss, reason = "at most a day")]
    let lifetime_ms = rules.lifetime_ms as f64;
    let answer = forward(
        request,
        url,
        flags,
        &request_headers.0,
        &response_headers.0,
        lifetime_ms,
        wait_ms.unwrap_or(0),
    )?;
    let answer = JsFuture::from(answer).await?;
    if answer.is_null() {
        Ok(None)
    } else {
        answer.dyn_into().map(Some)
    }
}

/// What went wrong, in one line for the log.
pub(super) fn describe(error: &JsValue) -> String {
    let message = error
        .dyn_ref::<js_sys::Error>()
        .map(|error| String::from(error.message()));
    message
        .or_else(|| error.as_string())
        .unwrap_or_else(|| "an unknown error".to_owned())
}

/// An answer of the gate's own.
pub(super) fn answer(
    status: u16,
    headers: &HeaderList,
    body: Option<&str>,
) -> Result<web_sys::Response, JsValue> {
    respond(status, &headers.0, body.map_or(JsValue::NULL, JsValue::from_str))
}

/// An answer whose body is bytes.
pub(super) fn answer_bytes(
    status: u16,
    headers: &HeaderList,
    body: &[u8],
) -> Result<web_sys::Response, JsValue> {
    respond(status, &headers.0, Uint8Array::from(body).into())
}

/// A request's body, read in two steps: its front, and then the rest if it is worth it.
pub(super) struct Body(JsValue);

impl Body {
    /// Starts reading.
    pub(super) fn open(request: &web_sys::Request) -> Result<Self, JsValue> {
        open_body(request).map(Self)
    }

    /// The first `count` bytes, or fewer if there are no more.
    pub(super) async fn front(&self, count: usize) -> Result<Vec<u8>, JsValue> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let bytes = JsFuture::from(front_of_body(&self.0, count)?).await?;
        Ok(Uint8Array::new(&bytes).to_vec())
    }

    /// The whole body, or `None` if it is longer than `limit`.
    pub(super) async fn whole(self, limit: usize) -> Result<Option<Vec<u8>>, JsValue> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let bytes = JsFuture::from(rest_of_body(&self.0, f64::from(limit))?).await?;
        Ok((!bytes.is_undefined()).then(|| Uint8Array::new(&bytes).to_vec()))
    }
}

/// The whole body, or `None` if it is longer than `limit`.
pub(super) async fn body(request: &web_sys::Request, limit: usize) -> Result<Option<Vec<u8>>, JsValue> {
    Body::open(request)?.whole(limit).await
}

/// Whether the optional KV namespace is bound.
pub(super) fn has_kv(env: &Env) -> bool {
    has_copy(env).unwrap_or(false)
}

/// The last copy in KV; `None` if there is none, or no namespace, or KV fails.
pub(super) async fn load_from_kv(env: &Env) -> Option<Vec<u8>> {
    let bytes = JsFuture::from(load_copy(env).ok()?).await.ok()?;
    (!bytes.is_undefined()).then(|| Uint8Array::new(&bytes).to_vec())
}

/// Replaces the copy in KV.
pub(super) async fn save_to_kv(env: &Env, bytes: &[u8]) -> Result<(), JsValue> {
    JsFuture::from(save_copy(env, Uint8Array::from(bytes))?)
        .await
        .map(|_| ())
}
