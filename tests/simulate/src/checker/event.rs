//! What a run has to write down for the checker: one [`Record`] per line of JSON, in the order of `at_us`.
//!
//! ```json
//! {"at_us":1200000,"actor":"hub","event":"held","epoch":1,"seq":7}
//! {"at_us":1450000,"actor":"client","event":"receipt","credential":7,"kind":"effective","epoch":1,"seq":7}
//! {"at_us":1460200,"actor":"isolate-0","event":"answer","credential":7,"started_us":1459000,"route":"default","outcome":"revoked"}
//! ```
//!
//! Times are microseconds on one clock: true time in a simulation, the observer's own clock in a run of real processes.
//! An `answer` is written when it arrived, and says when its request was sent.

use serde::{Deserialize, Serialize};

/// A credential, by its status index or any other number that the run gives it.
pub type Credential = u64;

/// A place in the chain. Compared by epoch first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The epoch.
    pub epoch: u64,
    /// The frame's number.
    pub seq: u64,
}

/// What a route asks of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// At most `max_staleness` old; 503 beyond it.
    Default,
    /// A read that starts after the request arrived.
    Strict,
    /// Goes on with an old state, for so long as it says.
    AllowStale,
}

/// What a receipt promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// Dead on strict routes, and wherever `Portcullis-Min-Seq` asks for it.
    Acknowledged,
    /// Dead on default and strict routes.
    Effective,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Let in.
    Allowed,
    /// Refused because the credential is dead.
    Revoked,
    /// 503: the state is not fresh enough to say.
    Unavailable,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Somebody began to revoke a credential: from now on it may be refused.
    Revoking {
        /// Which.
        credential: Credential,
    },
    /// The revocation is committed: sooner or later it must have its receipt.
    Committed {
        /// Which.
        credential: Credential,
    },
    /// The revocation was acknowledged with this promise; the answer arrived now.
    Receipt {
        /// Which.
        credential: Credential,
        /// What was promised.
        kind: Promise,
        /// The frame that says so.
        #[serde(flatten)]
        place: Place,
    },
    /// A region took a self-revocation in and said so; the answer arrived now.
    LocalReceipt {
        /// Which.
        credential: Credential,
        /// Where.
        region: String,
    },
    /// A region's disk is gone, and with it a self-revocation that it had not handed on.
    LocalLost {
        /// Which.
        credential: Credential,
        /// Where.
        region: String,
        /// No other copy is left.
        everywhere: bool,
    },
    /// The hub has this on disk, and all before it.
    Held {
        /// Up to where.
        #[serde(flatten)]
        place: Place,
    },
    /// The hub's disk is gone.
    HubLost,
    /// A request ended; the answer arrived now.
    Answer {
        /// Whose.
        credential: Credential,
        /// When the request was sent.
        started_us: u64,
        /// To what.
        route: Route,
        /// Through which region; needed for what a local receipt promises.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The request's `Portcullis-Min-Seq`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_seq: Option<u64>,
        /// Where the state stood that decided, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Place>,
        /// How it ended.
        outcome: Outcome,
    },
    /// Nothing is broken any more. [`Limits::heal_us`](super::Limits::heal_us) later everything must work.
    Healed,
    /// Anything else, for the reader of a trace: crashes, partitions. The checker passes over it.
    Note {
        /// What.
        text: String,
    },
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in microseconds.
    pub at_us: u64,
    /// Who saw it.
    pub actor: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}
