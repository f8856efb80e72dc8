//! The master key: 32 bytes from the environment or from a 0600 file, under which every private key is sealed.
//!
//! What it does: read or create the key, seal and open with AES-256-GCM under a random nonce, put a new key in the place of
//! the old one. What it does not: reach the database (`replace_master` does). Whoever holds the database without this key
//! holds no private key.
//!
//! A key that takes another's place waits in `<file>.next` until the database is sealed under it; then it gets the name, and
//! the old one is kept as `<file>.until-…` for older backups. Whoever starts in between finds out from the number in the
//! database which of the two counts.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The sealed form is version ‖ nonce (12) ‖ ciphertext ‖ tag (16).
const SEALED_VERSION: u8 = 1;

/// Why there is no usable master key, or why something sealed does not open.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// Neither the environment nor a file provides one.
    #[error(
        "no master key: set PORTCULLIS_MASTER_KEY to 32 random bytes in base64, or master_key_file to a path"
    )]
    Absent,
    /// The text is not base64 of 32 bytes.
    #[error("the master key in {0} must be the base64 of exactly 32 bytes")]
    Malformed(String),
    /// Others can read the file.
    #[error("the master key file {path} has mode {mode:04o}; run `chmod 600 {path}`", path = path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be read or created.
    #[error("cannot use the master key file {path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The database has keys, and the file that opens them is gone.
    #[error(
        "the master key file {} does not exist, and this database is sealed: put the file back from where you keep it. If it is \
         lost for good, `portcullis keys master lost` says what that costs", .0.display()
    )]
    Lost(PathBuf),
    /// The database was sealed under another key since.
    #[error(
        "this is not the master key that the database is sealed under (it was replaced, or belongs to another one): give this \
         process the present one and start it again"
    )]
    Replaced,
    /// A new key would have nowhere to go.
    #[error("the master key comes from the environment: name a file for the new one with --into")]
    NoFile,
    /// The cipher refused: no randomness, or a key of the wrong size.
    #[error("the cipher refused to seal")]
    Cipher,
    /// Wrong master key, or the sealed bytes were changed or moved to another row.
    #[error(
        "a private key does not open under this master key: is it the one this database was created with?"
    )]
    DoesNotOpen,
}

/// 32 secret bytes. Wiped from memory when dropped, never printed.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(redacted)")
    }
}

impl MasterKey {
    /// The key from configuration: the text wins over the file; a file that does not exist is created with mode 0600.
    pub fn load(text: Option<&str>, file: Option<&Path>) -> Result<Self, MasterKeyError> {
        match (text, file) {
            (Some(text), _) => Self::from_base64(text, "PORTCULLIS_MASTER_KEY"),
            (None, Some(path)) => match Self::from_file(path) {
                Err(error) if error.is_not_found() => Self::create(path),
                outcome => outcome,
            },
            (None, None) => Err(MasterKeyError::Absent),
        }
    }

    /// The key under which a database is sealed: the one with this number, if it says one. Ends a replacement that was cut off
    /// after the database had changed. Never makes a key.
    pub(super) fn load_known(
        text: Option<&str>,
        file: Option<&Path>,
        number: Option<[u8; 16]>,
    ) -> Result<Self, MasterKeyError> {
        let fits = |key: &Self| {
            Ok::<_, MasterKeyError>(number.is_none_or(|number| key.number().ok() == Some(number)))
        };
        let path = match (text, file) {
            (Some(text), _) => {
                let key = Self::from_base64(text, "PORTCULLIS_MASTER_KEY")?;
                return if fits(&key)? {
                    Ok(key)
                } else {
                    Err(MasterKeyError::Replaced)
                };
            }
            (None, Some(path)) => path,
            (None, None) => return Err(MasterKeyError::Absent),
        };
        let present = match Self::from_file(path) {
            Err(error) if error.is_not_found() => None,
            outcome => Some(outcome?),
        };
        if let Some(key) = present {
            if fits(&key)? {
                return Ok(key);
            }
        } else if number.is_none() {
            return Err(MasterKeyError::Lost(path.to_owned()));
        }
        match Self::from_file(&next(path)) {
            Ok(key) if fits(&key)? => {
                take_place(path)?;
                Ok(key)
            }
            // Another process of this machine may have done it just now.
            Err(error) if error.is_not_found() => match Self::from_file(path) {
                Ok(key) if fits(&key)? => Ok(key),
                Err(error) if error.is_not_found() => Err(MasterKeyError::Lost(path.to_owned())),
                Ok(_) => Err(MasterKeyError::Replaced),
                Err(error) => Err(error),
            },
            Ok(_) => Err(MasterKeyError::Replaced),
            Err(error) => Err(error),
        }
    }

