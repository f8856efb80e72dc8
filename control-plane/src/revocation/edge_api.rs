//! The calls to an edge: push a message, fetch what it holds, collect its usage. Bodies are binary.
//!
//! What it does not: decide what to send, or believe an answer further than "this is what I hold".

use std::time::Duration;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc2822;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap};
use shared::feed::MAX_MESSAGE;
use shared::time::{UnixMillis, UnixSeconds};

use super::FeedError;
use super::report::Report;
use crate::usage::MAX_BYTES;

/// Of feed messages.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.portcullis.feed";
const PUSH_LIMIT: Duration = Duration::from_secs(5);
/// For whole states: little to send may be much to take in.
const BULK_LIMIT: Duration = Duration::from_mins(1);
const MAX_ANSWER: usize = 64 * 1024;
const COLLECT_LIMIT: Duration = Duration::from_secs(15);

/// What an edge says after a push, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) report: Report,
    /// The edge's clock, in whole seconds, if it said what that shows.
    pub(super) date: Option<UnixMillis>,
}

/// Posts a feed message; `bulk` if it holds a snapshot.
pub(super) async fn push(
    http: &reqwest::Client,
    url: &str,
    message: Vec<u8>,
    bulk: bool,
) -> Result<Answer, FeedError> {
    let limit = if bulk { BULK_LIMIT } else { PUSH_LIMIT };
    let request = http
        .post(address(url, "/.portcullis/feed"))
        .timeout(limit)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .body(message);
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    // 403 comes from the gate, before the hub that knows the head was asked.
    if !matches!(status.as_u16(), 200 | 400 | 409) {
        return Err(FeedError::Edge(format!("the edge answered {status}")));
    }
    let date = date(response.headers());
    let body = read(response, MAX_ANSWER).await?;
    let report = Report::parse(&body)
        .map_err(|problem| FeedError::Edge(format!("the edge answered {status} with {problem}")))?;
    Ok(Answer { report, date })
}

/// RFC 9110 §6.6.1.
fn date(headers: &HeaderMap) -> Option<UnixMillis> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let at = OffsetDateTime::parse(text, &Rfc2822).ok()?.unix_timestamp();
    u64::try_from(at).ok().map(|at| UnixSeconds(at).millis())
}

/// Asks for everything that an edge holds; the answer is a feed message.
pub(super) async fn fetch(http: &reqwest::Client, url: &str, request: Vec<u8>) -> Result<Vec<u8>, FeedError> {
    let request = http
        .post(address(url, "/.portcullis/feed/fetch"))
        .timeout(BULK_LIMIT)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .body(request);
    let response = request.send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(FeedError::Edge(format!(
            "the edge answered {} to a fetch",
            response.status()
        )));
    }
    read(response, MAX_MESSAGE).await
}

/// Asks for usage; the answer is a parcel.
pub(super) async fn collect(
    http: &reqwest::Client,
    url: &str,
    question: Vec<u8>,
) -> Result<Vec<u8>, FeedError> {
    let request = http
        .post(address(url, "/.portcullis/usage/collect"))
        .timeout(COLLECT_LIMIT)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .body(question);
    let response = request.send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(FeedError::Edge(format!(
            "the edge answered {} to a question for usage",
            response.status()
        )));
    }
    read(response, MAX_BYTES).await
}

pub(crate) fn address(url: &str, path: &str) -> String {
    format!("{}{path}", url.trim_end_matches('/'))
}

pub(crate) async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, FeedError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > limit {
            return Err(FeedError::Edge("the edge's answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error's text without the URL, which an operator may have given a password.
pub(crate) fn unreachable(error: reqwest::Error) -> FeedError {
    let mut text = error.without_url().to_string();
    if text.len() > 200 {
        "no connection".clone_into(&mut text);
    }
    FeedError::Edge(text)
}
