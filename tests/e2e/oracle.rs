//! The stack's own private keys, for tests that must forge: a wrong `aud` under a *valid* signature is only to be had this
//! way. Opens the control plane's database with its master key, through the control plane's library. Also gives frames that
//! were made, but have not been sent yet.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use control_plane::{
    config::Config,
    signing::{Keyring, Purpose, SigningKey},
    store::{
        Store,
        feed::{FeedNo, Position},
    },
};
use e2e::Stack;
use serde_json::Value;

/// Every signing key of a stack.
pub(crate) struct Oracle {
    keyring: Keyring,
    store: Store,
}

impl Oracle {
    /// Of a stack on SQLite.
    pub(crate) async fn open(stack: &Stack) -> Self {
        let folder = stack.control.folder();
        let config = Config {
            database_url: format!("sqlite://{}", folder.join("portcullis.db").display()),
            master_key_file: Some(folder.join("master.key")),
            ..Config::default()
        };
        let store = Store::connect(&config.database_url)
            .await
            .expect("the database opens");
        Self {
            keyring: Keyring::load(&store, &config).await.expect("the keys open"),
            store,
        }
    }

    /// The newest key of a purpose that can sign.
    pub(crate) fn key(&self, purpose: Purpose) -> Arc<SigningKey> {
        let keys = self.keyring.all();
        keys.into_iter()
            .rev()
            .find(|key| key.purpose == purpose && key.sign(b"probe").is_ok())
            .expect("a key of this purpose")
    }
}

impl Oracle {
    /// The signed frames of the first epoch after `seq`, in order.
    pub(crate) async fn frames_after(&self, seq: u64) -> Vec<Vec<u8>> {
        let mut tx = self.store.begin_read().await.expect("a transaction");
        let frames = tx
            .frames_after(FeedNo::ALL, Position { epoch: 1, seq }, 1000)
            .await
            .expect("frames");
        frames
            .into_iter()
            .map(|frame| frame.envelope.expect("not dropped yet"))
            .collect()
    }
}

/// A compact JWS over exactly these texts.
pub(crate) fn jws(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Header (0) or claims (1) of a token.
pub(crate) fn part(token: &str, number: usize) -> Value {
    let text = token.split('.').nth(number).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
}
