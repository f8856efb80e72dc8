//! `portcullis edge init`: the configuration of one deployment of the Worker, and its secrets in a file beside it.
//!
//! It is the repository's own `wrangler.toml` with other values, so bindings, migrations and flags cannot drift from what is
//! tested. Written anew for each environment: an environment has a control plane, and so a feed, of its own. What it does
//! not: talk to Cloudflare; `npx wrangler deploy` does.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value, json};
use shared::crypto::base64url;
use shared::key::Environment;
use toml_edit::{DocumentMut, InlineTable, Item, value};
use url::Url;

use super::client::is_loopback;
use super::{CliError, Format, output, server};
use crate::audit::Actor;
use crate::config::{Config, Edge, EdgeMode};
use crate::edge::uplink;
use crate::random::Random;
use crate::revocation::{self, TrustLines};

/// What the repository deploys.
const OURS: &str = include_str!("../../../wrangler.toml");
/// What stands above what we write.
const HEAD: &str =
    "# Written by `portcullis edge init`. Secrets are not in here: see `npx wrangler secret list`.\n";

#[derive(Debug, Args)]
#[command(after_help = "\
Run it in a clone of the repository, where the control plane's configuration is (or with --config), once per environment.

Examples:
  portcullis edge init --resource https://api.example.com --origin https://origin.example.com --domain api.example.com
  portcullis edge init --environment staging --resource https://api.staging.example.com \\
      --origin https://origin.staging.example.com --route 'api.staging.example.com/*' --zone example.com
  portcullis edge init --edge dmz --resource … --origin …     an edge that fetches the feed (mode = \"pull\"), with its uplink key

Then: npx wrangler deploy --config wrangler.production.toml
      npx wrangler secret bulk .wrangler.production.secrets.json --config wrangler.production.toml    (and delete that file)")]
pub(super) struct InitArgs {
    /// The API's resource identifier and public URL, as `resource` in the configuration says [default: that]
    #[arg(long)]
    resource: Option<Url>,
    /// Where allowed requests go
    #[arg(long)]
    origin: Url,
    /// The environments whose keys the edge admits, separated by commas [default: `environments` in the configuration]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    environments: Vec<String>,
    /// Names the Worker and the files
    #[arg(long, default_value = "production")]
    environment: String,
    /// The edge's name in `edges`, if there are several; of one with mode = "pull" also makes an uplink key
    #[arg(long)]
    edge: Option<String>,
    /// A custom domain of the Worker
    #[arg(long)]
    domain: Option<String>,
    /// A route of a zone, such as `api.example.com/*`
    #[arg(long, requires = "zone", conflicts_with = "domain")]
    route: Option<String>,
    /// The zone of --route
    #[arg(long, requires = "route")]
    zone: Option<String>,
    /// The id of a KV namespace for cold starts without regions (npx wrangler kv namespace create SNAPSHOT)
    #[arg(long, value_name = "ID")]
    kv: Option<String>,
    /// The folder that the files are written to: the root of the repository
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Write over the configuration that is there; secrets are never written over
    #[arg(long)]
    force: bool,
}

/// What goes into the file, checked.
struct Deployment<'a> {
    args: &'a InitArgs,
    trust: TrustLines,
    issuer: String,
    resource: String,
    brand: String,
    environments: Vec<Environment>,
    pull: bool,
}

/// Writes both files.
pub(super) async fn run(config: Config, args: InitArgs, format: Format) -> Result<(), CliError> {
    let plain = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !plain(&args.environment) {
        return Err(CliError::Usage(
            "--environment takes small letters, digits and hyphens".into(),
        ));
    }
    let edge = chosen(&config, args.edge.as_deref())?;
    reachable(&config, &args, edge)?;
    let environments = admitted(&config, &args.environments)?;
    let (name, group, pull) = (edge.name.clone(), edge.group.clone(), edge.mode == EdgeMode::Pull);
    let file = args.folder.join(format!("wrangler.{}.toml", args.environment));
    let secrets_file = args
        .folder
        .join(format!(".wrangler.{}.secrets.json", args.environment));
    if file.exists() && !args.force {
        let text = format!("{} is there already; --force writes it anew", file.display());
        return Err(CliError::Refused(text));
    }
    let (issuer, resource, brand) = (
        config.issuer.clone(),
        config.resource.clone(),
        config.brand.clone(),
    );
    let app = server::open(config).await?;
    let mut tx = app.store.begin_read().await.map_err(anyhow::Error::from)?;
    let trust = revocation::trust(&mut tx, &app.keyring, group.as_deref())
        .await
        .map_err(anyhow::Error::from)?;
    drop(tx);
    let deployment = Deployment {
        args: &args,
        trust,
        issuer,
        resource,
        brand,
        environments,
        pull,
    };
    let text = deployment.configuration().context("the Worker's configuration")?;

    // Secrets first: a configuration without them would deploy, and one without the other is worth nothing.
    let kept = secrets_file.exists();
    if !kept {
        let mut secrets = Map::new();
        secrets.insert("ASSERTION_KEY".into(), assertion_key(&app.random)?.into());
        if pull {
            let made = uplink::create(&app, &name, &Actor::command_line()).await;
            let (_, key) = made.map_err(|error| CliError::Refused(error.to_string()))?;
            secrets.insert("UPLINK_KEY".into(), key.expose().into());
        }
        write_secrets(&secrets_file, &secrets).with_context(|| secrets_file.display().to_string())?;
    }
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    report(&deployment, &file, &secrets_file, kept, format);
    Ok(())
}