    /// A new key, which waits beside the file of the old one (or in a file of its own) and is on the disk when this returns.
    pub(super) fn draw(waits_in: &Path) -> Result<Self, MasterKeyError> {
        let mut key = Zeroizing::new([0u8; 32]);
        aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| MasterKeyError::Cipher)?;
        let key = Self(key);
        key.write(waits_in)?;
        Ok(key)
    }

    /// Tells keys apart, and says nothing about this one.
    pub(super) fn number(&self) -> Result<[u8; 16], MasterKeyError> {
        let mut number = [0; 16];
        let derived = self.derive("portcullis/master-key/number/v1")?;
        number.copy_from_slice(derived.split_at(16).0);
        Ok(number)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, MasterKeyError> {
        let key: [u8; 32] = bytes.try_into().map_err(|_| MasterKeyError::DoesNotOpen)?;
        Ok(Self(Zeroizing::new(key)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// What [`derive`](Self::derive) starts from: it outlives this key, and does not give it away.
    pub(super) fn derivation(&self) -> Zeroizing<[u8; 32]> {
        // RFC 5869 §2.2 with an empty salt.
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]), self.0.as_slice());
        let mut out = Zeroizing::new([0u8; 32]);
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// A key that anybody can guess.
    #[cfg(test)]
    pub(crate) fn for_tests(byte: u8) -> Self {
        Self(Zeroizing::new([byte; 32]))
    }

    fn from_base64(text: &str, source: &str) -> Result<Self, MasterKeyError> {
        let malformed = || MasterKeyError::Malformed(source.to_owned());
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| malformed())?);
        let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| malformed())?;
        Ok(Self(Zeroizing::new(key)))
    }

    fn from_file(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |error| MasterKeyError::File {
            path: path.to_owned(),
            error,
        };
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::TooOpen {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(failed)?;
        Self::from_base64(&text, &path.display().to_string())
    }

    /// Written aside and linked into place, so that a crash leaves no half key and two starts agree on one.
    fn create(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |error| file_error(path, error);
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        let key = Self::draw(&draft)?;
        let linked = std::fs::hard_link(&draft, path);
        let cleaned = std::fs::remove_file(&draft);
        match linked {
            Ok(()) => {}
            // Another process was first: its key is the key.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Self::from_file(path),
            Err(error) => return Err(failed(error)),
        }
        cleaned.map_err(failed)?;
        sync_folder(path)?;
        Ok(key)
    }

    fn write(&self, path: &Path) -> Result<(), MasterKeyError> {
        let failed = |error| file_error(path, error);
        let text = Zeroizing::new(STANDARD.encode(self.0.as_slice()) + "\n");
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .map_err(failed)?;
        sync_folder(path)
    }

    /// A key for one purpose, which tells nothing about this one or any other: HKDF-SHA256.
    pub(super) fn derive(&self, context: &str) -> Result<Zeroizing<[u8; 32]>, MasterKeyError> {
        let mut key = Zeroizing::new([0u8; 32]);
        let info = [context.as_bytes()];
        Salt::new(HKDF_SHA256, &[])
            .extract(self.0.as_slice())
            .expand(&info, &AES_256_GCM)
            .and_then(|output| output.fill(key.as_mut_slice()))
            .map_err(|_| MasterKeyError::Cipher)?;
        Ok(key)
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, MasterKeyError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| MasterKeyError::Cipher)
    }

    /// Seals `plain` for one place, named by `context`: it will not open anywhere else.
    pub(super) fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        let mut body = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
        body.extend_from_slice(plain);
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut *body)
            .map_err(|_| MasterKeyError::Cipher)?;
        let mut sealed = vec![SEALED_VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made for the same context.
    pub(super) fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let (version, rest) = sealed.split_first().ok_or(MasterKeyError::DoesNotOpen)?;
        let (nonce, body) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(MasterKeyError::DoesNotOpen)?;
        if *version != SEALED_VERSION {
            return Err(MasterKeyError::DoesNotOpen);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| MasterKeyError::DoesNotOpen)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .cipher()?
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| MasterKeyError::DoesNotOpen)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

impl MasterKeyError {
    fn is_not_found(&self) -> bool {
        matches!(self, Self::File { error, .. } if error.kind() == ErrorKind::NotFound)
    }
}

fn file_error(path: &Path, error: std::io::Error) -> MasterKeyError {
    MasterKeyError::File {
        path: path.to_owned(),
        error,
    }
}

/// A name must survive a power loss too, or the database outlives the only key that opens it.
fn sync_folder(path: &Path) -> Result<(), MasterKeyError> {
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| file_error(path, error))
}

/// Where a key waits for its turn.
pub(super) fn next(path: &Path) -> PathBuf {
    beside(path, ".next")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Keeps the present key under a name of its own; older backups need it.
pub(super) fn keep_former(path: &Path, former: &MasterKey) -> Result<PathBuf, MasterKeyError> {
    let kept = beside(path, &format!(".until-{}", short(former)?));
    match std::fs::hard_link(path, &kept) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(file_error(&kept, error)),
        _ => {}
    }
    sync_folder(&kept)?;
    Ok(kept)
}

