//! Usage batches: what one isolate counted in one window.
//!
//! ```text
//! batch  = 01                version
//!          16 bytes          isolate id, random at its start
//!          varint            number of this window, from 1
//!          varint varint     first and last millisecond of the window (isolate's clock)
//!          u8                1 = a next window is open and will be flushed, 0 = this was the last
//!          varint            number of counts, then each:
//!            varint          status index
//!            varint          route class, numbered by the policy
//!            bytes           reason code (ASCII)
//!            varint          requests, at least 1
//!            varint          last use, milliseconds since 1970
//! ```
//!
//! A batch is applied once per (isolate, number). A window that was announced as open and never closes is reported as
//! incomplete: that is how a lost isolate is told from a quiet one. Counts are sorted by (index, class, reason), each once.

use crate::id::StatusIndex;
use crate::time::UnixMillis;
use crate::verdict::Reason;
use crate::wire::{Malformed, Reader, Writer};

const VERSION: u8 = 1;
/// The largest number of counts in one batch.
pub const MAX_COUNTS: usize = 65_536;

/// Counts of one isolate over one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which isolate.
    pub isolate: [u8; 16],
    /// Which of its windows, from 1.
    pub number: u64,
    /// Start of the window.
    pub from: UnixMillis,
    /// End of the window.
    pub to: UnixMillis,
    /// Whether the next window is open.
    pub next_open: bool,
    /// The counts, sorted, without duplicates.
    pub counts: Vec<Count>,
}

/// Requests with one credential, one route class and one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Whose credential.
    pub index: StatusIndex,
    /// The route's class in the policy.
    pub class: u64,
    /// How they ended.
    pub reason: Reason,
    /// How many, at least 1.
    pub requests: u64,
    /// When the last one came.
    pub last: UnixMillis,
}

impl Count {
    fn key(&self) -> (u64, u64, &'static str) {
        (self.index.get(), self.class, self.reason.code())
    }
}

/// The bytes of a batch.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut writer = Writer::new();
    writer
        .u8(VERSION)
        .raw(&batch.isolate)
        .varint(batch.number)
        .varint(batch.from.0)
        .varint(batch.to.0);
    writer
        .u8(u8::from(batch.next_open))
        .varint(batch.counts.len() as u64);
    for count in &batch.counts {
        writer
            .varint(count.index.get())
            .varint(count.class)
            .bytes(count.reason.code().as_bytes());
        writer.varint(count.requests).varint(count.last.0);
    }
    writer.finish()
}

/// The batch behind bytes; refuses anything that [`encode`] would not have made of sorted counts.
pub fn decode(bytes: &[u8]) -> Result<Batch, Malformed> {
    let mut reader = Reader::new(bytes);
    reader.expect_u8(VERSION)?;
    let isolate = reader.array()?;
    let number = reader.varint()?;
    let (from, to) = (UnixMillis(reader.varint()?), UnixMillis(reader.varint()?));
    let next_open = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed),
    };
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
    if length > MAX_COUNTS || number == 0 {
        return Err(Malformed);
    }
    let mut counts: Vec<Count> = Vec::new();
    for _ in 0..length {
        let index = StatusIndex::from_u64(reader.varint()?).ok_or(Malformed)?;
        let class = reader.varint()?;
        let code = reader.text(64)?;
        let reason = Reason::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
            .ok_or(Malformed)?;
        let (requests, last) = (reader.varint()?, UnixMillis(reader.varint()?));
        let count = Count {
            index,
            class,
            reason,
            requests,
            last,
        };
        if requests == 0 || counts.last().is_some_and(|before| before.key() >= count.key()) {
            return Err(Malformed);
        }
        counts.push(count);
    }
    reader.end()?;
    Ok(Batch {
        isolate,
        number,
        from,
        to,
        next_open,
        counts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count() -> impl Strategy<Value = Count> {
        (
            0u64..(1 << 53),
            0u64..100,
            0..Reason::ALL.len(),
            1u64..1000,
            any::<u64>(),
        )
            .prop_map(|(index, class, reason, requests, last)| Count {
                index: StatusIndex::from_u64(index).expect("in range"),
                class,
                reason: Reason::ALL[reason],
                requests,
                last: UnixMillis(last),
            })
    }

    proptest! {
        #[test]
        fn decode_inverts_encode(isolate in any::<[u8; 16]>(), mut counts in proptest::collection::vec(count(), 0..20)) {
            counts.sort_by_key(Count::key);
            counts.dedup_by_key(|count| count.key());
            let batch = Batch { isolate, number: 3, from: UnixMillis(1), to: UnixMillis(2), next_open: true, counts };
            prop_assert_eq!(decode(&encode(&batch)), Ok(batch));
        }

        #[test]
        fn what_decodes_is_canonical(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(first) = bytes.first_mut() { *first = VERSION; }
            if let Ok(batch) = decode(&bytes) {
                prop_assert_eq!(encode(&batch), bytes);
            }
        }
    }
}
