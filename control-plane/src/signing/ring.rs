//! The signing keys in memory: opened once, shared by all requests, brought up to date from the database.
//!
//! What it does: hold keys with their states, sign, list what verifies. What it does not: change a state (`rotate`) or
//! decide which key signs (the database does, in the transaction of the issue).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::ExposeSecret;
use shared::crypto::{Algorithm, VerifyingKey};
use shared::id::SigningKeyId;
use shared::time::UnixMillis;
use zeroize::Zeroizing;

use super::master::{MasterKey, MasterKeyError, Masters};
use super::private::{PrivateKey, PrivateKeyError};
use super::{KeyState, Purpose, SigningError};
use crate::config::Config;
use crate::store::master::MasterRow;
use crate::store::signing::SigningKeyRow;
use crate::store::{Store, StoreError, Tx, uint};

/// Every signing key of the installation. Cheap to clone; all clones see the same keys.
#[derive(Clone, Debug)]
pub struct Keyring(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    masters: RwLock<Arc<Masters>>,
    /// Where the present master key is read again when the database says that there is another one.
    file: Option<PathBuf>,
    keys: RwLock<BTreeMap<SigningKeyId, Arc<SigningKey>>>,
}

/// One signing key. Its private half is there only while it may sign.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Its number; as a `kid`, `k<number>`.
    pub id: SigningKeyId,
    /// What it signs. One key per purpose, one purpose per key.
    pub purpose: Purpose,
    /// Where it is in its life.
    pub state: KeyState,
    /// The public half.
    pub public: VerifyingKey,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When another took its place.
    pub retired_at: Option<UnixMillis>,
    /// When it became the signer.
    pub activated_at: Option<UnixMillis>,
    /// When every edge was seen to have it.
    pub acknowledged_at: Option<UnixMillis>,
    pub(super) announced_by: Option<i64>,
    private: Option<Arc<PrivateKey>>,
}

impl SigningKey {
    /// The signature over `message`; refused once the private half is destroyed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        Ok(self.private()?.sign(message)?)
    }

    /// The same for the Ed25519 purposes, as an array.
    pub fn sign_ed25519(&self, message: &[u8]) -> Result<[u8; 64], SigningError> {
        Ok(self.private()?.sign_ed25519(message)?)
    }

    fn private(&self) -> Result<&PrivateKey, SigningError> {
        self.private
            .as_deref()
            .ok_or(SigningError::NoPrivateHalf(self.id))
    }

    fn from_row(row: &SigningKeyRow, master: &Masters, known: Option<&Self>) -> Result<Self, SigningError> {
        let id =
            SigningKeyId::from_u64(uint(row.id, "signing key")?).ok_or(StoreError::Corrupt("signing key"))?;
        let purpose: Purpose = row
            .purpose
            .parse()
            .map_err(|()| StoreError::Corrupt("signing key purpose"))?;
        let public = public_key(purpose, &row.public_key).ok_or(StoreError::Corrupt("public key"))?;
        // A number may come to mean another key: after a rollback, or when a database was restored under us.
        let opened = known
            .filter(|key| key.public == public)
            .and_then(|key| key.private.clone());
        let private = match (&row.sealed, opened) {
            (None, _) => None,
            (Some(_), Some(opened)) => Some(opened),
            (Some(sealed), None) => Some(Arc::new(PrivateKey::open(master, purpose, id, sealed)?)),
        };
        let time = |at: i64| uint(at, "time").map(UnixMillis);
        Ok(Self {
            id,
            purpose,
            state: row
                .state
                .parse()
                .map_err(|()| StoreError::Corrupt("signing key state"))?,
            public,
            created_at: time(row.created_at)?,
            retired_at: row.retired_at.map(time).transpose()?,
            announced_by: row.announced_by,
            acknowledged_at: row.acknowledged_at.map(time).transpose()?,
            activated_at: row.activated_at.map(time).transpose()?,
            private,
        })
    }
}

/// The public key that a row of this purpose holds.
fn public_key(purpose: Purpose, material: &[u8]) -> Option<VerifyingKey> {
    match purpose {
        Purpose::AccessToken => VerifyingKey::rsa(Algorithm::Rs256, material, &[1, 0, 1]).ok(),
        Purpose::Root | Purpose::Feed | Purpose::ApiKey => {
            material.try_into().ok().map(VerifyingKey::ed25519)
        }
    }
}

/// The master key with what the database keeps under it.
fn unsealed(key: MasterKey, row: &MasterRow) -> Result<Masters, MasterKeyError> {
    Masters::unseal(key, row.former.as_deref(), row.derivation.as_deref())
}

impl Keyring {
    /// An empty ring under this master key; [`Keyring::reload`] fills it.
    pub fn new(master: MasterKey) -> Self {
        Self::with(master.into(), None)
    }

