//! Pages of lists: how many rows, and where the next page begins. A cursor is opaque outside: base64url of a JSON list.

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::crypto::{base64url, from_base64url};

use crate::error::{ApiError, Code};

/// Without a word.
pub const DEFAULT_PAGE: u32 = 50;
/// The most.
pub const LARGEST_PAGE: u32 = 200;
/// The longest cursor: a name of 100 characters and an id, or an address.
const MAX_CURSOR: usize = 1024;

/// How many rows a page has.
pub fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(DEFAULT_PAGE);
    if (1..=LARGEST_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::invalid_field(
        "limit",
        format!("must be from 1 to {LARGEST_PAGE}"),
    ))
}

/// The text of a cursor.
pub fn encode(place: &impl Serialize) -> String {
    base64url(serde_json::to_string(place).unwrap_or_default().as_bytes())
}

/// The place that a cursor of ours stands for.
pub fn decode<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    let read = || {
        let bytes = from_base64url(text).filter(|_| text.len() <= MAX_CURSOR)?;
        serde_json::from_slice(&bytes).ok()
    };
    read().ok_or_else(|| {
        let detail = "use `next_cursor` of the page before, unchanged";
        ApiError::new(Code::InvalidCursor, detail).field("cursor")
    })
}

/// Cuts a list that was read with one row too many, and says whether there was one.
pub fn cut<T>(rows: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nothing_else_is_one() {
        let place = ("ä\"b".to_owned(), 7u64);
        assert_eq!(decode::<(String, u64)>(&encode(&place)).expect("ours"), place);
        for wrong in ["", "x", "W10", &"A".repeat(2000), &encode(&"other")] {
            let error = decode::<(String, u64)>(wrong).expect_err(wrong);
            assert_eq!(error.code(), Code::InvalidCursor);
        }
    }

    #[test]
    fn a_page_has_its_limits() {
        assert_eq!(limit(None).expect("the default"), DEFAULT_PAGE);
        assert_eq!(limit(Some(LARGEST_PAGE)).expect("the most"), LARGEST_PAGE);
        assert!(limit(Some(0)).is_err() && limit(Some(LARGEST_PAGE + 1)).is_err());
        let mut rows = vec![1, 2, 3];
        assert!(cut(&mut rows, 2) && rows == [1, 2]);
        assert!(!cut(&mut rows, 2));
    }
}
