//! What the Durable Objects have in common: a core that is opened from disk and thrown away when the disk fails, and the
//! shape of their answers.

use std::cell::RefCell;

use worker::{Error, Response, Result, console_error};

use super::http::{self, HeaderList};
use super::peers::ACCOUNT;
use super::response::OK;
use crate::replication::{Account, OpenError};

/// An answer to an isolate or to another object.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Of the very moment at which the body was made.
    pub(super) account: Option<Account>,
}

impl Reply {
    /// A status and nothing else.
    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// A success.
    pub(super) fn ok(body: Vec<u8>, account: Account) -> Self {
        Self {
            status: OK,
            body,
            account: Some(account),
        }
    }
}

/// Sends it.
pub(super) fn respond(reply: &Reply) -> Result<Response> {
    let mut headers = HeaderList::default();
    if let Some(account) = &reply.account {
        headers.push(ACCOUNT, &serde_json::to_string(account).unwrap_or_default());
    }
    Ok(http::answer_bytes(reply.status, &headers, &reply.body).map(Response::from)?)
}

/// Runs a function on a core. Nothing is awaited meanwhile: one event, one transaction. After an error memory may be ahead
/// of the disk, and only the disk counts: the core goes, and the next event opens it again.
pub(super) fn with<C, T>(
    slot: &RefCell<Option<C>>,
    open: impl FnOnce() -> Result<C>,
    who: &str,
    use_it: impl FnOnce(&mut C) -> Result<T>,
) -> Option<T> {
    // In use already: no caller does that.
    let mut slot = slot.try_borrow_mut().ok()?;
    let opened = match slot.take() {
        Some(core) => Ok(core),
        None => open(),
    };
    let outcome = opened.and_then(|mut core| use_it(&mut core).map(|value| (core, value)));
    match outcome {
        Ok((core, value)) => {
            *slot = Some(core);
            Some(value)
        }
        Err(error) => {
            console_error!("{}: {}", who, error);
            None
        }
    }
}

/// Why an object cannot start.
pub(super) fn open_error(error: OpenError<Error>) -> Error {
    match error {
        OpenError::Log(error) => error,
        OpenError::Foreign(refusal) => {
            format!("the stored feed does not fit FEED_ID and ROOT_KEY: {refusal}").into()
        }
    }
}

/// A parameter of a query, as sent: no name or value of ours needs an escape.
pub(super) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let mut pairs = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A number in a query; 0 if there is none.
pub(super) fn number(query: Option<&str>, name: &str) -> u64 {
    parameter(query, name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}
