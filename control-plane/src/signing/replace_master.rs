//! Another master key: planned, with everything that is sealed; or after a loss, with everything that is not.
//!
//! [`replace_master`] seals every secret anew in one transaction, while servers run. Each finds the new key in its file within
//! a second; what one sealed meanwhile under the old key is opened with that, which the database keeps sealed under the
//! new one until the next time. Steps, and what a crash after each leaves:
//!
//! 1. The old key is linked under a name that older backups need; the new one waits in `<file>.next`. Crash: nothing has
//!    changed, the next attempt draws another.
//! 2. The transaction: everything sealed, the number of the key, the audit row. Crash: whoever starts next finds the number,
//!    and the key that has it in `<file>.next`, and does the rest.
//! 3. `<file>.next` becomes `<file>`.
//!
//! [`start_over`] is for a key that nobody has any more: a new feed under a new root, new signers. Nothing that was signed
//! before is worth anything.

use std::path::{Path, PathBuf};

use serde_json::json;
use shared::id::{SigningKeyId, StatusIndex, UserId};
use shared::policy::CompiledPolicy;
use shared::time::UnixMillis;

use super::master::{self, MasterKey, MasterKeyError, Masters};
use super::private::context;
use super::ring::Keyring;
use super::rotate::first_index;
use super::{Purpose, SigningError, initialise};
use crate::audit::{self, Actor, Event};
use crate::random::Random;
use crate::store::master::{MasterRow, SealedPlace, SealedRow};
use crate::store::{Store, StoreError, Tx, uint};
use crate::{factors, mail, webhooks};

/// How a master key is to be replaced.
#[derive(Clone, Debug)]
pub struct MasterReplacement {
    /// Where the present one is, if it is in a file.
    pub file: Option<PathBuf>,
    /// Where the new one goes if the present one comes from the environment.
    pub into: Option<PathBuf>,
    /// Whether secrets of clients that registered themselves end too: for a key that somebody else has seen.
    pub end_derived: bool,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct MasterReplaced {
    /// How many secrets were sealed anew.
    pub sealed: u64,
    /// Where the new key is.
    pub file: PathBuf,
    /// Where the old one is kept, for older backups.
    pub kept: Option<PathBuf>,
}

/// Puts a new master key in the place of the present one.
pub async fn replace_master(
    store: &Store,
    keyring: &Keyring,
    random: &Random,
    how: &MasterReplacement,
    actor: &Actor,
    now: UnixMillis,
) -> Result<MasterReplaced, SigningError> {
    let (new, kept, file) = prepare(keyring, how)?;
    let sealed = seal_all(store, keyring, random, new, how.end_derived, actor, now).await?;
    if let Some(present) = &how.file {
        master::take_place(present)?;
    }
    Ok(MasterReplaced { sealed, file, kept })
}

/// Step 1: the new key, where the old one is kept, and where the new one will be.
fn prepare(
    keyring: &Keyring,
    how: &MasterReplacement,
) -> Result<(MasterKey, Option<PathBuf>, PathBuf), MasterKeyError> {
    if let Some(file) = &how.file {
        let kept = master::keep_former(file, keyring.masters().current())?;
        return Ok((MasterKey::draw(&master::next(file))?, Some(kept), file.clone()));
    }
    let into = how.into.as_deref().ok_or(MasterKeyError::NoFile)?;
    Ok((draw_into(into)?, None, into.to_owned()))
}

/// Never over a file that is there: it may hold the key of another database.
fn draw_into(into: &Path) -> Result<MasterKey, MasterKeyError> {
    if into.exists() {
        return Err(MasterKeyError::File {
            path: into.to_owned(),
            error: std::io::ErrorKind::AlreadyExists.into(),
        });
    }
    MasterKey::draw(into)
}

/// Step 2.
async fn seal_all(
    store: &Store,
    keyring: &Keyring,
    random: &Random,
    new: MasterKey,
    end_derived: bool,
    actor: &Actor,
    now: UnixMillis,
) -> Result<u64, SigningError> {
    let mut tx = store.begin().await?;
    keyring.reload(&mut tx).await?;
    let before = tx.master_row().await?.ok_or(SigningError::NotInitialised)?;
    let old = keyring.masters();
    let masters = old.succeeded_by(new, end_derived)?;
    // First the row that all replacements need: the second one waits here, and finds another number.
    if !tx.set_master(before.number, &row(&masters)?).await? {
        return Err(MasterKeyError::Replaced.into());
    }
    let mut sealed: u64 = 0;
    for place in SealedPlace::ALL {
        for row in tx.sealed_rows(place).await? {
            let context = place_of(place, &row)?;
            let plain = old.open(&context, &row.sealed)?;
            let again = masters.seal(&context, &plain)?;
            // One that is gone by now was sent, or removed by its owner.
            sealed += u64::from(tx.seal_again(place, &row, &again).await?);
        }
    }
    let event = Event {
        org: None,
        actor,
        action: "master_key.replace",
        target: "master key".to_owned(),
        detail: json!({ "sealed": sealed, "derived_ended": end_derived }),
    };
    audit::record(&mut tx, random, &event, now).await?;
    tx.commit().await?;
    keyring.set_masters(masters);
    Ok(sealed)
}

fn row(masters: &Masters) -> Result<MasterRow, MasterKeyError> {
    let (former, derivation) = masters.sealed()?;
    Ok(MasterRow {
        number: Some(masters.current().number()?),
        former,
        derivation: Some(derivation),
    })
}

/// What a row is sealed for. A new place must be named here and in [`SealedPlace`]; a test compares with the schema.
fn place_of(place: SealedPlace, row: &SealedRow) -> Result<String, StoreError> {
    let id = uint(row.id, "id")?;
    Ok(match place {
        SealedPlace::SigningKeys => {
            let purpose: Purpose = row
                .purpose
                .parse()
                .map_err(|()| StoreError::Corrupt("signing key purpose"))?;
            let id = SigningKeyId::from_u64(id).ok_or(StoreError::Corrupt("signing key"))?;
            context(purpose, id)
        }
        SealedPlace::Totp => {
            factors::totp_context(UserId::from_u64(id).ok_or(StoreError::Corrupt("user id"))?)
        }
        SealedPlace::Mails => mail::context(id),
        SealedPlace::Webhooks => webhooks::context(id),
    })
}

/// What [`start_over`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The signer of API keys, and a status index of its first block.
    pub signer: (SigningKeyId, StatusIndex),
    /// How many API keys died.
    pub api_keys: u64,
}

