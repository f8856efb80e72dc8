//! Trusting, changing, removing, blocking.

use axum::http::Method;
use serde_json::{Value, json};
use shared::feed::issuer::WorkspaceRule;
use shared::id::{IssuerId, OrgId};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;

use super::{Served, World, key};
use crate::config::{Edge, EdgeGroup};
use crate::oauth::tests::support::published_with;
use crate::store::orgs::Role;
use crate::testing::{START, member};

fn org(number: u64) -> OrgId {
    OrgId::from_u64(number).expect("small")
}

#[tokio::test]
async fn an_issuer_is_trusted_shown_changed_and_removed() {
    let world = World::start().await;
    let answer = world.post("", world.body(json!({}))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.text("id");
    assert!(id.parse::<IssuerId>().is_ok());
    assert_eq!(answer.headers["location"], format!("/v1/issuers/{id}"));
    assert_eq!(answer.body["org"], world.test.made.org.to_string());
    assert_eq!(answer.body["scopes"], json!(["memory:read"]));
    assert_eq!(answer.body["keys"][0]["kid"], "one");
    assert_eq!(answer.body["keys"][0]["algorithm"], "EdDSA");
    assert_eq!(answer.body["keys_state"], "fresh");
    assert_eq!(answer.body["token_types"], json!(["at+jwt", "JWT", "none"]));
    assert_eq!(answer.body["keys_uri"], format!("{}/keys", world.idp.url));
    let entry = world.entry().await;
    assert_eq!((entry.version, entry.org), (1, world.test.made.org));
    let listed = world.test.admin(Method::GET, "/v1/issuers", None).await;
    assert_eq!(listed.body["issuers"].as_array().map(Vec::len), Some(1));

    let path = format!("/v1/issuers/{id}?wait=none");
    let change = json!({"scopes": [], "audiences": ["other"], "token_types": ["at+jwt"], "scope_claim": ["a", "b"],
        "scope_values": {"reader": ["memory:read"]}});
    let answer = world.test.admin(Method::PATCH, &path, Some(change)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let entry = world.entry().await;
    let binding = entry.binding.expect("trusted");
    assert_eq!((entry.version, binding.cap), (2, ScopeSet::EMPTY));
    assert_eq!(binding.audiences, ["other"]);
    assert_eq!(binding.scopes, [["a", "b"]]);
    assert_eq!(binding.keys.len(), 1, "its keys stay");
    assert!(binding.forms.at_jwt && !binding.forms.jwt);

    let answer = world.test.admin(Method::DELETE, &path, None).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["keys_state"]),
        (200, &json!("removed"))
    );
    assert_eq!(world.entry().await.binding, None);
    assert_eq!(world.show(&id).await.outcome(), (404, "not_found"));
    let mut tx = world.test.app.store.begin().await.expect("tx");
    let at = tx
        .note_assertion(&world.idp.url, world.test.made.org, UnixSeconds(0))
        .await
        .expect("a row");
    drop(tx);
    assert_eq!(at, Some(START.seconds()), "what was made until now is dead");
    // Again, later: with a version above all before, and another id.
    let again = world.trust(json!({})).await;
    assert_ne!(again, id);
    assert_eq!(world.entry().await.version, 4);
    assert_eq!(world.audited("issuer.create").await, 2);
    assert_eq!(world.audited("issuer.change").await, 1);
    assert_eq!(world.audited("issuer.remove").await, 1);
}

#[tokio::test]
async fn an_issuer_belongs_to_one_organisation() {
    let world = World::start().await;
    let id = world.trust(json!({})).await;
    let again = world.post("", world.body(json!({}))).await;
    assert_eq!(again.outcome(), (409, "issuer_taken"));
    assert_eq!(again.body["id"], id);
    // As if another organisation had been first.
    let app = &world.test.app;
    let mut tx = app.store.begin().await.expect("tx");
    tx.insert_org(org(78), "Other", START).await.expect("org");
    let mut row = tx
        .issuer_named(&world.idp.url)
        .await
        .expect("found")
        .expect("known");
    row.entry.org = org(78);
    assert!(tx.change_issuer(1, &row).await.expect("changed"));
    tx.commit().await.expect("commit");
    let taken = world.post("", world.body(json!({}))).await;
    assert_eq!(taken.outcome(), (409, "issuer_taken"));
    assert_eq!(taken.body["id"], Value::Null, "whose it is, is not told");
    let path = format!("/v1/issuers/{id}");
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/refresh")),
    ] {
        let answer = world.test.admin(method, &path, None).await;
        assert_eq!(answer.outcome(), (404, "not_found"), "{path}");
    }
    let issuer = json!({"target": {"issuer": world.idp.url}});
    let revoked = world
        .test
        .admin(Method::POST, "/v1/revocations", Some(issuer))
        .await;
    assert_eq!(revoked.outcome(), (404, "not_found"));
    // Removed there, it is free, and whom the other organisation has blocked is let in.
    let mut tx = app.store.begin().await.expect("tx");
    let blocked = tx.block_subject(&world.idp.url, "ada", true, START).await;
    assert_eq!(blocked.expect("blocked"), Some(1));
    row.removed_at = Some(START);
    row.entry.version = 2;
    row.entry.binding = None;
    assert!(tx.change_issuer(1, &row).await.expect("changed"));
    tx.commit().await.expect("commit");
    let id = world.trust(json!({})).await;
    let entry = world.entry().await;
    assert_eq!((entry.org, entry.version), (world.test.made.org, 3));
    assert_eq!(world.show(&id).await.body["blocked"], json!([]));
}

