//! The fast path: one synchronous call for a request that needs nothing but memory.
//!
//! `entry.js` writes what the gate looks at into a piece of this module's memory and calls [`gate_decide`]. What comes back is
//! a few numbers beside it: let it in, as whom, to where; or an answer as text; or nothing, and then the request goes the other
//! way, through [`super::fetch`], which may read and wait. Neither future, promise, closure nor object of the runtime is made.
//! The decision is the same function as there ([`decide::ask`]); what is not for this path is left to the other one *before* it
//! counts as decided.
//!
//! Who was let in is a number, too. Under it `entry.js` keeps the identity headers; it asks for their text once.
#![expect(unreachable_pub, reason = "what wasm-bindgen exports has to be `pub`")]

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use shared::scope::ScopeSet;
use shared::time::UnixMillis;
use shared::verdict::{Outcome, Reason};
use wasm_bindgen::prelude::*;
use worker::Env;

use super::config::EdgeConfig;
use super::decide::{self, Stop};
use super::http::{HeaderList, split_url};
use super::isolate::{self, Latch};
use super::response::Answer;
use super::{assertion, cors, feed, gateway, metadata, self_revoke, usage, verify};
use crate::answer;
use crate::original;
use crate::usage::Mark;
use crate::validator::{Decision, Freshness, Grant, RequestFacts, Statement};

/// Of the text, in both directions. A credential and a path have at most 8 KiB each.
const TEXT: usize = 32 << 10;
/// What [`gate_decide`] answers with: go the other way.
const OTHER_WAY: u32 = 0;
/// Let in.
const PASS: u32 = 1;
/// An answer: its headers and its body are in the text.
const ANSWER: u32 = 2;

/// Flags of a pass, as `forward` in `http.js` has them.
const GUARDED: u32 = 1;
const REMOVE_AUTHORIZATION: u32 = 2;
const OWN_CORS: u32 = 8;
/// It only asked: it goes nowhere.
const ASKED: u32 = 32;

/// The numbers beside a verdict, in this order.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    /// 1: a refresh of the state is due, and is this request's to start.
    refresh: u32,
    /// Of an answer.
    status: u32,
    /// Bytes of header lines at the front of the text.
    headers: u32,
    /// Bytes of the body behind them; of a pass, of the gate's signed word.
    body: u32,
    /// 0: nobody, on a public route.
    identity: u32,
    /// Of a pass.
    flags: u32,
    /// Under which number [`gate_upstream`] has the address to send it to.
    upstream: u32,
    /// Where the path starts in the URL.
    path_at: u32,
    /// How long the connection may stay open, in seconds.
    lifetime: u32,
    /// The window of usage that has opened with this request, and needs a keeper; 0: none has.
    window: u32,
}

impl Numbers {
    const COUNT: usize = 10;

    fn write(self, to: &mut [u32]) {
        let all: [u32; Self::COUNT] = [
            self.refresh,
            self.status,
            self.headers,
            self.body,
            self.identity,
            self.flags,
            self.upstream,
            self.path_at,
            self.lifetime,
            self.window,
        ];
        for (place, number) in to.iter_mut().zip(all) {
            *place = number;
        }
    }
}

/// What JavaScript and this module have in common. Neither vector ever moves.
struct Window {
    numbers: Vec<u32>,
    text: Vec<u8>,
    /// Who was let in last.
    last: Option<(Arc<Statement>, ScopeSet)>,
    /// Where requests go, by number. Never shrinks: policies do not change that often.
    upstreams: Vec<String>,
}

thread_local! {
    static WINDOW: RefCell<Window> = RefCell::new(Window {
        numbers: vec![0; Numbers::COUNT],
        text: vec![0; TEXT],
        last: None,
        upstreams: Vec::new(),
    });
}

fn with_window<T>(use_it: impl FnOnce(&mut Window) -> T) -> Option<T> {
    WINDOW.with(|window| {
        let mut window = window.try_borrow_mut().ok()?;
        Some(use_it(&mut window))
    })
}

