//! `portcullis webhooks`: where the organisation hears of changes, on a running server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, Format, Remote, output, with_secret};

const PATH: &str = "/v1/webhooks";
const COLUMNS: [&str; 6] = [
    "id",
    "url",
    "events",
    "enabled",
    "disabled_reason",
    "delivered_at",
];
const MESSAGES: [&str; 7] = [
    "id",
    "event",
    "state",
    "attempts",
    "created_at",
    "last_status",
    "last_error",
];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis webhooks create https://example.com/hooks --event 'key.*' --event user.deactivated
  portcullis webhooks ping whk_000000001
  portcullis webhooks messages whk_000000001
  portcullis webhooks replay whk_000000001 msg_000000001

A secret is printed once, or written into a new file with --write-to.")]
pub(super) struct WebhooksArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Debug, Subcommand)]
enum WebhooksCommand {
    /// Make one; its secret is shown once
    Create {
        /// Where messages go
        // Not `url`: that is the server's, and clap goes by the name.
        #[arg(value_name = "URL")]
        receiver: String,
        /// An event or pattern, such as key.revoked or user.*; may be given several times
        #[arg(long = "event", required = true)]
        events: Vec<String>,
        /// What people call it
        #[arg(long, default_value = "")]
        description: String,
        /// Write the secret into this new file, mode 0600, instead of showing it
        #[arg(long = "write-to", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List them
    List,
    /// Show one
    Show {
        /// Its id: whk_…
        id: String,
    },
    /// Change one: what is not given stays
    Update {
        /// Its id: whk_…
        id: String,
        /// Where messages go
        #[arg(long = "to", value_name = "URL")]
        receiver: Option<String>,
        /// An event or pattern; may be given several times
        #[arg(long = "event")]
        events: Vec<String>,
        /// What people call it
        #[arg(long)]
        description: Option<String>,
        /// Whether messages are sent
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
    },
    /// Remove one with all its messages
    Remove {
        /// Its id: whk_…
        id: String,
    },
    /// A new secret, shown once; the one before counts for another day
    Rotate {
        /// Its id: whk_…
        id: String,
        /// Write the secret into this new file, mode 0600, instead of showing it
        #[arg(long = "write-to", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Send a message that says nothing, to see whether it comes
    Ping {
        /// Its id: whk_…
        id: String,
    },
    /// List its messages, newest first
    Messages {
        /// Its id: whk_…
        id: String,
    },
    /// Send a message again, under the id that it has
    Replay {
        /// The webhook's id: whk_…
        id: String,
        /// The message's id: msg_…
        message: String,
    },
}

pub(super) async fn run(args: WebhooksArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let call = async |method: Method, path: String, body: Option<Value>| {
        client.call(method, &path, &[], body, None).await
    };
    match args.command {
        WebhooksCommand::Create {
            receiver,
            events,
            description,
            file,
        } => {
            let body = json!({ "url": receiver, "events": events, "description": description });
            let made = call(Method::POST, PATH.to_owned(), Some(body)).await?;
            with_secret(made, "secret", file.as_deref(), format)
        }
        WebhooksCommand::List => {
            let found = call(Method::GET, PATH.to_owned(), None).await?;
            let rows = found["webhooks"].as_array().cloned().unwrap_or_default();
            output::table(&rows, &COLUMNS, format);
            Ok(())
        }
        WebhooksCommand::Show { id } => {
            output::object(&call(Method::GET, format!("{PATH}/{id}"), None).await?, format);
            Ok(())
        }
        WebhooksCommand::Update {
            id,
            receiver,
            events,
            description,
            enabled,
        } => {
            let mut body = json!({});
            let given = [
                ("url", receiver.map(Value::from)),
                ("events", (!events.is_empty()).then(|| events.into())),
                ("description", description.map(Value::from)),
                ("enabled", enabled.map(Value::from)),
            ];
            for (name, value) in given {
                if let Some(value) = value {
                    body[name] = value;
                }
            }
            output::object(
                &call(Method::PATCH, format!("{PATH}/{id}"), Some(body)).await?,
                format,
            );
            Ok(())
        }
        WebhooksCommand::Remove { id } => {
            output::object(&call(Method::DELETE, format!("{PATH}/{id}"), None).await?, format);
            Ok(())
        }
        WebhooksCommand::Rotate { id, file } => {
            let made = call(Method::POST, format!("{PATH}/{id}/rotate-secret"), None).await?;
            with_secret(made, "secret", file.as_deref(), format)
        }
        WebhooksCommand::Ping { id } => {
            output::object(
                &call(Method::POST, format!("{PATH}/{id}/ping"), None).await?,
                format,
            );
            Ok(())
        }
        WebhooksCommand::Messages { id } => {
            let query = [("limit", "200".to_owned())];
            let path = format!("{PATH}/{id}/messages");
            let found = client.call(Method::GET, &path, &query, None, None).await?;
            let rows = found["messages"].as_array().cloned().unwrap_or_default();
            output::table(&rows, &MESSAGES, format);
            Ok(())
        }
        WebhooksCommand::Replay { id, message } => {
            let path = format!("{PATH}/{id}/messages/{message}/replay");
            output::object(&call(Method::POST, path, None).await?, format);
            Ok(())
        }
    }
}
