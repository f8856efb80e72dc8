//! The master key: 32 bytes from the environment or from a 0600 file, under which every private key is sealed.
//!
//! What it does: read or create the key, seal and open with AES-256-GCM under a random nonce. What it does not: rotate
//! itself, or reach the database. Whoever holds the database without this key holds no private key.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
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
            (None, Some(path)) => Self::from_file(path),
            (None, None) => Err(MasterKeyError::Absent),
        }
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
        let mut file = match std::fs::File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::create(path),
            other => other.map_err(failed)?,
        };
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
        let failed = |error| MasterKeyError::File {
            path: path.to_owned(),
            error,
        };
        let mut key = Zeroizing::new([0u8; 32]);
        aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| MasterKeyError::Cipher)?;
        let text = Zeroizing::new(STANDARD.encode(key.as_slice()) + "\n");
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
        let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
        let cleaned = std::fs::remove_file(&draft);
        match linked {
            Ok(()) => {}
            // Another process was first: its key is the key.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Self::from_file(path),
            Err(error) => return Err(failed(error)),
        }
        cleaned.map_err(failed)?;
        // The name must survive a power loss too, or the database outlives the only key that opens it.
        let parent = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        std::fs::File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(Self(key))
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