/// The module's memory.
#[wasm_bindgen]
pub fn gate_memory() -> JsValue {
    wasm_bindgen::memory()
}

/// Where in it the numbers are.
#[wasm_bindgen]
pub fn gate_numbers() -> *const u32 {
    with_window(|window| window.numbers.as_ptr()).unwrap_or(std::ptr::null())
}

/// Where in it the text is.
#[wasm_bindgen]
pub fn gate_text() -> *const u8 {
    with_window(|window| window.text.as_ptr()).unwrap_or(std::ptr::null())
}

/// How long that may be, in bytes.
#[wasm_bindgen]
pub fn gate_text_length() -> u32 {
    u32::try_from(TEXT).unwrap_or(0)
}

/// Decides about the request in the first `length` bytes of the text: ASCII lines, with a NUL for what was not sent. Method,
/// URL, Authorization, Origin, request id, the caller's country; at the verify endpoint also X-Original-Method, X-Forwarded-Method, X-Original-URI,
/// X-Forwarded-Uri. It has neither DPoP nor Portcullis-Min-Seq, and is no upgrade. `now`: milliseconds.
#[wasm_bindgen]
pub fn gate_decide(length: u32, now: f64) -> u32 {
    let Some(text) = with_window(|window| mem::take(&mut window.text)) else {
        return OTHER_WAY;
    };
    let decided = usize::try_from(length)
        .ok()
        .and_then(|length| text.get(..length))
        .and_then(|input| std::str::from_utf8(input).ok())
        .and_then(|input| run(input, millis(now)));
    with_window(|window| {
        window.text = text;
        match decided {
            Some((
                Verdict::Pass(numbers, cors, word),
                Chores {
                    refresh,
                    window: opened,
                },
            )) => {
                let word = word.as_deref().unwrap_or_default();
                let Some([headers, body]) = put(&mut window.text, [cors.lines(), word]) else {
                    return OTHER_WAY;
                };
                let numbers = Numbers {
                    refresh,
                    headers,
                    body,
                    window: opened,
                    ..numbers
                };
                numbers.write(&mut window.numbers);
                PASS
            }
            Some((
                Verdict::Answer(answer),
                Chores {
                    refresh,
                    window: opened,
                },
            )) => {
                let Some([headers, body]) = put(&mut window.text, [answer.headers.lines(), &answer.body])
                else {
                    return OTHER_WAY;
                };
                let numbers = Numbers {
                    refresh,
                    status: answer.status.into(),
                    headers,
                    body,
                    window: opened,
                    ..Numbers::default()
                };
                numbers.write(&mut window.numbers);
                ANSWER
            }
            None => OTHER_WAY,
        }
    })
    .unwrap_or(OTHER_WAY)
}

/// Puts the identity headers of who was let in last into the text, as lines; gives their length.
#[wasm_bindgen]
pub fn gate_identity() -> u32 {
    let lines = with_window(|window| {
        let (statement, effective) = window.last.as_ref()?;
        let lines = |isolate: &mut isolate::Isolate| {
            let policy = isolate.policy()?;
            Some(decide::identity(statement, *effective, policy))
        };
        let lines = isolate::with(lines).flatten()?;
        let [length, _] = put(&mut window.text, [lines.lines(), ""])?;
        Some(length)
    });
    lines.flatten().unwrap_or(0)
}

/// Where requests with this number go, without a slash at the end.
#[wasm_bindgen]
pub fn gate_upstream(number: u32) -> String {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    with_window(|window| window.upstreams.get(at).cloned())
        .flatten()
        .unwrap_or_default()
}

/// Keeps the window of usage that opened with a request, behind it.
#[wasm_bindgen]
pub async fn gate_keep(env: Env, window: u32) {
    usage::keep(window.into(), &env).await;
}

/// Reads the region, behind the request that [`gate_decide`] gave this to at that time.
#[wasm_bindgen]
pub async fn gate_refresh(env: Env, now: f64) {
    feed::refresh(&env, millis(now)).await;
}