/// What was written, and what to do with it.
fn report(made: &Deployment<'_>, file: &Path, secrets: &Path, kept: bool, format: Format) {
    let (file, secrets) = (file.display().to_string(), secrets.display().to_string());
    let next = [
        format!("npx wrangler deploy --config {file}"),
        format!("npx wrangler secret bulk {secrets} --config {file}"),
        format!("rm {secrets}"),
        format!(
            "portcullis doctor --issuer {} --edge {}",
            made.issuer, made.resource
        ),
    ];
    let admits = made.environments();
    if format == Format::Json {
        output::object(
            &json!({"configuration": file, "secrets": secrets, "admits": admits, "next": next}),
            format,
        );
        return;
    }
    output::line(&format!("written   {file}"));
    output::line(&format!(
        "{} {secrets}, for its owner's eyes only",
        if kept { "kept     " } else { "written  " }
    ));
    output::line(&format!("admits:   {admits}"));
    for command in next {
        output::line(&format!("next      {command}"));
    }
}

/// What an edge in Cloudflare's network could not use is refused here, where it can still be mended.
fn reachable(config: &Config, args: &InitArgs, edge: &Edge) -> Result<(), CliError> {
    let bare = |url: &str| url.trim_end_matches('/').to_owned();
    let is_local = |text: &str| Url::parse(text).is_ok_and(|url| is_loopback(&url));
    let is_public = |text: &str| text.starts_with("https://") && !is_local(text);
    let Config { issuer, resource, .. } = config;
    let problem = if !is_public(issuer) {
        format!(
            "`issuer` is {issuer}, which no edge at Cloudflare can reach: set it to the https address of this server, and \
             restart the server"
        )
    } else if let Some(asked) = args
        .resource
        .as_ref()
        .filter(|url| bare(url.as_str()) != bare(resource))
    {
        format!(
            "--resource is {asked}, but `resource` in the configuration is {resource}, and that is what tokens name as their \
             audience: set it to the API's public URL, and restart the server"
        )
    } else if !is_public(resource) {
        format!(
            "`resource` is {resource}: set it to the https address under which callers reach the API, which is the edge's, and \
             restart the server"
        )
    } else if edge.mode == EdgeMode::Push && is_local(&edge.url) {
        format!(
            "the edge {} in `edges` is at {}, where this Worker will not be: set its url to the Worker's https address, and \
             restart the server",
            edge.name, edge.url
        )
    } else if is_loopback(&args.origin) {
        format!(
            "--origin is {}, which no edge at Cloudflare can reach",
            args.origin
        )
    } else {
        return Ok(());
    };
    Err(CliError::Usage(problem))
}

/// The environments whose keys are let in: some of those whose keys are made.
fn admitted(config: &Config, asked: &[String]) -> Result<Vec<Environment>, CliError> {
    if asked.is_empty() {
        return Ok(config.environments.clone());
    }
    let known = |name: &String| config.environments.iter().find(|known| known.as_str() == name);
    let unknown = |name: &String| {
        let all = config.environments.iter().copied().map(Environment::as_str);
        CliError::Usage(format!(
            "--environments: {name:?} is none of `environments` in the configuration, which are {}",
            all.collect::<Vec<_>>().join(", ")
        ))
    };
    asked
        .iter()
        .map(|name| known(name).copied().ok_or_else(|| unknown(name)))
        .collect()
}

