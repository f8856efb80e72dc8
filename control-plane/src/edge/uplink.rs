//! Uplink keys: what an edge proves itself with when it fetches the feed. `pcu_` and 43 characters of base64url, 256 random
//! bits; shown once, kept as SHA-256. One may read its edge's feed, restrict and bring usage, nothing else.
//!
//! Two are valid at a time at most: the one in use, and its successor until the edge has it.

use serde_json::json;
use shared::crypto::{Digest, base64url, sha256};
use zeroize::Zeroizing;

use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::config::EdgeMode;
use crate::random::Random;
use crate::signing::SigningError;
use crate::store::StoreError;
use crate::store::edges::EdgeKeyRow;

const PREFIX: &str = "pcu_";
const BODY: usize = 43;
const MOST_VALID: usize = 2;

/// A key's text. Wiped on drop, never printed.
pub struct UplinkKey(Zeroizing<String>);

impl std::fmt::Debug for UplinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UplinkKey(redacted)")
    }
}

impl UplinkKey {
    fn generate(random: &Random) -> Result<Self, SigningError> {
        let bytes = Zeroizing::new(random.bytes::<32>()?);
        Ok(Self(Zeroizing::new(format!(
            "{PREFIX}{}",
            base64url(bytes.as_slice())
        ))))
    }

    /// The text that has the form of a key; `None` for any other.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (body.len() == BODY && body.bytes().all(sound)).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text, to be shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the database knows it by. Found by this, it is never compared with another one.
    pub(super) fn digest(&self) -> Digest {
        sha256(self.0.as_bytes())
    }
}

/// Why there is no new key, or no end to an old one.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// Not in the configuration, or not in this mode.
    #[error("{0:?} is no edge that fetches: add it to `edges` with mode = \"pull\" first")]
    NoSuchEdge(String),
    /// Rotation under way.
    #[error("two keys of this edge are valid, {0}: revoke one first, with --revoke")]
    TwoAreValid(String),
    /// Not there, or revoked before.
    #[error("this edge has no valid key {0:?}; --list shows those that there are")]
    NoSuchKey(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random numbers.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// Makes a key for an edge; gives its id and its text.
pub async fn create(app: &App, edge: &str, actor: &Actor) -> Result<(String, UplinkKey), UplinkError> {
    let is_known = |known: &crate::config::Edge| known.name == edge && known.mode == EdgeMode::Pull;
    if !app.config.edges.iter().any(is_known) {
        return Err(UplinkError::NoSuchEdge(edge.to_owned()));
    }
    let now = app.clock.now();
    let key = UplinkKey::generate(&app.random)?;
    let random = app.random.bytes::<4>().map_err(SigningError::from)?;
    let id = format!("upl_{:08x}", u32::from_be_bytes(random));
    let mut tx = app.store.begin().await?;
    tx.hold_edge_keys(edge).await?;
    let valid = valid(tx.edge_keys().await?, edge);
    if valid.len() >= MOST_VALID {
        let ids: Vec<String> = valid.into_iter().map(|row| row.id).collect();
        return Err(UplinkError::TwoAreValid(ids.join(" and ")));
    }
    tx.insert_edge_key(&id, edge, &key.digest(), now).await?;
    let event = Event {
        org: None,
        actor,
        action: "edge_key.create",
        target: id.clone(),
        detail: json!({ "edge": edge }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok((id, key))
}

/// Ends a key of an edge, at once.
pub async fn revoke(app: &App, edge: &str, id: &str, actor: &Actor) -> Result<(), UplinkError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if !tx.revoke_edge_key(edge, id, now).await? {
        return Err(UplinkError::NoSuchKey(id.to_owned()));
    }
    let event = Event {
        org: None,
        actor,
        action: "edge_key.revoke",
        target: id.to_owned(),
        detail: json!({ "edge": edge }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    Ok(())
}

/// The valid keys of an edge, oldest first.
pub async fn list(app: &App, edge: &str) -> Result<Vec<EdgeKeyRow>, StoreError> {
    Ok(valid(app.store.begin_read().await?.edge_keys().await?, edge))
}

fn valid(rows: Vec<EdgeKeyRow>, edge: &str) -> Vec<EdgeKeyRow> {
    let mut rows = rows;
    rows.retain(|row| row.edge == edge && row.revoked_at.is_none());
    rows
}