/// A key that does not fit may fit something else: it is kept under a name that is not taken.
pub(super) fn put_aside(path: &Path, new: &MasterKey) -> Result<(), MasterKeyError> {
    let aside = beside(path, &format!(".lost-{}", short(new)?));
    match std::fs::hard_link(path, &aside) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
            Err(file_error(&aside, error))
        }
        _ => Ok(()),
    }
}

fn short(key: &MasterKey) -> Result<String, MasterKeyError> {
    let [a, b, c, d, ..] = key.number()?;
    Ok(hex::encode([a, b, c, d]))
}

/// The key that waited is the key now. A server that has noticed may have been faster.
pub(super) fn take_place(path: &Path) -> Result<(), MasterKeyError> {
    match std::fs::rename(next(path), path) {
        Err(error) if error.kind() != ErrorKind::NotFound || !path.exists() => {
            return Err(file_error(path, error));
        }
        _ => {}
    }
    sync_folder(path)
}

/// The master key and what belongs to it: the one before, for what a server sealed before it noticed, and what keys are
/// derived from.
#[derive(Debug)]
pub(super) struct Masters {
    current: MasterKey,
    former: Option<MasterKey>,
    /// `None`: it was never replaced, and is that itself.
    derivation: Option<Derivation>,
}

/// 32 secret bytes that other keys are derived from.
pub(super) struct Derivation(pub(super) Zeroizing<[u8; 32]>);

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derivation(redacted)")
    }
}

const FORMER: &str = "portcullis/former-master-key";
const DERIVATION: &str = "portcullis/derivation";

impl From<MasterKey> for Masters {
    fn from(current: MasterKey) -> Self {
        Self {
            current,
            former: None,
            derivation: None,
        }
    }
}

impl Masters {
    /// The key, and what the database has sealed under it.
    pub(super) fn unseal(
        current: MasterKey,
        former: Option<&[u8]>,
        derivation: Option<&[u8]>,
    ) -> Result<Self, MasterKeyError> {
        let former = former
            .map(|sealed| MasterKey::from_bytes(&current.open(FORMER, sealed)?))
            .transpose()?;
        let derivation = derivation
            .map(|sealed| {
                let opened = current.open(DERIVATION, sealed)?;
                let key = opened
                    .as_slice()
                    .try_into()
                    .map_err(|_| MasterKeyError::DoesNotOpen)?;
                Ok::<_, MasterKeyError>(Derivation(Zeroizing::new(key)))
            })
            .transpose()?;
        Ok(Self {
            current,
            former,
            derivation,
        })
    }

    /// What the database keeps beside everything that is sealed: the key before, and the derivation.
    pub(super) fn sealed(&self) -> Result<(Option<Vec<u8>>, Vec<u8>), MasterKeyError> {
        let former = self
            .former
            .as_ref()
            .map(|former| self.current.seal(FORMER, former.bytes()))
            .transpose()?;
        let derivation = match &self.derivation {
            Some(Derivation(key)) => self.current.seal(DERIVATION, key.as_slice()),
            None => self
                .current
                .seal(DERIVATION, self.current.derivation().as_slice()),
        };
        Ok((former, derivation?))
    }

    /// The same secrets under a new key. With `fresh`, nothing that was derived counts any more.
    pub(super) fn succeeded_by(&self, new: MasterKey, fresh: bool) -> Result<Self, MasterKeyError> {
        let derivation = if fresh {
            let mut key = Zeroizing::new([0u8; 32]);
            aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| MasterKeyError::Cipher)?;
            key
        } else {
            match &self.derivation {
                Some(Derivation(key)) => key.clone(),
                None => self.current.derivation(),
            }
        };
        Ok(Self {
            current: new,
            former: Some(MasterKey::from_bytes(self.current.bytes())?),
            derivation: Some(Derivation(derivation)),
        })
    }

    /// The key in use.
    pub(super) fn current(&self) -> &MasterKey {
        &self.current
    }

    pub(super) fn derive(&self, context: &str) -> Result<Zeroizing<[u8; 32]>, MasterKeyError> {
        let Some(Derivation(start)) = &self.derivation else {
            return self.current.derive(context);
        };
        let mut key = Zeroizing::new([0u8; 32]);
        Prk::new_less_safe(HKDF_SHA256, start.as_slice())
            .expand(&[context.as_bytes()], &AES_256_GCM)
            .and_then(|output| output.fill(key.as_mut_slice()))
            .map_err(|_| MasterKeyError::Cipher)?;
        Ok(key)
    }

    pub(super) fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        self.current.seal(context, plain)
    }

    pub(super) fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        match (self.current.open(context, sealed), &self.former) {
            (Err(MasterKeyError::DoesNotOpen), Some(former)) => former.open(context, sealed),
            (outcome, _) => outcome,
        }
    }
}
