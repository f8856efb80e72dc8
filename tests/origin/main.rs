//! The demo API on its own: `demo-origin [host:port]`.

use std::process::ExitCode;

use e2e::{Origin, files};

#[tokio::main]
async fn main() -> ExitCode {
    let address = std::env::args()
        .nth(1)
        .or_else(|| files::variable("ORIGIN_LISTEN"));
    let address = address.unwrap_or_else(|| "127.0.0.1:7071".to_owned());
    match Origin::start(&address).await {
        Ok(origin) => {
            println!("demo origin on {}", origin.url());
            let _ = tokio::signal::ctrl_c().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo-origin: cannot listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