/// The answer in place of an origin that gave none, with these CORS headers.
#[wasm_bindgen]
pub fn gate_unreachable(
    cors: String,
    request_id: &str,
    error: &JsValue,
) -> Result<web_sys::Response, JsValue> {
    gateway::unreachable(error, request_id, HeaderList::of(cors))
}

/// A float of milliseconds: whole and positive. `as` saturates, and never panics.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; a time in milliseconds fits"
)]
fn millis(now: f64) -> UnixMillis {
    UnixMillis(now as u64)
}

/// Writes two texts one behind the other; gives their lengths, or nothing if they are too long together.
fn put(to: &mut [u8], parts: [&str; 2]) -> Option<[u32; 2]> {
    let mut at = 0usize;
    for part in parts {
        let end = at.checked_add(part.len())?;
        to.get_mut(at..end)?.copy_from_slice(part.as_bytes());
        at = end;
    }
    let length = |part: &str| u32::try_from(part.len()).ok();
    let [first, second] = parts;
    Some([length(first)?, length(second)?])
}

enum Verdict {
    /// With the CORS headers of the answer, and the gate's signed word to the origin.
    Pass(Numbers, HeaderList, Option<Arc<str>>),
    Answer(Answer),
}

/// What a request says of itself.
struct Asked<'a> {
    authorization: Option<&'a str>,
    origin: Option<&'a str>,
    request_id: &'a str,
    /// Empty where nobody knows.
    country: &'a str,
    query: Option<&'a str>,
    /// Where the path starts in the URL.
    path_at: usize,
    /// Judged are method and path; at the verify endpoint, those of another request.
    method: &'a str,
    path: &'a str,
    /// It only asks.
    asks: bool,
}

impl<'a> Asked<'a> {
    /// `None`: not for this path.
    fn read(input: &'a str) -> Option<Self> {
        let mut lines = input.split('\n');
        let (method, url) = (lines.next()?, lines.next()?);
        let mut next = || lines.next().map(|line| (line != "\0").then_some(line));
        let (authorization, origin, request_id, country) = (next()?, next()?, next()??, next()??);
        let (base, path, query) = split_url(url);
        #[cfg(feature = "test-routes")]
        if path == super::test_routes::PANIC_ON_THE_FAST_PATH {
            super::test_routes::provoke();
        }
        let asks = path == verify::PATH;
        let (method, path) = if asks {
            if !matches!(method, "GET" | "HEAD" | "POST") {
                return None;
            }
            let methods = (next()?, next()?);
            original::named(methods, (next()?, next()?))?
        } else {
            (method, path)
        };
        // With an escape it may be the gate's own address in disguise.
        let own = path.contains('%') || gateway::is_own(path) || (!asks && metadata::is_here(path));
        let unusual = url.contains('#') || method == "OPTIONS" || answer::is_refused_method(method);
        (!own && !unusual).then_some(Self {
            authorization,
            origin,
            request_id,
            country,
            query,
            path_at: base.len(),
            method,
            path,
            asks,
        })
    }
}

/// What else there is to do behind the answer.
struct Chores {
    /// 1: read the region.
    refresh: u32,
    /// Keep this window.
    window: u32,
}

