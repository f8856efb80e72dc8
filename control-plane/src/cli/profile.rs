//! Who is signed in at the command line: profiles in one file, `portcullis/sign-ins.json` in the XDG configuration folder, mode
//! 0600. A profile is a server and the tokens of one person there.
//!
//! Tokens are refreshed when they are about to end, by one process at a time: a lock beside the file sees to that. What it
//! does not: keep API keys, which come from the environment or a file of yours.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::time::UnixSeconds;

use super::CliError;
use crate::clock::Clock;
use crate::config::environment_variable;
use crate::oauth::built_in::COMMAND_LINE;

/// The profile without a name.
pub(super) const DEFAULT: &str = "default";
/// A token that ends within this time is renewed before it is used.
const MARGIN_SECONDS: u64 = 30;
/// No file of ours is longer.
const MAX_BYTES: u64 = 1 << 20;

/// A person's tokens at a server.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SignIn {
    /// The server: its issuer.
    pub(super) url: String,
    pub(super) token_endpoint: String,
    pub(super) revocation_endpoint: String,
    pub(super) access_token: SecretString,
    pub(super) refresh_token: SecretString,
    /// When the access token ends.
    pub(super) expires_at: u64,
}

impl SignIn {
    fn to_json(&self) -> Value {
        json!({
            "url": self.url,
            "token_endpoint": self.token_endpoint,
            "revocation_endpoint": self.revocation_endpoint,
            "access_token": self.access_token.expose_secret(),
            "refresh_token": self.refresh_token.expose_secret(),
            "expires_at": self.expires_at,
        })
    }

    /// With what a token endpoint has answered.
    pub(super) fn granted(&mut self, answer: &Value, now: UnixSeconds) -> Option<()> {
        let text = |name: &str| {
            answer[name]
                .as_str()
                .map(|text| SecretString::from(text.to_owned()))
        };
        self.access_token = text("access_token")?;
        if let Some(token) = text("refresh_token") {
            self.refresh_token = token;
        }
        self.expires_at = now.0.saturating_add(answer["expires_in"].as_u64()?);
        Some(())
    }
}

#[derive(Debug, Default, Deserialize)]
struct Stored {
    profiles: BTreeMap<String, SignIn>,
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Profiles {
    folder: PathBuf,
}

impl Profiles {
    /// That of this user. Nothing is read yet.
    pub(super) fn open() -> Result<Self, CliError> {
        let absolute = |text: String| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
        // XDG Base Directory Specification: a relative path counts as none.
        let base = environment_variable("XDG_CONFIG_HOME")
            .and_then(absolute)
            .or_else(|| {
                let home = environment_variable("HOME").and_then(absolute)?;
                Some(home.join(".config"))
            });
        let base = base.ok_or_else(|| {
            CliError::Usage("no place for sign-ins: set XDG_CONFIG_HOME or HOME".to_owned())
        })?;
        Ok(Self {
            folder: base.join("portcullis"),
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.join("sign-ins.json")
    }

    /// One process at a time. The lock ends with the guard.
    fn lock(&self) -> anyhow::Result<File> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let path = self.folder.join("sign-ins.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        lock.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(lock)
    }

    fn read(&self) -> Result<Stored, CliError> {
        let path = self.file();
        let about = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Stored::default()),
            outcome => outcome.with_context(|| format!("cannot read {}", path.display()))?,
        };
        if about.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            return Err(CliError::Usage(format!(
                "others can read {path}, which holds your tokens: chmod 600 it, and sign in again"
            )));
        }
        if about.len() > MAX_BYTES {
            return Err(CliError::Usage(format!("{} is too long", path.display())));
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).map_err(|_| {
            CliError::Usage(format!(
                "{} is damaged: remove it and sign in again",
                path.display()
            ))
        })
    }

