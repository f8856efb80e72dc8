//! `portcullis usage`: who asked for what at the edges, of a running server.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, Format, Remote, output};

const PATH: &str = "/v1/usage";
const PAGE: &str = "1000";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis usage                                            requests of the last day, by the hour
  portcullis usage --interval day --group-by credential       by day and credential
  portcullis usage --credential key_000000001 --group-by country,class     who still uses it
  portcullis usage --credential none --group-by reason        without a proven credential (first organisation only)

Up to when the numbers are whole, and what is missing in them, stands below the table.")]
pub(super) struct UsageArgs {
    #[command(flatten)]
    remote: Remote,
    /// From when on, as RFC 3339 [default: a day ago; 30 days with --interval day]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Up to when, as RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// hour or day
    #[arg(long, default_value = "hour")]
    interval: String,
    /// Of one credential: key_…, grt_…, a client's id; none: requests without a proven one
    #[arg(long)]
    credential: Option<String>,
    /// Of one route class
    #[arg(long)]
    class: Option<String>,
    /// With one outcome, for example allowed or revoked
    #[arg(long)]
    reason: Option<String>,
    /// Tell rows apart by these, separated by commas: credential, class, reason, country, colo
    #[arg(long, value_name = "NAMES")]
    group_by: Option<String>,
}

pub(super) async fn run(args: UsageArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let named = [
        ("from", &args.from),
        ("to", &args.to),
        ("credential", &args.credential),
        ("class", &args.class),
        ("reason", &args.reason),
        ("group_by", &args.group_by),
    ];
    let mut query: Vec<(&str, String)> = named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect();
    query.push(("interval", args.interval.clone()));
    query.push(("limit", PAGE.to_owned()));
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    let last = loop {
        let mut query = query.clone();
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut page = client.call(Method::GET, PATH, &query, None, None).await?;
        rows.extend(page["usage"].as_array().cloned().unwrap_or_default());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        // Times that were left open move from page to page; those of the first one count.
        for name in ["from", "to"] {
            if let Some(time) = page[name].as_str()
                && !query.iter().any(|(known, _)| *known == name)
            {
                query.push((name, time.to_owned()));
            }
        }
        if cursor.is_none() {
            break page.take();
        }
    };
    show(&args, rows, last, format);
    Ok(())
}

fn show(args: &UsageArgs, rows: Vec<Value>, mut page: Value, format: Format) {
    if format == Format::Json {
        page["usage"] = Value::Array(rows);
        if let Some(members) = page.as_object_mut() {
            members.remove("next_cursor");
        }
        return output::object(&page, format);
    }
    let group_by = args.group_by.as_deref().unwrap_or_default();
    let mut columns = vec!["from"];
    columns.extend(group_by.split(',').filter(|name| !name.is_empty()));
    columns.extend(["requests", "refused", "last_at"]);
    output::table(&rows, &columns, format);
    let mut age = json!({ "complete_until": page["complete_until"], "open_windows": page["open_windows"] });
    let incomplete = page["incomplete"].as_array().map_or(0, Vec::len);
    if incomplete > 0 {
        age["incomplete"] = json!(format!(
            "{incomplete} windows that were announced have not come: the numbers are too low; --output json lists them"
        ));
    }
    output::line("");
    output::object(&age, format);
}
