//! Printing results: JSON as it is, or aligned columns. The only place that writes to stdout.

use std::io::Write as _;

use serde_json::Value;

use super::Format;

/// Prints one line; a reader that went away is not an error.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// One result: an object as `name  value` lines.
pub(super) fn object(value: &Value, format: Format) {
    if format == Format::Json {
        return json(value);
    }
    let empty = serde_json::Map::new();
    let members = value.as_object().unwrap_or(&empty);
    let width = members.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        line(&format!("{name:width$}  {}", cell(value)));
    }
}

/// Several results: one row each, with these columns.
pub(super) fn table(rows: &[Value], columns: &[&str], format: Format) {
    if format == Format::Json {
        return json(&Value::Array(rows.to_vec()));
    }
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|column| column.to_uppercase()).collect()];
    lines.extend(
        rows.iter()
            .map(|row| columns.iter().map(|column| cell(&row[*column])).collect()),
    );
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    for row in &lines {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn json(value: &Value) {
    line(&serde_json::to_string_pretty(value).unwrap_or_default());
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
