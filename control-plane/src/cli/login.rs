//! `portcullis login`, `logout` and `whoami`: signing in with the device flow (RFC 8628), as the built-in client
//! `portcullis-cli`. The browser may be on another machine: this one shows a code, the person types it there.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::client::{Client, http_client, safe};
use super::profile::{DEFAULT, Profiles, SignIn, not_signed_in, post_form};
use super::{CliError, DEFAULT_URL, Format, Remote, output};
use crate::clock::Clock;
use crate::oauth::built_in::COMMAND_LINE;

/// What the command line asks for: what the person may do, administration included. Their role is the ceiling.
const SCOPE: &str = "admin";

#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// The server's URL: its issuer [default: http://127.0.0.1:7070]
    #[arg(long, env = "PORTCULLIS_URL")]
    url: Option<String>,
    /// The name to keep the sign-in under, for several servers or people
    #[arg(long, env = "PORTCULLIS_PROFILE", default_value = DEFAULT)]
    profile: String,
}

#[derive(Debug, Args)]
pub(super) struct LogoutArgs {
    /// The profile to sign out
    #[arg(long, env = "PORTCULLIS_PROFILE", default_value = DEFAULT)]
    profile: String,
}

#[derive(Debug, Args)]
pub(super) struct WhoamiArgs {
    #[command(flatten)]
    remote: Remote,
}

/// Where to ask (RFC 8414).
struct Endpoints {
    issuer: String,
    device_authorization: String,
    token: String,
    revocation: String,
}

/// Signs in and keeps the tokens.
pub(super) async fn login(args: LoginArgs, format: Format) -> Result<(), CliError> {
    let profiles = Profiles::open()?;
    let http = http_client()?;
    let url = args.url.unwrap_or_else(|| DEFAULT_URL.to_owned());
    let url = url.trim_end_matches('/');
    let endpoints = endpoints(&http, url).await?;

    // 1. Two codes: one for us, one for the person.
    let asked = [
        ("client_id", COMMAND_LINE),
        ("scope", SCOPE),
        ("resource", endpoints.issuer.as_str()),
    ];
    let begun = post_form(&http, &endpoints.device_authorization, &asked)
        .await?
        .map_err(|error| CliError::Refused(format!("the server refused: {}", error.description)))?;
    let text = |name: &str| begun[name].as_str().unwrap_or_default();
    eprintln!("Open   {}", text("verification_uri"));
    eprintln!("type   {}", text("user_code"));
    eprintln!("or open {}", text("verification_uri_complete"));
    eprintln!("Waiting for your answer there …");

    // 2. Asked again until they have answered.
    let mut sign_in = SignIn {
        url: endpoints.issuer.clone(),
        token_endpoint: endpoints.token.clone(),
        revocation_endpoint: endpoints.revocation.clone(),
        access_token: SecretString::from(String::new()),
        refresh_token: SecretString::from(String::new()),
        expires_at: 0,
    };
    let answer = wait(&http, &endpoints.token, &begun).await?;
    sign_in
        .granted(&answer, Clock::system().now().seconds())
        .filter(|()| !sign_in.refresh_token.expose_secret().is_empty())
        .context("the server's answer lacks a token")?;

    // 3. Kept; what was there ends.
    let former = profiles.keep(&args.profile, sign_in)?;
    if let Some(former) = former {
        // Best effort: it ends by itself too.
        let _ = revoke(&http, &former).await;
    }
    output::object(
        &json!({ "profile": args.profile, "url": endpoints.issuer, "scope": answer["scope"] }),
        format,
    );
    Ok(())
}

async fn wait(http: &reqwest::Client, endpoint: &str, begun: &Value) -> Result<Value, CliError> {
    // RFC 8628 §3.5.
    const USUAL_SECONDS: u64 = 5;
    let mut interval = begun["interval"].as_u64().unwrap_or(USUAL_SECONDS);
    let code = begun["device_code"].as_str().unwrap_or_default();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", code),
        ("client_id", COMMAND_LINE),
    ];
    loop {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        match post_form(http, endpoint, &form).await? {
            Ok(answer) => return Ok(answer),
            Err(error) => match error.code.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval = interval.saturating_add(USUAL_SECONDS),
                "access_denied" => {
                    return Err(CliError::Refused("nobody was signed in: you said no".to_owned()));
                }
                "expired_token" => {
                    let words = "nobody has typed the code in time: run `portcullis login` again";
                    return Err(CliError::Refused(words.to_owned()));
                }
                _ => return Err(CliError::Refused(error.description)),
            },
        }
    }
}

async fn endpoints(http: &reqwest::Client, url: &str) -> Result<Endpoints, CliError> {
    safe(url)?;
    let response = http
        .get(format!("{url}/.well-known/oauth-authorization-server"))
        .send()
        .await
        .with_context(|| format!("no answer from {url}"))?;
    let status = response.status();
    let metadata: Value = response
        .json()
        .await
        .with_context(|| format!("{url} is no Portcullis server: {status}, and no metadata"))?;
    let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
    let issuer = text("issuer");
    // RFC 8414 §3.3: or somebody in between could have us ask for a code at a place of theirs.
    if issuer != url {
        return Err(CliError::Usage(format!(
            "the server at {url} calls itself {issuer}: use that as --url"
        )));
    }
    let found = Endpoints {
        device_authorization: text("device_authorization_endpoint"),
        token: text("token_endpoint"),
        revocation: text("revocation_endpoint"),
        issuer,
    };
    for endpoint in [&found.device_authorization, &found.token, &found.revocation] {
        safe(endpoint)?;
    }
    Ok(found)
}

/// Ends the sign-in at the server, and forgets it here.
pub(super) async fn logout(args: LogoutArgs, format: Format) -> Result<(), CliError> {
    let former = Profiles::open()?.forget(&args.profile)?;
    let former = former.ok_or_else(|| not_signed_in(&args.profile))?;
    revoke(&http_client()?, &former).await.map_err(|error| {
        CliError::Failed(anyhow::anyhow!(
            "forgotten here, but the server was not told ({error}): end it on your account's page"
        ))
    })?;
    output::object(
        &json!({ "profile": args.profile, "url": former.url, "signed_in": false }),
        format,
    );
    Ok(())
}

/// RFC 7009: the refresh token ends its whole grant.
async fn revoke(http: &reqwest::Client, sign_in: &SignIn) -> Result<(), CliError> {
    let form = [
        ("token", sign_in.refresh_token.expose_secret()),
        ("token_type_hint", "refresh_token"),
        ("client_id", COMMAND_LINE),
    ];
    let answer = post_form(http, &sign_in.revocation_endpoint, &form).await?;
    answer
        .map(drop)
        .map_err(|error| CliError::Refused(error.description))
}

/// Who calls, as the server sees it.
pub(super) async fn whoami(args: WhoamiArgs, format: Format) -> Result<(), CliError> {
    let client = Client::new(&args.remote)?;
    let answer = client.call(Method::GET, "/v1/whoami", &[], None, None).await?;
    output::object(&answer, format);
    Ok(())
}
