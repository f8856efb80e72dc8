//! A receipt in one sentence: whether what was done is in force everywhere.

use crate::revocation::Receipt;

/// Whether every region goes by it, or which do not yet.
pub fn in_force(receipt: &Receipt) -> String {
    if receipt.effective_at.is_some() {
        return "It is in force everywhere.".to_owned();
    }
    if receipt.pending.is_empty() {
        return "Every region has it; the last requests that were let in before are running out.".to_owned();
    }
    format!("Still waiting for {}.", receipt.pending.join(", "))
}

/// `1 key`, `3 keys`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
