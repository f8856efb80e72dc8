//! OAuth clients, and restrictions that are written back into the database.

use serde_json::json;
use shared::id::{ClientId, OrgId};
use shared::scope::ScopeSet;

use super::NOW;
use super::installation::index;
use crate::store::Store;
use crate::store::clients::{ApplicationType, AuthMethod, Client, ClientKind, Origin};
use crate::store::signing::BlockRow;

/// A public client of the first organisation.
pub(super) fn public(number: u64) -> Client {
    let id = ClientId::from_u64(number).expect("small");
    Client {
        id,
        identifier: id.to_string(),
        origin: Origin::Registered,
        stored: true,
        org: OrgId::from_u64(1),
        name: "Notes".to_owned(),
        secret_digest: None,
        kind: ClientKind::Public,
        application_type: ApplicationType::Web,
        token_endpoint_auth_method: AuthMethod::None,
        jwks: None,
        jwks_uri: None,
        redirect_uris: vec!["https://app.example.com/cb".to_owned()],
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: Some("https://app.example.com/logout".to_owned()),
        backchannel_logout_session_required: false,
        refresh_grace_seconds: 30,
        scopes: ScopeSet(1),
        dpop_bound_access_tokens: false,
        require_pushed_authorization_requests: false,
        device_flow: false,
        created_at: NOW,
        disabled_at: None,
    }
}

async fn people_and_client(store: &Store) -> Client {
    let org = OrgId::from_u64(1).expect("small");
    let client = Client {
        secret_digest: Some([9; 32]),
        kind: ClientKind::Confidential,
        token_endpoint_auth_method: AuthMethod::ClientSecretPost,
        scopes: ScopeSet(1 << 63 | 1),
        ..public(77)
    };
    let mut tx = store.begin().await.expect("tx");
    tx.insert_org(org, "Acme", NOW).await.expect("org");
    tx.insert_client(&client).await.expect("client");
    tx.commit().await.expect("commit");
    client
}

pub(super) async fn a_client_comes_back_as_it_went_in(store: Store) {
    let client = people_and_client(&store).await;
    let mut tx = store.begin().await.expect("tx");
    let found = tx.client(client.id).await.expect("asked").expect("there");
    assert_eq!(format!("{found:?}"), format!("{client:?}"));
    assert_eq!(tx.clients().await.expect("list").len(), 1);
    assert!(
        tx.client(ClientId::from_u64(78).expect("small"))
            .await
            .expect("asked")
            .is_none()
    );
}

/// A URL as `client_id`, keys at an address, no organisation, and everything switched on.
pub(super) async fn a_client_that_nobody_registered_is_there_once(store: Store) {
    let registered = people_and_client(&store).await;
    let url = "https://app.example.com/client.json";
    let mut client = Client {
        identifier: url.to_owned(),
        origin: Origin::MetadataDocument,
        org: None,
        kind: ClientKind::Confidential,
        application_type: ApplicationType::Native,
        token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
        jwks_uri: Some("https://app.example.com/jwks".to_owned()),
        post_logout_redirect_uris: vec!["https://app.example.com/bye".to_owned()],
        dpop_bound_access_tokens: true,
        require_pushed_authorization_requests: true,
        device_flow: true,
        ..public(1 << 40)
    };
    let mut tx = store.begin().await.expect("tx");
    assert!(tx.client_by_identifier(url).await.expect("asked").is_none());
    assert!(tx.insert_client(&client).await.expect("inserted"));
    let found = tx.client_by_identifier(url).await.expect("asked").expect("there");
    assert_eq!(format!("{found:?}"), format!("{client:?}"));
    client.id = ClientId::from_u64(1 << 41).expect("small");
    assert!(!tx.insert_client(&client).await.expect("asked"), "once");
    let dynamic = Client {
        identifier: "dyn_x".to_owned(),
        origin: Origin::Dynamic,
        jwks: Some(json!({ "keys": [{ "kty": "OKP" }] })),
        jwks_uri: None,
        ..client
    };
    assert!(tx.insert_client(&dynamic).await.expect("inserted"));
    let found = tx
        .client_by_identifier("dyn_x")
        .await
        .expect("asked")
        .expect("there");
    assert_eq!(format!("{found:?}"), format!("{dynamic:?}"));
    // A number is the name of registered clients alone.
    let by_number = tx.client_by_identifier(&dynamic.id.to_string()).await;
    assert!(by_number.expect("asked").is_none());
    let by_number = tx.client_by_identifier(&registered.id.to_string()).await;
    assert!(by_number.expect("asked").is_some());
}

