//! Exports: whole, in order, as JSON lines and CSV; and what a spreadsheet would run does not.

use axum::http::Method;
use proptest::prelude::*;
use serde_json::Value;

use super::super::export::csv_cell;
use super::{seal, start, write};

#[tokio::test]
async fn an_export_is_whole_and_in_order() {
    let test = start(None).await;
    // More than one page of the stream.
    write(&test, Some(test.made.org), 1005).await;
    seal(&test).await;
    let answer = test.admin(Method::GET, "/v1/audit/export", None).await;
    assert_eq!(answer.headers["content-type"], "application/jsonl; charset=utf-8");
    let rows: Vec<Value> = answer
        .raw
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let positions: Vec<u64> = rows
        .iter()
        .map(|row| row["position"].as_u64().expect("sealed"))
        .collect();
    assert_eq!(positions, (1..=1009).collect::<Vec<_>>());
    assert_eq!(rows[1008]["detail"]["address"], "192.0.2.7");
    let some = test
        .admin(Method::GET, "/v1/audit/export?format=csv&target=thing+7", None)
        .await;
    assert_eq!(
        some.headers["content-disposition"],
        "attachment; filename=\"audit.csv\""
    );
    let lines: Vec<&str> = some.raw.split("\r\n").collect();
    assert_eq!((lines.len(), lines[2]), (3, ""));
    assert!(
        lines[1].contains(
            "\"test.write\",\"thing 7\",\"\",\"{\"\"address\"\":\"\"192.0.2.7\"\",\"\"number\"\":7}\""
        ),
        "{}",
        lines[1]
    );
}

#[test]
fn no_cell_is_a_formula() {
    for (text, cell) in [
        ("=1+1", "\"'=1+1\""),
        ("+1", "\"'+1\""),
        ("-1", "\"'-1\""),
        ("@SUM(A1)", "\"'@SUM(A1)\""),
        ("\t=1", "\"'\t=1\""),
        ("  =1", "\"'  =1\""),
        ("a\"b", "\"a\"\"b\""),
        ("plain", "\"plain\""),
    ] {
        assert_eq!(csv_cell(text), cell);
    }
}

proptest! {
    /// Whatever comes in, the cell is quoted, begins no formula, and can be read back.
    #[test]
    fn cells_read_back(text in "\\PC*") {
        let cell = csv_cell(&text);
        let inner = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).expect("quotes");
        let read = inner.replace("\"\"", "\"");
        prop_assert!(!read.starts_with(['=', '+', '-', '@', '\t', '\r']));
        let guarded = format!("'{text}");
        prop_assert!(read == text || read == guarded);
    }
}
