//! `portcullis doctor`: looks at a running deployment from outside, as browsers, apps and MCP clients do, and says what to
//! fix. Needs no secret and leaves nothing behind.
//!
//! | file | looks at |
//! | --- | --- |
//! | `deployment` | everything, in the order in which one fault explains the next |
//! | `metadata`, `jwks` | the documents: the issuer byte for byte, required members, keys |
//! | `cors` | where scripts of any origin may read, and where none may |
//! | `pages` | redirect rules, headers and cookies of the sign-in page |
//! | `edge` | the age of what the edge knows, RFC 9728 |
//! | `transport`, `certificate` | TLS, and the clock |
//! | `mcp` | the way an MCP client takes from an MCP server's URL to a token |
//!
//! The rules are pure functions of an answer ([`probe::Answer`]). What it does not: sign in, or look into the database.

mod certificate;
mod cors;
mod deployment;
mod edge;
mod jwks;
mod mcp;
mod metadata;
mod pages;
mod probe;
mod report;
#[cfg(test)]
mod tests;
mod transport;

use clap::{Args, Subcommand};

use self::probe::Probe;
use super::{CliError, Format};
use crate::clock::Clock;
use crate::config::Config;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  portcullis doctor                                       the deployment of the configuration
  portcullis doctor --issuer https://auth.example.com --edge https://api.example.com
  portcullis doctor mcp https://api.example.com/mcp       as MCP clients find their way

Ends with code 1 if a check fails. Needs no secret and changes nothing."
)]
pub(super) struct DoctorArgs {
    /// The issuer, byte for byte as in tokens [default: the configuration's]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The edge's public URL, the protected API's resource identifier [default: PORTCULLIS_EDGE_URL, or the configuration's `resource`]
    #[arg(long, value_name = "URL", env = "PORTCULLIS_EDGE_URL")]
    edge: Option<String>,
    /// A registered client, so that the redirect rules are tried with one that exists
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The report as JSON, like --output json
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<DoctorCommand>,
}

#[derive(Debug, Subcommand)]
enum DoctorCommand {
    /// Walk the discovery paths that MCP clients take for this MCP server's URL
    Mcp {
        /// The MCP endpoint's URL, as people give it to their client
        url: String,
    },
}

/// Looks, prints, and fails if a check did.
pub(super) async fn run(
    args: DoctorArgs,
    load: impl FnOnce() -> Result<Config, CliError>,
    format: Format,
) -> Result<(), CliError> {
    let probe = Probe::new()?;
    let now = Clock::system().now().seconds();
    let report = match args.command {
        Some(DoctorCommand::Mcp { url }) => mcp::examine(&probe, &url).await,
        None => {
            let (issuer, edge) = match (args.issuer, args.edge) {
                (Some(issuer), Some(edge)) => (issuer, edge),
                (issuer, edge) => {
                    let config = load()?;
                    (issuer.unwrap_or(config.issuer), edge.unwrap_or(config.resource))
                }
            };
            let target = deployment::Target {
                issuer,
                edge,
                client_id: args.client_id,
            };
            deployment::examine(&probe, &target, now).await
        }
    };
    report.print(if args.json { Format::Json } else { format });
    report.verdict()
}
