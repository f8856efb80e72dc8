//! `portcullis edge …`: how edges are (of a running server), and the keys of those that fetch (in the database).

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use shared::time::UnixMillis;

use super::client::Client;
use super::edge_init::InitArgs;
use super::{CliError, Format, Remote, output, server};
use crate::audit::Actor;
use crate::config::Config;
use crate::edge::uplink::{self, UplinkError};
use crate::http::time::format_rfc3339;
use crate::revocation::groups;
use crate::store::uint;

const COLUMNS: [&str; 12] = [
    "region",
    "mode",
    "seq",
    "lag",
    "age_ms",
    "acknowledged_at",
    "p50_ms",
    "p99_ms",
    "max_ms",
    "canary_p50_ms",
    "canary_p99_ms",
    "canary",
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  portcullis edge init --help               deploy an edge
  portcullis edge status                    where every region is, how long it takes, and what is wrong
  portcullis edge status --json
  portcullis edge key dmz                   make a key for an edge that fetches the feed; it is printed once
  portcullis edge key dmz --list
  portcullis edge key dmz --revoke upl_0a1b2c3d
  portcullis edge groups                    which edges admit whom, and where their feeds end")]
pub(super) enum EdgeCommand {
    /// Write the Worker's configuration for an environment, with the feed's public keys and new secrets (on this machine)
    Init(Box<InitArgs>),
    /// Where every region of every edge is (over the server's API)
    Status(StatusArgs),
    /// List the groups of edges: whom they admit, which edges they are, and where their feed ends (on this machine)
    Groups,
    /// Make a key for an edge that fetches the feed (on this machine); with the old one, two are valid at a time
    Key {
        /// The edge's name in `edges`
        name: String,
        /// End this key instead of making one
        #[arg(long, value_name = "ID", conflicts_with = "list")]
        revoke: Option<String>,
        /// Show the valid keys, without their texts, instead of making one
        #[arg(long)]
        list: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    remote: Remote,
    /// The server's whole answer, for programs
    #[arg(long)]
    json: bool,
}

/// Asks a running server.
pub(super) async fn status(args: StatusArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let status = client
        .call(Method::GET, "/v1/edge/status", &[], None, None)
        .await?;
    if args.json || format == Format::Json {
        output::object(&status, Format::Json);
        return Ok(());
    }
    output::table(&rows(&status), &COLUMNS, Format::Table);
    for line in notes(&status) {
        output::line(&line);
    }
    Ok(())
}

/// One row for each region.
fn rows(status: &Value) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut rows = Vec::new();
    for edge in list(&status["edges"]) {
        for region in list(&edge["regions"]) {
            let (lag, canary) = (&region["lag"], &region["canary"]);
            rows.push(json!({
                "region": region["name"],
                "mode": edge["mode"],
                "seq": region["seq"],
                "lag": region["lag_frames"],
                "age_ms": region["age_ms"],
                "acknowledged_at": region["acknowledged_at"],
                "p50_ms": lag["p50_ms"],
                "p99_ms": lag["p99_ms"],
                "max_ms": lag["max_ms"],
                "canary_p50_ms": canary["time_to_401"]["p50_ms"],
                "canary_p99_ms": canary["time_to_401"]["p99_ms"],
                "canary": canary["outcome"],
            }));
        }
    }
    rows
}

/// What does not fit into the table.
fn notes(status: &Value) -> Vec<String> {
    let mut notes = vec![format!(
        "head {}, bound {} ms",
        status["head"]["seq"], status["bound_ms"]
    )];
    for edge in status["edges"].as_array().into_iter().flatten() {
        if let Some(failure) = edge["failure"].as_str() {
            let name = edge["name"].as_str().unwrap_or_default();
            notes.push(format!("{name}: {failure} ({} times)", edge["failures"]));
        }
    }
    for alert in status["alerts"].as_array().into_iter().flatten() {
        let text = |member: &str| alert[member].as_str().unwrap_or_default();
        let place = [text("edge"), text("region")];
        let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
        notes.push(format!(
            "ALERT {} {} since {}: {}",
            place.join("/"),
            text("kind"),
            text("since"),
            text("detail")
        ));
    }
    notes
}

/// Reads the database of the configuration.
pub(super) async fn groups(config: Config, format: Format) -> Result<(), CliError> {
    let app = server::open(config).await?;
    let views = groups::views(&app).await.map_err(anyhow::Error::from)?;
    let rows = views.iter().map(|view| match format {
        Format::Json => serde_json::to_value(view).unwrap_or_default(),
        Format::Table => json!({
            "group": if view.group.is_empty() { "-" } else { &view.group },
            "orgs": view.orgs.as_ref().map_or_else(|| "all".to_owned(), |orgs| orgs.join(",")),
            "edges": view.edges.join(","),
            "epoch": view.epoch,
            "seq": view.seq,
            "feed_id": view.feed_id,
        }),
    });
    let rows: Vec<Value> = rows.collect();
    output::table(
        &rows,
        &["group", "orgs", "edges", "epoch", "seq", "feed_id"],
        format,
    );
    Ok(())
}

/// Works on the database of the configuration.
pub(super) async fn key(
    config: Config,
    name: &str,
    (revoke, list): (Option<&str>, bool),
    format: Format,
) -> Result<(), CliError> {
    let app = server::open(config).await?;
    let actor = Actor::command_line();
    if list {
        let keys = uplink::list(&app, name).await.map_err(anyhow::Error::from)?;
        let time = |at: i64| uint(at, "time").map(|at| format_rfc3339(UnixMillis(at)));
        let mut rows = Vec::new();
        for key in keys {
            let created_at = time(key.created_at).context("a key")?;
            let used_at = key.used_at.map(time).transpose().context("a key")?;
            rows.push(json!({"id": key.id, "created_at": created_at, "used_at": used_at}));
        }
        output::table(&rows, &["id", "created_at", "used_at"], format);
        return Ok(());
    }
    if let Some(id) = revoke {
        uplink::revoke(&app, name, id, &actor).await.map_err(refused)?;
        output::object(&json!({"edge": name, "revoked": id}), format);
        return Ok(());
    }
    let (id, key) = uplink::create(&app, name, &actor).await.map_err(refused)?;
    output::object(
        &json!({"edge": name, "id": id, "uplink_key": key.expose()}),
        format,
    );
    Ok(())
}

fn refused(error: UplinkError) -> CliError {
    match error {
        UplinkError::Store(_) | UplinkError::Signing(_) => CliError::Failed(error.into()),
        error => CliError::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_row_and_an_alert_a_line() {
        let status = json!({
            "head": {"epoch": 1, "seq": 9},
            "bound_ms": 3000,
            "edges": [{
                "name": "hub",
                "mode": "push",
                "failure": "no connection",
                "failures": 3,
                "regions": [{
                    "name": "hub/weur", "seq": 8, "lag_frames": 1, "age_ms": 40,
                    "lag": {"p50_ms": 12, "p99_ms": 80, "max_ms": 90},
                    "canary": {"outcome": "in_time", "time_to_401": {"p50_ms": 30, "p99_ms": 60}},
                }, {"name": "hub/oc", "seq": null, "lag_frames": 9, "lag": null, "canary": null}],
            }],
            "alerts": [
                {"edge": "hub", "region": "weur", "kind": "pending", "since": "T", "detail": "it lacks a frame"},
                {"edge": "hub", "kind": "contact", "since": "T", "detail": "silent"},
            ],
        });
        let rows = rows(&status);
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (&rows[0]["region"], &rows[0]["lag"], &rows[0]["canary_p99_ms"]),
            (&json!("hub/weur"), &json!(1), &json!(60))
        );
        assert!(rows[1]["p50_ms"].is_null());
        assert_eq!(
            notes(&status),
            [
                "head 9, bound 3000 ms",
                "hub: no connection (3 times)",
                "ALERT hub/weur pending since T: it lacks a frame",
                "ALERT hub contact since T: silent",
            ]
        );
    }
}