#[tokio::test]
async fn what_is_refused() {
    let world = World::start().await;
    let own = world.test.app.config.issuer.clone();
    let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    for (more, field) in [
        (json!({"issuer": own}), "issuer"),
        (json!({"issuer": format!("{own}/")}), "issuer"),
        (json!({"issuer": "http://idp.example"}), "issuer"),
        (json!({"issuer": "https://idp.example/#a"}), "issuer"),
        (json!({"issuer": "https://idp.example/?a"}), "issuer"),
        (json!({"issuer": "https://me@idp.example/"}), "issuer"),
        (json!({"issuer": "https://IDP.example/"}), "issuer"),
        (json!({"issuer": "https://idp.example:443/"}), "issuer"),
        (json!({"issuer": "https://idp.example/a/../b"}), "issuer"),
        (json!({"issuer": "idp"}), "issuer"),
        (
            json!({"issuer": format!("https://idp.example/{}", "a".repeat(512))}),
            "issuer",
        ),
        (json!({"jwks_uri": "http://idp.example/keys"}), "jwks_uri"),
        (json!({"audiences": []}), "audiences"),
        (json!({"audiences": [""]}), "audiences"),
        (json!({"audiences": many(33)}), "audiences"),
        (json!({"audiences": "api"}), "audiences"),
        (json!({"scopes": ["nonsense"]}), "scopes"),
        (json!({"algorithms": []}), "algorithms"),
        (json!({"algorithms": ["none"]}), "algorithms"),
        (json!({"algorithms": ["HS256"]}), "algorithms"),
        (json!({"algorithms": ["RS256", "RS256"]}), "algorithms"),
        (json!({"token_types": []}), "token_types"),
        (json!({"token_types": ["id_token"]}), "token_types"),
        (json!({"subject_claim": ""}), "subject_claim"),
        (json!({"subject_claim": []}), "subject_claim"),
        (json!({"scope_claim": ["a", "b", "c", "d", "e"]}), "scope_claim"),
        (json!({"scope_values": {"a": ["nonsense"]}}), "scope_values"),
        (json!({"workspace": "ws_x"}), "workspace"),
        (json!({"workspace": "ws_000000077"}), "workspace"),
        (json!({"workspace_claim": "team"}), "workspace"),
        (
            json!({"workspace": "all", "workspace_claim": "team", "workspace_values": {}}),
            "workspace",
        ),
        (
            json!({"workspace_claim": "team", "workspace_values": {"a": "ws_000000077"}}),
            "workspace",
        ),
        (json!({"org": "org_000000001"}), "org"),
    ] {
        let answer = world.post("", world.body(more.clone())).await;
        assert_eq!(answer.status, 400, "{more} {answer:?}");
        let named = answer.body["field"].as_str().unwrap_or_default();
        assert!(named.starts_with(field), "{more} {named}");
    }
    let answer = world.post("", json!({"audiences": ["a"]})).await;
    assert_eq!(answer.outcome(), (400, "missing_field"));
    // Nobody but those who administer.
    let (_, reader) = member(&world.test, 71, Role::Member).await;
    let body = Some(world.body(json!({})));
    let answer = world.test.call(Method::POST, "/v1/issuers", &reader, body).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
    let body = json!({"name": "one", "scope": "admin", "workspace": "all", "environment": "test"});
    let (_, lesser) = world.test.create_key(body).await;
    let body = Some(world.body(json!({})));
    let answer = world.test.call(Method::POST, "/v1/issuers", &lesser, body).await;
    assert_eq!(
        answer.outcome(),
        (403, "exceeds_caller"),
        "a key of a lesser environment"
    );
    assert_eq!(world.idp.asked(), 0, "nothing was fetched for any of them");
}

