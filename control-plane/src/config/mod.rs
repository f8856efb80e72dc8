//! Configuration: one tree of values with defaults that start on SQLite without any file.
//!
//! Read from a TOML file, then overridden by environment variables, then validated as a whole. The variable of a key is
//! `PORTCULLIS_` and its path in capitals: `tokens.access_seconds` is `PORTCULLIS_TOKENS_ACCESS_SECONDS`.
//! An unknown key, in the file or in the environment, is an error that names the nearest valid one (I12).
//! What it does not: open anything that a value points to, except the configuration file itself.

mod clients;
mod device;
mod edges;
mod effective;
mod factors;
mod identity_providers;
mod issuers;
mod load;
mod mail;
mod names;
mod rate_limits;
mod retention;
mod signals;
mod status_lists;
#[cfg(test)]
mod tests;
mod usage;
mod validate;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};
use shared::key::Environment;

pub use clients::{Clients, Fetch, admits};
pub use device::Device;
pub use edges::{Canary, Edge, EdgeGroup, EdgeMode};
pub use factors::Factors;
pub use identity_providers::IdentityProvider;
pub(crate) use identity_providers::is_fetchable;
pub use issuers::Issuers;
pub use load::{ConfigError, environment_variable, load};
pub use mail::{Mail, SmtpTls};
pub use rate_limits::{EffectiveRateLimits, RateLimits};
pub use retention::Retention;
pub use signals::{LeakAction, Leaks, SignalTransmitter};
pub use status_lists::StatusLists;
pub use usage::Usage;

/// Everything that an operator can set. `config check` prints the effective values.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the API and the OAuth endpoints.
    pub listen: SocketAddr,
    /// Address of `/metrics`. In `dev` without it, `/metrics` is on the main listener; otherwise there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
    /// The issuer identifier (RFC 8414 §2), byte for byte as in tokens: no trailing slash. http only on loopback.
    pub issuer: String,
    /// The protected API's resource identifier (RFC 8707): `aud` of its tokens, normally the edge's URL.
    pub resource: String,
    /// `sqlite://path` or `postgres://user:password@host/database`; also read from `DATABASE_URL`.
    #[serde(serialize_with = "redact_password")]
    pub database_url: String,
    /// The base64 of 32 bytes under which private keys are sealed. Wins over `master_key_file`.
    #[serde(serialize_with = "redact", skip_serializing_if = "Option::is_none")]
    pub master_key: Option<SecretString>,
    /// A file of mode 0600 that holds the master key; created on first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_key_file: Option<PathBuf>,
    /// Names the copy of the database that publishes; made on first start. Without it `portcullis-incarnation` beside the
    /// master key file; beside the SQLite file, or in the working folder, if the key is in the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation_file: Option<PathBuf>,
    /// The first part of every API key: `pc` in `pc_live_…`.
    pub brand: String,
    /// The environments whose keys this deployment issues and accepts.
    pub environments: Vec<Environment>,
    /// Rate limits far above what a test suite does, metrics on the main listener. Never in production.
    pub dev: bool,
    /// The route policy and scope catalogue as JSON; without it, the demo's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_file: Option<PathBuf>,
    /// How log lines look on stderr.
    pub log_format: LogFormat,
    /// Which log lines appear, in `tracing`'s filter syntax.
    pub log_filter: String,
    /// Where the first start writes the secrets that are shown once (JSON, mode 0600); without it, to the terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_file: Option<PathBuf>,
    /// The first owner's e-mail address.
    pub bootstrap_email: String,
    /// The edges that get the feed. In the environment: `name=url,name=url`, and `name=pull` for one that fetches it.
    /// With `name@group=…` for one that belongs to a group.
    pub edges: Vec<Edge>,
    /// Edges that admit some organisations only. In the environment: `name=org_…+org_…,name=org_…`.
    pub edge_groups: Vec<EdgeGroup>,
    /// Identity providers whose assertions become access tokens. In the environment: `org_…=issuer,org_…=issuer`.
    pub identity_providers: Vec<IdentityProvider>,
    /// Whose security events organisations go by. In the environment: `org_…=issuer,org_…=issuer`.
    pub signal_transmitters: Vec<SignalTransmitter>,
    /// Access tokens.
    pub tokens: Tokens,
    /// API keys.
    pub keys: Keys,
    /// The restriction feed.
    pub feed: Feed,
    /// A credential that is revoked all the time, to see how long that takes.
    pub canary: Canary,
    /// Caps on what one caller may use.
    pub limits: Limits,
    /// How long a sign-in lasts.
    pub sessions: Sessions,
    /// How often somebody may try to sign in.
    pub sign_in: SignIn,
    /// Devices without a browser.
    pub device: Device,
    /// Accounts that people make themselves.
    pub sign_up: SignUp,
    /// How mail is sent, and how much of it anybody may cause.
    pub mail: Mail,
    /// How often the endpoints of programs may be called.
    pub rate_limits: RateLimits,
    /// Second factors.
    pub factors: Factors,
    /// Apps that nobody registered here.
    pub clients: Clients,
    /// What our own look-ups may reach.
    pub fetch: Fetch,
    /// How long others may go by a status list.
    pub status_lists: StatusLists,
    /// What a secret scanner may tell us.
    pub leaks: Leaks,
    /// How often the keys of other issuers are looked for.
    pub issuers: Issuers,
    /// How long what the edges counted is kept.
    pub usage: Usage,
    /// How long what is known about people is kept at most.
    pub retention: Retention,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Access tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Lifetime of an access token.
    pub access_seconds: u64,
    /// A grant ends when its refresh token is not used for so long.
    pub refresh_idle_seconds: u64,
    /// A grant ends after so long in any case.
    pub refresh_max_seconds: u64,
}

