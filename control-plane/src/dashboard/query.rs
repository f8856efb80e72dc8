//! The query of a page. What nobody of us linked to is refused as a page.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::json::StrictQuery;
use crate::pages::PageError;
use crate::sessions::Instead;

/// Like [`StrictQuery`], with an error that people can read.
#[derive(Debug)]
pub struct PageQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for PageQuery<T> {
    type Rejection = Instead;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Instead> {
        match StrictQuery::from_request_parts(parts, state).await {
            Ok(StrictQuery(query)) => Ok(Self(query)),
            Err(error) => Err(PageError::bad_request(format!(
                "This link does not work: {}.",
                error.problem().detail
            ))
            .into()),
        }
    }
}
