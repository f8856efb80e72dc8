//! What a gate is made of: what it trusts, what it accepts, and where its feed comes from.

use edge::library::Config;
use secrecy::{ExposeSecret as _, SecretString};

/// A shorter uplink key could be guessed.
const MIN_UPLINK_KEY: usize = 32;

/// Why settings cannot be used: one sentence that names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub(crate) String);

impl SettingsError {
    pub(crate) fn of(setting: &str, expected: &str) -> Self {
        Self(format!("{setting}: {expected}"))
    }
}

/// The settings of a gate. Debug shows no secret.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The authorization server, byte for byte as in `iss`.
    pub issuer: String,
    /// This API's resource identifier (RFC 8707).
    pub resource: String,
    /// The feed's pinned root: base64url of a raw Ed25519 key, or of two with a comma between, as `portcullis feed trust` prints it.
    pub root_key: String,
    /// The feed's id: 32 hexadecimal digits.
    pub feed_id: String,
    /// The control plane's base URL.
    pub control_plane: String,
    /// What this edge fetches its feed with, as `portcullis edge key NAME` printed it.
    pub uplink_key: SecretString,
    /// The brand of its API keys.
    pub brand: String,
    /// The environments of keys that it admits: some of live, test, dev.
    pub environments: Vec<String>,
    /// Further origins under which callers reach this API, for DPoP proofs.
    pub public_origins: Vec<String>,
    /// This process is the only one of its edge: then its own memory of DPoP proofs is enough on strict routes, which are closed to
    /// them otherwise.
    pub is_single: bool,
}

impl Settings {
    /// With the usual brand and environment: `pc`, `live`.
    pub fn new(issuer: &str, resource: &str, control_plane: &str, uplink_key: SecretString) -> Self {
        Self {
            issuer: issuer.to_owned(),
            resource: resource.to_owned(),
            root_key: String::new(),
            feed_id: String::new(),
            control_plane: control_plane.to_owned(),
            uplink_key,
            brand: "pc".into(),
            environments: vec!["live".into()],
            public_origins: Vec::new(),
            is_single: false,
        }
    }

    /// Trusts the feed of this id, under this root.
    #[must_use]
    pub fn trusting(mut self, root_key: &str, feed_id: &str) -> Self {
        root_key.clone_into(&mut self.root_key);
        feed_id.clone_into(&mut self.feed_id);
        self
    }

    /// Checked, as the core wants it.
    pub(crate) fn config(&self) -> Result<Config, SettingsError> {
        if self.uplink_key.expose_secret().len() < MIN_UPLINK_KEY {
            return Err(SettingsError::of(
                "uplink_key",
                "expected a key that was made by `portcullis edge key`",
            ));
        }
        let json = serde_json::json!({
            "issuer": self.issuer,
            "resource": self.resource,
            "rootKey": self.root_key,
            "feedId": self.feed_id,
            "brand": self.brand,
            "environments": self.environments,
            "publicOrigins": self.public_origins,
        });
        Config::from_json(&json.to_string()).map_err(|error| {
            let names = [
                ("rootKey", "root_key"),
                ("feedId", "feed_id"),
                ("publicOrigins", "public_origins"),
            ];
            let plain = names.iter().fold(error.to_string(), |text, (theirs, ours)| {
                text.replace(theirs, ours)
            });
            SettingsError(plain)
        })
    }
}

/// A base URL without a slash at the end, if this is one: no query, no fragment, no user name.
pub(crate) fn base_url(url: &str) -> Option<String> {
    let parsed: http::Uri = url.parse().ok()?;
    let is_web = matches!(parsed.scheme_str(), Some("http" | "https"));
    let authority = parsed.authority()?;
    let is_plain = !authority.as_str().contains('@') && !url.contains(['?', '#']);
    (is_web && is_plain).then(|| url.trim_end_matches('/').to_owned())
}
