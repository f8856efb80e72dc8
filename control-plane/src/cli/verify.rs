//! `portcullis verify`: would the edge let this request in, and why (over the server's API).

use std::io::Read as _;

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, Format, Remote, output};

/// More than the longest credential.
const LIMIT: u64 = 16 * 1024;

#[derive(Debug, Args)]
#[command(after_help = "\
The credential comes on standard input: arguments can be seen by other users of the machine.

Examples:
  portcullis verify --path /v1/memory/x < key.txt                          allowed or not: exit code 0 or 1
  portcullis verify --path /v1/memory/x --method POST --explain < key.txt  each step, and what it found
  portcullis verify --path /public/x --anonymous --explain")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    remote: Remote,
    /// The path of the request
    #[arg(long)]
    path: String,
    /// Its method
    #[arg(long, default_value = "GET")]
    method: String,
    /// The origin of the browser that sends it
    #[arg(long)]
    origin: Option<String>,
    /// A request without a credential
    #[arg(long)]
    anonymous: bool,
    /// Show each step
    #[arg(long)]
    explain: bool,
}

/// Asks a running server.
pub(super) async fn run(args: VerifyArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let credential = if args.anonymous {
        None
    } else {
        Some(read_credential()?)
    };
    let body = json!({
        "credential": credential,
        "method": args.method,
        "path": args.path,
        "origin": args.origin,
    });
    let answer = client
        .call(Method::POST, "/v1/explain", &[], Some(body), None)
        .await?;
    if format == Format::Json {
        output::object(&answer, format);
    } else {
        if args.explain {
            output::table(&rows(&answer), &["step", "passed", "reason", "facts"], format);
        }
        output::line(answer["verdict"].as_str().unwrap_or_default());
    }
    if answer["allowed"] == true {
        Ok(())
    } else {
        Err(CliError::Refused(
            "the edge would not let this request in".to_owned(),
        ))
    }
}

pub(super) fn read_credential() -> Result<String, CliError> {
    let mut text = String::new();
    let read = std::io::stdin().take(LIMIT).read_to_string(&mut text);
    read.context("the credential could not be read from standard input")?;
    let text = text.trim();
    if text.is_empty() {
        return Err(CliError::Usage(
            "no credential on standard input; without one say --anonymous".to_owned(),
        ));
    }
    Ok(text.to_owned())
}

/// One row for each step, with its facts in one column.
pub(super) fn rows(answer: &Value) -> Vec<Value> {
    let facts = |step: &Value| {
        let facts = step["facts"].as_object().into_iter().flatten();
        let facts = facts.filter(|(_, value)| value.as_str().is_some_and(|text| !text.is_empty()));
        let facts = facts.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
        facts.collect::<Vec<_>>().join("  ")
    };
    let steps = answer["steps"].as_array().into_iter().flatten();
    let row = |step: &Value| json!({"step": step["step"], "passed": step["passed"], "reason": step["reason"], "facts": facts(step)});
    steps.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_row_with_its_facts() {
        let answer = json!({"steps": [
            {"step": "path", "passed": true, "reason": null, "facts": {"canonical": "/x"}},
            {"step": "scopes", "passed": false, "reason": "scope_insufficient", "facts": {"missing": "admin", "effective": ""}},
        ]});
        let rows = rows(&answer);
        assert_eq!(rows[0]["facts"], "canonical=/x");
        assert_eq!(
            (&rows[1]["facts"], &rows[1]["reason"]),
            (&json!("missing=admin"), &json!("scope_insufficient"))
        );
    }
}
