//! `/revoke` (RFC 7009), `/introspect` (RFC 7662), `/userinfo`, and what the metadata says of all.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;

use super::is_live;
use super::support::{
    ClientApp, Person, SECOND, claims, client_with, confidential, outcome, public, published, published_with,
};
use crate::config::Edge;
use crate::testing::{Answer, TestApp};

async fn revoke(test: &TestApp, client: &ClientApp, token: &str) -> Answer {
    client.post(test, "/revoke", &[("token", token)]).await
}

async fn introspect(test: &TestApp, client: &ClientApp, token: &str) -> serde_json::Value {
    let answer = client.post(test, "/introspect", &[("token", token)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    answer.body
}

async fn own_token(test: &TestApp, client: &ClientApp) -> Answer {
    let answer = client
        .post(test, "/token", &[("grant_type", "client_credentials")])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

#[tokio::test]
async fn line_9_a_revoked_refresh_token_takes_its_grant_along() {
    let test = published().await;
    for client in [public(&test).await, confidential(&test).await] {
        let first = client.sign_in(&test).await;
        let second = client.refresh(&test, &first.text("refresh_token")).await;
        let answer = revoke(&test, &client, &second.text("refresh_token")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.raw.as_str()),
            (200, ""),
            "{answer:?}"
        );
        assert!(
            !answer.headers.contains_key(header::CONTENT_TYPE),
            "nothing to parse"
        );
        assert!(!is_live(&test, &first).await && !is_live(&test, &second).await);
        let refreshed = client.refresh(&test, &second.text("refresh_token")).await;
        assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
        // Again, and with an older token of the family: the same answer.
        for token in [&first, &second] {
            assert_eq!(
                revoke(&test, &client, &token.text("refresh_token")).await.status,
                200
            );
        }
        // The access token of a person stands for its grant as well.
        let third = client.sign_in(&test).await;
        assert_eq!(
            revoke(&test, &client, &third.text("access_token")).await.status,
            200
        );
        let refreshed = client.refresh(&test, &third.text("refresh_token")).await;
        assert_eq!(outcome(&refreshed), (400, "invalid_grant"));
    }
}

#[tokio::test]
async fn line_9_a_client_s_own_token_is_revoked_alone() {
    let test = published().await;
    let client = confidential(&test).await;
    let (one, other) = (own_token(&test, &client).await, own_token(&test, &client).await);
    assert_eq!(
        revoke(&test, &client, &one.text("access_token")).await.status,
        200
    );
    assert_eq!(
        revoke(&test, &client, &one.text("access_token")).await.status,
        200
    );
    assert!(!is_live(&test, &one).await && is_live(&test, &other).await);
    assert_eq!(
        introspect(&test, &client, &one.text("access_token")).await,
        json!({"active": false})
    );
    assert_eq!(
        introspect(&test, &client, &other.text("access_token")).await["active"],
        true
    );
}

#[tokio::test]
async fn line_9_unknown_and_foreign_tokens_tell_nothing() {
    let test = published().await;
    let (client, other) = (confidential(&test).await, confidential(&test).await);
    let granted = client.sign_in(&test).await;
    let own = own_token(&test, &client).await;
    let forged = format!("{}x", own.text("access_token"));
    let unknown = format!("{}0", "ref_".to_owned() + &"0".repeat(49));
    for token in [
        granted.text("access_token"),
        granted.text("refresh_token"),
        granted.text("id_token"),
        own.text("access_token"),
        forged,
        unknown,
        "nonsense".to_owned(),
        test.made.admin_key.clone(),
    ] {
        let answer = revoke(&test, &other, &token).await;
        assert_eq!((answer.status.as_u16(), answer.raw.as_str()), (200, ""));
        assert_eq!(introspect(&test, &other, &token).await, json!({"active": false}));
    }
    assert!(
        is_live(&test, &granted).await && is_live(&test, &own).await,
        "nothing happened"
    );
    assert_eq!(
        client.refresh(&test, &granted.text("refresh_token")).await.status,
        200
    );
    assert_eq!(
        outcome(&client.post(&test, "/revoke", &[]).await),
        (400, "invalid_request")
    );
    // Who asks must say who they are, by one method.
    let answer = super::support::post_form(&test, "/introspect", "token=x").await;
    assert_eq!(outcome(&answer), (401, "invalid_client"));
    let anyone = public(&test).await;
    assert_eq!(
        outcome(&anyone.post(&test, "/introspect", &[("token", "x")]).await),
        (401, "invalid_client")
    );
    let twice = [("token", "a"), ("token", "b")];
    assert_eq!(
        outcome(&client.post(&test, "/revoke", &twice).await),
        (400, "invalid_request")
    );
}

#[tokio::test]
async fn line_9_an_active_token_says_what_it_is() {
    let test = published().await;
    let client = confidential(&test).await;
    let granted = client.sign_in(&test).await;
    let access = claims(&granted);
    let answer = introspect(&test, &client, &granted.text("access_token")).await;
    assert_eq!(
        answer,
        json!({
            "active": true, "scope": "memory:read", "client_id": client.id.to_string(), "token_type": "Bearer",
            "exp": access.exp.0, "iat": access.iat.0, "sub": access.sub, "aud": access.aud, "iss": access.iss,
            "jti": access.jti, "org": access.org, "sid": access.sid,
        })
    );
    let refresh = granted.text("refresh_token");
    let answer = introspect(&test, &client, &refresh).await;
    assert_eq!(
        (&answer["active"], &answer["scope"]),
        (&json!(true), &json!("openid email memory:read"))
    );
    client.refresh(&test, &refresh).await;
    assert_eq!(
        introspect(&test, &client, &refresh).await,
        json!({"active": false}),
        "used"
    );
    test.clock.advance_ms(3600 * SECOND);
    let expired = introspect(&test, &client, &granted.text("access_token")).await;
    assert_eq!(expired, json!({"active": false}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_no_edge_has_is_not_called_done() {
    let test = published_with(|config| {
        config.edges = vec![Edge::push("gone", "http://127.0.0.1:9")];
        config.feed.receipt_wait_ms = 300;
    })
    .await;
    let client = confidential(&test).await;
    let token = own_token(&test, &client).await;
    let answer = revoke(&test, &client, &token.text("access_token")).await;
    assert_eq!(outcome(&answer), (503, "temporarily_unavailable"));
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    assert!(!is_live(&test, &token).await, "but it is on its way");
    let fields = [("token", token.text("access_token")), ("wait", "none".to_owned())];
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    assert_eq!(client.post(&test, "/revoke", &fields).await.status, 200);
}

#[tokio::test]
async fn userinfo_tells_what_was_agreed_to() {
    let test = published().await;
    let client = client_with(&test, |_| {}).await;
    let ask = async |token: &str| {
        let request = Request::get("/userinfo").header(header::AUTHORIZATION, format!("Bearer {token}"));
        test.send(request.body(Body::empty()).expect("a request")).await
    };
    let granted = client.sign_in(&test).await;
    let answer = ask(&granted.text("access_token")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("sub"), claims(&granted).sub);
    assert_eq!(answer.text("email"), test.app.config.bootstrap_email);
    assert!(answer.body.get("name").is_none(), "`profile` was not asked for");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&client, &[("scope", Some("memory:read"))]).await;
    let bare = client.exchange(&test, &code).await;
    assert!(bare.body.get("id_token").is_none(), "`openid` was not asked for");
    assert_eq!(ask(&bare.text("access_token")).await.status, 403);
    for wrong in [
        granted.text("id_token"),
        granted.text("refresh_token"),
        test.made.admin_key.clone(),
    ] {
        let answer = ask(&wrong).await;
        assert_eq!(answer.status, 401);
        assert!(
            answer.headers["www-authenticate"]
                .to_str()
                .expect("text")
                .contains("invalid_token")
        );
    }
    revoke(&test, &client, &granted.text("access_token")).await;
    assert_eq!(ask(&granted.text("access_token")).await.status, 401);
}

#[tokio::test]
async fn line_7_metadata_says_what_there_is_and_client_credentials_are_for_servers() {
    let test = TestApp::start().await;
    let get = async |path: &str| {
        let request = Request::get(path).header(header::ORIGIN, "https://app.example.com");
        test.send(request.body(Body::empty()).expect("a request")).await
    };
    let document = get("/.well-known/oauth-authorization-server").await;
    assert_eq!(document.body, get("/.well-known/openid-configuration").await.body);
    assert_eq!(document.body["issuer"], test.app.config.issuer);
    assert_eq!(document.body["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(
        document.body["authorization_response_iss_parameter_supported"],
        true
    );
    // Every endpoint that it names is there.
    for (name, url) in document.body.as_object().expect("an object") {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            let url = url.as_str().expect("text");
            let path = url.strip_prefix(&test.app.config.issuer).expect("ours");
            assert_ne!(get(path).await.status, 404, "{name}");
        }
    }
    let client = public(&test).await;
    let answer = client
        .post(&test, "/token", &[("grant_type", "client_credentials")])
        .await;
    assert_eq!(outcome(&answer), (400, "unauthorized_client"));
}

#[tokio::test]
async fn scripts_of_any_origin_may_call_what_is_for_them() {
    let test = TestApp::start().await;
    for path in [
        "/token",
        "/revoke",
        "/userinfo",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    ] {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri(path)
            .header(header::ORIGIN, "https://app.example.com")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let answer = test.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*", "{path}");
        assert!(
            answer.headers["access-control-allow-headers"]
                .to_str()
                .expect("text")
                .contains("authorization")
        );
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        let request = match path {
            "/token" | "/revoke" => Request::post(path),
            _ => Request::get(path),
        };
        let request = request.header(header::ORIGIN, "https://app.example.com");
        let answer = test.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(
            answer.headers["access-control-allow-origin"], "*",
            "{path}: errors too"
        );
    }
}

#[tokio::test]
async fn a_script_can_read_why_its_method_or_its_size_is_refused() {
    let test = TestApp::start().await;
    let large = "a=".repeat(crate::routes::MAX_BODY);
    let requests = [
        (405, Request::get("/token").body(Body::empty())),
        (405, Request::delete("/userinfo").body(Body::empty())),
        (405, Request::post("/.well-known/jwks.json").body(Body::empty())),
        (413, Request::post("/token").body(large.clone().into())),
        (413, Request::post("/revoke").body(large.into())),
    ];
    for (status, request) in requests {
        let request = request.expect("a request");
        let what = format!("{} {}", request.method(), request.uri());
        let answer = test.send(request).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*", "{what}");
    }
}

#[tokio::test]
async fn line_4_the_token_endpoint_is_strict() {
    let test = TestApp::start().await;
    let client = confidential(&test).await;
    let request = Request::get("/token").body(Body::empty());
    assert_eq!(
        test.send(request.expect("a request")).await.status,
        405,
        "POST only"
    );
    let twice = [("grant_type", "authorization_code"), ("code", "a"), ("code", "b")];
    let answer = client.post(&test, "/token", &twice).await;
    assert_eq!(outcome(&answer), (400, "invalid_request"));
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    for (fields, missing) in [
        (
            vec![("grant_type", "authorization_code"), ("code_verifier", "x")],
            "code is missing",
        ),
        (
            vec![("grant_type", "authorization_code"), ("code", "x")],
            "code_verifier is missing",
        ),
        (vec![("grant_type", "refresh_token")], "refresh_token is missing"),
    ] {
        let answer = client.post(&test, "/token", &fields).await;
        assert_eq!(outcome(&answer), (400, "invalid_request"));
        assert_eq!(answer.text("error_description"), missing);
    }
    // A public client has no secret, so one that comes with its name is not its own.
    let thief = ClientApp {
        secret: Some("guess".to_owned()),
        ..public(&test).await
    };
    assert_eq!(
        outcome(&thief.refresh(&test, "ref_x").await),
        (401, "invalid_client")
    );
}
