//! The `portcullis` binary. See `portcullis --help`, and the library's docs for how it works.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    Box::pin(control_plane::cli::run(control_plane::cli::Cli::read())).await
}