pub(super) async fn a_client_says_something_else(store: Store) {
    let registered = people_and_client(&store).await;
    let mut tx = store.begin().await.expect("tx");
    let changed = Client {
        name: "Other".to_owned(),
        redirect_uris: vec!["https://other.example.com/cb".to_owned()],
        jwks: Some(json!({ "keys": [] })),
        dpop_bound_access_tokens: true,
        device_flow: true,
        ..public(77)
    };
    assert!(tx.update_client(registered.id, &changed).await.expect("changed"));
    let found = tx.client(registered.id).await.expect("asked").expect("there");
    let expected = Client {
        scopes: registered.scopes,
        ..changed.clone()
    };
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
    assert_eq!(tx.forget_consents(registered.id).await.expect("asked"), 0);
    tx.disable_client(registered.id, NOW).await.expect("disabled");
    assert!(
        !tx.update_client(registered.id, &changed).await.expect("asked"),
        "over is over"
    );
}

pub(super) async fn an_assertion_is_taken_once(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let end = NOW.seconds().saturating_add(60);
    assert!(tx.take_assertion(&[1; 32], end).await.expect("taken"));
    assert!(!tx.take_assertion(&[1; 32], end).await.expect("asked"));
    assert!(tx.take_assertion(&[2; 32], end).await.expect("taken"));
    assert_eq!(tx.forget_assertions(end).await.expect("asked"), 0);
    assert_eq!(
        tx.forget_assertions(end.saturating_add(1))
            .await
            .expect("forgotten"),
        2
    );
}

pub(super) async fn a_clients_issue_is_dated(store: Store) {
    let client = people_and_client(&store).await;
    let mut tx = store.begin().await.expect("tx");
    let now = NOW.seconds();
    assert_eq!(
        tx.client_issue_time(client.id, now).await.expect("dated"),
        Some(now)
    );
    tx.raise_client_not_before(77, now.0 + 10).await.expect("raised");
    assert_eq!(
        tx.client_issue_time(client.id, now).await.expect("dated"),
        Some(now.saturating_add(11))
    );
    assert_eq!(
        tx.client_issue_time(ClientId::from_u64(78).expect("small"), now)
            .await
            .expect("dated"),
        None
    );
}

pub(super) async fn a_client_is_disabled_once(store: Store) {
    let client = people_and_client(&store).await;
    let now = NOW.seconds();
    let fast = now.saturating_add(5);
    let disable = async |prepare: i64| {
        let mut tx = store.begin().await.expect("tx");
        match prepare {
            1 => assert!(
                tx.client_issue_time(client.id, fast)
                    .await
                    .expect("dated")
                    .is_some()
            ),
            2 => assert_eq!(
                tx.raise_client_not_before(77, now.0 + 9).await.expect("raised"),
                1
            ),
            _ => {}
        }
        let at = tx.disable_client(client.id, NOW).await.expect("disabled");
        assert_eq!(
            tx.client_issue_time(client.id, now).await.expect("asked"),
            None,
            "no token any more"
        );
        assert_eq!(
            tx.disable_client(client.id, NOW).await.expect("asked"),
            None,
            "once"
        );
        let found = tx.client(client.id).await.expect("asked").expect("there");
        assert_eq!(found.disabled_at, Some(NOW));
        // Rolled back, for the next case.
        at
    };
    assert_eq!(disable(0).await, Some(now));
    assert_eq!(
        disable(1).await,
        Some(fast),
        "an issue of a fast clock is dead too"
    );
    assert_eq!(
        disable(2).await,
        Some(now.saturating_add(9)),
        "what was dead stays dead"
    );
    let unknown = ClientId::from_u64(78).expect("small");
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(tx.disable_client(unknown, NOW).await.expect("asked"), None);
}

pub(super) async fn restrictions_are_only_tightened(store: Store) {
    people_and_client(&store).await;
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(tx.raise_org_not_before(1, 100).await.expect("raised"), 1);
    assert_eq!(tx.raise_org_not_before(1, 90).await.expect("asked"), 0);
    assert_eq!(tx.raise_workspace_not_before(1, 90).await.expect("asked"), 0);
    assert_eq!(tx.raise_member_not_before(1, 1, 90).await.expect("asked"), 0);
    assert_eq!(tx.raise_client_not_before(77, 90).await.expect("raised"), 1);
    assert_eq!(tx.raise_client_not_before(77, 80).await.expect("asked"), 0);
    assert_eq!(tx.disable_known_client(77, NOW).await.expect("disabled"), 1);
    assert_eq!(tx.disable_known_client(77, NOW).await.expect("asked"), 0);
    assert_eq!(tx.shorten_key(1, 90).await.expect("asked"), 0);
    assert_eq!(
        tx.live_keys_between(0, 1 << 40).await.expect("list"),
        Vec::<i64>::new()
    );
    let block = BlockRow {
        start: 16,
        length: 4,
        signing_key: 1,
        announced_by: None,
        closed_at: None,
    };
    tx.insert_index_block(&block, NOW).await.expect("block");
    assert!(tx.take_index(index(17), 16, None, NOW).await.expect("taken"));
    assert_eq!(tx.revoke_indexes_between(16, 19, NOW).await.expect("revoked"), 1);
    assert_eq!(tx.revoke_indexes_between(16, 19, NOW).await.expect("asked"), 0);
    tx.close_index_block(16, NOW).await.expect("closed");
}
