//! Lists of the server, followed to their end.

use reqwest::Method;
use serde_json::Value;

use super::CliError;
use super::client::Client;

/// Every row of a list, page by page; `name` is the member of the answer that holds them.
pub(super) async fn all(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    name: &str,
) -> Result<Vec<Value>, CliError> {
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut asked = query.to_vec();
        asked.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page = client.call(Method::GET, path, &asked, None, None).await?;
        rows.extend(page[name].as_array().cloned().unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(rows),
        }
    }
}
