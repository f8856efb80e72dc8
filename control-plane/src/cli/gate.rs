//! `portcullis gate`: the gate as a process beside an API, without a database. The work is `portcullis_edge`'s; here are the
//! options. Variables have the names that they have in the Worker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use portcullis_edge::server::{self as gate, Listeners, Options, ServeError};
use portcullis_edge::{AssertionSigner, Gate, Settings, SettingsError};
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::{CliError, server};
use crate::config::{LogFormat, environment_variable};

const EXAMPLES: &str = "\
The gate fetches the feed from the control plane, which never connects to it. Configure an edge with the mode \"pull\" there,
make its key with `portcullis edge key NAME`, and take ROOT_KEY and FEED_ID from `portcullis feed trust`.

Examples:
  # A reverse proxy before an API on port 3000, the secrets in files
  portcullis gate --listen 0.0.0.0:8080 --upstream http://127.0.0.1:3000 \\
    --control-plane https://id.example.com --issuer https://id.example.com --resource https://api.example.com \\
    --root-key \"$ROOT_KEY\" --feed-id \"$FEED_ID\" --uplink-key-file /run/secrets/uplink-key

  # With ORIGIN, CONTROL_PLANE, ISSUER, RESOURCE, ROOT_KEY, FEED_ID and UPLINK_KEY in the environment, `portcullis gate` is enough.

  # Without --upstream it only answers those who ask (with one they ask at an address of their own, --ask-listen):
  #   nginx     auth_request   http://127.0.0.1:8788/.portcullis/verify?answers=auth_request
  #   Traefik   forwardAuth    http://127.0.0.1:8788/.portcullis/verify
  #   Caddy     forward_auth   uri /.portcullis/verify
  #   Envoy     ext_authz      path_prefix /.portcullis/ext_authz
  portcullis gate --listen 127.0.0.1:8788 --control-plane https://id.example.com --issuer https://id.example.com \\
    --resource https://api.example.com --root-key \"$ROOT_KEY\" --feed-id \"$FEED_ID\" --uplink-key-file /run/secrets/uplink-key

  # Is it ready?
  curl -f http://127.0.0.1:8789/health/ready";

/// What the command is given.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GateArgs {
    /// Where callers reach it; without --upstream, where the servers that ask do
    #[arg(
        long,
        env = "GATE_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8788"
    )]
    listen: SocketAddr,
    /// Where the servers that ask reach it, and nobody else: needed if there is an --upstream, for then --listen answers no questions
    #[arg(long, env = "GATE_ASK_LISTEN", value_name = "ADDRESS")]
    ask_listen: Option<SocketAddr>,
    /// Where /health/live, /health/ready and /metrics are
    #[arg(
        long,
        env = "GATE_STATUS_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8789"
    )]
    status_listen: SocketAddr,
    /// Where requests go that are let in; without it the gate only answers those who ask
    #[arg(long, env = "ORIGIN", value_name = "URL")]
    upstream: Option<String>,
    /// Seconds until the upstream must have begun its answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    upstream_timeout: u64,
    /// The control plane: the feed comes from there, and routes with the origin `control-plane` go there
    #[arg(long, env = "CONTROL_PLANE", value_name = "URL")]
    control_plane: String,
    /// The authorization server, byte for byte as in the `iss` of its tokens
    #[arg(long, env = "ISSUER", value_name = "URL")]
    issuer: String,
    /// This API's resource identifier
    #[arg(long, env = "RESOURCE", value_name = "URL")]
    resource: String,
    /// The feed's root key, which is public: `portcullis feed trust` prints it
    #[arg(long, env = "ROOT_KEY", value_name = "BASE64URL")]
    root_key: String,
    /// The feed's id: `portcullis feed trust` prints it
    #[arg(long, env = "FEED_ID", value_name = "HEX")]
    feed_id: String,
    /// A file that holds the uplink key of `portcullis edge key`; without it, the variable UPLINK_KEY
    #[arg(long, value_name = "FILE")]
    uplink_key_file: Option<PathBuf>,
    /// A file that holds the key for Portcullis-Assertion, base64url of 32 bytes; without it, the variable ASSERTION_KEY, if it is set
    #[arg(long, value_name = "FILE")]
    assertion_key_file: Option<PathBuf>,
    /// The brand of its API keys
    #[arg(long, env = "BRAND", default_value = "pc")]
    brand: String,
    /// The environments of keys that it admits, separated by commas
    #[arg(
        long,
        env = "ENVIRONMENTS",
        value_name = "NAMES",
        default_value = "live",
        value_delimiter = ','
    )]
    environments: Vec<String>,
    /// Further origins under which callers reach it, separated by commas: a DPoP proof names one of these, or that of the resource
    #[arg(long, env = "PUBLIC_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    public_origins: Vec<String>,
    /// It is the only process of its edge: strict routes take DPoP proofs on its memory alone
    #[arg(long)]
    single: bool,
    /// Seconds that open requests may take after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    grace: u64,
    /// What is logged, for example `info` or `portcullis_edge=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log_filter: String,
    /// Log in JSON
    #[arg(long)]
    log_json: bool,
}

