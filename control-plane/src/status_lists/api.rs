//! `GET /status-lists/{n}` and, for those who want to know them all, `GET /status-lists`. Anybody may ask, from any origin.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::lists;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::limit::Limited;

/// The media type of a list (draft §8.1).
const JWT: &str = "application/statuslist+jwt";

/// `GET /status-lists/{n}`.
pub async fn get(
    State(app): State<Arc<App>>,
    _: Limited,
    Path(number): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // 1. The number in its one form, as tokens have it.
    let parsed: Option<u64> = number.parse().ok();
    let number = parsed
        .filter(|parsed| parsed.to_string() == number)
        .ok_or_else(|| ApiError::not_found("status list"))?;
    // 2. Draft §8.4: a list as it was at another time is not offered.
    let historical =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(name, _)| name == "time");
    if historical {
        let detail = "this server has status lists as they are now only; leave `time` out";
        return Err(ApiError::new(Code::NotSupported, detail));
    }
    // 3. The one form that we have.
    if !accepts(&headers) {
        let detail = "status lists are application/statuslist+jwt here; accept that, or anything";
        return Err(ApiError::new(Code::NotAcceptable, detail));
    }
    // 4. The list.
    let list = lists::list(&app, number)
        .await?
        .ok_or_else(|| ApiError::not_found("status list"))?;
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == list.etag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, JWT)], list.token.clone()).into_response()
    };
    let headers = response.headers_mut();
    let seconds = app.config.status_lists.effective_ttl_seconds();
    for (name, value) in [
        (header::ETAG, list.etag.clone()),
        (header::CACHE_CONTROL, format!("public, max-age={seconds}")),
    ] {
        headers.insert(name, HeaderValue::from_str(&value).map_err(ApiError::internal)?);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// `GET /status-lists`: `status_list_aggregation_endpoint`.
pub async fn get_all(State(app): State<Arc<App>>, _: Limited) -> Result<Response, ApiError> {
    let lists = lists::all(&app).await?;
    let fixed = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "public, max-age=60"),
    ];
    Ok((fixed, json!({ "status_lists": lists }).to_string()).into_response())
}

/// RFC 9110 §12.5.1, as far as one offer needs it: the most exact range that matches decides. No header accepts all.
fn accepts(headers: &HeaderMap) -> bool {
    let mut best: Option<(u8, bool)> = None;
    let mut any = false;
    let texts = headers.get_all(header::ACCEPT).iter();
    for range in texts
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
    {
        any = true;
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let exactness = match parts.next().unwrap_or_default().as_str() {
            JWT => 2,
            "application/*" => 1,
            "*/*" => 0,
            _ => continue,
        };
        let refused = parts
            .filter_map(|part| part.strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok()))
            .any(|q| q <= 0.0);
        if best.is_none_or(|(known, _)| exactness > known) {
            best = Some((exactness, !refused));
        }
    }
    !any || best.is_some_and(|(_, wanted)| wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted() {
        for (accept, expected) in [
            (None, true),
            (Some("*/*"), true),
            (Some("application/*"), true),
            (Some("application/statuslist+jwt"), true),
            (Some("Application/StatusList+JWT; q=0.1"), true),
            (
                Some("application/statuslist+cwt, application/statuslist+jwt;q=0.5"),
                true,
            ),
            (Some("application/statuslist+cwt"), false),
            (Some("application/json"), false),
            (Some("application/statuslist+jwt;q=0, */*"), false),
            (Some("*/*;q=0"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().expect("a value"));
            }
            assert_eq!(accepts(&headers), expected, "{accept:?}");
        }
    }
}
