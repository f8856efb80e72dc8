//! `portcullis issuers …`: other issuers that the organisation of the admin key trusts, on a running server.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::{CliError, Format, Remote, output};

const PATH: &str = "/v1/issuers";
const COLUMNS: [&str; 6] = ["id", "issuer", "scopes", "keys_state", "refreshed_at", "failure"];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis issuers create https://tenant.eu.auth0.com/ --audience https://api.example.com --scope memory:read
  portcullis issuers create https://id.example.com/realms/acme --audience api --scope memory:read \\
      --scope-claim realm_access.roles --scope-value reader=memory:read
  portcullis issuers update iss_000000001 --scope memory:read --scope memory:write
  portcullis issuers refresh iss_000000001
  portcullis issuers block iss_000000001 'auth0|5f7c8ec7c33c6c004bbafe82'
  portcullis issuers remove iss_000000001

Without --scope an issuer's tokens can do nothing.")]
pub(super) struct IssuersArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: IssuersCommand,
}

#[derive(Debug, Subcommand)]
enum IssuersCommand {
    /// Trust an issuer: its tokens get your organisation, whatever they claim
    Create {
        /// Its identifier, byte for byte as in `iss`
        issuer: String,
        #[command(flatten)]
        what: Box<What>,
    },
    /// List the issuers that your organisation trusts
    List,
    /// Show one, with its keys and who is blocked
    Show(One),
    /// Change one: what is not given stays
    Update {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        what: Box<What>,
    },
    /// Look for its keys now
    Refresh {
        #[command(flatten)]
        one: One,
        /// Only if this key is not known yet
        #[arg(long)]
        kid: Option<String>,
    },
    /// Trust it no more; tokens that it has made until now never count again
    Remove(One),
    /// Shut out one person of an issuer
    Block(Person),
    /// Let them in again
    Unblock(Person),
}

#[derive(Debug, Args)]
struct One {
    /// Its id: iss_…
    id: String,
    /// Wait until every edge goes by it (effective), until the hub has it (ack), or not at all (none)
    #[arg(long, default_value = "effective")]
    wait: String,
}

#[derive(Debug, Args)]
struct Person {
    #[command(flatten)]
    one: One,
    /// The subject as the issuer writes it
    subject: String,
}

#[derive(Debug, Args)]
struct What {
    /// Where its keys are; an empty text: where its discovery document says
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// What it writes into `aud` for this API; may be given several times
    #[arg(long = "audience", value_name = "TEXT")]
    audiences: Vec<String>,
    /// The most that its tokens can do; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// What its keys may be for, such as RS256; may be given several times
    #[arg(long = "algorithm", value_name = "ALG")]
    algorithms: Vec<String>,
    /// Which `typ` counts: at+jwt, JWT, none; may be given several times
    #[arg(long = "type", value_name = "TYP")]
    types: Vec<String>,
    /// The claim of the subject; dots lead further in
    #[arg(long, value_name = "CLAIM")]
    subject_claim: Option<String>,
    /// The claim of scopes or roles; dots lead further in
    #[arg(long, value_name = "CLAIM")]
    scope_claim: Option<String>,
    /// What a value there means here; may be given several times
    #[arg(long = "scope-value", value_name = "VALUE=SCOPE,SCOPE")]
    scope_values: Vec<String>,
    /// `all`, or the one workspace that its tokens count in
    #[arg(long, value_name = "WORKSPACE")]
    workspace: Option<String>,
    /// The claim that says which workspace
    #[arg(long, value_name = "CLAIM")]
    workspace_claim: Option<String>,
    /// What a value there means; may be given several times
    #[arg(long = "workspace-value", value_name = "VALUE=WORKSPACE")]
    workspace_values: Vec<String>,
}