/// API keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// How long a rotated key stays valid unless the call says otherwise.
    pub rotation_overlap_seconds: u64,
    /// How often one line of keys may rotate itself in an hour; without it 30, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_rotations_per_hour: Option<u64>,
}

/// The restriction feed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Feed {
    /// How often the hub hears from us.
    pub heartbeat_ms: u64,
    /// How long a receipt may be waited for.
    pub receipt_wait_ms: u64,
    /// How long a cache between a region and its isolates holds an answer; part of every bound.
    pub colo_ttl_ms: u64,
    /// An edge that nobody has heard of for so long raises an alert.
    pub contact_alert_ms: u64,
}

/// Caps on what one caller may use.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The longest that one request may take.
    pub request_seconds: u64,
}

/// How long a sign-in lasts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// Without use.
    pub idle_seconds: u64,
    /// In any case.
    pub max_seconds: u64,
}

/// How often somebody may try to sign in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignIn {
    /// Attempts are counted for so long; then the count starts again.
    pub window_seconds: u64,
    /// Failures for one account in a window; without it 10, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_per_account: Option<u64>,
    /// Failures from one address (IPv6: one /64) in a window; without it 50, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_per_address: Option<u64>,
    /// Right passwords for one account in a window; without it 60, in `dev` 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successes_per_account: Option<u64>,
    /// The header in which a trusted proxy in front names the client; its last entry counts. Without it, the peer's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_header: Option<String>,
}

