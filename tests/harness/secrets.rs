//! Every secret a stack handed out, and the proof that none of them is in a file it wrote.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// The secrets seen so far. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<Mutex<Vec<String>>>);

impl Secrets {
    /// Remembers one. Short texts would be found everywhere, and are a mistake of the caller.
    pub fn saw(&self, secret: &str) {
        assert!(secret.len() >= 12, "too short to be searched for");
        let mut list = self.0.lock().unwrap();
        if !list.iter().any(|known| known == secret) {
            list.push(secret.to_owned());
        }
    }

    /// How many are known.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Every (file, start of the secret) below `folder`, where a secret stands in clear.
    pub fn leaks(&self, folder: &Path) -> Vec<(PathBuf, String)> {
        let list = self.0.lock().unwrap().clone();
        let mut found = Vec::new();
        for file in files_below(folder) {
            let Ok(bytes) = fs::read(&file) else { continue };
            for secret in &list {
                if contains(&bytes, secret.as_bytes()) {
                    found.push((file.clone(), secret.chars().take(14).collect()));
                }
            }
        }
        found
    }
}

/// Whether `needle` stands in `hay`.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return true };
    let mut rest = hay;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// All plain files below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
