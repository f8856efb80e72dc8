//! Who comes next.

use super::*;

fn due(org: u64, target: u64) -> Due {
    Due { org, target, most: 2 }
}

/// Fills every place from those who wait without end, in a runtime; gives whose they are.
fn filled(places: &mut Places, waiting: &[Due]) -> Vec<(u64, u64)> {
    let mut begun = Vec::new();
    while let Some(due) = places.next(waiting).and_then(|at| waiting.get(at)) {
        // Only for its id.
        places.enter(tokio::spawn(async {}).id(), *due);
        begun.push((due.org, due.target));
    }
    begun
}

#[tokio::test]
async fn a_few_of_each_and_of_each_organisation() {
    let many: Vec<Due> = (1..=20).map(|target| due(1, target)).collect();
    let mut places = Places::default();
    let begun = filled(&mut places, &many);
    assert_eq!(begun, [(1, 1), (1, 2), (1, 3), (1, 4)], "four, each once");
    let mut places = Places::default();
    assert_eq!(filled(&mut places, &many[..1]), [(1, 1), (1, 1)]);
    // Whoever has nothing under way comes before those who have.
    let mut places = Places::default();
    let begun = filled(&mut places, &[many, vec![due(2, 21)]].concat());
    assert_eq!(begun[..3], [(1, 1), (2, 21), (1, 2)]);
    assert_eq!(begun.len(), 6);
}

#[tokio::test]
async fn all_have_their_turn() {
    let waiting: Vec<Due> = (1..=100).map(|org| due(org, org)).collect();
    let mut places = Places::default();
    let mut begun = filled(&mut places, &waiting);
    assert_eq!(begun.len(), ALL);
    // One place is free at a time: those who were not served yet get it.
    for _ in 0..36 {
        let first = *places.taken.keys().next().expect("one");
        places.leave(first);
        begun.extend(filled(&mut places, &waiting));
    }
    begun.sort_unstable();
    begun.dedup();
    assert_eq!(begun.len(), 100);
}
