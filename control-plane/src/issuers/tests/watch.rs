//! Keys that come and go, and issuers that cannot be read.

use axum::http::Method;
use serde_json::json;
use shared::crypto::base64url;
use shared::feed::{Entry, IssuerEntry, State, Subject, kinds};
use shared::id::OrgId;
use shared::scope::ScopeSet;

use super::super::{take_over, watch};
use super::{Served, World, key};
use crate::config::Edge;
use crate::oauth::tests::support::published_with;

const MINUTE_MS: u64 = 60_000;

impl World {
    async fn look(&self) {
        watch::look(&self.test.app).await.expect("looked");
    }

    /// After the longest that an answer is believed.
    async fn later(&self) {
        self.test.clock.advance_ms(15 * MINUTE_MS);
        self.look().await;
    }
}

#[tokio::test]
async fn keys_go_with_the_set_and_may_come_back() {
    let world = World::start().await;
    world.trust(json!({})).await;
    world.look().await;
    assert_eq!(world.idp.asked(), 1, "the answer is believed");
    world
        .idp
        .say(|says| says.keys = json!({"keys": [key("one", 1), key("two", 2)]}));
    // As long as the server says, at most a tenth less.
    world.test.clock.advance_ms(269_000);
    world.look().await;
    assert_eq!(world.idp.asked(), 1);
    world.test.clock.advance_ms(31_000);
    world.look().await;
    assert_eq!(
        (world.idp.asked(), world.kids().await),
        (2, vec!["one".to_owned(), "two".to_owned()])
    );
    assert_eq!(world.entry().await.version, 2);
    world.idp.say(|says| says.keys = json!({"keys": [key("two", 2)]}));
    world.later().await;
    assert_eq!(
        (world.kids().await, world.entry().await.version),
        (vec!["two".to_owned()], 3)
    );
    world.later().await;
    assert_eq!(world.entry().await.version, 3, "nothing changed");
    world
        .idp
        .say(|says| says.keys = json!({"keys": [key("one", 7), key("two", 2)]}));
    world.later().await;
    assert_eq!(world.kids().await.len(), 2, "back, with another key");
    assert_eq!(world.audited("issuer.keys").await, 3);
}

#[tokio::test]
async fn a_bad_answer_takes_no_key_away_for_a_day() {
    let world = World::start().await;
    let id = world.trust(json!({})).await;
    for (name, change) in [
        ("an error", (|s| s.status = 500) as fn(&mut super::Says)),
        ("a redirect", |s| s.status = 301),
        ("another type", |s| s.content_type = "text/html"),
        ("an empty set", |s| s.keys = json!({"keys": []})),
        ("nothing that counts", |s| {
            s.keys = json!({"keys": [{"kty": "oct", "k": "AAAA"}]});
        }),
        ("no set", |s| s.keys = json!("keys")),
        ("too much", |s| {
            s.keys = json!({"keys": [], "x": "x".repeat(70_000)});
        }),
        ("another's metadata", |s| {
            s.issuer = "https://evil.example".to_owned();
        }),
    ] {
        let before = world.idp.says.lock().expect("a lock").clone();
        world.idp.say(change);
        world.later().await;
        assert_eq!(world.kids().await, ["one"], "{name}");
        let shown = world.show(&id).await.body;
        assert_eq!(shown["keys_state"], "failing", "{name}");
        assert!(shown["failure"].is_string());
        world.idp.say(|says| *says = before);
        world.later().await;
        assert_eq!(world.show(&id).await.body["keys_state"], "fresh", "{name}");
    }
    assert_eq!(world.entry().await.version, 1);
    world.idp.say(|says| says.status = 500);
    world.test.clock.advance_ms(86_399_000);
    world.look().await;
    assert_eq!(world.kids().await, ["one"]);
    world.later().await;
    assert_eq!(world.kids().await, [""; 0]);
    assert_eq!(world.show(&id).await.body["keys_state"], "stale");
    assert_eq!(world.audited("issuer.stale").await, 1);
    world.idp.say(|says| says.status = 200);
    world.later().await;
    assert_eq!(world.kids().await, ["one"], "it is back");
}