    fn with(masters: Masters, file: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            masters: RwLock::new(Arc::new(masters)),
            file,
            keys: RwLock::default(),
        }))
    }

    /// The ring of a database, under the master key that the configuration names. Only for a database that is new such a
    /// key is made.
    pub async fn load(store: &Store, config: &Config) -> Result<Self, SigningError> {
        let text = config.master_key.as_ref().map(ExposeSecret::expose_secret);
        let file = config.master_key_file.as_deref();
        let mut tx = store.begin_read().await?;
        let masters = match tx.master_row().await? {
            Some(row) => unsealed(MasterKey::load_known(text, file, row.number)?, &row)?,
            None => MasterKey::load(text, file)?.into(),
        };
        let watched = file.filter(|_| text.is_none()).map(ToOwned::to_owned);
        let ring = Self::with(masters, watched);
        ring.reload(&mut tx).await?;
        Ok(ring)
    }

    pub(super) fn masters(&self) -> Arc<Masters> {
        Arc::clone(&self.0.masters.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_masters(&self, masters: Masters) {
        *self.0.masters.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(masters);
    }

    /// Follows the database to another master key.
    async fn follow(&self, tx: &mut Tx) -> Result<(), SigningError> {
        let Some(row) = tx.master_row().await? else {
            return Ok(());
        };
        let Some(number) = row.number else {
            return Ok(());
        };
        if self.masters().current().number()? == number {
            return Ok(());
        }
        let file = self.0.file.as_deref().ok_or(MasterKeyError::Replaced)?;
        let key = MasterKey::load_known(None, Some(file), Some(number))?;
        self.set_masters(unsealed(key, &row)?);
        tracing::info!("the master key was replaced; this process has the new one");
        Ok(())
    }

    /// Makes the ring equal to the database. A key that was opened before is not opened again.
    pub async fn reload(&self, tx: &mut Tx) -> Result<(), SigningError> {
        self.follow(tx).await?;
        let masters = self.masters();
        let rows = tx.signing_keys().await?;
        let known = self.all();
        let known: BTreeMap<i64, &SigningKey> = known
            .iter()
            .map(|key| (crate::store::int(key.id.get()), key.as_ref()))
            .collect();
        let mut fresh = BTreeMap::new();
        for row in &rows {
            let key = SigningKey::from_row(row, &masters, known.get(&row.id).copied())?;
            fresh.insert(key.id, Arc::new(key));
        }
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The key with this number, read from the database if it is new to this process.
    pub async fn key(&self, tx: &mut Tx, id: SigningKeyId) -> Result<Arc<SigningKey>, SigningError> {
        if let Some(key) = self.known(id) {
            return Ok(key);
        }
        self.reload(tx).await?;
        self.known(id).ok_or(SigningError::UnknownKey(id))
    }

    /// The key that signs for this purpose now, by the database.
    pub async fn signer(&self, tx: &mut Tx, purpose: Purpose) -> Result<Arc<SigningKey>, SigningError> {
        let id = tx
            .active_signing_key(purpose.as_str())
            .await?
            .ok_or(SigningError::NoSigner(purpose))?;
        self.key(tx, id).await
    }

    /// The key with this number, if this process has seen it. What it knows may be a second old.
    pub fn known(&self, id: SigningKeyId) -> Option<Arc<SigningKey>> {
        self.0
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// The public half of an API-key signing key whose signatures still count.
    pub fn api_key_verifier(&self, id: SigningKeyId) -> Option<VerifyingKey> {
        self.known(id)
            .filter(|key| key.purpose == Purpose::ApiKey && key.state != KeyState::Removed)
            .map(|key| key.public.clone())
    }

    /// A key derived from the master key for one purpose, which `context` names.
    pub(crate) fn derive(&self, context: &str) -> Result<Zeroizing<[u8; 32]>, SigningError> {
        Ok(self.masters().derive(context)?)
    }

    /// Every key, oldest first.
    pub fn all(&self) -> Vec<Arc<SigningKey>> {
        self.0
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Seals a secret that is no signing key, for one place, named by `context`.
    pub(crate) fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SigningError> {
        Ok(self.masters().seal(context, plain)?)
    }

    /// Opens what [`seal`](Self::seal) made for the same context.
    pub(crate) fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        Ok(self.masters().open(context, sealed)?)
    }

    /// Makes a key off the async threads (RSA takes a while) and gives it with its sealed form for the row `id`.
    pub(super) async fn generate(
        &self,
        purpose: Purpose,
        id: SigningKeyId,
    ) -> Result<(Arc<PrivateKey>, Vec<u8>), SigningError> {
        let ring = self.clone();
        let made = tokio::task::spawn_blocking(move || -> Result<_, PrivateKeyError> {
            let key = PrivateKey::generate(purpose)?;
            let sealed = key.seal(&ring.masters(), purpose, id)?;
            Ok((Arc::new(key), sealed))
        });
        Ok(made.await.map_err(|_| SigningError::Interrupted)??)
    }
}
