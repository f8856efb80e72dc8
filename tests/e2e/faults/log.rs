//! What happened in a run, as it happened: one event per line of JSON. Nothing here judges; the checker does.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde::Serialize;
use tokio::time::Instant;

/// What a route promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Route {
    /// Denies when its state is older than its bound.
    Default,
    /// Reads the region for each request.
    Strict,
}

impl Route {
    pub(super) const ALL: [Self; 2] = [Self::Default, Self::Strict];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Default => "/v1/memory/x",
            Self::Strict => "/admin/x",
        }
    }
}

/// What happened. Keys, requests and gates go by numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum What {
    /// The control plane gave out a key.
    Created { key: usize },
    /// The first byte of a revocation is about to be sent.
    RevokeSent { key: usize, wait: String },
    /// The last byte of its receipt has arrived.
    Receipt {
        key: usize,
        wait: String,
        seq: Option<u64>,
        bound_ms: u64,
        acknowledged: Vec<String>,
        pending: Vec<String>,
        /// Until it is in force, by the clock of whoever wrote it; absent while somebody is pending.
        effective_in_ms: Option<i64>,
    },
    /// No answer, or one that says nothing: it may be revoked, or not.
    RevokeLost { key: usize },
    /// The first byte of a request is about to be sent.
    Sent {
        request: u64,
        key: usize,
        gate: usize,
        route: Route,
    },
    /// The last byte of its answer has arrived; 0: there was none.
    Answered { request: u64, status: u16 },
    /// From now on `isolates` lists the gates that can not learn anything; their region may go on for `grace_ms`.
    FaultBegins {
        fault: String,
        isolates: Vec<usize>,
        grace_ms: u64,
    },
    /// It is over.
    FaultEnds { fault: String },
    /// Everything that was revoked is said to be everywhere.
    Converged,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Event {
    /// Since the run began, by a clock that never jumps.
    pub(super) at_ms: u64,
    pub(super) actor: String,
    #[serde(flatten)]
    pub(super) what: What,
}

/// A growing log. Its order is the order of events: an event is written before what it announces begins, and after what it
/// reports has ended.
#[derive(Clone, Debug)]
pub(super) struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    events: Mutex<Vec<Event>>,
    file: PathBuf,
}

impl Log {
    /// Ends up in `target/faults/<name>.jsonl`, however the run ends.
    pub(super) fn new(name: &str) -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            events: Mutex::default(),
            file: e2e::files::target().join("faults").join(format!("{name}.jsonl")),
        }))
    }

    pub(super) fn note(&self, actor: &str, what: What) {
        let mut events = self.0.events.lock().unwrap();
        let at_ms = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        events.push(Event {
            at_ms,
            actor: actor.to_owned(),
            what,
        });
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.0.events.lock().unwrap().clone()
    }

    pub(super) fn file(&self) -> &std::path::Path {
        &self.0.file
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let events = self
            .events
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let write = || {
            fs::create_dir_all(self.file.parent().unwrap_or(&self.file))?;
            let mut file = std::io::BufWriter::new(fs::File::create(&self.file)?);
            for event in events.iter() {
                serde_json::to_writer(&mut file, event)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        };
        if let Err(error) = write() {
            eprintln!("{} could not be written: {error}", self.file.display());
        }
    }
}
