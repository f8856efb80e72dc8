//! A disk that can fail in the middle of an event: what was written before stays, the rest is lost, and no answer leaves.

use edge::replication::{Log, MemoryLog, Position};
use shared::id::StatusIndex;
use shared::time::UnixMillis;

/// The machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crashed;

/// A [`MemoryLog`] that counts down to a crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    log: MemoryLog,
    /// Writes that still succeed.
    writes_left: Option<u32>,
}

impl Disk {
    /// Lets so many more writes succeed; `None`: all.
    pub(crate) fn allow(&mut self, writes: Option<u32>) {
        self.writes_left = writes;
    }

    fn write<T>(
        &mut self,
        write: impl FnOnce(&mut MemoryLog) -> Result<T, std::convert::Infallible>,
    ) -> Result<T, Crashed> {
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or(Crashed)?;
        }
        write(&mut self.log).map_err(|never| match never {})
    }
}

fn sure<T>(read: Result<T, std::convert::Infallible>) -> Result<T, Crashed> {
    read.map_err(|never| match never {})
}

impl Log for Disk {
    type Error = Crashed;

    fn snapshot(&self) -> Result<Option<Vec<u8>>, Crashed> {
        sure(self.log.snapshot())
    }

    fn frames_after(&self, at: Position, limit: usize) -> Result<Vec<Vec<u8>>, Crashed> {
        sure(self.log.frames_after(at, limit))
    }

    fn continues(&self, at: Position) -> Result<bool, Crashed> {
        sure(self.log.continues(at))
    }

    fn append(&mut self, at: Position, envelope: &[u8]) -> Result<(), Crashed> {
        self.write(|log| log.append(at, envelope))
    }

    fn replace_snapshot(&mut self, at: Position, envelope: &[u8]) -> Result<(), Crashed> {
        self.write(|log| log.replace_snapshot(at, envelope))
    }

    fn heartbeat_at(&self) -> Result<Option<UnixMillis>, Crashed> {
        sure(self.log.heartbeat_at())
    }

    fn set_heartbeat(&mut self, at: UnixMillis, envelope: &[u8]) -> Result<(), Crashed> {
        self.write(|log| log.set_heartbeat(at, envelope))
    }

    fn is_incompatible(&self) -> Result<bool, Crashed> {
        sure(self.log.is_incompatible())
    }

    fn set_incompatible(&mut self, incompatible: bool) -> Result<(), Crashed> {
        self.write(|log| log.set_incompatible(incompatible))
    }

    fn local(&self) -> Result<Vec<StatusIndex>, Crashed> {
        sure(self.log.local())
    }

    fn add_local(&mut self, index: StatusIndex) -> Result<(), Crashed> {
        self.write(|log| log.add_local(index))
    }

    fn drop_local(&mut self, index: StatusIndex) -> Result<(), Crashed> {
        self.write(|log| log.drop_local(index))
    }
}
