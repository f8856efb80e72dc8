//! Ascending inclusive ranges of numbers, as bytes: varint n, n × (varint gap, varint length − 1). A gap is counted from the
//! end of the previous range, from 0 for the first. One form only: ranges that touch would have been one.

use crate::wire::{Malformed, Reader, Writer};

/// Writes ranges that ascend and neither touch nor overlap.
pub(super) fn write(w: &mut Writer, ranges: impl ExactSizeIterator<Item = (u64, u64)>) {
    w.varint(ranges.len() as u64);
    let mut end = 0u64;
    for (first, last) in ranges {
        w.varint(first.saturating_sub(end))
            .varint(last.saturating_sub(first));
        end = last.saturating_add(1);
    }
}

/// Reads at least one range. Numbers stay below `limit`, and there are at most `most` of them in all ranges together.
pub(super) fn read(r: &mut Reader<'_>, limit: u64, most: u64) -> Result<Vec<(u64, u64)>, Malformed> {
    let mut ranges = Vec::new();
    read_each(r, limit, most, |first, last| ranges.push((first, last)))?;
    Ok(ranges)
}

/// The same without holding them: there may be millions. Gives how many numbers there are in all of them.
pub(super) fn read_each(
    r: &mut Reader<'_>,
    limit: u64,
    most: u64,
    mut take: impl FnMut(u64, u64),
) -> Result<u64, Malformed> {
    let count = r.varint()?;
    let (mut end, mut numbers) = (0u64, 0u64);
    for number in 0..count {
        let gap = r.varint()?;
        if gap == 0 && number > 0 {
            return Err(Malformed);
        }
        let first = end.checked_add(gap).ok_or(Malformed)?;
        let last = first.checked_add(r.varint()?).ok_or(Malformed)?;
        numbers = numbers.saturating_add(covered([(first, last)].into_iter()));
        if last >= limit || numbers > most {
            return Err(Malformed);
        }
        end = last.saturating_add(1);
        take(first, last);
    }
    if count == 0 { Err(Malformed) } else { Ok(numbers) }
}

/// How many numbers ranges hold together.
pub(super) fn covered(ranges: impl Iterator<Item = (u64, u64)>) -> u64 {
    ranges
        .map(|(first, last)| last.saturating_sub(first).saturating_add(1))
        .fold(0, u64::saturating_add)
}
