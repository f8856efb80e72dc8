//! `portcullis audit`: who did what, of a running server.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::{CliError, Format, Remote, output};

const COLUMNS: [&str; 6] = ["at", "actor", "action", "target", "position", "detail"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis audit list --action api_key.revoke --from 2030-01-01T00:00:00Z
  portcullis audit list --target key_000000001                what became of a key
  portcullis audit export --as csv --file audit.csv
  portcullis audit verify                                     exit code 1 if anything was tampered with
  portcullis audit verify --anchor 5f70…                      and nothing was put back behind this head")]
pub(super) struct AuditArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List what was done, newest first
    List {
        #[command(flatten)]
        what: What,
        /// At most so many rows
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Write the trail into a file, oldest first
    Export {
        #[command(flatten)]
        what: What,
        /// jsonl or csv
        #[arg(long = "as", value_name = "FORM", default_value = "jsonl")]
        form: String,
        /// Where to; it must not exist [default: standard output]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Walk along the chain: is every row there, and as it was written
    Verify {
        /// The installation's own trail (first organisation only)
        #[arg(long)]
        installation: bool,
        /// A head of all seals (`audit_head`) that was noted elsewhere, in hexadecimal digits
        #[arg(long, value_name = "HEAD")]
        anchor: Option<String>,
    },
}

#[derive(Debug, Args)]
struct What {
    /// By whom: usr_…, cli_…, system, command-line
    #[arg(long)]
    actor: Option<String>,
    /// What, for example api_key.create
    #[arg(long)]
    action: Option<String>,
    /// To what: key_…, usr_…, grt_…
    #[arg(long)]
    target: Option<String>,
    /// From when on, as RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Up to when, as RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The installation's own trail (first organisation only)
    #[arg(long)]
    installation: bool,
}

impl What {
    fn query(&self) -> Vec<(&'static str, String)> {
        let named = [
            ("actor", &self.actor),
            ("action", &self.action),
            ("target", &self.target),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let mut query: Vec<_> = named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect();
        if self.installation {
            query.push(("trail", "installation".to_owned()));
        }
        query
    }
}

pub(super) async fn run(args: AuditArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    match args.command {
        AuditCommand::List { what, limit } => list(&client, &what, limit, format).await,
        AuditCommand::Export { what, form, file } => export(&client, &what, form, file).await,
        AuditCommand::Verify { installation, anchor } => {
            let mut query: Vec<_> = anchor.into_iter().map(|anchor| ("anchor", anchor)).collect();
            if installation {
                query.push(("trail", "installation".to_owned()));
            }
            verify(&client, query, format).await
        }
    }
}

async fn list(client: &Client, what: &What, limit: usize, format: Format) -> Result<(), CliError> {
    let mut rows: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    while rows.len() < limit {
        let mut query = what.query();
        query.push(("limit", limit.saturating_sub(rows.len()).min(200).to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.call(Method::GET, "/v1/audit", &query, None, None).await?;
        rows.extend(page["entries"].as_array().cloned().unwrap_or_default());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    output::table(&rows, &COLUMNS, format);
    if cursor.is_some() {
        eprintln!("there is more: raise --limit, narrow it down, or use `portcullis audit export`");
    }
    Ok(())
}

async fn export(client: &Client, what: &What, form: String, path: Option<PathBuf>) -> Result<(), CliError> {
    let mut query = what.query();
    query.push(("format", form));
    let mut response = client.download("/v1/audit/export", &query).await?;
    // It holds names and addresses of people: for its owner alone.
    let mut sink: Box<dyn std::io::Write> = match &path {
        Some(path) => Box::new(
            std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("cannot make {}", path.display()))?,
        ),
        None => Box::new(std::io::stdout()),
    };
    let broken = "the export broke off; what is there is not whole";
    while let Some(chunk) = response.chunk().await.context(broken)? {
        sink.write_all(&chunk).context("cannot write the export")?;
    }
    sink.flush().context("cannot write the export")?;
    Ok(())
}

async fn verify(client: &Client, query: Vec<(&'static str, String)>, format: Format) -> Result<(), CliError> {
    let mut cursor: Option<String> = None;
    let found = loop {
        let mut query = query.clone();
        query.extend(cursor.take().map(|cursor| ("after", cursor)));
        let part = client
            .call(Method::GET, "/v1/audit/verify", &query, None, None)
            .await?;
        cursor = part["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break part;
        }
    };
    output::object(&named(&found, format), format);
    if found["ok"] == true {
        return Ok(());
    }
    let bad = &found["bad"];
    let place = bad["position"]
        .as_u64()
        .map_or_else(String::new, |position| format!(" at position {position}"));
    let detail = bad["detail"].as_str().unwrap_or_default();
    Err(CliError::Failed(anyhow::anyhow!(
        "the audit trail was tampered with{place}: {detail}"
    )))
}

/// For people: of the two heads the one that `--anchor` takes says so.
fn named(found: &Value, format: Format) -> Value {
    let mut found = found.clone();
    if format == Format::Table
        && let Some(members) = found.as_object_mut()
        && let Some(head) = members.remove("audit_head")
    {
        members.insert("head of all seals (note this one)".to_owned(), head);
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_are_told_which_head_to_note() {
        let found = json!({"ok": true, "head": "ab", "audit_head": "cd"});
        assert_eq!(named(&found, Format::Json), found);
        let shown = named(&found, Format::Table);
        assert_eq!(shown["head of all seals (note this one)"], "cd");
        assert!(shown.get("audit_head").is_none());
    }
}
