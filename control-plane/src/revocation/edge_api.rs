//! The two calls to an edge: push a message, fetch what it holds. Bodies are binary feed messages, answers JSON.
//!
//! What it does not: decide what to send, or believe an answer further than "this is what I hold".

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use shared::feed::{Head, MAX_MESSAGE};

use super::FeedError;

const MEDIA_TYPE: &str = "application/vnd.portcullis.feed";
const PUSH_LIMIT: Duration = Duration::from_secs(5);
/// For whole states: little to send may be much to take in.
const BULK_LIMIT: Duration = Duration::from_mins(1);
const MAX_ANSWER: usize = 64 * 1024;

/// What an edge says after a push, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What it holds; `None` if it holds nothing.
    pub(super) head: Option<Head>,
    /// Why envelopes changed nothing.
    pub(super) refused: Vec<String>,
}

#[derive(Deserialize)]
struct RawAnswer {
    epoch: Option<u64>,
    seq: Option<u64>,
    digest: Option<String>,
    #[serde(default)]
    refused: Vec<RawRefusal>,
}

#[derive(Deserialize)]
struct RawRefusal {
    code: String,
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
    let body = read(response, MAX_ANSWER).await?;
    let strange = |what: &str| FeedError::Edge(format!("the edge answered {status} with {what}"));
    let raw: RawAnswer =
        serde_json::from_slice(&body).map_err(|_| strange("something that is not the feed's JSON"))?;
    let head = match (raw.epoch, raw.seq, raw.digest) {
        (Some(epoch), Some(seq), Some(digest)) => {
            let digest = parse_digest(&digest).ok_or_else(|| strange("a malformed digest"))?;
            Some(Head { epoch, seq, digest })
        }
        (None, None, None) => None,
        _ => return Err(strange("half a head")),
    };
    // Codes go into logs and metrics: words only.
    let word = |code: &String| code.len() <= 40 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let refused = raw
        .refused
        .into_iter()
        .map(|refusal| refusal.code)
        .filter(word)
        .collect();
    Ok(Answer { head, refused })
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

fn address(url: &str, path: &str) -> String {
    format!("{}{path}", url.trim_end_matches('/'))
}

async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, FeedError> {
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
fn unreachable(error: reqwest::Error) -> FeedError {
    let mut text = error.without_url().to_string();
    if text.len() > 200 {
        "no connection".clone_into(&mut text);
    }
    FeedError::Edge(text)
}

fn parse_digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0u8; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digit = |at: usize| pair.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(digest)
}
