//! Lists by the page: `limit`, and a cursor that is opaque outside. Every list of `/v1` pages like this.
//!
//! A handler asks [`limit`] and [`place`], has the store give one row more than that, and cuts it off with [`next`]: whether
//! there was one says whether there is a next page. The cursor is the sort key of the last row, so a page costs the same
//! wherever it is, and rows that come and go meanwhile neither repeat nor hide others.
//!
//! What it does not: count. No list says how many there are.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::crypto::{base64url, from_base64url};
use utoipa::IntoParams;

use crate::error::{ApiError, Code};

/// Rows of a page, unless somebody asks for another number.
pub const DEFAULT: u32 = 50;
/// The most rows of a page.
pub const LARGEST: u32 = 200;
/// A longer cursor is none of ours.
const MAX_CURSOR: usize = 4096;
/// Changes when a cursor of before must not be read any more.
const VERSION: u8 = 1;

/// The query of a list that has no conditions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// The number of rows that is asked for.
pub fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    limit_within(asked, DEFAULT, LARGEST)
}

/// The same for a list with pages of its own size.
pub fn limit_within(asked: Option<u32>, default: u32, largest: u32) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(default);
    if (1..=largest).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("must be from 1 to {largest}");
    Err(ApiError::invalid_field("limit", detail))
}

/// Cuts off the row that was read to see whether there are more; true if it was there.
pub fn cut<T>(rows: &mut Vec<T>, limit: u32) -> bool {
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > page;
    rows.truncate(page);
    more
}

/// Cuts off the row that was read beyond the page, and gives the cursor of the next page if there was one: `key` is what rows are
/// sorted by.
pub fn next<T, K: Serialize>(rows: &mut Vec<T>, limit: u32, key: impl FnOnce(&T) -> K) -> Option<String> {
    let more = cut(rows, limit);
    rows.last().filter(|_| more).map(|last| encode(&key(last)))
}

/// The sort key behind which a page begins; `None`: the first page.
pub fn place<K: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<K>, ApiError> {
    cursor.map(decode).transpose()
}

/// The cursor that stands for a sort key.
pub fn encode(key: &impl Serialize) -> String {
    base64url(
        serde_json::to_string(&(VERSION, key))
            .unwrap_or_default()
            .as_bytes(),
    )
}

/// The sort key that a cursor stands for.
pub fn decode<K: DeserializeOwned>(text: &str) -> Result<K, ApiError> {
    if text.len() > MAX_CURSOR {
        return Err(invalid());
    }
    let bytes = from_base64url(text).ok_or_else(invalid)?;
    let (version, key): (u8, K) = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if version == VERSION {
        Ok(key)
    } else {
        Err(invalid())
    }
}

/// The refusal of a cursor that we did not give out.
pub fn invalid() -> ApiError {
    let detail = "use `next_cursor` of the page before, unchanged";
    ApiError::new(Code::InvalidCursor, detail).field("cursor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_nothing_else_does() {
        let key = (1_795_302_520_000_u64, "ä".to_owned());
        let text = encode(&key);
        assert_eq!(decode::<(u64, String)>(&text).ok(), Some(key));
        let other = base64url(br#"[2,[1,"a"]]"#);
        for wrong in ["", "x", "%%%", &other, &text[1..], &"A".repeat(5000)] {
            let refused = decode::<(u64, String)>(wrong).map_err(|error| error.code());
            assert_eq!(refused, Err(Code::InvalidCursor), "{wrong}");
        }
        // Another list's cursor.
        assert!(decode::<u64>(&text).is_err());
    }

    #[test]
    fn a_page_is_never_longer_than_asked() {
        assert_eq!(limit(None).ok(), Some(50));
        assert_eq!(limit(Some(200)).ok(), Some(200));
        assert!(limit(Some(0)).is_err() && limit(Some(201)).is_err());
        let mut rows = vec![1, 2, 3];
        assert!(cut(&mut rows, 2) && rows == [1, 2]);
        assert!(!cut(&mut rows, 2) && rows == [1, 2]);
        let mut rows = vec![1, 2, 3];
        let cursor = next(&mut rows, 2, |row| *row);
        assert_eq!(place::<i32>(cursor.as_deref()).ok(), Some(Some(2)));
        assert_eq!((next(&mut rows, 2, |row| *row), rows), (None, vec![1, 2]));
        assert_eq!(place::<i32>(None).ok(), Some(None));
    }
}
