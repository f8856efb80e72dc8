//! Many revoked indexes in few entries.

use shared::feed::Entry;
use shared::id::StatusIndex;

/// So many ranges in one entry: far from the size of a frame.
const MOST: usize = 10_000;

/// The entries that revoke these indexes; none for none.
pub fn revoked(indexes: Vec<StatusIndex>) -> Vec<Entry> {
    revoked_ranges(&ranges(indexes))
}

/// The same of inclusive ranges that are ascending and neither touch nor overlap.
pub(super) fn revoked_ranges(ranges: &[(StatusIndex, StatusIndex)]) -> Vec<Entry> {
    ranges
        .chunks(MOST)
        .map(|ranges| Entry::Revoked(ranges.to_vec()))
        .collect()
}

/// Inclusive ranges, ascending, neither touching nor overlapping.
fn ranges(mut indexes: Vec<StatusIndex>) -> Vec<(StatusIndex, StatusIndex)> {
    indexes.sort_unstable();
    let mut ranges: Vec<(StatusIndex, StatusIndex)> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some((_, last)) if index.get() <= last.get().saturating_add(1) => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_become_ranges() {
        let index = |number| StatusIndex::from_u64(number).expect("small");
        let given = [9, 3, 4, 5, 7, 4, 10].map(index).to_vec();
        let wanted = [(3, 5), (7, 7), (9, 10)].map(|(first, last)| (index(first), index(last)));
        assert_eq!(ranges(given), wanted);
        assert_eq!(revoked(Vec::new()), []);
        let odd = (0..20_001).map(|number| index(number * 2)).collect();
        assert_eq!(revoked(odd).len(), 3);
    }
}