impl What {
    fn body(self) -> Result<Map<String, Value>, CliError> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        let list = |texts: Vec<String>| (!texts.is_empty()).then(|| json!(texts));
        put("jwks_uri", self.jwks_uri.map(Value::from));
        put("audiences", list(self.audiences));
        put("scopes", list(self.scopes));
        put("algorithms", list(self.algorithms));
        put("token_types", list(self.types));
        put("subject_claim", self.subject_claim.map(claim));
        put("scope_claim", self.scope_claim.map(claim));
        let scopes = pairs("--scope-value", self.scope_values)?;
        let scopes: BTreeMap<_, Vec<String>> = scopes
            .into_iter()
            .map(|(value, names)| (value, names.split(',').map(str::to_owned).collect()))
            .collect();
        put("scope_values", (!scopes.is_empty()).then(|| json!(scopes)));
        put("workspace", self.workspace.map(Value::from));
        put("workspace_claim", self.workspace_claim.map(claim));
        let workspaces = pairs("--workspace-value", self.workspace_values)?;
        put(
            "workspace_values",
            (!workspaces.is_empty()).then(|| json!(workspaces)),
        );
        Ok(body)
    }
}

/// A name with dots is a path, but for one that is a URL: those are names of their own.
fn claim(text: String) -> Value {
    if text.contains("://") || !text.contains('.') {
        return text.into();
    }
    json!(text.split('.').collect::<Vec<_>>())
}

fn pairs(option: &str, texts: Vec<String>) -> Result<BTreeMap<String, String>, CliError> {
    let pair = |text: String| {
        let (value, meaning) = text
            .rsplit_once('=')
            .ok_or_else(|| CliError::Usage(format!("{option}: write VALUE=MEANING")))?;
        Ok((value.to_owned(), meaning.to_owned()))
    };
    texts.into_iter().map(pair).collect()
}

pub(super) async fn run(args: IssuersArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let call = async |method, path: &str, wait: Option<&str>, body: Option<Map<String, Value>>| {
        let query: Vec<(&str, String)> = wait.map(|wait| ("wait", wait.to_owned())).into_iter().collect();
        client
            .call(method, path, &query, body.map(Value::Object), None)
            .await
    };
    let answer = match args.command {
        IssuersCommand::Create { issuer, what } => {
            let mut body = what.body()?;
            body.insert("issuer".to_owned(), issuer.into());
            call(Method::POST, PATH, Some("effective"), Some(body)).await?
        }
        IssuersCommand::List => {
            let answer = call(Method::GET, PATH, None, None).await?;
            let rows = answer["issuers"].as_array().cloned().unwrap_or_default();
            output::table(&rows, &COLUMNS, format);
            return Ok(());
        }
        IssuersCommand::Show(one) => call(Method::GET, &path(&one, ""), None, None).await?,
        IssuersCommand::Update { one, what } => {
            let body = what.body()?;
            call(Method::PATCH, &path(&one, ""), Some(&one.wait), Some(body)).await?
        }
        IssuersCommand::Refresh { one, kid } => {
            let body = Map::from_iter([("kid".to_owned(), json!(kid))]);
            call(Method::POST, &path(&one, "/refresh"), Some(&one.wait), Some(body)).await?
        }
        IssuersCommand::Remove(one) => call(Method::DELETE, &path(&one, ""), Some(&one.wait), None).await?,
        IssuersCommand::Block(person) => subject(&person, "/block", call).await?,
        IssuersCommand::Unblock(person) => subject(&person, "/unblock", call).await?,
    };
    output::object(&answer, format);
    Ok(())
}

async fn subject(
    person: &Person,
    action: &str,
    call: impl AsyncFn(Method, &str, Option<&str>, Option<Map<String, Value>>) -> Result<Value, CliError>,
) -> Result<Value, CliError> {
    let body = Map::from_iter([("subject".to_owned(), person.subject.as_str().into())]);
    let path = path(&person.one, action);
    call(Method::POST, &path, Some(&person.one.wait), Some(body)).await
}

fn path(one: &One, action: &str) -> String {
    format!("{PATH}/{}{action}", one.id)
}
