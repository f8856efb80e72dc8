//! `portcullis key inspect`: what a key says, decoded offline.

use std::io::Read as _;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use shared::crypto::{VerifyingKey, from_base64url};
use shared::id::KeyId;
use shared::key::{self, MAX_LENGTH};
use shared::policy::Policy;

use super::{CliError, Format, output};
use crate::http::time::format_rfc3339;

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The key's text, or `-` to read it from standard input (arguments can be seen by other users of the machine)
    key: String,
    /// The signing key's public half (base64url of 32 bytes): the signature is checked too
    #[arg(long, value_name = "BASE64URL")]
    public_key: Option<String>,
}

pub(super) fn run(args: &InspectArgs, format: Format) -> Result<(), CliError> {
    let text = if args.key == "-" {
        read_stdin()?
    } else {
        args.key.clone()
    };
    let parsed = key::parse(text.trim()).map_err(|error| CliError::Refused(error.to_string()))?;
    let signature = match &args.public_key {
        None => "not checked: give --public-key",
        Some(public) if public_key(public)?.verify(&parsed.message, &parsed.signature) => "valid",
        Some(_) => "INVALID",
    };
    let statement = &parsed.statement;
    let time = |at: shared::time::UnixSeconds| format_rfc3339(at.millis());
    // Names are those of the demo's catalogue; the bits are what counts.
    let names = Policy::demo("", "").scopes;
    let answer = json!({
        "id": KeyId::from(statement.index),
        "brand": parsed.brand,
        "environment": parsed.environment,
        "org": statement.org,
        "user": statement.user,
        "workspace": statement.workspace.map_or_else(|| "all".to_owned(), |id| id.to_string()),
        "scopes": names.names(statement.scopes),
        "scope_bits": format!("{:#b}", statement.scopes.0),
        "issued_at": time(statement.issued_at),
        "expires_at": statement.expires_at.map_or_else(|| "never".to_owned(), time),
        "signing_key": statement.signing_key.kid(),
        "checksum": "ok",
        "signature": signature,
    });
    output::object(&answer, format);
    if signature == "INVALID" {
        return Err(CliError::Refused(
            "the signature was not made by this public key".to_owned(),
        ));
    }
    Ok(())
}

fn read_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    let limit = u64::try_from(MAX_LENGTH).unwrap_or(u64::MAX) * 4;
    std::io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .context("standard input is not text")?;
    Ok(text)
}

fn public_key(text: &str) -> Result<VerifyingKey, CliError> {
    let bytes = from_base64url(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(VerifyingKey::ed25519).ok_or_else(|| {
        CliError::Usage("--public-key must be the base64url of 32 bytes, without padding".to_owned())
    })
}