/// A ring with a new key for a database whose master key is lost. The key waits for [`settle_master`].
pub fn new_master(file: Option<&Path>, into: Option<&Path>) -> Result<Keyring, MasterKeyError> {
    let key = match (file, into) {
        (Some(file), _) => MasterKey::draw(&master::next(file))?,
        (None, Some(into)) => draw_into(into)?,
        (None, None) => return Err(MasterKeyError::NoFile),
    };
    Ok(Keyring::new(key))
}

/// After the commit: the ring's key gets the name; a file that is there, and does not fit, is kept as `<file>.lost-…`.
pub fn settle_master(keyring: &Keyring, file: &Path) -> Result<(), MasterKeyError> {
    master::put_aside(file, keyring.masters().current())?;
    master::take_place(file)
}

/// A new feed with new keys under the ring's master key. Everything that was signed is dead, and the edge must be told whom
/// to trust.
pub async fn start_over(
    tx: &mut Tx,
    keyring: &Keyring,
    policy: &CompiledPolicy,
    random: &Random,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Renewed, SigningError> {
    let before = tx.master_row().await?.ok_or(SigningError::NotInitialised)?;
    if !tx.set_master(before.number, &row(&keyring.masters())?).await? {
        return Err(MasterKeyError::Replaced.into());
    }
    let api_keys = tx.end_everything_signed(now).await?;
    initialise(tx, keyring, policy, random, now).await?;
    keyring.reload(tx).await?;
    let signer = keyring.signer(tx, Purpose::ApiKey).await?;
    let event = Event {
        org: None,
        actor,
        action: "master_key.lost",
        target: "master key".to_owned(),
        detail: json!({ "api_keys_revoked": api_keys }),
    };
    audit::record(tx, random, &event, now).await?;
    Ok(Renewed {
        signer: (signer.id, first_index(tx, random, signer.id, now).await?),
        api_keys,
    })
}

#[cfg(test)]
#[path = "replace_master_tests.rs"]
mod tests;
