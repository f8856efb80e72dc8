//! The command line: `portcullis <command>`. `serve`, `migrate`, `feed`, `clients installation`, `keys signing`, `keys master`,
//! `keys admin`, `edge key`, `revoke signing-key`, `backup`, `restore` and `move` work on the database of the configuration;
//! `members`, `service-accounts`, `workspaces`, `clients`, `grants`, `sessions`, `invitations`, `issuers`, `policy`, `audit`,
//! `webhooks`, `settings`, `edge status`, `usage`, `verify`, `revoke`, `revocations`, `whoami` and the other `keys` commands call a
//! running server over its API (I11), as whoever has signed in with `login` or with an API key; `doctor` looks at one from
//! outside; `gate` is a process of its own that fetches the feed; `key inspect`, `openapi` and `completion` need nothing.
//!
//! A new command gets a line in `examples`, without which a test fails.
//!
//! No secret is ever an argument: other users of the machine can read arguments.

mod audit;
mod backup;
mod client;
mod clients;
mod demo;
mod doctor;
mod edge;
mod edge_init;
mod examples;
mod gate;
mod grants;
mod inspect;
mod installation;
mod invitations;
mod issuers;
mod keys;
mod local;
mod login;
mod master;
mod members;
mod output;
mod pages;
mod policy;
mod profile;
mod revocations;
mod revoke;
mod server;
mod service_accounts;
mod sessions;
mod settings;
mod usage;
mod verify;
mod webhooks;
mod workspaces;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::api::document::document;
use crate::config;

/// Where a server is, if nobody says.
const DEFAULT_URL: &str = "http://127.0.0.1:7070";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  not done: refused (not allowed, in conflict, makes no sense), or failed (the database, the network, the server's fault)
  2  wrong usage or configuration
  3  not signed in: no credential, or one that does not count
  4  there is no such thing";

const EXAMPLES: &str = "\
Examples:
  portcullis migrate                          set up the database; shows the first admin key once
  portcullis serve                            run the API and push every change to the edge
  portcullis config check                     print the effective configuration, without secrets
  portcullis login --url https://auth.example.com
  portcullis keys create --name ci --preset read
  portcullis keys revoke key_000000001 --reason key_compromise
  portcullis revoke client cli_000000001 --reason key_compromise
  portcullis backup portcullis.bak            everything but the master key, while the server runs
  portcullis gate --help                      a gate beside an API, on a server of your own
  portcullis doctor                           check the deployment from outside, and say what to fix
  pbpaste | portcullis key inspect -          what a key says, without any network";

/// The gate in front of your APIs: issues keys and tokens, and takes them back within seconds.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// The configuration file [default: portcullis.toml, if it exists]
    #[arg(long, global = true, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How results are printed
    #[arg(long, short, alias = "format", global = true, env = "PORTCULLIS_OUTPUT", value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For programs.
    Json,
    /// For people.
    Table,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign in to a server, in a browser on this machine or another
    Login(login::LoginArgs),
    /// Sign out, here and at the server
    Logout(login::LogoutArgs),
    /// Show who calls, and what they may do
    Whoami(login::WhoamiArgs),
    /// Run the server until it gets SIGTERM or Ctrl-C
    Serve,
    /// Bring the database up to date; on an empty one, make the first organisation, owner and admin key
    Migrate,
    /// API keys (over the server's API), and the server's own signing keys
    Keys(keys::KeysArgs),
    /// Revoke more than a key: grants, clients, users, sessions, workspaces, the organisation, issuers, all that match (over the server's
    /// API); signing keys and everything (on this machine)
    Revoke(revoke::RevokeArgs),
    /// What was revoked (over the server's API)
    Revocations(revocations::RevocationsArgs),
    /// Members of the organisation (over the server's API)
    Members(members::MembersArgs),
    /// Members that are programs (over the server's API)
    ServiceAccounts(service_accounts::ServiceAccountsArgs),
    /// Workspaces (over the server's API)
    Workspaces(workspaces::WorkspacesArgs),
    /// Which app acts for whom (over the server's API)
    Grants(grants::GrantsArgs),
    /// Who is signed in (over the server's API)
    Sessions(sessions::SessionsArgs),
    /// A single API key's text
    #[command(subcommand)]
    Key(KeyCommand),
    /// Would the edge let a request in, and why (over the server's API)
    Verify(verify::VerifyArgs),
    /// OAuth clients (over the server's API), and those of the whole installation
    Clients(clients::ClientsArgs),
    /// Invitations into your organisation (over the server's API)
    Invitations(invitations::InvitationsArgs),
    /// Other issuers whose tokens count in your organisation (over the server's API)
    Issuers(issuers::IssuersArgs),
    /// The route policy: show, check, apply, test, roll back (over the server's API)
    Policy(policy::PolicyArgs),
    /// The restriction feed (on this machine)
    #[command(subcommand)]
    Feed(local::FeedCommand),
    /// Edges: deploy them, how far they are (over the server's API), and the keys of those that fetch the feed
    #[command(subcommand)]
    Edge(edge::EdgeCommand),
    /// Run a gate beside an API, without the edge: reverse proxy, nginx auth_request, forwardAuth, ext_authz
    Gate(Box<gate::GateArgs>),
    /// Who asked for what at the edges, how often, and how it ended (over the server's API)
    Usage(usage::UsageArgs),
    /// Who did what: search, export, and check that nobody changed it (over the server's API)
    Audit(audit::AuditArgs),
    /// Where the organisation hears of changes (over the server's API)
    Webhooks(webhooks::WebhooksArgs),
    /// What the organisation has set (over the server's API)
    Settings(settings::SettingsArgs),
    /// Write the whole database into one file, beside a running server (on this machine)
    Backup(backup::BackupArgs),
    /// Fill an empty database from a backup (on this machine)
    Restore(backup::RestoreArgs),
    /// Move to another database, of the same engine or the other, beside a running server (on this machine)
    Move(backup::MoveArgs),
    /// A believable month in the first organisation, to look at, and its end (on this machine)
    #[command(subcommand)]
    Demo(demo::DemoCommand),
    /// Check a running deployment from outside and say what to fix
    Doctor(doctor::DoctorArgs),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the description of the API (OpenAPI 3.1)
    Openapi {
        /// The server's URL, for the description's `servers`
        #[arg(long, default_value = DEFAULT_URL)]
        url: String,
    },
    /// Print a script that completes commands in a shell
    Completion {
        /// Which one
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Print what a key says: offline, nothing is sent anywhere
    Inspect(inspect::InspectArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check file and environment and print the effective values, secrets redacted
    Check,
}

/// How to reach a running server, and as whom. Each command that does names it once, and its verbs take it too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
struct Remote {
    /// The server's URL [default: the profile's, or http://127.0.0.1:7070]
    #[arg(long, global = true, env = "PORTCULLIS_URL")]
    url: Option<String>,
    /// Call as whoever has signed in under this name (`portcullis login`) [default: default]
    #[arg(long, global = true, env = "PORTCULLIS_PROFILE", value_name = "NAME")]
    profile: Option<String>,
    /// Call with the API key in this file; or with PORTCULLIS_ADMIN_KEY, if neither this nor a profile is named
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "profile")]
    admin_key_file: Option<PathBuf>,
}

