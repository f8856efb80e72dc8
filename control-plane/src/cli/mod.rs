//! The command line: `portcullis <command>`. `serve`, `migrate`, `feed`, `clients`, `keys signing`, `keys master`, `keys admin`,
//! `edge key`, `revoke signing-key`, `backup`, `restore` and `move` work on the database of the configuration; `members`,
//! `service-accounts`, `workspaces`, `grants`, `sessions`, `invitations`, `issuers`, `policy`, `edge status`, `usage`, `verify`, `revoke` and the other `keys` commands call a running server over its
//! API (I11); `doctor`
//! looks at one from outside; `key inspect` needs nothing.
//!
//! No secret is ever an argument: other users of the machine can read arguments.

mod audit;
mod backup;
mod client;
mod demo;
mod doctor;
mod edge;
mod edge_init;
mod grants;
mod inspect;
mod invitations;
mod issuers;
mod keys;
mod local;
mod master;
mod members;
mod output;
mod pages;
mod policy;
mod revoke;
mod server;
mod service_accounts;
mod sessions;
mod usage;
mod verify;
mod workspaces;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the database, the network, or the server's fault
  2  wrong usage or configuration
  3  the server refused: not allowed, not found, or in conflict";

const EXAMPLES: &str = "\
Examples:
  portcullis migrate                          set up the database; shows the first admin key once
  portcullis serve                            run the API and push every change to the edge
  portcullis config check                     print the effective configuration, without secrets
  portcullis keys create --name ci --scope read
  portcullis keys revoke key_000000001 --reason key_compromise
  portcullis revoke client cli_000000001 --reason key_compromise
  portcullis backup portcullis.bak            everything but the master key, while the server runs
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
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
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
    /// Run the server until it gets SIGTERM or Ctrl-C
    Serve,
    /// Bring the database up to date; on an empty one, make the first organisation, owner and admin key
    Migrate,
    /// API keys (over the server's API), and the server's own signing keys
    Keys(keys::KeysArgs),
    /// Revoke more than a key: grants, clients, users, sessions, the organisation, issuers, all that match (over the server's
    /// API); signing keys and everything (on this machine)
    Revoke(revoke::RevokeArgs),
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
    /// OAuth clients
    #[command(subcommand)]
    Clients(local::ClientsCommand),
    /// Invitations into your organisation (over the server's API)
    Invitations(invitations::InvitationsArgs),
    /// Other issuers whose tokens count in your organisation (over the server's API)
    Issuers(issuers::IssuersArgs),
    /// The route policy: show, check, apply, test, roll back (over the server's API)
    Policy(policy::PolicyArgs),
    /// The restriction feed
    #[command(subcommand)]
    Feed(local::FeedCommand),
    /// Edges: deploy them, how far they are (over the server's API), and the keys of those that fetch the feed
    #[command(subcommand)]
    Edge(edge::EdgeCommand),
    /// Who asked for what at the edges, how often, and how it ended (over the server's API)
    Usage(usage::UsageArgs),
    /// Who did what: search, export, and check that nobody changed it (over the server's API)
    Audit(audit::AuditArgs),
    /// Write the whole database into one file, beside a running server
    Backup(backup::BackupArgs),
    /// Fill an empty database from a backup
    Restore(backup::RestoreArgs),
    /// Move to another database, of the same engine or the other, beside a running server
    Move(backup::MoveArgs),
    /// A believable month in the first organisation, to look at, and its end
    #[command(subcommand)]
    Demo(demo::DemoCommand),
    /// Check a running deployment from outside and say what to fix
    Doctor(doctor::DoctorArgs),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigCommand),
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

/// How to reach a running server.
#[derive(Debug, Args)]
struct Remote {
    /// The server's URL
    #[arg(long, env = "PORTCULLIS_URL", default_value = "http://127.0.0.1:7070")]
    url: String,
    /// A file that holds the admin key; without it, the variable PORTCULLIS_ADMIN_KEY
    #[arg(long, value_name = "FILE")]
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
    Refused(String),
    /// Exit code 1.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Refused(_) => ExitCode::from(3),
        }
    }
}

impl From<config::ConfigError> for CliError {
    fn from(error: config::ConfigError) -> Self {
        Self::Usage(error.to_string())
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
    let format = cli.format;
    let load = || config::load(cli.config.as_deref()).map_err(CliError::from);
    match cli.command {
        Command::Serve => server::serve(load()?).await,
        Command::Migrate => server::migrate(load()?).await,
        Command::Keys(args) => match args.local() {
            Some(keys::LocalKeys::Signing(command)) => local::signing(load()?, command, format).await,
            Some(keys::LocalKeys::Master(command)) => Box::pin(master::run(load()?, command, format)).await,
            Some(keys::LocalKeys::Admin { org }) => revoke::admin_key(load()?, org, format).await,
            None => keys::run(args, format).await,
        },
        Command::Revoke(args) => revoke::run(args, load, format).await,
        Command::Members(args) => members::run(args, format).await,
        Command::ServiceAccounts(args) => service_accounts::run(args, format).await,
        Command::Workspaces(args) => workspaces::run(args, format).await,
        Command::Grants(args) => grants::run(args, format).await,
        Command::Sessions(args) => sessions::run(args, format).await,
        Command::Verify(args) => verify::run(args, format).await,
        Command::Key(KeyCommand::Inspect(args)) => inspect::run(&args, format),
        Command::Clients(command) => local::clients(load()?, command, format).await,
        Command::Invitations(args) => invitations::run(args, format).await,
        Command::Issuers(args) => issuers::run(args, format).await,
        Command::Policy(args) => policy::run(args, format).await,
        Command::Feed(command) => local::feed(load()?, command, format).await,
        Command::Edge(edge::EdgeCommand::Init(args)) => edge_init::run(load()?, *args, format).await,
        Command::Edge(edge::EdgeCommand::Status(args)) => edge::status(args, format).await,
        Command::Edge(edge::EdgeCommand::Groups) => edge::groups(load()?, format).await,
        Command::Edge(edge::EdgeCommand::Key { name, revoke, list }) => {
            edge::key(load()?, &name, (revoke.as_deref(), list), format).await
        }
        Command::Usage(args) => usage::run(args, format).await,
        Command::Audit(args) => audit::run(args, format).await,
        Command::Backup(args) => backup::save(load()?, args, format).await,
        Command::Restore(args) => backup::restore(load()?, args, format).await,
        Command::Move(args) => backup::transfer(load()?, args, format).await,
        Command::Demo(command) => demo::run(load()?, command, format).await,
        Command::Doctor(args) => doctor::run(args, load, format).await,
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_option_takes_a_secret() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let harmless = ["admin_key_file", "public_key", "key", "idempotency_key"];
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
