//! Ports of one's own: chosen once, kept over restarts, never the same for two test processes.
//!
//! A port is reserved by a lock on a file, because the servers that will listen on it are other processes and come and
//! go. The range lies below the one from which the kernel takes ports for outgoing connections.

use std::{
    fs::File,
    hash::{BuildHasher as _, RandomState},
    net::TcpListener,
    path::PathBuf,
};

use rustix::fs::{FlockOperation, flock};

const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that nobody else takes while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a free one.
    pub fn reserve() -> Self {
        let folder: PathBuf = std::env::temp_dir().join(format!(
            "portcullis-test-ports-{}",
            rustix::process::geteuid().as_raw()
        ));
        std::fs::create_dir_all(&folder).expect("a folder for port locks");
        loop {
            let number = draw();
            let Ok(lock) = File::create(folder.join(number.to_string())) else {
                continue;
            };
            let taken = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err();
            if !taken && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `http://127.0.0.1:<port>`, no trailing slash.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.number)
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

fn draw() -> u16 {
    // Each RandomState has fresh keys.
    let spread = RandomState::new().hash_one(std::process::id()) % u64::from(RANGE.end - RANGE.start);
    RANGE.start + u16::try_from(spread).unwrap_or(0)
}