/// Runs until a signal.
pub(super) async fn run(args: GateArgs) -> Result<(), CliError> {
    let format = if args.log_json {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    server::start_log_with(&args.log_filter, format)?;
    let uplink_key = secret(args.uplink_key_file.as_ref(), "UPLINK_KEY")?.ok_or_else(|| {
        CliError::Usage(
            "no uplink key: give --uplink-key-file or set UPLINK_KEY; `portcullis edge key NAME` makes one"
                .to_owned(),
        )
    })?;
    let signer = secret(args.assertion_key_file.as_ref(), "ASSERTION_KEY")?
        .map(|text| AssertionSigner::from_seeds(&text))
        .transpose()
        .map_err(|error| usage(&error))?;
    let names = |list: Vec<String>| list.into_iter().map(|name| name.trim().to_owned());
    let settings = Settings {
        brand: args.brand,
        environments: names(args.environments).collect(),
        public_origins: names(args.public_origins)
            .filter(|origin| !origin.is_empty())
            .collect(),
        is_single: args.single,
        ..Settings::new(&args.issuer, &args.resource, &args.control_plane, uplink_key)
            .trusting(&args.root_key, &args.feed_id)
    };
    if !is_private_way(&args.control_plane) {
        tracing::warn!(
            "the control plane is reached without TLS: whoever listens on the way learns the uplink key"
        );
    }
    let listeners = Listeners {
        callers: bind(args.listen).await?,
        askers: match args.ask_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        },
        status: Some(bind(args.status_listen).await?),
    };
    let gate = Gate::start(&settings).map_err(|error| usage(&error))?;
    let options = Options {
        upstream: args.upstream.filter(|url| !url.is_empty()),
        control_plane: args.control_plane,
        upstream_limit: Duration::from_secs(args.upstream_timeout),
        signer,
        grace: Duration::from_secs(args.grace),
    };
    tracing::info!(
        address = %args.listen,
        status = %args.status_listen,
        asked = args.ask_listen.map(tracing::field::display),
        upstream = options.upstream.as_deref().unwrap_or("none"),
        assertions = options.signer.is_some(),
        "the gate listens; it lets nobody in before it has heard the feed"
    );
    let stop = async {
        server::wait_for_signal().await;
        tracing::info!("stopping");
    };
    gate::serve(gate, options, listeners, stop)
        .await
        .map_err(|error| match error {
            ServeError::Settings(error) => usage(&error),
            ServeError::Io(error) => CliError::Failed(anyhow::Error::from(error)),
        })
}

/// A secret out of a file, or else out of the environment.
fn secret(file: Option<&PathBuf>, variable: &str) -> Result<Option<SecretString>, CliError> {
    let text = match file {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        None => environment_variable(variable),
    };
    let text = text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    Ok(text.map(SecretString::from))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    Ok(TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?)
}

/// With TLS, or on this machine.
fn is_private_way(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else {
        // Then it is refused anyway.
        return true;
    };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_here
}

/// The settings' names as the options are called.
fn usage(error: &SettingsError) -> CliError {
    let text = error.to_string();
    CliError::Usage(match text.split_once(": ") {
        Some((names, rest)) => {
            let options = names
                .split(", ")
                .map(|name| format!("--{}", name.replace('_', "-")));
            format!("{}: {rest}", options.collect::<Vec<_>>().join(", "))
        }
        None => text,
    })
}
