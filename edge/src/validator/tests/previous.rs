//! What the previous release decided about its own credentials under its own policy, this one decides as well.

use super::super::vectors::{self, Vectors};

/// Verdicts that were changed on purpose, by name, and why.
const CHANGED: [(&str, &str); 0] = [];

#[test]
fn the_verdicts_of_the_previous_release_stand() {
    let json = include_bytes!("../../../../shared/vectors/previous/verdicts.json");
    let previous: Vectors = serde_json::from_slice(json).expect("vectors");
    let outcomes = vectors::run(json).expect("runs");
    assert_eq!(outcomes.len(), previous.cases.len());
    for (outcome, case) in outcomes.iter().zip(&previous.cases) {
        if !CHANGED.iter().any(|(name, _)| *name == case.name) {
            assert_eq!(outcome.reason, case.expected, "{}", case.name);
        }
    }
}
