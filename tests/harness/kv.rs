//! A KV namespace that a test holds in its hands: it sees what was written, and decides how old what is read is.
//!
//! Speaks what workerd's KV binding speaks, over HTTP.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

#[derive(Debug, Default)]
struct Shelf {
    values: HashMap<String, Bytes>,
    frozen: bool,
}

/// A running namespace.
#[derive(Debug)]
pub struct Kv {
    address: String,
    shelf: Arc<Mutex<Shelf>>,
    task: JoinHandle<()>,
}

impl Kv {
    /// An empty one.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shelf));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shelf, task })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on writes are taken and forgotten: what is read gets old.
    pub fn freeze(&self) {
        self.shelf.lock().unwrap().frozen = true;
    }

    /// From now on writes count again.
    pub fn thaw(&self) {
        self.shelf.lock().unwrap().frozen = false;
    }

    /// Changes every value, and says how many there are.
    pub fn edit(&self, change: impl Fn(&[u8]) -> Vec<u8>) -> usize {
        let mut held = self.shelf.lock().unwrap();
        for value in held.values.values_mut() {
            *value = change(value).into();
        }
        held.values.len()
    }
}

impl Drop for Kv {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shelf): State<Arc<Mutex<Shelf>>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut shelf = shelf.lock().unwrap();
    let key = uri.path().to_owned();
    match method.as_str() {
        "GET" => match shelf.values.get(&key) {
            Some(value) => value.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        "PUT" => {
            if !shelf.frozen {
                shelf.values.insert(key, body);
            }
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}
