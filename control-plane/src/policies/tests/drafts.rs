//! Documents as people write them: mistakes, differences, warnings.

use serde_json::{Value, json};
use shared::policy::{CompiledPolicy, Policy};
use shared::scope::ScopeSet;

use crate::policies::diff::{self, RouteChangeKind};
use crate::policies::draft;
use crate::policies::warn::{self, Held};

const RESOURCE: &str = "https://api.example";

fn demo() -> Value {
    let policy = Policy::demo(RESOURCE, "https://auth.example");
    serde_json::to_value(policy).expect("JSON")
}

fn read(document: Value) -> Result<CompiledPolicy, Vec<String>> {
    let published = ["memory:read", "memory:write"].map(str::to_owned);
    draft::read(document, RESOURCE, &published)
        .map_err(|problems| problems.into_iter().map(|problem| problem.place).collect())
}

fn changed(change: impl FnOnce(&mut Value)) -> CompiledPolicy {
    let mut document = demo();
    change(&mut document);
    read(document).expect("valid")
}

#[test]
fn every_mistake_has_its_place() {
    let mut document = demo();
    document["routes"][0]["pubic"] = json!(true);
    document["routes"][2]["scopes"] = json!("memory:read");
    document["limits"] = json!([]);
    assert_eq!(
        read(document).expect_err("three"),
        ["limits", "routes[0].pubic", "routes[2].scopes"]
    );

    let mut document = demo();
    document["resource"] = json!("https://other.example");
    document["scopes"] = json!(["memory:write", "memory:read", "admin"]);
    document["routes"] = json!([{"path": "x"}, {"path": "/a", "origin": "https://"}]);
    let places = read(document).expect_err("several");
    for place in [
        "resource",
        "scopes[0]",
        "presets.read-write",
        "routes[0].path",
        "routes[1].origin",
    ] {
        assert!(places.iter().any(|known| known == place), "{place} in {places:?}");
    }

    for (text, place) in [
        ("[]", "document"),
        ("{", "document"),
        (r#"{"a":1,"a":1}"#, "document"),
    ] {
        assert_eq!(draft::parse(text.as_bytes()).expect_err(text).place, place);
    }
    assert_eq!(read(json!([])).expect_err("no object"), ["document"]);
    assert_eq!(read(json!({})).expect_err("empty"), ["document"]);
}

#[test]
fn routes_are_compared_one_by_one() {
    let old = changed(|_| {}).policy;
    let new = changed(|document| {
        let routes = document["routes"].as_array_mut().expect("routes");
        // The admin's route to the front, one changed, one gone, one new.
        let admin = routes.remove(4);
        routes.insert(0, admin);
        routes[2]["scopes"] = json!(["memory:read", "memory:write"]);
        routes.remove(4);
        routes.push(json!({"path": "/new", "scopes": ["admin"]}));
        document["presets"]["read"] = json!(["memory:read", "memory:write"]);
        document["refresh_ms"] = json!(500);
    })
    .policy;
    let changes = diff::between(&old, &new);
    let routes: Vec<_> = changes
        .routes
        .iter()
        .map(|route| (route.change, route.was, route.is))
        .collect();
    assert_eq!(
        routes,
        [
            (RouteChangeKind::Moved, Some(4), Some(0)),
            (RouteChangeKind::Changed, Some(1), Some(2)),
            (RouteChangeKind::Added, None, Some(5)),
            (RouteChangeKind::Removed, Some(3), None),
        ]
    );
    let member = &changes.routes[1].members[0];
    assert_eq!(
        (&*member.member, &member.from, &member.to),
        (
            "scopes",
            &json!(["memory:read"]),
            &json!(["memory:read", "memory:write"])
        )
    );
    let settings: Vec<_> = changes.settings.iter().map(|change| &*change.member).collect();
    assert_eq!(settings, ["presets.read", "refresh_ms"]);
    assert!(diff::between(&old, &old).is_empty());
    // Other methods are a change of the route, not another route.
    let narrower = changed(|document| document["routes"][2]["methods"] = json!(["POST"])).policy;
    let changes = diff::between(&old, &narrower);
    assert_eq!(changes.routes.len(), 1);
    assert_eq!(changes.routes[0].members[0].member, "methods");
}

fn warnings(change: impl FnOnce(&mut Value)) -> Vec<(&'static str, String)> {
    let held = Held {
        scopes: ScopeSet(0b11),
        all: true,
    };
    let found = warn::about(&changed(|_| {}), &changed(change), held);
    found
        .into_iter()
        .map(|warning| (warning.code, warning.place))
        .collect()
}

#[test]
fn what_opens_deserves_a_second_look() {
    // Nobody holds memory:delete, and that is so whether or not anything changes.
    let always = ("scope_not_held", "routes[3].scopes".to_owned());
    assert_eq!(warnings(|_| {}), std::slice::from_ref(&always));
    let one = |change: fn(&mut Value)| {
        let mut found = warnings(change);
        found.retain(|warning| *warning != always);
        found
    };
    let is = |found: Vec<(&'static str, String)>, expected: &[(&str, &str)]| {
        let found: Vec<_> = found
            .iter()
            .map(|(code, place)| (*code, place.as_str()))
            .collect();
        assert_eq!(found, expected);
    };
    is(
        one(|d| d["routes"][1] = json!({"path": "/v1/memory/**", "methods": ["GET"], "public": true})),
        &[("becomes_public", "routes[1].public")],
    );
    is(
        one(|d| d["routes"][1]["scopes"] = json!([])),
        &[("any_credential", "routes[1].scopes")],
    );
    is(
        one(|d| d["routes"][4]["scopes"] = json!(["memory:read"])),
        &[("fewer_scopes", "routes[4].scopes")],
    );
    is(
        one(|d| d["routes"][4]["strict"] = json!(false)),
        &[("looser_staleness", "routes[4].strict")],
    );
    is(
        one(|d| d["routes"][1]["max_staleness_ms"] = json!(60_000)),
        &[
            ("looser_staleness", "routes[1].max_staleness_ms"),
            ("longer_bound", "routes"),
        ],
    );
    is(
        one(|d| d["routes"][1]["on_stale"] = json!({"allow_for_seconds": 60})),
        &[("looser_staleness", "routes[1].on_stale")],
    );
    is(
        one(|d| d["routes"][1]["origin"] = json!("https://elsewhere.example")),
        &[("other_origin", "routes[1].origin")],
    );
    is(
        one(|d| d["routes"][1]["forward_credential"] = json!(true)),
        &[("credential_forwarded", "routes[1].forward_credential")],
    );
    is(
        one(|d| d["routes"][1]["browser_api_keys"] = json!(true)),
        &[("browser_keys", "routes[1].browser_api_keys")],
    );
    is(
        one(|d| d["presets"]["read"] = json!(["memory:read", "memory:write"])),
        &[("role_rights", "presets.read")],
    );
    is(
        one(|d| {
            d["routes"]
                .as_array_mut()
                .expect("routes")
                .push(json!({"path": "/public/x", "scopes": ["admin"]}));
        }),
        &[("unreachable", "routes[6].path")],
    );
    is(
        one(|d| drop(d["routes"].as_array_mut().expect("routes").pop())),
        &[("no_control_plane", "routes")],
    );
    let mut closed = one(|d| d["routes"] = json!([]));
    closed.retain(|(code, _)| *code == "no_routes");
    assert_eq!(closed.len(), 1);
}

#[test]
fn a_new_scope_is_held_by_nobody() {
    let found = warnings(|document| {
        document["scopes"]
            .as_array_mut()
            .expect("scopes")
            .push(json!("reports:read"));
        document["routes"][0] = json!({"path": "/reports/**", "scopes": ["reports:read"]});
    });
    assert!(
        found.contains(&("scope_not_held", "routes[0].scopes".to_owned())),
        "{found:?}"
    );
}
