//! Everything that can happen next.

use std::cmp::Ordering;
use std::rc::Rc;

use edge::replication::{Account, Position, RegionReport};
use shared::feed::Head;
use shared::id::StatusIndex;

use super::trouble::Trouble;
use crate::checker::Promise;

#[derive(Clone, Debug)]
pub(super) enum Event {
    Publisher(PublisherEvent),
    Hub(HubEvent),
    Region(usize, RegionEvent),
    Isolate(usize, IsolateEvent),
    /// The next request to an isolate.
    Request {
        isolate: usize,
    },
    /// Somebody who has just got a receipt tries the credential everywhere.
    Try {
        credential: u64,
        kind: Promise,
    },
    Trouble(Trouble),
    Heal,
    Probe,
    End,
}

#[derive(Clone, Debug)]
pub(super) enum PublisherEvent {
    Tick,
    /// A person revokes a credential.
    Revoke,
    /// The hub answered a push.
    HubAnswer {
        id: u64,
        head: Option<Head>,
        regions: Vec<RegionReport>,
        local: Vec<StatusIndex>,
    },
    /// A region answered a push that went there directly.
    RegionAnswer {
        id: u64,
        region: usize,
        head: Option<Head>,
    },
    Timeout {
        id: u64,
    },
    /// A receipt may be due.
    Due,
    Compact,
    Recover,
    Start,
}

#[derive(Clone, Debug)]
pub(super) enum HubEvent {
    Push {
        id: u64,
        message: Rc<[u8]>,
    },
    /// Long enough waited for regions.
    AnswerPush {
        id: u64,
    },
    /// A region answered a push.
    Pushed {
        id: u64,
        region: usize,
        head: Option<Head>,
    },
    Pull {
        id: u64,
        region: usize,
        applied: Option<Head>,
        local: Vec<StatusIndex>,
    },
    Start,
}

#[derive(Clone, Debug)]
pub(super) enum RegionEvent {
    /// From the hub.
    Push {
        id: u64,
        message: Rc<[u8]>,
        /// For a mutation only: pushes carry no account.
        account: Option<Account>,
    },
    /// From the publisher, or from whoever pretends to be.
    Direct {
        id: u64,
        message: Rc<[u8]>,
    },
    Pulled {
        id: u64,
        message: Rc<[u8]>,
        account: Account,
    },
    PullTimeout {
        id: u64,
    },
    Read {
        id: u64,
        isolate: usize,
        at: Position,
    },
    SelfRevoke {
        isolate: usize,
        index: StatusIndex,
    },
    Start,
}

#[derive(Clone, Debug)]
pub(super) enum IsolateEvent {
    Answer {
        id: u64,
        message: Rc<[u8]>,
        account: Account,
    },
    Timeout {
        id: u64,
    },
    SelfRevoked {
        index: StatusIndex,
    },
}

impl Event {
    /// One word for a trace.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Publisher(PublisherEvent::HubAnswer { .. }) => "the answer to a push",
            Self::Publisher(_) => "the answer to a direct push",
            Self::Hub(HubEvent::Push { .. }) => "a push",
            Self::Hub(HubEvent::Pull { .. }) => "a pull",
            Self::Hub(_) => "the answer to the hub's push",
            Self::Region(_, RegionEvent::Push { .. }) => "the hub's push",
            Self::Region(_, RegionEvent::Pulled { .. }) => "the answer to a pull",
            Self::Region(_, RegionEvent::Read { .. }) => "a read",
            Self::Region(_, RegionEvent::SelfRevoke { .. }) => "a self-revocation",
            Self::Region(..) => "a direct push",
            Self::Isolate(_, IsolateEvent::Answer { .. }) => "the answer to a read",
            Self::Isolate(..) => "the answer to a self-revocation",
            _ => "a timer",
        }
    }
}

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) at_us: u64,
    pub(super) tie: u64,
    /// A message on its way, not a timer.
    pub(super) letter: bool,
    /// Boxed: the queue moves it around a lot.
    pub(super) event: Box<Event>,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_us, self.tie).cmp(&(other.at_us, other.tie))
    }
}
