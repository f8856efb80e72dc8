//! What a schedule is drawn from: how large the world is, what may go wrong in it, and how the code may be broken.

use crate::rng::Rng;

/// A sort of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Replayed, corrupted and forged bytes, posted by somebody without a key.
    Attack,
    /// Clocks that are up to 10 minutes apart.
    Clocks,
    /// Snapshots at random places: logs are cut.
    Compact,
    /// Isolates that start with an old copy from KV.
    Copies,
    /// Objects stop between any two steps, with or without having written what they were told.
    Crash,
    /// Long delays: messages overtake one another.
    Delay,
    /// Clocks that run up to 200 ppm fast or slow.
    Drift,
    /// Messages that arrive twice.
    Duplicate,
    /// `feed recover`: a new epoch.
    Epoch,
    /// Messages that do not arrive.
    Loss,
    /// Two nodes that do not hear each other.
    Partition,
    /// The publisher stops, and starts again from its database.
    Publisher,
    /// Credentials that are ended by their holders, at the edge.
    SelfRevoke,
    /// The hub's disk is gone.
    WipeHub,
    /// A region's disk is gone.
    WipeRegion,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Attack,
        Self::Clocks,
        Self::Compact,
        Self::Copies,
        Self::Crash,
        Self::Delay,
        Self::Drift,
        Self::Duplicate,
        Self::Epoch,
        Self::Loss,
        Self::Partition,
        Self::Publisher,
        Self::SelfRevoke,
        Self::WipeHub,
        Self::WipeRegion,
    ];
}

/// A set of [`Fault`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults(u32);

impl Faults {
    /// Everything.
    pub const ALL: Self = Self((1 << Fault::ALL.len()) - 1);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// These.
    pub fn of(faults: &[Fault]) -> Self {
        Self(faults.iter().fold(0, |set, fault| set | 1 << *fault as u32))
    }

    /// All but one.
    #[must_use]
    pub fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u32))
    }

    /// Whether it is among them.
    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }

    /// Half of them, by chance: rare combinations come up as often as all at once.
    #[must_use]
    pub(crate) fn draw(self, rng: &mut Rng) -> Self {
        Self(self.0 & (rng.next() >> 32) as u32)
    }
}

/// A way to break the code on purpose, to see that the checker notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// An isolate counts the age of its state from the end of its read.
    AgeFromReadEnd,
    /// Answers leave before what they say is on disk.
    AnswerBeforeDisk,
    /// The colo's copy does not count how long its own read took.
    CacheForgetsReadTime,
    /// A copy from KV decides default routes.
    CopyDecides,
    /// What a region has applied counts before the hub has it: a region that loses its disk after that pulls from a hub
    /// that does not know better.
    DirectCounts,
    /// A hub that restarts takes nobody for the holder of a lease.
    HubForgetsLeases,
    /// Hub, regions and isolates go back to an earlier epoch when they are told to.
    LowerEpochAccepted,
    /// The hub counts leases shorter than regions do.
    NegativeMargin,
    /// The publisher calls a revocation effective once it is acknowledged.
    NoBound,
    /// The publisher takes a region for done once the hub has the frame.
    NoLease,
    /// A region's lease counts from when the hub's answer arrived.
    PullFromEnd,
    /// A push renews a region's lease.
    PushRenewsLease,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AgeFromReadEnd,
        Self::AnswerBeforeDisk,
        Self::CacheForgetsReadTime,
        Self::CopyDecides,
        Self::DirectCounts,
        Self::HubForgetsLeases,
        Self::LowerEpochAccepted,
        Self::NegativeMargin,
        Self::NoBound,
        Self::NoLease,
        Self::PullFromEnd,
        Self::PushRenewsLease,
    ];
}

impl Mutation {
    /// The trouble in which it shows soonest.
    pub fn faults(self) -> Faults {
        use Fault::{Attack, Clocks, Copies, Crash, Delay, Epoch, Loss, Partition, SelfRevoke, WipeRegion};
        Faults::of(match self {
            Self::AgeFromReadEnd | Self::CacheForgetsReadTime => &[Delay],
            Self::AnswerBeforeDisk => &[Crash, SelfRevoke],
            Self::CopyDecides => &[Clocks, Copies, Loss],
            Self::DirectCounts => &[Partition, WipeRegion],
            Self::HubForgetsLeases | Self::NoLease => &[Crash, Loss, Partition],
            Self::LowerEpochAccepted => &[Attack, Epoch],
            Self::NegativeMargin | Self::NoBound => &[Loss, Partition],
            Self::PullFromEnd | Self::PushRenewsLease => &[Delay, Partition],
        })
    }
}

/// How large the world is and what happens in it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Regional objects.
    pub regions: usize,
    /// Colos, dealt out to the regions in turn.
    pub colos: usize,
    /// Isolates, dealt out to the colos in turn.
    pub isolates: usize,
    /// How long things happen and break, in milliseconds.
    pub active_ms: u64,
    /// How long after that the run goes on.
    pub settle_ms: u64,
    /// Between two requests to one isolate, on average.
    pub request_ms: u64,
    /// Revocations: at least, at most.
    pub revocations: (u64, u64),
    /// What may go wrong.
    pub faults: Faults,
    /// Whether only half of the faults, by chance, occur in one schedule.
    pub draw_faults: bool,
    /// How the code is broken, if it is.
    pub mutation: Option<Mutation>,
}

impl Config {
    /// 2 regions, 3 isolates, all faults.
    pub fn small() -> Self {
        Self {
            regions: 2,
            colos: 2,
            isolates: 3,
            active_ms: 12_000,
            settle_ms: 12_500,
            request_ms: 250,
            revocations: (2, 6),
            faults: Faults::ALL,
            draw_faults: true,
            mutation: None,
        }
    }

    /// The small world with the code broken, the trouble that shows it, and more to show it with.
    pub fn broken(mutation: Mutation) -> Self {
        Self {
            request_ms: 120,
            revocations: (8, 16),
            faults: mutation.faults(),
            draw_faults: false,
            mutation: Some(mutation),
            ..Self::small()
        }
    }

    /// 6 regions, 300 colos with two isolates each, loss and partitions.
    pub fn large() -> Self {
        Self {
            regions: 6,
            colos: 300,
            isolates: 600,
            active_ms: 60_000,
            settle_ms: 12_500,
            request_ms: 500,
            revocations: (20, 30),
            faults: Faults::of(&[
                Fault::Clocks,
                Fault::Compact,
                Fault::Delay,
                Fault::Drift,
                Fault::Loss,
                Fault::Partition,
            ]),
            draw_faults: false,
            mutation: None,
        }
    }
}
