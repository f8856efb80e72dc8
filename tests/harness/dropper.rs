//! A bad line to the control plane: answers get lost after the server has done its work, and some requests before.
//!
//! What it does not: change a byte of what passes. Which line breaks is drawn from a seed, so that a failure can be repeated.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::http;

/// A running bad line.
#[derive(Debug)]
pub struct Dropper {
    address: String,
    lost: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Dropper {
    /// Listens on a port of its own and passes on to `server` (`host:port`).
    pub async fn start(server: &str, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (server, lost) = (server.to_owned(), Arc::new(AtomicU64::new(0)));
        let (counted, draws) = (Arc::clone(&lost), Arc::new(AtomicU64::new(seed)));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, counted) = (server.clone(), Arc::clone(&counted));
                let draw = draw(&draws);
                tokio::spawn(async move {
                    let _ = pass(client, &server, draw, &counted).await;
                });
            }
        });
        Ok(Self { address, lost, task })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many answers were lost after the server had given them.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Dropper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The next of a series of numbers that look random (`SplitMix64`).
fn draw(state: &AtomicU64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = state.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One request on a connection of its own. Of sixteen, four lose their answer, one half of it, one is lost itself.
async fn pass(mut client: TcpStream, server: &str, draw: u64, lost: &AtomicU64) -> io::Result<()> {
    let request = read_request(&mut client).await?;
    let fate = draw % 16;
    if fate == 0 {
        return Ok(());
    }
    let answer = http::once_raw(server, &request).await?;
    let mut bytes = format!("HTTP/1.1 {} Passed\r\nconnection: close\r\n", answer.status).into_bytes();
    for (name, value) in &answer.headers {
        if !matches!(
            name.as_str(),
            "content-length" | "transfer-encoding" | "connection" | "keep-alive"
        ) {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
    }
    bytes.extend(format!("content-length: {}\r\n\r\n", answer.body.len()).into_bytes());
    bytes.extend(&answer.body);
    if fate <= 5 {
        lost.fetch_add(1, Ordering::SeqCst);
        bytes.truncate(if fate == 5 { bytes.len() / 2 } else { 0 });
    }
    client.write_all(&bytes).await?;
    client.shutdown().await
}

async fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = head {
            let text = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok(bytes);
            }
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
