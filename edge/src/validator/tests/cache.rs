//! What is remembered, for how long, and under which names.

use std::sync::Arc;

use shared::scope::ScopeSet;
use shared::verdict::Reason;

use super::super::StatementCache;
use super::fixture::Fixture;

#[test]
fn a_memory_under_pressure_keeps_what_is_used_and_its_budget() {
    let fixture = Fixture::new();
    let statement = Arc::new(fixture.statement());
    let mut cache = StatementCache::with_budget([7; 16], 40 * (statement.weight() + 112));
    let tag = |cache: &StatementCache, number: usize| cache.tag(&format!("pc_live_{number}"));
    for number in 0..40 {
        let tag = tag(&cache, number);
        cache.insert(tag, Arc::clone(&statement));
    }
    assert_eq!(cache.len(), 40, "all of the budget holds");
    let known = |cache: &mut StatementCache, number| {
        let tag = tag(cache, number);
        cache.find(tag).is_some()
    };
    let used = |number: &usize| number.is_multiple_of(2);
    for number in 40..400 {
        for kept in (0..40).filter(used).take(10) {
            assert!(known(&mut cache, kept), "{kept} is in use, so it stays");
        }
        let tag = tag(&cache, number);
        assert!(cache.find(tag).is_none());
        cache.insert(tag, Arc::clone(&statement));
        assert!(cache.len() <= 40, "{}", cache.len());
    }
    assert!(!known(&mut cache, 1), "not used for long");
    let report = cache.report();
    assert_eq!((report.statements, report.evicted), (40, 360));
    assert!(report.bytes <= 40 * (statement.weight() + 112));
}

#[test]
fn only_what_was_verified_is_remembered() {
    let fixture = Fixture::new();
    let mut cache = StatementCache::default();
    let good = format!("Bearer {}", fixture.key().expose());
    assert_eq!(fixture.reason_for(&good, &[], &mut cache), None);
    // The same statement, another signature.
    let forged = fixture.forged_key();
    for _ in 0..3 {
        let reason = fixture.reason_for(&format!("Bearer {forged}"), &[], &mut cache);
        assert_eq!(reason, Some(Reason::SignatureInvalid));
    }
    assert_eq!(cache.len(), 1);
    assert_eq!(fixture.reason_for(&good, &[], &mut cache), None);
    assert_eq!((cache.report().hits, cache.report().misses), (1, 4));
}

#[test]
fn a_number_means_one_statement_with_one_set_of_scopes() {
    let fixture = Fixture::new();
    let (one, other) = (Arc::new(fixture.statement()), Arc::new(fixture.statement()));
    let (few, many) = (ScopeSet(1), ScopeSet(3));
    let mut cache = StatementCache::default();
    assert_eq!(cache.identity(&one, few), None, "never seen");
    let (tag, next) = (cache.tag("a"), cache.tag("b"));
    cache.insert(tag, Arc::clone(&one));
    let first = cache.identity(&one, few);
    assert!(first.is_some());
    assert_eq!(cache.identity(&one, few), first);
    assert_eq!(cache.identity(&other, few), None, "it was not the last");
    let wider = cache.identity(&one, many);
    assert_ne!(wider, first);
    assert_ne!(cache.identity(&one, few), first, "a number is never used again");
    cache.insert(next, Arc::clone(&other));
    assert!(![first, wider].contains(&cache.identity(&other, few)));
    assert!(cache.find(cache.tag("c")).is_none());
    assert_eq!(cache.identity(&other, few), None, "nothing was found");
    cache.clear();
    cache.insert(tag, Arc::clone(&one));
    assert!(![first, wider, None].contains(&cache.identity(&one, few)));
    assert_ne!(StatementCache::with_key([1; 16]).tag("a"), tag, "the key counts");
}

#[test]
fn what_is_read_anew_takes_the_place_of_what_was_known() {
    let fixture = Fixture::new();
    let (old, new) = (Arc::new(fixture.statement()), Arc::new(fixture.statement()));
    let mut cache = StatementCache::default();
    let (tag, other) = (cache.tag("a"), cache.tag("b"));
    cache.insert(tag, Arc::clone(&old));
    let before = cache.report().bytes;
    cache.insert(other, Arc::clone(&old));
    cache.insert(tag, Arc::clone(&new));
    assert!(cache.find(tag).is_some_and(|found| Arc::ptr_eq(&found, &new)));
    assert!(cache.find(other).is_some_and(|found| Arc::ptr_eq(&found, &old)));
    assert_eq!((cache.len(), cache.report().bytes), (2, 2 * before));
}