/// The verdict. `None`: nothing was decided.
fn run(input: &str, now: UnixMillis) -> Option<(Verdict, Chores)> {
    let asked = Asked::read(input)?;
    let config = EdgeConfig::known()?;
    isolate::with(|isolate| {
        // The first count names the isolate.
        if !isolate.usage.is_named() {
            return None;
        }
        // With a brake on addresses, what is bad or new is the other path's, which knows the address.
        let brakes = isolate.policy()?.policy.failures_per_address.is_some();
        let facts = RequestFacts {
            method: asked.method,
            path: asked.path,
            authorization: asked.authorization,
            origin: asked.origin,
            braked: brakes,
            ..RequestFacts::default()
        };
        let (decision, policy, cache) = decide::ask(isolate, &facts, Freshness::default(), &config, now)?;
        let (verdict, mark, reason) = match decision {
            Decision::Refresh(_) => return None,
            Decision::Refuse(refusal) => {
                let is_bad = matches!(
                    refusal.reason.outcome(),
                    Outcome::InvalidToken | Outcome::TooManyRequests
                );
                // Which operation it is, the other path has to read in further headers.
                if brakes && is_bad || refusal.route.is_some_and(|route| route.mcp.is_some()) {
                    return None;
                }
                let mark = Mark::of(refusal.statement.as_ref(), refusal.route);
                let stop = decide::stop(&refusal, policy, asked.origin);
                (
                    Verdict::Answer(refusal_of(stop, &asked, &config)),
                    mark,
                    refusal.reason,
                )
            }
            Decision::Allow(grant) => {
                let origin = upstream(config.upstream(grant.route.route.origin.as_deref())?)?;
                let (identity, reason) = match &grant.statement {
                    Some(statement) => (cache.identity(statement, grant.effective)?, Reason::Allowed),
                    None => (0, Reason::Public),
                };
                let mark = Mark::of(grant.statement.as_ref(), Some(grant.route));
                let (numbers, cors) = pass(&grant, identity, origin, &asked)?;
                let caller = (!asked.asks).then(|| decide::caller(&grant, asked.method, policy, &config));
                let word = assertion::word(caller.flatten(), &config);
                (Verdict::Pass(numbers, cors, word), mark, reason)
            }
        };
        // Here it is final.
        isolate.count_decision(true);
        let opened = isolate.usage.count(&mark, reason, asked.country, now);
        let due = isolate.is_refresh_due(now);
        let refresh = due && matches!(isolate.take_latch(now), Latch::Taken(_));
        let chores = Chores {
            refresh: u32::from(refresh),
            // A window that is never kept is closed by a later request.
            window: opened.and_then(|window| u32::try_from(window).ok()).unwrap_or(0),
        };
        Some((verdict, chores))
    })
    .flatten()
}

fn refusal_of(stop: Stop, asked: &Asked<'_>, config: &EdgeConfig) -> Answer {
    let (authorization, id) = (asked.authorization, asked.request_id);
    if asked.asks {
        verify::refusal(stop, asked.query, authorization, id, asked.path, config)
    } else {
        gateway::refusal(stop, authorization, id, asked.path, config)
    }
}

/// What there is to do for a request that is let in. `None`: more than this path does.
fn pass(grant: &Grant<'_>, identity: u32, upstream: u32, asked: &Asked<'_>) -> Option<(Numbers, HeaderList)> {
    let route = grant.route;
    if route.mcp.is_some() || route.limit.is_some() || grant.proof.is_some() {
        return None;
    }
    let mut numbers = Numbers {
        identity,
        ..Numbers::default()
    };
    let cors = if asked.asks {
        numbers.flags = ASKED;
        HeaderList::default()
    } else {
        let ends = route.route.origin.as_deref() == Some("control-plane") && grant.path == self_revoke::PATH;
        // What goes out is the rest of the URL as it stands.
        if ends || grant.path != asked.path {
            return None;
        }
        let public = route.route.public;
        let removes = if public {
            gateway::has_credential(asked.authorization)
        } else {
            !route.route.forward_credential
        };
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        numbers.flags = flag(!public, GUARDED)
            | flag(removes, REMOVE_AUTHORIZATION)
            | flag(cors::is_ours(route), OWN_CORS);
        numbers.upstream = upstream;
        numbers.path_at = u32::try_from(asked.path_at).ok()?;
        numbers.lifetime = u32::try_from(route.max_connection_seconds).unwrap_or(u32::MAX);
        cors::answer_headers(Some(route), asked.origin)
    };
    with_window(|window| {
        window.last = grant
            .statement
            .clone()
            .map(|statement| (statement, grant.effective));
    })?;
    Some((numbers, cors))
}

/// The number of an address.
fn upstream(url: &str) -> Option<u32> {
    with_window(|window| {
        let known = window.upstreams.iter().position(|known| known == url);
        let at = known.unwrap_or_else(|| {
            window.upstreams.push(url.to_owned());
            window.upstreams.len().saturating_sub(1)
        });
        u32::try_from(at).ok()
    })
    .flatten()
}
