//! `portcullis settings`: what the organisation has set, on a running server.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::{CliError, Format, Remote, output};

const PATH: &str = "/v1/settings";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis settings show
  portcullis settings set --key-max-days 90 --key-remind-days 14 --rotation-renews true
  portcullis settings set --address-days 30 --detail-days none

`none` takes a setting back. The names are those of the API, with hyphens.")]
pub(super) struct SettingsArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: SettingsCommand,
}

#[derive(Debug, Subcommand)]
enum SettingsCommand {
    /// Show what is set, and what the installation says
    Show,
    /// Change settings: what is not given stays (owners only)
    Set(Box<SetArgs>),
}

#[derive(Debug, Args)]
struct SetArgs {
    /// How long usage is kept
    #[arg(long, value_name = "DAYS")]
    usage_days: Option<String>,
    /// How long network addresses are
    #[arg(long, value_name = "DAYS")]
    address_days: Option<String>,
    /// How long details of the audit trail are
    #[arg(long, value_name = "DAYS")]
    detail_days: Option<String>,
    /// The longest life of a new key
    #[arg(long = "key-max-days", value_name = "DAYS")]
    max_days: Option<String>,
    /// How long before its end the owner of a key is told
    #[arg(long = "key-remind-days", value_name = "DAYS")]
    remind_days: Option<String>,
    /// Whether rotating a key starts its life anew
    #[arg(long, value_name = "BOOL")]
    rotation_renews: Option<bool>,
    /// Days after which the key that signs API keys is rotated (first organisation only)
    #[arg(long = "api-key-signer-days", alias = "api-signer-days", value_name = "DAYS")]
    api_signer_days: Option<String>,
    /// The same for access tokens
    #[arg(long = "token-signer-days", alias = "access-signer-days", value_name = "DAYS")]
    access_signer_days: Option<String>,
}

pub(super) async fn run(args: SettingsArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let view = match args.command {
        SettingsCommand::Show => client.call(Method::GET, PATH, &[], None, None).await?,
        SettingsCommand::Set(set) => {
            let body = body(*set)?;
            client.call(Method::PATCH, PATH, &[], Some(body), None).await?
        }
    };
    show(view, format);
    Ok(())
}

fn body(set: SetArgs) -> Result<Value, CliError> {
    let mut body = json!({});
    for (name, text) in [
        ("usage_days", set.usage_days),
        ("address_days", set.address_days),
        ("detail_days", set.detail_days),
        ("key_max_days", set.max_days),
        ("key_remind_days", set.remind_days),
        ("api_key_signer_days", set.api_signer_days),
        ("token_signer_days", set.access_signer_days),
    ] {
        if let Some(text) = text {
            body[name] = days(name, &text)?;
        }
    }
    if let Some(renews) = set.rotation_renews {
        body["rotation_renews"] = renews.into();
    }
    if body.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(CliError::Usage("say what to set; see --help".to_owned()));
    }
    Ok(body)
}

fn days(name: &str, text: &str) -> Result<Value, CliError> {
    if text == "none" {
        return Ok(Value::Null);
    }
    let wrong = |_| CliError::Usage(format!("{name}: give a number of days, or none"));
    text.parse::<u64>().map(Value::from).map_err(wrong)
}

/// Each setting under the name that the API and the options have for it; `-` is one that nobody has set.
fn lines(view: &Value, effective: &Value) -> Value {
    let (keys, signing) = (&view["keys"], &view["signing"]);
    let lines = [
        ("usage_days", &effective["usage_days"]),
        ("address_days", &effective["address_days"]),
        ("detail_days", &effective["detail_days"]),
        ("key_max_days", &keys["max_days"]),
        ("key_remind_days", &keys["remind_days"]),
        ("rotation_renews", &keys["rotation_renews"]),
        ("api_key_signer_days", &signing["api_key_days"]),
        ("token_signer_days", &signing["access_token_days"]),
        ("brand", &view["brand"]),
        ("environments", &view["environments"]),
        ("scopes", &view["scopes"]),
    ];
    let text = |value: &Value| {
        if value.is_null() {
            json!("-")
        } else {
            value.clone()
        }
    };
    lines
        .into_iter()
        .map(|(name, value)| (name.to_owned(), text(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn show(mut view: Value, format: Format) {
    if format == Format::Json {
        return output::object(&view, format);
    }
    let keys = view["signing_keys"].as_array().cloned().unwrap_or_default();
    let effective = view["retention"]["effective"].take();
    output::object(&lines(&view, &effective), format);
    output::line("");
    output::table(
        &keys,
        &["kid", "purpose", "state", "created_at", "next_rotation_at"],
        format,
    );
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        set: SetArgs,
    }

    fn changes(options: &[&str]) -> Value {
        let line = Line::try_parse_from([&["x"], options].concat()).unwrap_or_else(|error| panic!("{error}"));
        body(line.set).expect("changes")
    }

    #[test]
    fn an_option_is_the_name_in_the_api() {
        for name in [
            "usage_days",
            "address_days",
            "detail_days",
            "key_max_days",
            "key_remind_days",
            "api_key_signer_days",
            "token_signer_days",
        ] {
            let option = format!("--{}", name.replace('_', "-"));
            assert_eq!(changes(&[&option, "7"]), json!({ name: 7 }));
            assert_eq!(changes(&[&option, "none"]), json!({ name: null }));
        }
        // What they were called before.
        let before = changes(&["--api-signer-days", "7", "--access-signer-days", "8"]);
        assert_eq!(before, json!({"api_key_signer_days": 7, "token_signer_days": 8}));
    }

    #[test]
    fn what_nobody_has_set_is_a_hyphen() {
        let view = json!({
            "keys": {"max_days": 90, "remind_days": null, "rotation_renews": false},
            "signing": {"api_key_days": null, "access_token_days": 30},
            "brand": "pc", "environments": ["live"], "scopes": [],
        });
        let lines = lines(
            &view,
            &json!({"usage_days": 400, "address_days": null, "detail_days": null}),
        );
        for (name, value) in [
            ("usage_days", json!(400)),
            ("address_days", json!("-")),
            ("key_max_days", json!(90)),
            ("key_remind_days", json!("-")),
            ("rotation_renews", json!(false)),
            ("api_key_signer_days", json!("-")),
            ("token_signer_days", json!(30)),
        ] {
            assert_eq!(lines[name], value, "{name}");
        }
    }
}
