//! Keys of edges that fetch.

use super::actions;
use crate::audit::Actor;
use crate::config::Edge;
use crate::edge::uplink::{UplinkError, UplinkKey, create, list, revoke};
use crate::store::Store;
use crate::store::conformance::suite;
use crate::testing::TestApp;

suite! {
    two_keys_are_valid_at_a_time,
}

async fn two_keys_are_valid_at_a_time(store: Store) {
    let test = TestApp::start_on(Some(store), |config| {
        config.edges = vec![Edge::pull("dmz"), Edge::push("hub", "http://127.0.0.1:9")];
    })
    .await;
    let (app, actor) = (&test.app, Actor::command_line());
    for unknown in ["hub", "elsewhere"] {
        let refused = create(app, unknown, &actor).await;
        assert!(matches!(refused, Err(UplinkError::NoSuchEdge(_))), "{unknown}");
    }
    let (first, old) = create(app, "dmz", &actor).await.expect("a key");
    let (second, new) = create(app, "dmz", &actor).await.expect("its successor");
    assert!(old.expose() != new.expose() && old.expose().len() == 47 && old.expose().starts_with("pcu_"));
    assert_eq!(format!("{old:?}"), "UplinkKey(redacted)");
    let third = create(app, "dmz", &actor).await.expect_err("one too many");
    assert!(
        third.to_string().contains(&first) && third.to_string().contains(&second),
        "{third}"
    );
    assert!(matches!(
        revoke(app, "other", &first, &actor).await,
        Err(UplinkError::NoSuchKey(_))
    ));
    revoke(app, "dmz", &first, &actor).await.expect("ended");
    assert!(matches!(
        revoke(app, "dmz", &first, &actor).await,
        Err(UplinkError::NoSuchKey(_))
    ));
    let left: Vec<_> = list(app, "dmz")
        .await
        .expect("list")
        .into_iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(left, [second]);
    create(app, "dmz", &actor).await.expect("there is room again");
    assert_eq!(actions(app, &first).await, ["edge_key.create", "edge_key.revoke"]);
}

#[test]
fn a_key_has_one_form() {
    let body = "A".repeat(43);
    assert!(UplinkKey::parse(&format!("pcu_{body}")).is_some());
    for wrong in [
        body.clone(),
        format!("pcu_{body}A"),
        format!("pcu_{}", &body[1..]),
        format!("pcu_{}+", &body[1..]),
        format!("pc_{body}"),
    ] {
        assert!(UplinkKey::parse(&wrong).is_none(), "{wrong}");
    }
}
