//! `portcullis policy …`: the route policy of a running server.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, Format, Remote, output};

const PATH: &str = "/v1/policy";
/// More than a server takes.
const LARGEST: u64 = 4 << 20;
const ROUTES: [&str; 7] = [
    "number",
    "methods",
    "path",
    "needs",
    "staleness",
    "class",
    "origin",
];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis policy show                             the routes in force
  portcullis policy show --document > policy.json    the document, to edit it
  portcullis policy check policy.json                every mistake, and what deserves a second look
  portcullis policy diff policy.json                 what it would change, route by route
  portcullis policy apply policy.json --reason 'reports are for everybody'
  portcullis policy test --path /v1/memory/x --method POST --scope memory:read
  portcullis policy test --path /v1/memory/x --credential < key.txt
  portcullis policy history
  portcullis policy rollback 7 --reason 'reports leaked'

With `policy_file` in its configuration a server shows, checks and tests, and changes nothing.")]
pub(super) struct PolicyArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Show what is in force, or an earlier version
    Show {
        /// This version instead of the one in force
        #[arg(long)]
        version: Option<u64>,
        /// The document alone, as JSON
        #[arg(long)]
        document: bool,
    },
    /// Say everything that is wrong with a document, and what deserves a second look
    Check {
        /// The document; `-` for standard input
        file: PathBuf,
    },
    /// Say what a document would change, route by route
    Diff {
        /// The document; `-` for standard input
        file: PathBuf,
    },
    /// Put a document in force
    Apply {
        /// The document; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Would this request pass, and why
    Test(TestArgs),
    /// Who put what in force, when and why; newest first
    History {
        /// So many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Put an earlier version in force again
    Rollback {
        /// Its number, from `history`
        version: u64,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
struct How {
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only if this version is in force; without it, the one that is when the command starts
    #[arg(long, value_name = "VERSION")]
    expect: Option<u64>,
    /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
    #[arg(long, default_value = "effective")]
    wait: String,
}

#[derive(Debug, Args)]
struct TestArgs {
    /// The path of the request
    #[arg(long)]
    path: String,
    /// Its method
    #[arg(long, default_value = "GET")]
    method: String,
    /// The origin of the browser that sends it
    #[arg(long)]
    origin: Option<String>,
    /// Somebody who holds this scope; may be given several times. Without it: a caller without a credential
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The holder of the credential on standard input
    #[arg(long, conflicts_with = "scopes")]
    credential: bool,
    /// Under this document instead of the one in force
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Show each step
    #[arg(long)]
    explain: bool,
}

pub(super) async fn run(args: PolicyArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    match args.command {
        PolicyCommand::Show { version, document } => show(&client, version, document, format).await,
        PolicyCommand::Check { file } => check(&client, &file, false, format).await,
        PolicyCommand::Diff { file } => check(&client, &file, true, format).await,
        PolicyCommand::Apply { file, how } => {
            let body = json!({ "policy": read(&file)?, "reason": how.reason });
            change(&client, (Method::PUT, PATH), &how, body, format).await
        }
        PolicyCommand::Test(test) => try_it(&client, test, format).await,
        PolicyCommand::History { limit } => {
            let query = [("limit", limit.to_string())];
            let path = format!("{PATH}/history");
            let answer = client.call(Method::GET, &path, &query, None, None).await?;
            let rows = answer["versions"].as_array().cloned().unwrap_or_default();
            let columns = ["version", "applied_at", "applied_by", "restored_from", "reason"];
            output::table(&rows, &columns, format);
            Ok(())
        }
        PolicyCommand::Rollback { version, how } => {
            let body = json!({ "version": version, "reason": how.reason });
            let path = format!("{PATH}/rollback");
            change(&client, (Method::POST, &path), &how, body, format).await
        }
    }
}

async fn show(client: &Client, version: Option<u64>, document: bool, format: Format) -> Result<(), CliError> {
    let path = version.map_or_else(|| PATH.to_owned(), |version| format!("{PATH}/history/{version}"));
    let mut answer = client.call(Method::GET, &path, &[], None, None).await?;
    if document {
        let document = serde_json::to_string_pretty(&answer["policy"]).unwrap_or_default();
        output::line(&document);
        return Ok(());
    }
    if format == Format::Json {
        output::object(&answer, format);
        return Ok(());
    }
    let policy = answer["policy"].take();
    output::object(&answer, format);
    for name in ["resource", "scopes"] {
        output::object(&json!({ name: policy[name] }), format);
    }
    let routes = policy["routes"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Value> = routes
        .iter()
        .enumerate()
        .map(|(n, route)| row(n, route))
        .collect();
    output::line("");
    output::table(&rows, &ROUTES, format);
    Ok(())
}

fn row(number: usize, route: &Value) -> Value {
    let list = |name: &str, between: &str| {
        let items = route[name].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).collect::<Vec<_>>().join(between)
    };
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let needs = if route["public"] == true {
        "public".to_owned()
    } else {
        let any = list("any_scope", " or ");
        let all = list("scopes", " and ");
        let both = [all, any].into_iter().filter(|part| !part.is_empty());
        or(both.collect::<Vec<_>>().join(", and "), "any valid credential")
    };
    let staleness = match (&route["strict"], &route["max_staleness_ms"]) {
        (Value::Bool(true), _) => "strict".to_owned(),
        (_, Value::Null) => "default".to_owned(),
        (_, ms) => format!("{ms} ms"),
    };
    json!({
        "number": number,
        "methods": or(list("methods", ","), "any"),
        "path": route["path"],
        "needs": needs,
        "staleness": staleness,
        "class": route["class"],
        "origin": route["origin"],
    })
}

async fn check(client: &Client, file: &Path, diff: bool, format: Format) -> Result<(), CliError> {
    let body = json!({ "policy": read(file)? });
    let path = format!("{PATH}/check");
    let answer = client.call(Method::POST, &path, &[], Some(body), None).await?;
    if format == Format::Json {
        output::object(&answer, format);
    } else {
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        if !list("problems").is_empty() {
            output::table(&list("problems"), &["place", "problem"], format);
        } else if diff {
            changes(&answer["changes"], format);
        }
        if !diff && !list("warnings").is_empty() {
            output::table(&list("warnings"), &["code", "place", "detail"], format);
        }
    }
    if answer["valid"] == true {
        if !diff && format == Format::Table {
            output::line("it can be applied");
        }
        return Ok(());
    }
    Err(CliError::Refused("the document cannot be applied".to_owned()))
}

fn changes(changes: &Value, format: Format) {
    let list = |name: &str| changes[name].as_array().cloned().unwrap_or_default();
    let (routes, settings) = (list("routes"), list("settings"));
    if routes.is_empty() && settings.is_empty() {
        output::line("nothing changes");
        return;
    }
    if !routes.is_empty() {
        output::table(&routes, &["change", "was", "is", "route"], format);
        let members = routes.iter().flat_map(|route| {
            let members = route["members"].as_array().cloned().unwrap_or_default();
            members.into_iter().map(|mut member| {
                member["route"] = route["is"].clone();
                member
            })
        });
        let members: Vec<Value> = members.collect();
        if !members.is_empty() {
            output::line("");
            output::table(&members, &["route", "member", "from", "to"], format);
        }
    }
    if !settings.is_empty() {
        output::line("");
        output::table(&settings, &["member", "from", "to"], format);
    }
}

async fn change(
    client: &Client,
    (method, path): (Method, &str),
    how: &How,
    body: Value,
    format: Format,
) -> Result<(), CliError> {
    let expected = if let Some(version) = how.expect {
        version
    } else {
        let current = client.call(Method::GET, PATH, &[], None, None).await?;
        let version = current["version"].as_u64();
        version.context("the server does not say which version is in force")?
    };
    let query = [("wait", how.wait.clone())];
    let tag = format!("\"{expected}\"");
    let mut answer = client.change(method, path, &query, body, &tag).await?;
    if format == Format::Json {
        output::object(&answer, format);
        return Ok(());
    }
    let (what, warnings) = (answer["changes"].take(), answer["warnings"].take());
    changes(&what, format);
    let warnings = warnings.as_array().cloned().unwrap_or_default();
    if !warnings.is_empty() {
        output::line("");
        output::table(&warnings, &["code", "place", "detail"], format);
    }
    output::line("");
    output::object(&answer, format);
    Ok(())
}

async fn try_it(client: &Client, test: TestArgs, format: Format) -> Result<(), CliError> {
    let mut body = json!({ "path": test.path, "method": test.method });
    let mut put = |name: &str, value: Value| {
        if let Some(body) = body.as_object_mut() {
            body.insert(name.to_owned(), value);
        }
    };
    if let Some(origin) = test.origin {
        put("origin", origin.into());
    }
    if !test.scopes.is_empty() {
        put("scopes", test.scopes.into());
    }
    if test.credential {
        put("credential", super::verify::read_credential()?.into());
    }
    if let Some(file) = &test.policy {
        put("policy", read(file)?);
    }
    let path = format!("{PATH}/test");
    let answer = client.call(Method::POST, &path, &[], Some(body), None).await?;
    if format == Format::Json {
        output::object(&answer, format);
    } else {
        if test.explain {
            let rows = super::verify::rows(&answer);
            output::table(&rows, &["step", "passed", "reason", "facts"], format);
        }
        output::line(answer["sentence"].as_str().unwrap_or_default());
    }
    if answer["allowed"] == true {
        Ok(())
    } else {
        let status = &answer["status"];
        Err(CliError::Refused(format!(
            "the request would be answered {status}"
        )))
    }
}

/// A document as JSON. Mistakes in it are the server's to name.
fn read(file: &Path) -> Result<Value, CliError> {
    let mut text = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .take(LARGEST)
            .read_to_end(&mut text)
            .context("cannot read the document from standard input")?;
    } else {
        std::fs::File::open(file)
            .and_then(|opened| opened.take(LARGEST).read_to_end(&mut text))
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    crate::policies::parse(&text).map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))
}
