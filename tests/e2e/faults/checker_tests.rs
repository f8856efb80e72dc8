//! Each rule of the checker, by a log that keeps it and one that does not.

use super::{Rules, Violation, check};
use crate::faults::log::{Event, Route, What};

fn rules() -> Rules {
    Rules {
        gates: 1,
        bound_ms: 3000,
        slack_ms: 500,
        young_may_be_refused: false,
    }
}

/// A log in the making.
struct Story {
    events: Vec<Event>,
    at_ms: u64,
    requests: u64,
}

impl Story {
    /// Two keys; the second is revoked, with a receipt in force.
    fn new() -> Self {
        let mut story = Self {
            events: Vec::new(),
            at_ms: 0,
            requests: 0,
        };
        story.tell(What::Created { key: 0 });
        story.tell(What::Created { key: 1 });
        story.ask(1, Route::Default, 200);
        story.tell(What::RevokeSent {
            key: 1,
            wait: "effective".into(),
        });
        story.receipt(1, &[], Some(0));
        story
    }

    fn tell(&mut self, what: What) {
        self.at_ms += 1;
        self.events.push(Event {
            at_ms: self.at_ms,
            actor: String::new(),
            what,
        });
    }

    fn receipt(&mut self, key: usize, pending: &[&str], effective_in_ms: Option<i64>) {
        self.tell(What::Receipt {
            key,
            wait: String::new(),
            seq: Some(1),
            bound_ms: 3000,
            acknowledged: vec!["hub".into()],
            pending: pending.iter().map(|name| (*name).to_owned()).collect(),
            effective_in_ms,
        });
    }

    fn ask(&mut self, key: usize, route: Route, status: u16) {
        let request = self.requests;
        self.requests += 1;
        self.tell(What::Sent {
            request,
            key,
            gate: 0,
            route,
        });
        self.tell(What::Answered { request, status });
    }

    /// Convergence, with these verdicts for key after key.
    fn end(mut self, verdicts: &[u16]) -> Vec<Violation> {
        self.tell(What::Converged);
        for (key, status) in verdicts.iter().enumerate() {
            for route in Route::ALL {
                self.ask(key, route, *status);
            }
        }
        check(&self.events, &rules())
    }
}

#[test]
fn a_run_that_keeps_all_promises_has_no_violations() {
    let mut story = Story::new();
    story.ask(1, Route::Default, 401);
    story.ask(1, Route::Strict, 503);
    assert_eq!(story.end(&[200, 401]), []);
}

#[test]
fn whoever_gets_in_after_the_receipt_is_seen() {
    for route in Route::ALL {
        let mut story = Story::new();
        story.ask(1, route, 200);
        let found = story.end(&[200, 401]);
        assert!(
            matches!(found[..], [Violation::LetIn { key: 1, route: at, .. }] if at == route),
            "{found:?}"
        );
    }
}

#[test]
fn an_acknowledgement_ends_strict_routes_at_once_and_the_others_when_it_says() {
    let mut story = Story::new();
    story.tell(What::Created { key: 2 });
    story.tell(What::RevokeSent {
        key: 2,
        wait: "ack".into(),
    });
    // Somebody is pending: nothing is promised.
    story.receipt(2, &["hub/apac"], None);
    story.ask(2, Route::Strict, 200);
    story.receipt(2, &[], Some(3000));
    story.ask(2, Route::Default, 200);
    story.at_ms += 2000;
    story.ask(2, Route::Default, 200);
    let mut kept = Story {
        events: story.events.clone(),
        ..story
    };
    kept.at_ms += 3000;
    kept.ask(2, Route::Default, 401);
    let mut early = Story {
        events: kept.events.clone(),
        ..kept
    };
    assert_eq!(kept.end(&[200, 401, 401]), []);
    early.ask(2, Route::Strict, 200);
    early.ask(2, Route::Default, 200);
    let found = early.end(&[200, 401, 401]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|v| matches!(v, Violation::LetIn { key: 2, .. })),
        "{found:?}"
    );
}

#[test]
fn what_was_undone_lost_or_refused_is_seen() {
    let undone = Story::new().end(&[200, 200]);
    assert!(undone.contains(&Violation::Undone {
        key: 1,
        gate: 0,
        route: Route::Strict
    }));
    let refused = Story::new().end(&[401, 401]);
    assert!(
        matches!(
            refused[..],
            [Violation::Refused { key: 0, .. }, Violation::Refused { .. }]
        ),
        "{refused:?}"
    );
    // Without an answer it may be either, but alike.
    for (default, strict, divided) in [(200, 200, false), (401, 401, false), (200, 401, true)] {
        let mut story = Story::new();
        story.tell(What::RevokeSent {
            key: 0,
            wait: "none".into(),
        });
        story.tell(What::RevokeLost { key: 0 });
        story.tell(What::Converged);
        story.ask(0, Route::Default, default);
        story.ask(0, Route::Strict, strict);
        story.ask(1, Route::Default, 401);
        story.ask(1, Route::Strict, 401);
        let found = check(&story.events, &rules());
        assert_eq!(
            found.contains(&Violation::Divided { key: 0 }),
            divided,
            "{found:?}"
        );
        assert_eq!(found.is_empty(), !divided, "{found:?}");
    }
}

#[test]
fn a_gate_that_decides_from_what_is_too_old_is_seen() {
    for (waited, allowed) in [(3000, true), (3600, false), (4600, false)] {
        let mut story = Story::new();
        story.tell(What::FaultBegins {
            fault: "cut".into(),
            isolates: vec![0],
            grace_ms: 0,
        });
        story.at_ms += waited;
        story.ask(0, Route::Default, 200);
        story.ask(0, Route::Default, 503);
        story.tell(What::FaultEnds { fault: "cut".into() });
        story.ask(0, Route::Default, 200);
        let found = story.end(&[200, 401]);
        let seen = matches!(found[..], [Violation::TooOld { gate: 0, .. }]);
        assert_eq!(seen, !allowed, "{waited}: {found:?}");
        assert_eq!(found.is_empty(), allowed, "{waited}: {found:?}");
    }
}

#[test]
fn a_run_that_shows_nothing_is_no_proof() {
    let found = check(&[], &rules());
    assert_eq!(found.len(), 2, "{found:?}");
    let mut story = Story::new();
    story.tell(What::Converged);
    story.ask(1, Route::Default, 401);
    let found = check(&story.events, &rules());
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found.iter().all(|v| matches!(v, Violation::Unproven(_))),
        "{found:?}"
    );
}

#[test]
fn while_a_clock_is_wrong_a_new_key_may_be_refused() {
    let mut story = Story::new();
    story.tell(What::FaultBegins {
        fault: "clock".into(),
        isolates: Vec::new(),
        grace_ms: 0,
    });
    story.tell(What::Created { key: 2 });
    story.ask(2, Route::Default, 401);
    story.tell(What::FaultEnds {
        fault: "clock".into(),
    });
    story.tell(What::Converged);
    for (key, status) in [(0, 200), (1, 401), (2, 200)] {
        for route in Route::ALL {
            story.ask(key, route, status);
        }
    }
    let lenient = Rules {
        young_may_be_refused: true,
        ..rules()
    };
    assert_eq!(check(&story.events, &lenient), []);
    assert!(matches!(
        check(&story.events, &rules())[..],
        [Violation::Refused { key: 2, .. }]
    ));
}