#[tokio::test]
async fn keys_that_cannot_be_read_make_no_trust() {
    let world = World::start().await;
    let elsewhere = Served::start().await;
    for (name, change) in [
        (
            "another issuer's metadata",
            (|s| s.issuer = "https://evil.example".to_owned()) as fn(&mut super::Says),
        ),
        ("no metadata", |s| s.metadata = "nowhere"),
        ("an error", |s| s.status = 500),
        ("a redirect", |s| s.status = 302),
        ("another type", |s| s.content_type = "text/html"),
        ("no set", |s| s.keys = json!([])),
        ("an empty set", |s| s.keys = json!({"keys": []})),
        ("a weak key", |s| {
            s.keys = json!({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]});
        }),
        ("too much", |s| {
            s.keys = json!({"keys": [], "x": "x".repeat(70_000)});
        }),
    ] {
        let before = world.idp.says.lock().expect("a lock").clone();
        world.idp.say(change);
        let answer = world.post("", world.body(json!({}))).await;
        assert_eq!(answer.outcome(), (422, "issuer_unreachable"), "{name}");
        world.idp.say(|says| *says = before);
    }
    // RFC 8414 instead of OpenID Connect; or where somebody says.
    world.idp.say(|says| says.metadata = "oauth-authorization-server");
    world.trust(json!({})).await;
    let body = json!({"issuer": "https://idp.example/", "jwks_uri": format!("{}/keys", elsewhere.url), "audiences": ["a"]});
    let answer = world.post("", body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.body["scopes"], json!([]), "nothing, if nothing is said");
    // What of a set is not trusted is said.
    let mixed = json!({"keys": [key("good", 1), {"kty": "oct", "kid": "mac", "k": "AAAA"}]});
    elsewhere.say(|says| says.keys = mixed);
    let id = answer.text("id");
    let path = format!("/v1/issuers/{id}?wait=none");
    let change = json!({"algorithms": ["EdDSA"]});
    let answer = world.test.admin(Method::PATCH, &path, Some(change)).await;
    assert_eq!(answer.body["left_out"][0]["kid"], "mac", "{answer:?}");
}

#[tokio::test]
async fn a_workspace_is_the_organisation_s_own() {
    let world = World::start().await;
    let workspace = {
        let mut tx = world.test.app.store.begin().await.expect("tx");
        let workspace = shared::id::WorkspaceId::from_u64(77).expect("small");
        tx.insert_workspace(workspace, world.test.made.org, "red", START)
            .await
            .expect("a workspace");
        tx.commit().await.expect("commit");
        workspace
    };
    world
        .trust(json!({"workspace_claim": "team", "workspace_values": {"red": workspace}}))
        .await;
    let binding = world.entry().await.binding.expect("trusted");
    assert_eq!(
        binding.workspace,
        WorkspaceRule::Claim {
            path: vec!["team".to_owned()],
            values: [("red".to_owned(), workspace)].into()
        }
    );
}

/// Only edges that admit the organisation are asked whether they understand an issuer, and none before somebody is shut out.
#[tokio::test]
async fn edges_of_others_hold_nothing_up_and_no_edge_holds_up_a_block() {
    let test = published_with(|config| {
        config.edges = vec![Edge::pull("ours"), Edge::pull("theirs").in_group("theirs")];
        config.edge_groups = vec![EdgeGroup {
            name: "theirs".to_owned(),
            orgs: [org(4711)].into(),
        }];
    })
    .await;
    let idp = Served::start().await;
    let world = World { test, idp };
    let refused = world.post("", world.body(json!({}))).await;
    assert_eq!(refused.outcome(), (409, "edges_behind"), "ours was not heard of");
    world.test.app.feed.hear_kinds("ours", &[1, 2, 10]);
    world.test.app.feed.hear_kinds("theirs", &[1, 2]);
    let id = world.trust(json!({})).await;
    world.test.app.feed.hear_kinds("ours", &[]);
    for (action, blocked) in [("block", true), ("unblock", false)] {
        let body = json!({"subject": "auth0|ada"});
        let answer = world.post(&format!("/{id}/{action}"), body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["blocked"]),
            (200, &json!(blocked))
        );
    }
}

#[tokio::test]
async fn one_person_is_blocked_and_let_in_again() {
    let world = World::start().await;
    let id = world.trust(json!({})).await;
    let set = async |action: &str, subject: &str| {
        let path = format!("/{id}/{action}");
        world.post(&path, json!({"subject": subject})).await
    };
    assert_eq!(set("unblock", "auth0|ada").await.outcome(), (404, "not_found"));
    assert_eq!(set("block", "").await.outcome(), (400, "invalid_field"));
    let blocked = set("block", "auth0|ada").await;
    assert_eq!(
        (blocked.status.as_u16(), &blocked.body["blocked"]),
        (200, &json!(true))
    );
    set("block", "auth0|ada").await;
    assert_eq!(world.audited("issuer.block").await, 1, "once is enough");
    assert_eq!(world.show(&id).await.body["blocked"][0]["subject"], "auth0|ada");
    set("unblock", "auth0|ada").await;
    assert_eq!(world.show(&id).await.body["blocked"], json!([]));
    assert_eq!(world.audited("issuer.unblock").await, 1);
}

#[tokio::test]
async fn what_an_issuer_vouched_for_is_revoked_by_its_organisation() {
    let world = World::start().await;
    world.trust(json!({})).await;
    let body = json!({"target": {"issuer": world.idp.url}, "reason": "key_compromise"});
    for _ in 0..2 {
        let path = "/v1/revocations?wait=none";
        let answer = world.test.admin(Method::POST, path, Some(body.clone())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(
        world.audited("issuer.revoke").await,
        2,
        "there may always be something new"
    );
    assert!(world.entry().await.binding.is_some(), "it is trusted on");
}