    /// A whole new file in place of the old one: whoever reads meanwhile gets either.
    fn write(&self, stored: &Stored) -> anyhow::Result<()> {
        let profiles: serde_json::Map<String, Value> = stored
            .profiles
            .iter()
            .map(|(name, one)| (name.clone(), one.to_json()))
            .collect();
        let path = self.file();
        let draft = self.folder.join(format!("sign-ins.{}.draft", std::process::id()));
        let failed = || format!("cannot write {}", path.display());
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .with_context(failed)?;
        let text = zeroize::Zeroizing::new(json!({ "profiles": profiles }).to_string());
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .with_context(failed)?;
        fs::rename(&draft, &path).with_context(failed)
    }

    /// The sign-in of a profile.
    pub(super) fn find(&self, name: &str) -> Result<Option<SignIn>, CliError> {
        Ok(self.read()?.profiles.remove(name))
    }

    /// Keeps a sign-in; gives the one that was there.
    pub(super) fn keep(&self, name: &str, sign_in: SignIn) -> Result<Option<SignIn>, CliError> {
        let _lock = self.lock()?;
        let mut stored = self.read()?;
        let former = stored.profiles.insert(name.to_owned(), sign_in);
        self.write(&stored)?;
        Ok(former)
    }

    /// Forgets a sign-in, and gives it.
    pub(super) fn forget(&self, name: &str) -> Result<Option<SignIn>, CliError> {
        let _lock = self.lock()?;
        let mut stored = self.read()?;
        let former = stored.profiles.remove(name);
        self.write(&stored)?;
        Ok(former)
    }

    /// An access token that lives long enough for a call.
    pub(super) async fn access_token(
        &self,
        http: &reqwest::Client,
        name: &str,
    ) -> Result<SecretString, CliError> {
        let _lock = self.lock()?;
        let mut stored = self.read()?;
        let Some(sign_in) = stored.profiles.get_mut(name) else {
            return Err(not_signed_in(name));
        };
        let now = Clock::system().now().seconds();
        if sign_in.expires_at > now.0.saturating_add(MARGIN_SECONDS) {
            return Ok(sign_in.access_token.clone());
        }
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", sign_in.refresh_token.expose_secret()),
            ("client_id", COMMAND_LINE),
        ];
        let answer = match post_form(http, &sign_in.token_endpoint, &form).await? {
            Ok(answer) => answer,
            Err(error) if error.code == "invalid_grant" => {
                stored.profiles.remove(name);
                self.write(&stored)?;
                return Err(not_signed_in(name));
            }
            Err(error) => return Err(CliError::Failed(anyhow::anyhow!(error.description))),
        };
        sign_in
            .granted(&answer, now)
            .context("the server's answer holds no token")?;
        let token = sign_in.access_token.clone();
        self.write(&stored)?;
        Ok(token)
    }
}

/// The one sentence for whoever must sign in.
pub(super) fn not_signed_in(profile: &str) -> CliError {
    let flag = match profile {
        DEFAULT => String::new(),
        name => format!(" --profile {name}"),
    };
    CliError::NotSignedIn(format!(
        "you are not signed in: run `portcullis login{flag}`, or set PORTCULLIS_ADMIN_KEY"
    ))
}

/// A refusal of an OAuth endpoint (RFC 6749 §5.2).
#[derive(Debug)]
pub(super) struct OAuthRefusal {
    pub(super) code: String,
    pub(super) description: String,
}

/// Sends a form to an OAuth endpoint.
pub(super) async fn post_form(
    http: &reqwest::Client,
    endpoint: &str,
    fields: &[(&str, &str)],
) -> Result<Result<Value, OAuthRefusal>, CliError> {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let response = http
        .post(endpoint)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .with_context(|| format!("no answer from {endpoint}"))?;
    let status = response.status();
    let text = response.text().await.context("the answer broke off")?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() {
        return Ok(Ok(answer));
    }
    let member = |name: &str| answer[name].as_str().map(str::to_owned);
    Ok(Err(OAuthRefusal {
        code: member("error").unwrap_or_default(),
        description: member("error_description").unwrap_or_else(|| format!("{endpoint} answered {status}")),
    }))
}