/// Why a command did not do its work. Decides the exit code.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Exit code 3.
    #[error("{0}")]
    NotSignedIn(String),
    /// Exit code 4.
    #[error("{0}")]
    NotFound(String),
    /// Exit code 1.
    #[error("{0}")]
    Refused(String),
    /// Exit code 1.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) | Self::Refused(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::NotSignedIn(_) => ExitCode::from(3),
            Self::NotFound(_) => ExitCode::from(4),
        }
    }
}

impl From<config::ConfigError> for CliError {
    fn from(error: config::ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// A secret into a new file that only its owner can read. Never over a file that is there.
fn secret_file(path: &std::path::Path, secret: &str) -> Result<(), CliError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{secret}"));
    made.map_err(|error| CliError::Failed(anyhow::anyhow!("cannot write {}: {error}", path.display())))
}

/// The answer with its secret, in the member `name`, if it holds one: into the file, if one is named, and not printed then.
fn with_secret(
    mut made: serde_json::Value,
    name: &str,
    file: Option<&std::path::Path>,
    format: Format,
) -> Result<(), CliError> {
    if let Some((path, secret)) = file.zip(made[name].as_str().map(str::to_owned)) {
        secret_file(path, &secret)?;
        if let Some(members) = made.as_object_mut() {
            members.remove(name);
        }
        made[format!("{name}_in")] = path.display().to_string().into();
    }
    output::object(&made, format);
    Ok(())
}

impl Cli {
    /// What the arguments of this process say; ends it with a word about them if they make no sense.
    pub fn read() -> Self {
        let matches = examples::add(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Runs one command.
pub async fn run(cli: Cli) -> ExitCode {
    match Box::pin(dispatch(cli)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis: {error}");
            error.exit_code()
        }
    }
}

async fn dispatch(cli: Cli) -> Result<(), CliError> {
    let format = cli.output;
    let load = || config::load(cli.config.as_deref()).map_err(CliError::from);
    match cli.command {
        Command::Login(args) => login::login(args, format).await,
        Command::Logout(args) => login::logout(args, format).await,
        Command::Whoami(args) => login::whoami(args, format).await,
        Command::Serve => server::serve(load()?).await,
        Command::Migrate => server::migrate(load()?).await,
        Command::Keys(args) => match args.local() {
            Some(keys::LocalKeys::Signing(command)) => local::signing(load()?, command, format).await,
            Some(keys::LocalKeys::Master(command)) => Box::pin(master::run(load()?, command, format)).await,
            Some(keys::LocalKeys::Admin { org }) => revoke::admin_key(load()?, org, format).await,
            None => keys::run(args, format).await,
        },
        Command::Revoke(args) => Box::pin(revoke::run(args, load, format)).await,
        Command::Revocations(args) => revocations::run(args, format).await,
        Command::Members(args) => members::run(args, format).await,
        Command::ServiceAccounts(args) => service_accounts::run(args, format).await,
        Command::Workspaces(args) => workspaces::run(args, format).await,
        Command::Grants(args) => grants::run(args, format).await,
        Command::Sessions(args) => sessions::run(args, format).await,
        Command::Verify(args) => verify::run(args, format).await,
        Command::Key(KeyCommand::Inspect(args)) => inspect::run(&args, format),
        Command::Clients(args) => match args.local() {
            Some(command) => installation::run(load()?, command, format).await,
            None => clients::run(args, format).await,
        },
        Command::Invitations(args) => invitations::run(args, format).await,
        Command::Issuers(args) => issuers::run(args, format).await,
        Command::Policy(args) => policy::run(args, format).await,
        Command::Feed(command) => local::feed(load()?, command, format).await,
        Command::Edge(edge::EdgeCommand::Init(args)) => {
            Box::pin(edge_init::run(load()?, *args, format)).await
        }
        Command::Edge(edge::EdgeCommand::Status(args)) => edge::status(args, format).await,
        Command::Edge(edge::EdgeCommand::Groups) => edge::groups(load()?, format).await,
        Command::Edge(edge::EdgeCommand::Key { name, revoke, list }) => {
            edge::key(load()?, &name, (revoke.as_deref(), list), format).await
        }
        Command::Gate(args) => gate::run(*args).await,
        Command::Usage(args) => usage::run(args, format).await,
        Command::Audit(args) => audit::run(args, format).await,
        Command::Webhooks(args) => webhooks::run(args, format).await,
        Command::Settings(args) => settings::run(args, format).await,
        Command::Backup(args) => backup::save(load()?, args, format).await,
        Command::Restore(args) => backup::restore(load()?, args, format).await,
        Command::Move(args) => backup::transfer(load()?, args, format).await,
        Command::Demo(command) => demo::run(load()?, command, format).await,
        Command::Doctor(args) => doctor::run(args, load, format).await,
        Command::Openapi { url } => {
            let text = serde_json::to_string_pretty(&document(&url)).map_err(anyhow::Error::from)?;
            output::line(&text);
            Ok(())
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
        Command::Config(ConfigCommand::Check) => {
            let config = load()?;
            output::line(&config.redacted().map_err(anyhow::Error::from)?);
            if !config.has_mail() {
                eprintln!(
                    "note: no mail server is configured, so sign-up, invitations and password reset are off; \
                     set mail.smtp_host and mail.from"
                );
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// Clap goes by ids: an argument with the id of a global one gives that one its value, and the admin key would be sent to
    /// wherever it points.
    #[test]
    fn no_command_has_an_argument_with_the_name_of_a_global_one() {
        fn walk(command: &clap::Command, above: &[String]) {
            let mut globals = above.to_vec();
            for argument in command.get_arguments() {
                let id = argument.get_id().to_string();
                assert!(!above.contains(&id), "{} has another `{id}`", command.get_name());
                if argument.is_global_set() {
                    globals.push(id);
                }
            }
            command.get_subcommands().for_each(|inner| walk(inner, &globals));
        }
        walk(&Cli::command(), &[]);
    }

    #[test]
    fn no_option_takes_a_secret() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let harmless = [
                    "admin_key_file",
                    "assertion_key_file",
                    "idempotency_key",
                    "key",
                    "public_key",
                    "root_key",
                    "uplink_key_file",
                ];
                assert!(
                    harmless.contains(&name)
                        || !["key", "secret", "password", "token"]
                            .iter()
                            .any(|word| name.contains(word)),
                    "{} --{name}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