/// The edge that this deployment is, by its name, or the only one.
fn chosen<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Edge, CliError> {
    let found = match name {
        Some(name) => config.edges.iter().find(|edge| edge.name == name),
        None if config.edges.len() == 1 => config.edges.first(),
        None => None,
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = config.edges.iter().map(|edge| edge.name.as_str()).collect();
        CliError::Usage(format!(
            "--edge takes one of `edges` in the control plane's configuration: {}",
            if names.is_empty() {
                "there is none yet".into()
            } else {
                names.join(", ")
            }
        ))
    })
}

impl Deployment<'_> {
    /// As the Worker takes them.
    fn environments(&self) -> String {
        let names = self.environments.iter().copied().map(Environment::as_str);
        names.collect::<Vec<_>>().join(",")
    }

    /// The repository's file with this deployment's values.
    fn configuration(&self) -> anyhow::Result<String> {
        // The comment on top is about our own.
        let body = OURS.lines().skip_while(|line| line.starts_with('#'));
        let mut document: DocumentMut = body.collect::<Vec<_>>().join("\n").parse()?;
        document["name"] = value(format!("portcullis-edge-{}", self.args.environment));
        document.remove("dev");
        if let Some(domain) = &self.args.domain {
            document["routes"] = route(&[("pattern", domain.into()), ("custom_domain", true.into())]);
        }
        if let (Some(pattern), Some(zone)) = (&self.args.route, &self.args.zone) {
            document["routes"] = route(&[("pattern", pattern.into()), ("zone_name", zone.into())]);
        }
        match &self.args.kv {
            Some(id) => document["kv_namespaces"][0]["id"] = value(id),
            // Nothing is created behind anybody's back.
            None => {
                document.remove("kv_namespaces");
            }
        }
        let url = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        let vars = [
            ("ORIGIN", url(&self.args.origin)),
            ("CONTROL_PLANE", self.issuer.clone()),
            ("ISSUER", self.issuer.clone()),
            ("RESOURCE", self.resource.clone()),
            ("BRAND", self.brand.clone()),
            ("ENVIRONMENTS", self.environments()),
            ("ROOT_KEY", self.trust.root_key.clone()),
            ("FEED_ID", self.trust.feed_id.clone()),
            // All of them, and the Cache API of every data centre.
            ("REGIONS", String::new()),
            ("COLO_CACHE", "on".to_owned()),
            (
                "PULL_FROM",
                if self.pull {
                    self.issuer.clone()
                } else {
                    String::new()
                },
            ),
        ];
        let table = document["vars"].as_table_mut().context("[vars]")?;
        for (name, text) in vars {
            table[name] = value(text);
        }
        Ok(format!("{HEAD}{document}"))
    }
}

/// `routes = [{ … }]`.
fn route(members: &[(&str, toml_edit::Value)]) -> Item {
    let mut table = InlineTable::new();
    for (name, member) in members {
        table.insert(*name, member.clone());
    }
    let mut routes = toml_edit::Array::new();
    routes.push(table);
    value(routes)
}

/// The seed of a key that only the edge has.
fn assertion_key(random: &Random) -> Result<String, CliError> {
    let seed: [u8; 32] = random.bytes().map_err(anyhow::Error::from)?;
    Ok(base64url(&seed))
}