/// Accounts that people make themselves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignUp {
    /// Whether anybody may make an account with an organisation of its own; without it no, in `dev` yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            metrics_listen: None,
            issuer: "http://127.0.0.1:7070".to_owned(),
            resource: "http://127.0.0.1:8787".to_owned(),
            database_url: "sqlite://portcullis.db".to_owned(),
            master_key: None,
            master_key_file: Some(PathBuf::from("portcullis-master.key")),
            incarnation_file: None,
            brand: "pc".to_owned(),
            environments: vec![Environment::Live, Environment::Test, Environment::Dev],
            dev: false,
            policy_file: None,
            log_format: LogFormat::Json,
            log_filter: "info".to_owned(),
            bootstrap_file: None,
            bootstrap_email: "admin@localhost".to_owned(),
            edges: vec![Edge::push("hub", "http://127.0.0.1:8787")],
            edge_groups: Vec::new(),
            identity_providers: Vec::new(),
            signal_transmitters: Vec::new(),
            tokens: Tokens::default(),
            keys: Keys::default(),
            feed: Feed::default(),
            canary: Canary::default(),
            limits: Limits::default(),
            sessions: Sessions::default(),
            sign_in: SignIn::default(),
            device: Device::default(),
            sign_up: SignUp::default(),
            mail: Mail::default(),
            rate_limits: RateLimits::default(),
            factors: Factors::default(),
            clients: Clients::default(),
            fetch: Fetch::default(),
            status_lists: StatusLists::default(),
            leaks: Leaks::default(),
            issuers: Issuers::default(),
            usage: Usage::default(),
            retention: Retention::default(),
        }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_seconds: 3600,
            refresh_idle_seconds: 30 * 86_400,
            refresh_max_seconds: 90 * 86_400,
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            rotation_overlap_seconds: 86_400,
            self_rotations_per_hour: None,
        }
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            heartbeat_ms: 1000,
            receipt_wait_ms: 5000,
            colo_ttl_ms: 1000,
            contact_alert_ms: 30_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_seconds: 30 }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            idle_seconds: 24 * 3600,
            max_seconds: 7 * 24 * 3600,
        }
    }
}

impl Default for SignIn {
    fn default() -> Self {
        Self {
            window_seconds: 900,
            failures_per_account: None,
            failures_per_address: None,
            successes_per_account: None,
            address_header: None,
        }
    }
}

impl Config {
    /// Where the incarnation file is.
    pub fn incarnation_path(&self) -> PathBuf {
        if let Some(path) = &self.incarnation_file {
            return path.clone();
        }
        let neighbour = match (&self.master_key, &self.master_key_file) {
            (None, Some(file)) => Some(file.as_path()),
            _ => self.sqlite_file(),
        };
        let folder = neighbour.and_then(Path::parent).unwrap_or(Path::new(""));
        folder.join("portcullis-incarnation")
    }

    fn sqlite_file(&self) -> Option<&Path> {
        let rest = self.database_url.strip_prefix("sqlite:")?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        rest.split('?').next().map(Path::new)
    }

    /// Failures for one account in a window.
    pub fn sign_in_failures_per_account(&self) -> u64 {
        self.sign_in
            .failures_per_account
            .unwrap_or(if self.dev { 100_000 } else { 10 })
    }

    /// Failures from one address in a window.
    pub fn sign_in_failures_per_address(&self) -> u64 {
        self.sign_in
            .failures_per_address
            .unwrap_or(if self.dev { 100_000 } else { 50 })
    }

    /// Right passwords for one account in a window.
    pub fn sign_in_successes_per_account(&self) -> u64 {
        self.sign_in
            .successes_per_account
            .unwrap_or(if self.dev { 100_000 } else { 60 })
    }

    /// How often one line of keys may rotate itself in an hour.
    pub fn self_rotations_per_hour(&self) -> u64 {
        self.keys
            .self_rotations_per_hour
            .unwrap_or(if self.dev { 100_000 } else { 30 })
    }

    /// The effective values as TOML, every secret replaced by `redacted`.
    pub fn redacted(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(&self.effective())
    }
}

/// As `config check` prints it: without secrets.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted().map_err(|_| std::fmt::Error)?)
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn redact<S: Serializer>(_: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("redacted")
}

fn redact_password<S: Serializer>(database_url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let Ok(mut url) = url::Url::parse(database_url) else {
        return serializer.serialize_str(database_url);
    };
    // A password may also be a query parameter, under more than one name.
    let in_query = url.query().is_some_and(|query| query.contains("pass"));
    if in_query || (url.password().is_some() && url.set_password(Some("redacted")).is_err()) {
        return serializer.serialize_str("redacted");
    }
    serializer.serialize_str(if url.password().is_some() {
        url.as_str()
    } else {
        database_url
    })
}
