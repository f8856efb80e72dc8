//! Never too many, and too few only by the stated bound.

use proptest::prelude::*;
use shared::id::{OrgId, SigningKeyId, StatusIndex};
use shared::key::Environment;
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;

use super::*;
use crate::validator::Signer;

const NOW: UnixMillis = UnixMillis(1_795_302_520_000);

fn ours(index: u64) -> Signer {
    Signer::Ours {
        key: SigningKeyId::from_u64(1).expect("small"),
        index: StatusIndex::from_u64(index).expect("small"),
    }
}

fn quota(limit: u64) -> Quota {
    Quota {
        name: "reports key 1".to_owned(),
        class: "reports".to_owned(),
        window_ms: 60_000,
        limit,
    }
}

/// What a region does, without its disk.
#[derive(Default)]
struct Region {
    window: u64,
    used: u64,
}

impl Region {
    fn ask(&mut self, quota: &Quota, now: UnixMillis) -> Grant {
        let window = quota.window(now);
        if self.window != window {
            *self = Self { window, used: 0 };
        }
        let left = quota.limit.saturating_sub(self.used);
        let granted = batch(left);
        self.used += granted;
        Grant {
            window,
            granted,
            left: left - granted,
        }
    }
}

fn passes(isolate: &mut Allowances, region: &mut Region, quota: &Quota, now: UnixMillis) -> bool {
    let taken = match isolate.take(quota, now) {
        Taken::Ask => {
            let grant = region.ask(quota, now);
            isolate.granted(quota, grant, now)
        }
        taken => taken,
    };
    matches!(taken, Taken::Pass(_))
}

#[test]
fn one_isolate_is_exact() {
    for limit in [1, 2, 15, 16, 100, 1000] {
        let (mut isolate, mut region, quota) = (Allowances::default(), Region::default(), quota(limit));
        let admitted = (0..limit * 2)
            .filter(|_| passes(&mut isolate, &mut region, &quota, NOW))
            .count();
        assert_eq!(admitted as u64, limit);
        // The next window begins anew.
        let later = UnixMillis(NOW.0 + 60_000);
        assert!(passes(&mut isolate, &mut region, &quota, later));
    }
}

proptest! {
    #[test]
    fn never_too_many_and_too_few_by_less_than_the_bound(
        limit in 1u64..400, isolates in 1usize..6, order in proptest::collection::vec(0usize..6, 0..2000),
    ) {
        let quota = quota(limit);
        let mut region = Region::default();
        let mut all: Vec<Allowances> = (0..isolates).map(|_| Allowances::default()).collect();
        let mut admitted = 0u64;
        let mut refused = false;
        for nth in order {
            if passes(&mut all[nth % isolates], &mut region, &quota, NOW) {
                admitted += 1;
            } else {
                refused = true;
            }
        }
        prop_assert!(admitted <= limit);
        if refused {
            let others = isolates as u64 - 1;
            prop_assert!(limit - admitted <= others * limit / SHARE, "{admitted} of {limit} at {isolates}");
        }
    }
}

#[test]
fn without_its_region_an_isolate_admits_the_limit_by_itself() {
    let (mut isolate, quota) = (Allowances::default(), quota(5));
    let mut admitted = 0;
    for _ in 0..10 {
        let taken = match isolate.take(&quota, NOW) {
            Taken::Ask => isolate.unanswered(&quota, NOW),
            taken => taken,
        };
        admitted += u64::from(matches!(taken, Taken::Pass(_)));
    }
    assert_eq!(admitted, 5);
}

#[test]
fn headers_say_what_is_left() {
    let quota = quota(100);
    assert_eq!(quota.policy_header(), "\"reports\";q=100;w=60");
    assert_eq!(
        quota.header(7, UnixMillis(60_000 * 9 + 1)),
        "\"reports\";r=7;t=60"
    );
    assert_eq!(
        quota.header(0, UnixMillis(60_000 * 10 - 1)),
        "\"reports\";r=0;t=1"
    );
}

#[test]
fn keys_and_clients_have_limits_of_their_own() {
    let limit = CompiledLimit {
        class: "reports".into(),
        window_ms: 60_000,
        per_key: Some(5),
        per_client: None,
    };
    let mut statement = Statement {
        kind: Kind::ApiKey {
            environment: Environment::Live,
        },
        signer: ours(7),
        org: OrgId::from_u64(9).expect("small"),
        user: None,
        workspace: None,
        scopes: ScopeSet::EMPTY,
        issued_at: UnixSeconds(0),
        expires_at: None,
        not_before: None,
        subject: String::new(),
        credential: String::new(),
    };
    let key = Quota::of(&limit, &statement).expect("a limit");
    assert_eq!((key.name.as_str(), key.limit), ("reports key 7", 5));
    statement.kind = Kind::AccessToken {
        audience: Vec::new(),
        client: "cli_000000001".to_owned(),
        session: None,
        bound_to: None,
    };
    assert_eq!(Quota::of(&limit, &statement), None);
    let both = CompiledLimit {
        per_client: Some(50),
        ..limit
    };
    let one = Quota::of(&both, &statement).expect("a limit");
    assert_eq!(
        (one.name.as_str(), one.limit),
        ("reports client 9 cli_000000001", 50)
    );
    // All tokens of the client together.
    statement.signer = ours(8);
    assert_eq!(Quota::of(&both, &statement), Some(one));
}

#[test]
fn memory_is_bounded() {
    let mut isolate = Allowances::default();
    for number in 0..3 * MAX_CALLERS {
        let quota = Quota {
            name: number.to_string(),
            ..quota(5)
        };
        isolate.granted(
            &quota,
            Grant {
                window: quota.window(NOW),
                granted: 1,
                left: 4,
            },
            NOW,
        );
        assert!(isolate.callers.len() <= MAX_CALLERS);
    }
}