fn write_secrets(file: &Path, secrets: &Map<String, Value>) -> anyhow::Result<()> {
    let mut handle = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    handle.write_all(serde_json::to_string_pretty(secrets)?.as_bytes())?;
    handle.write_all(b"\n")?;
    handle.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(more: &[&str]) -> InitArgs {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: InitArgs,
        }
        let always = [
            "x",
            "--resource",
            "https://api.example.com/",
            "--origin",
            "https://origin.example.com",
        ];
        let line = <Line as clap::Parser>::try_parse_from(always.iter().chain(more));
        line.expect("arguments").args
    }

    fn made(more: &[&str], pull: bool) -> toml::Table {
        let deployment = Deployment {
            args: &args(more),
            trust: TrustLines {
                root_key: "cm9vdA".into(),
                feed_id: "0a".repeat(16),
            },
            issuer: "https://auth.example.com".into(),
            resource: "https://api.example.com".into(),
            brand: "acme".into(),
            environments: vec![Environment::Live, Environment::Dev],
            pull,
        };
        deployment.configuration().expect("a file").parse().expect("TOML")
    }

    #[test]
    fn bindings_and_migrations_are_those_that_are_tested() {
        let (made, ours): (_, toml::Table) = (made(&[], false), OURS.parse().expect("TOML"));
        for name in [
            "main",
            "compatibility_date",
            "compatibility_flags",
            "durable_objects",
            "migrations",
            "build",
        ] {
            assert_eq!(made[name], ours[name], "{name}");
        }
        assert!(
            !made.contains_key("dev") && !made.contains_key("kv_namespaces") && !made.contains_key("routes")
        );
        let known: Vec<&String> = ours["vars"].as_table().expect("vars").keys().collect();
        let written: Vec<&String> = made["vars"].as_table().expect("vars").keys().collect();
        assert_eq!(
            written, known,
            "no variable but those that the repository explains"
        );
    }

    #[test]
    fn the_values_are_the_deployments() {
        let made = made(
            &[
                "--domain",
                "api.example.com",
                "--kv",
                "0123",
                "--environment",
                "staging",
            ],
            true,
        );
        assert_eq!(made["name"].as_str(), Some("portcullis-edge-staging"));
        assert_eq!(made["routes"][0]["custom_domain"].as_bool(), Some(true));
        assert_eq!(made["kv_namespaces"][0]["id"].as_str(), Some("0123"));
        let vars = made["vars"].as_table().expect("vars");
        for (name, text) in [
            ("RESOURCE", "https://api.example.com"),
            ("ISSUER", "https://auth.example.com"),
            ("PULL_FROM", "https://auth.example.com"),
            ("BRAND", "acme"),
            ("ENVIRONMENTS", "live,dev"),
            ("ROOT_KEY", "cm9vdA"),
        ] {
            assert_eq!(vars[name].as_str(), Some(text), "{name}");
        }
        let text = toml::to_string(&made).expect("TOML");
        assert!(
            !text.contains("portcullis-snapshot") && !text.contains("127.0.0.1"),
            "{text}"
        );
    }

    /// A configuration that an edge could use.
    fn public() -> Config {
        Config {
            issuer: "https://auth.example.com".into(),
            resource: "https://api.example.com".into(),
            edges: vec![Edge::push("hub", "https://api.example.com")],
            ..Config::default()
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let refused = |config: &Config, more: &[&str]| {
            let outcome = reachable(config, &args(more), &config.edges[0]);
            outcome.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(&public(), &[]), "");
        let pulled = Config {
            edges: vec![Edge::pull("hub")],
            ..public()
        };
        assert_eq!(refused(&pulled, &[]), "");
        for (change, problem) in [
            (
                (|config| config.issuer = "http://127.0.0.1:7070".into()) as fn(&mut Config),
                "`issuer` is http://127.0.0.1:7070",
            ),
            (
                |config| config.issuer = "https://localhost:7070".into(),
                "`issuer` is",
            ),
            (
                |config| config.resource = "http://127.0.0.1:8787".into(),
                "--resource is https://api.example.com/",
            ),
            (
                |config| config.resource = "https://api.example.org".into(),
                "but `resource` in the configuration is https://api.example.org",
            ),
            (
                |config| config.edges = vec![Edge::push("hub", "http://127.0.0.1:8787")],
                "the edge hub in `edges` is at http://127.0.0.1:8787",
            ),
        ] {
            let mut config = public();
            change(&mut config);
            let said = refused(&config, &[]);
            assert!(said.contains(problem), "{said}");
        }
        let mut local = args(&[]);
        local.resource = None;
        let config = Config {
            resource: "http://127.0.0.1:8787".into(),
            ..public()
        };
        let said = reachable(&config, &local, &config.edges[0]);
        assert!(matches!(&said, Err(CliError::Usage(said)) if said.contains("`resource` is http")));
        local.origin = "http://127.0.0.1:3000".parse().expect("a URL");
        let said = reachable(&public(), &local, &public().edges[0]);
        assert!(matches!(&said, Err(CliError::Usage(said)) if said.contains("--origin")));
    }

    #[test]
    fn an_edge_admits_some_of_the_environments_that_there_are() {
        let config = Config {
            environments: vec![Environment::Live, Environment::Test],
            ..public()
        };
        assert_eq!(admitted(&config, &[]).expect("both"), config.environments);
        let live = admitted(&config, &["live".to_owned()]).expect("one");
        assert_eq!(live, [Environment::Live]);
        for wrong in ["dev", "prod", ""] {
            let said = admitted(&config, &[wrong.to_owned()])
                .expect_err(wrong)
                .to_string();
            assert!(said.contains("live, test"), "{said}");
        }
    }

    #[test]
    fn secrets_are_for_their_owner_and_never_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secrets.json");
        write_secrets(&file, &Map::new()).expect("writes");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("there").permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(write_secrets(&file, &Map::new()).is_err());
    }
}
