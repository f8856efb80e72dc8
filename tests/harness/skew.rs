//! A program whose clock is wrong: its time of day is shifted by a small library that is compiled with the machine's C
//! compiler and preloaded. Linux only. What it does not: change timers, or the clock of anybody else.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// The variables that shift the clock of a program by so many seconds. `folder` gets the library.
pub fn shifted(folder: &Path, seconds: i64) -> io::Result<Vec<(String, String)>> {
    let library = library(folder)?;
    Ok(vec![
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("TEST_CLOCK_OFFSET_SECONDS".to_owned(), seconds.to_string()),
    ])
}

fn library(folder: &Path) -> io::Result<PathBuf> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    if library.exists() {
        return Ok(library);
    }
    std::fs::write(&source, include_str!("clock.c"))?;
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .output()?;
    if output.status.success() {
        return Ok(library);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("cc: {errors}")))
}