#[tokio::test]
async fn however_many_ask_an_issuer_is_asked_seldom() {
    let world = World::start().await;
    let id = world.trust(json!({})).await;
    let refresh = async |kid: Option<&str>| world.post(&format!("/{id}/refresh"), json!({"kid": kid})).await;
    let soon = refresh(None).await;
    assert_eq!(soon.outcome(), (429, "rate_limited"));
    assert_eq!(soon.headers["retry-after"], "30");
    assert_eq!(refresh(Some("one")).await.status, 200, "a key that is known");
    assert_eq!(refresh(Some("two")).await.outcome(), (429, "rate_limited"));
    assert_eq!(world.idp.asked(), 1);
    world
        .idp
        .say(|says| says.keys = json!({"keys": [key("one", 1), key("two", 2)]}));
    world.test.clock.advance_ms(30_000);
    let found = refresh(Some("two")).await;
    assert_eq!(
        (found.status.as_u16(), &found.body["version"]),
        (200, &json!(2)),
        "{found:?}"
    );
    assert_eq!(refresh(None).await.outcome(), (429, "rate_limited"));
    world.idp.say(|says| says.status = 503);
    world.test.clock.advance_ms(30_000);
    assert_eq!(refresh(None).await.outcome(), (422, "issuer_unreachable"));
    assert_eq!(world.kids().await.len(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_changed_meanwhile_keeps_the_change() {
    let world = World::start().await;
    let id = world.trust(json!({})).await;
    let seen = world.entry().await;
    let path = format!("/v1/issuers/{id}?wait=none");
    let answer = world
        .test
        .admin(Method::PATCH, &path, Some(json!({"audiences": ["other"]})))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut tx = world.test.app.store.begin().await.expect("tx");
    let mut row = tx
        .issuer_named(&world.idp.url)
        .await
        .expect("found")
        .expect("known");
    row.entry = seen;
    assert!(
        !tx.change_issuer(1, &row).await.expect("asked"),
        "what was seen is old"
    );
}

/// A restored database learns from the edge: a removal is not undone, a lower cap holds, an issuer that it does not know
/// can be seen and removed.
#[tokio::test]
async fn a_restored_database_goes_by_what_the_edge_knows() {
    let world = World::start().await;
    world.trust(json!({})).await;
    let app = &world.test.app;
    let known = world.entry().await;
    let mut lowered = IssuerEntry {
        version: 7,
        ..known.clone()
    };
    if let Some(binding) = &mut lowered.binding {
        binding.cap = ScopeSet::EMPTY;
    }
    let named = |issuer: &str, org, binding| IssuerEntry {
        issuer: issuer.to_owned(),
        version: 3,
        org,
        binding,
    };
    let (own, lost) = (known.org, OrgId::from_u64(999).expect("small"));
    let mut state = State::default();
    for entry in [
        lowered,
        named("https://new.example", own, known.binding.clone()),
        named("https://gone.example", own, None),
        named("https://stranger.example", lost, known.binding.clone()),
    ] {
        state.join(Entry::Issuer(Box::new(entry)));
    }
    state.join(Entry::Ceiling {
        subject: Subject::Foreign(known.issuer.clone(), "bob".to_owned()),
        version: 4,
        scopes: ScopeSet::EMPTY,
    });
    let now = app.clock.now();
    let mut tx = app.store.begin().await.expect("tx");
    take_over(&mut tx, app, &mut state, now)
        .await
        .expect("taken over");
    tx.commit().await.expect("commit");
    let entry = world.entry().await;
    assert_eq!(
        (entry.version, entry.binding.map(|binding| binding.cap)),
        (8, Some(ScopeSet::EMPTY))
    );
    assert!(state.trusted_issuer("https://stranger.example").is_none());
    let mut tx = app.store.begin_read().await.expect("tx");
    let listed = tx.issuers_of(own).await.expect("listed");
    let mut names: Vec<_> = listed.iter().map(|row| row.entry.issuer.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [world.idp.url.as_str(), "https://new.example"]);
    assert!(
        tx.issuer_named("https://gone.example")
            .await
            .expect("found")
            .is_some()
    );
    let bob = tx.blocked_subject(&known.issuer, "bob").await.expect("found");
    assert_eq!(bob.map(|bob| (bob.version, bob.blocked_at)), Some((4, Some(now))));
}

/// A real point: one that is not on the curve would be left out for that.
fn es512_key(kid: &str) -> serde_json::Value {
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key");
    let (x, y) = pair.public_key().as_ref()[1..].split_at(66);
    json!({"kty": "EC", "crv": "P-521", "use": "sig", "kid": kid, "x": base64url(x), "y": base64url(y)})
}

/// An edge of the release before could not read an entry that holds one.
#[tokio::test]
async fn a_key_for_es512_waits_for_every_edge_and_then_stays() {
    let test = published_with(|config| config.edges = vec![Edge::push("old", "http://127.0.0.1:9")]).await;
    let world = World {
        test,
        idp: Served::start().await,
    };
    let feed = &world.test.app.feed;
    world
        .idp
        .say(|s| s.keys = json!({"keys": [key("one", 1), es512_key("p521")]}));
    let known: Vec<u8> = kinds::SUPPORTED
        .into_iter()
        .filter(|kind| *kind != kinds::ISSUER_ES512)
        .collect();
    feed.hear_kinds("old", &known);
    world.trust(json!({})).await;
    assert_eq!(world.kids().await, ["one"]);
    let asked = world
        .post(
            "",
            world.body(json!({"issuer": "https://b.example", "algorithms": ["ES512"]})),
        )
        .await;
    assert_eq!(asked.outcome(), (409, "edges_behind"), "{asked:?}");

    feed.hear_kinds("old", &kinds::SUPPORTED);
    world.later().await;
    assert_eq!(world.kids().await, ["one", "p521"]);
    // After a start no edge has said anything yet: that takes no key away.
    feed.hear_kinds("old", &[]);
    world.later().await;
    assert_eq!(world.kids().await, ["one", "p521"]);
}
