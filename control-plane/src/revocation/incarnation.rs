//! Which copy of a database publishes: the one beside which a file names the incarnation that the database holds.
//!
//! Two copies that push to one edge take turns in taking over each other's state, and each time all that the other does not
//! know is revoked. A copy made for a test has the database and perhaps the master key, but not this file. A backup that is
//! put back where it was taken finds the file there, and goes on.
//!
//! What it does not: tell two copies of a whole machine apart.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::FeedError;
use crate::config::Config;
use crate::signing::SigningError;
use crate::store::Tx;

/// What the file holds; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<[u8; 16]>, FeedError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(text.trim()).map(Some).ok_or_else(|| FeedError::Copy {
            file: path.to_owned(),
            problem: "holds no incarnation",
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, error)),
    }
}

/// Written aside and renamed, and on the disk when this returns: the commit that follows counts on it.
pub(crate) fn write(path: &Path, incarnation: [u8; 16]) -> Result<(), FeedError> {
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut text = format!("{:032x}", u128::from_be_bytes(incarnation));
    text.push('\n');
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
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    written
        .and_then(|()| std::fs::rename(&draft, path))
        .and_then(|()| std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all())
        .map_err(|error| unusable(path, error))
}

/// Whether this process may publish. A database without the file, or with another's, may not.
pub(super) async fn check(tx: &mut Tx, config: &Config) -> Result<(), FeedError> {
    let file = config.incarnation_path();
    let ours = tx.incarnation().await?.ok_or(SigningError::NotInitialised)?;
    if tx.moved_to().await?.is_some() {
        let problem = "went along when this database was moved";
        return Err(FeedError::Copy { file, problem });
    }
    let problem = match read(&file)? {
        Some(theirs) if theirs == ours => return Ok(()),
        Some(_) => "names another copy",
        None => "does not exist",
    };
    Err(FeedError::Copy { file, problem })
}

fn parse(text: &str) -> Option<[u8; 16]> {
    let hexadecimal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = hexadecimal.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(number.to_be_bytes())
}

fn unusable(path: &Path, error: std::io::Error) -> FeedError {
    FeedError::IncarnationFile {
        file: path.to_owned(),
        error,
    }
}
