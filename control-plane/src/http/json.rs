//! Strict input: one JSON object without duplicate or unknown members, query parameters likewise; every refusal names the
//! field. The body is capped by the router before anything here reads it.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{ApiError, Code};

/// For answers that no cache may keep.
pub const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// A body in which no members are known.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// A JSON body, and its exact bytes for digests.
#[derive(Debug)]
pub struct StrictJson<T>(pub T, pub Bytes);

/// A JSON body that may be absent.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

/// Query parameters.
#[derive(Debug)]
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let bytes = read(request, state).await?;
        require_json(&headers)?;
        Ok(Self(parse(&bytes)?, bytes))
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (value, _) = optional(request, state).await?;
        Ok(Self(value))
    }
}

/// A JSON body that may be absent, and its exact bytes.
pub(super) async fn optional<T: DeserializeOwned + Default, S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<(T, Bytes), ApiError> {
    let headers = request.headers().clone();
    let bytes = read(request, state).await?;
    if bytes.is_empty() {
        return Ok((T::default(), bytes));
    }
    require_json(&headers)?;
    Ok((parse(&bytes)?, bytes))
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(refusal(&source_text(&rejection), None)),
        }
    }
}

/// The innermost message of an error: the one that names the field.
fn source_text(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), source_text)
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection: BytesRejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::new(Code::BodyTooLarge, "the body is larger than this endpoint reads")
            } else {
                ApiError::new(Code::InvalidJson, "the body could not be read to its end")
            }
        })
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase());
    if essence.as_deref() == Some("application/json") {
        return Ok(());
    }
    Err(ApiError::new(
        Code::UnsupportedMediaType,
        "send JSON with `Content-Type: application/json`",
    ))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let value: Value = shared::strict_json::from_slice(bytes).map_err(|error| {
        ApiError::new(
            Code::InvalidJson,
            format!("the body must be one JSON object: {error}"),
        )
    })?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        refusal(
            &error.into_inner().to_string(),
            Some(path).filter(|path| path != "."),
        )
    })
}

/// serde's messages name the field between backticks.
fn refusal(message: &str, path: Option<String>) -> ApiError {
    let named = |marker: &str| {
        let rest = message.split_once(marker)?.1;
        rest.split_once('`').map(|(name, _)| name.to_owned())
    };
    if let Some(field) = named("unknown field `") {
        return ApiError::new(
            Code::UnknownField,
            format!("{message}; remove it or correct its name"),
        )
        .field(field);
    }
    if let Some(field) = named("missing field `") {
        return ApiError::new(Code::MissingField, format!("`{field}` is required")).field(field);
    }
    if let Some(field) = named("duplicate field `") {
        return ApiError::invalid_field(&field, format!("`{field}` is given twice"));
    }
    let error = ApiError::new(Code::InvalidField, message);
    match path {
        Some(path) => error.field(path),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        #[serde(default)]
        limit: Option<u32>,
    }

    fn refused(body: &str) -> (Code, Option<String>) {
        let error = parse::<Sample>(body.as_bytes()).expect_err(body);
        (error.code(), error.problem().field.clone())
    }

    #[test]
    fn every_refusal_names_its_field() {
        let field = |name: &str| Some(name.to_owned());
        assert_eq!(
            refused(r#"{"name":"a","nam":1}"#),
            (Code::UnknownField, field("nam"))
        );
        assert_eq!(refused("{}"), (Code::MissingField, field("name")));
        assert_eq!(refused(r#"{"name":1}"#), (Code::InvalidField, field("name")));
        assert_eq!(
            refused(r#"{"name":"a","limit":-1}"#),
            (Code::InvalidField, field("limit"))
        );
        for text in [
            "",
            "[]",
            "null",
            "{",
            r#"{"name":"a"} x"#,
            r#"{"name":"a","name":"b"}"#,
        ] {
            assert_eq!(refused(text).0, Code::InvalidJson, "{text}");
        }
        let fine: Sample = parse(br#"{"name":"a","limit":2}"#).expect("valid");
        assert_eq!((fine.name.as_str(), fine.limit), ("a", Some(2)));
    }

    #[tokio::test]
    async fn query_parameters_are_strict() {
        let refused = async |query: &str| {
            let request = Request::builder()
                .uri(format!("/?{query}"))
                .body(())
                .expect("request");
            let error = StrictQuery::<Sample>::from_request_parts(&mut request.into_parts().0, &())
                .await
                .expect_err(query);
            (error.code(), error.problem().field.clone())
        };
        assert_eq!(
            refused("name=a&x=1").await,
            (Code::UnknownField, Some("x".to_owned()))
        );
        assert_eq!(
            refused("name=a&name=b").await,
            (Code::InvalidField, Some("name".to_owned()))
        );
        assert_eq!(
            refused("limit=1").await,
            (Code::MissingField, Some("name".to_owned()))
        );
        assert_eq!(refused("name=a&limit=x").await.0, Code::InvalidField);
    }
}
