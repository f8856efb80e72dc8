//! What of a row is about a person, and how it is kept: sealed under a key of that person, in that chain.
//!
//! | of the detail | when | whose key |
//! | --- | --- | --- |
//! | `address` (of the network) | always | the person the row is about, else the one who acted |
//! | `email` | always | that of the address, unless the row is about a person |
//! | `name` | rows about people and passkeys | the person the row is about, else the one who acted |
//!
//! Ids stay in the open: without the account behind it, `usr_…` names nobody. Destroying the key makes what is sealed unreadable for
//! good, and the chain, which is over what is sealed, holds. The keys are in the same database, so they hide nothing from whoever
//! has that; they are there to be destroyed. A backup from before still has them.

use std::collections::HashMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use serde_json::{Map, Value};
use shared::id::{LIMIT, UserId};
use shared::time::UnixMillis;
use zeroize::Zeroizing;

use super::chain::{DROPPED, SEALED};
use crate::random::Random;
use crate::store::audit::AuditRow;
use crate::store::{StoreError, Tx, int};

/// Rows whose `name` is a person's or given by one to something of their own.
const NAMED: [&str; 4] = ["user.", "membership.", "passkey.", "invitation."];
/// Whose key it is when nobody is known.
const NOBODY: &str = "nobody";

/// Splits a detail, seals what is about a person, and puts all of it into the row.
pub(super) async fn put(
    tx: &mut Tx,
    random: &Random,
    row: &mut AuditRow,
    mut detail: Value,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let (mut personal, mut address) = (Map::new(), None);
    if let Some(members) = detail.as_object_mut() {
        for name in ["email", "name"] {
            let is_personal = name == "email" || NAMED.iter().any(|prefix| row.action.starts_with(prefix));
            if is_personal && let Some(value) = members.remove(name) {
                personal.insert(name.to_owned(), value);
            }
        }
        // A word such as `of: "address"` is none.
        address = members.remove("address").filter(|value| !value.is_null());
    }
    let person = person(row, &detail);
    if !personal.is_empty() {
        let email = personal.get("email").and_then(Value::as_str);
        let subject = match (row.target.parse::<UserId>(), email) {
            (Err(_), Some(email)) => email_subject(email),
            _ => person.clone(),
        };
        row.personal = seal(tx, random, row, &subject, &Value::Object(personal), now).await?;
    }
    if let Some(address) = address {
        row.address = seal(tx, random, row, &person, &address, now).await?;
    }
    row.detail = detail.to_string();
    Ok(())
}

/// Whom a row is about: its target, somebody that its detail names, or who acted.
fn person(row: &AuditRow, detail: &Value) -> String {
    let named = detail.get("user").and_then(Value::as_str);
    [Some(row.target.as_str()), named, Some(row.actor.as_str())]
        .into_iter()
        .flatten()
        .find(|text| text.parse::<UserId>().is_ok())
        .unwrap_or(NOBODY)
        .to_owned()
}

/// Under which the key of an address is found. It is gone with the key.
pub(crate) fn email_subject(email: &str) -> String {
    let digest =
        shared::crypto::sha256(format!("portcullis/audit-email/v1 {}", email.to_lowercase()).as_bytes());
    format!("email:{}", shared::crypto::base64url(&digest))
}

/// `None` where the person's key was destroyed: nothing more is kept about them.
async fn seal(
    tx: &mut Tx,
    random: &Random,
    row: &AuditRow,
    subject: &str,
    value: &Value,
    now: UnixMillis,
) -> Result<Option<Vec<u8>>, StoreError> {
    let (id, secret) = (int(random.below(LIMIT)?), Zeroizing::new(random.bytes::<32>()?));
    let key = tx.person_key((row.chain, subject), id, &secret, now).await?;
    if key.destroyed_at.is_some() {
        return Ok(None);
    }
    let broken = StoreError::Corrupt("person key");
    let Ok(cipher) = RandomizedNonceKey::new(&AES_256_GCM, &key.secret) else {
        return Err(broken);
    };
    let mut body = value.to_string().into_bytes();
    let Ok(nonce) = cipher.seal_in_place_append_tag(Aad::from(context(row).as_bytes()), &mut body) else {
        return Err(broken);
    };
    let mut sealed = vec![SEALED];
    sealed.extend_from_slice(&key.id.to_be_bytes());
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&body);
    Ok(Some(sealed))
}

/// What is sealed opens in its own row only.
fn context(row: &AuditRow) -> String {
    format!("portcullis/audit/v1 {} {}", row.chain, row.id)
}

/// What became of something sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// There is nothing.
    Nothing,
    /// It is there.
    Value(Value),
    /// The person's key was destroyed.
    Erased,
    /// It was dropped after its time.
    Expired,
}

/// The keys that were needed so far, by their numbers: rows of one page often name the same few people.
#[derive(Default)]
pub(crate) struct Opener(HashMap<i64, Option<Zeroizing<Vec<u8>>>>);

/// More keys than any page names: an export starts again with none.
const MOST_KEYS: usize = 10_000;

impl Opener {
    pub(crate) async fn open(
        &mut self,
        tx: &mut Tx,
        row: &AuditRow,
        sealed: Option<&[u8]>,
    ) -> Result<Opened, StoreError> {
        let Some(sealed) = sealed else {
            return Ok(Opened::Nothing);
        };
        let broken = StoreError::Corrupt("sealed audit detail");
        let Some((version, rest)) = sealed.split_first() else {
            return Err(broken);
        };
        if *version == DROPPED {
            return Ok(Opened::Expired);
        }
        let Some((number, rest)) = rest.split_first_chunk::<8>() else {
            return Err(broken);
        };
        let Some((nonce, body)) = rest.split_at_checked(NONCE_LEN) else {
            return Err(broken);
        };
        let Some(secret) = self.key(tx, i64::from_be_bytes(*number)).await? else {
            return Ok(Opened::Erased);
        };
        let opened = Nonce::try_assume_unique_for_key(nonce).ok().and_then(|nonce| {
            let cipher = RandomizedNonceKey::new(&AES_256_GCM, secret).ok()?;
            let mut body = body.to_vec();
            let aad = Aad::from(context(row).into_bytes());
            let plain = cipher.open_in_place(nonce, aad, &mut body).ok()?;
            serde_json::from_slice(plain).ok()
        });
        // Changed by hand: the walk along the chain says so. A list goes on.
        Ok(opened.map_or(Opened::Nothing, Opened::Value))
    }

    async fn key(&mut self, tx: &mut Tx, id: i64) -> Result<Option<&[u8]>, StoreError> {
        if !self.0.contains_key(&id) {
            if self.0.len() >= MOST_KEYS {
                self.0.clear();
            }
            let row = tx.person_key_numbered(id).await?;
            let secret = row.filter(|row| row.destroyed_at.is_none());
            self.0.insert(id, secret.map(|row| Zeroizing::new(row.secret)));
        }
        Ok(self
            .0
            .get(&id)
            .and_then(|secret| secret.as_ref())
            .map(|secret| secret.as_slice()))
    }
}
