//! OAuth clients through the real router: registered, changed, given another secret, disabled; and whose they are.

use axum::http::Method;
use serde_json::{Value, json};

use crate::dashboard::tests::somebody;
use crate::oauth::tests::support::{ClientApp, Person, REDIRECT, client_with, outcome, published};
use crate::sessions::tests::location;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, member};

const PATH: &str = "/v1/clients";

async fn call(test: &TestApp, method: Method, path: &str, body: Option<Value>) -> Answer {
    test.admin(method, &format!("{PATH}{path}"), body).await
}

fn web() -> Value {
    json!({"name": "Notes", "kind": "web", "scope": "read-write", "redirect_uris": [REDIRECT]})
}

/// The client as an app has it.
fn app(answer: &Answer) -> ClientApp {
    ClientApp {
        id: answer.text("id").parse().expect("an id"),
        secret: answer.body["client_secret"].as_str().map(str::to_owned),
        redirect: REDIRECT,
    }
}

async fn made(test: &TestApp, body: Value) -> Answer {
    let answer = call(test, Method::POST, "", Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer
}

#[tokio::test]
async fn a_client_lives_and_ends() {
    let test = published().await;
    let first = made(&test, web()).await;
    let client = app(&first);
    assert!(
        client
            .secret
            .as_deref()
            .is_some_and(|secret| secret.starts_with("pc_secret_"))
    );
    let tokens = client.sign_in(&test).await;
    let path = format!("/{}", client.id);
    let shown = call(&test, Method::GET, &path, None).await;
    assert_eq!(
        (
            &shown.body["grants"],
            &shown.body["kind"],
            &shown.body["client_secret"]
        ),
        (&json!(1), &json!("web"), &Value::Null)
    );
    // Another secret: the old one counts for nothing, what it has goes on.
    let rotated = call(&test, Method::POST, &format!("{path}/rotate-secret"), None).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let again = app(&rotated);
    assert_ne!(client.secret, again.secret);
    let refused = client.refresh(&test, &tokens.text("refresh_token")).await;
    assert_eq!(outcome(&refused), (401, "invalid_client"));
    let refreshed = again.refresh(&test, &tokens.text("refresh_token")).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");

    let changes = json!({"name": "Notebook", "scopes": ["memory:read"], "redirect_uris": [REDIRECT, "https://b.example/cb"]});
    let changed = call(&test, Method::PATCH, &path, Some(changes)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(
        (
            changed.text("name"),
            &changed.body["scopes"],
            &changed.body["device_flow"]
        ),
        ("Notebook".to_owned(), &json!(["memory:read"]), &json!(false))
    );
    let third = again.refresh(&test, &refreshed.text("refresh_token")).await;
    assert_eq!(third.status, 200, "the secret stays: {third:?}");
    let asked = Person::signed_in(&test).await.get(&again.request(&[])).await;
    assert!(
        asked.raw.contains("Notebook"),
        "asked again, at another address: {}",
        asked.raw
    );

    let revoked = call(
        &test,
        Method::POST,
        &format!("{path}/revoke?reason=key_compromise"),
        None,
    )
    .await;
    assert_eq!(revoked.body["revoked"]["grants"], 1, "{revoked:?}");
    let dead = again.refresh(&test, &third.text("refresh_token")).await;
    assert_eq!(outcome(&dead), (400, "invalid_grant"));
    let disabled = call(&test, Method::DELETE, &path, None).await;
    assert_eq!(disabled.status, 200, "{disabled:?}");
    assert!(disabled.body["disabled_at"].is_string() && disabled.body["effective_at"].is_string());
    assert_eq!(call(&test, Method::DELETE, &path, None).await.body, disabled.body);
    for (method, path, body) in [
        (Method::PATCH, path.clone(), Some(json!({"name": "x"}))),
        (Method::POST, format!("{path}/rotate-secret"), None),
    ] {
        let answer = call(&test, method, &path, body).await;
        assert_eq!(answer.outcome(), (409, "client_disabled"), "{path}");
    }
    let listed = async |which: &str| {
        let page = call(&test, Method::GET, &format!("?which={which}"), None).await;
        page.body["clients"].as_array().expect("a list").len()
    };
    assert_eq!((listed("registered").await, listed("disabled").await), (0, 1));
}

#[tokio::test]
async fn the_kind_decides_what_a_client_needs() {
    let test = published().await;
    let body =
        |kind: &str, uris: Value| json!({"name": "A", "kind": kind, "scope": "read", "redirect_uris": uris});
    for (kind, uri, method, stored) in [
        ("browser", "https://app.example.com/cb", "none", "browser"),
        ("native", "com.example.app:/cb", "none", "native"),
        ("mcp", "http://127.0.0.1/cb", "none", "native"),
        ("mcp", "https://agent.example.com/cb", "none", "browser"),
    ] {
        let answer = made(&test, body(kind, json!([uri]))).await;
        assert_eq!(answer.text("token_endpoint_auth_method"), method);
        assert_eq!(answer.text("kind"), stored);
        assert_eq!(answer.body["client_secret"], Value::Null);
        let path = format!("/{}/rotate-secret", answer.text("id"));
        let none = call(&test, Method::POST, &path, None).await;
        assert_eq!(none.outcome(), (409, "no_secret"));
    }
    let machine = made(&test, json!({"name": "M", "kind": "machine", "scope": "read"})).await;
    let token = app(&machine)
        .post(&test, "/token", &[("grant_type", "client_credentials")])
        .await;
    assert_eq!(token.status, 200, "{token:?}");
    for (field, wrong) in [
        ("redirect_uris", body("web", json!([]))),
        ("redirect_uris", body("machine", json!(["https://a.example/cb"]))),
        ("redirect_uris", body("web", json!(["http://a.example/cb"]))),
        ("redirect_uris", body("web", json!(["https://a.example/cb#x"]))),
        (
            "redirect_uris",
            body("web", json!(vec!["https://a.example/cb"; 11])),
        ),
        ("name", json!({"name": "", "kind": "machine", "scope": "read"})),
        (
            "scopes",
            json!({"name": "A", "kind": "machine", "scopes": ["nothing"]}),
        ),
        (
            "jwks_uri",
            json!({"name": "A", "kind": "browser", "scope": "read", "redirect_uris": [REDIRECT],
                   "jwks_uri": "https://a.example/keys"}),
        ),
        (
            "device_flow",
            json!({"name": "A", "kind": "machine", "scope": "read", "device_flow": true}),
        ),
    ] {
        let answer = call(&test, Method::POST, "", Some(wrong.clone())).await;
        assert_eq!(answer.outcome(), (400, "invalid_field"), "{wrong}");
        assert_eq!(answer.text("field"), field, "{wrong}");
    }
    let device = json!({"name": "D", "kind": "native", "scope": "read", "device_flow": true});
    made(&test, device).await;
    let keys = json!({"name": "K", "kind": "machine", "scope": "read", "jwks_uri": "https://a.example/keys"});
    let keys = made(&test, keys).await;
    assert_eq!(
        (
            keys.text("token_endpoint_auth_method"),
            &keys.body["client_secret"]
        ),
        ("private_key_jwt".to_owned(), &Value::Null)
    );
    // What it proves itself with stays when something else is changed.
    let path = format!("/{}", keys.text("id"));
    let changed = call(&test, Method::PATCH, &path, Some(json!({"name": "L"}))).await;
    assert_eq!(changed.text("jwks_uri"), "https://a.example/keys");
}

#[tokio::test]
async fn a_client_of_others_is_not_there() {
    let test = published().await;
    let other = crate::people::tests::add_org(&test, 9, "Other", test.made.user).await;
    let theirs = client_with(&test, |new| new.org = Some(other)).await;
    let everybodys = client_with(&test, |new| new.org = None).await;
    for id in [theirs.id, everybodys.id] {
        for (method, path, body) in [
            (Method::GET, format!("/{id}"), None),
            (Method::PATCH, format!("/{id}"), Some(json!({"name": "x"}))),
            (Method::DELETE, format!("/{id}"), None),
            (Method::POST, format!("/{id}/rotate-secret"), None),
            (Method::POST, format!("/{id}/revoke"), None),
        ] {
            let answer = call(&test, method, &path, body).await;
            assert_eq!(answer.outcome(), (404, "not_found"), "{path}");
        }
    }
    // One that is everybody's is seen once people here let it in; what it was given can be taken back, and no more.
    everybodys.sign_in(&test).await;
    let listed = call(&test, Method::GET, "?which=let_in", None).await;
    assert_eq!(listed.body["clients"][0]["id"], everybodys.id.to_string());
    let path = format!("/{}", everybodys.id);
    assert_eq!(call(&test, Method::GET, &path, None).await.body["grants"], 1);
    assert_eq!(
        call(&test, Method::DELETE, &path, None).await.outcome(),
        (404, "not_found")
    );
    let revoked = call(&test, Method::POST, &format!("{path}/revoke"), None).await;
    assert_eq!(revoked.body["revoked"]["grants"], 1);
    assert_eq!(
        call(&test, Method::GET, &path, None).await.outcome(),
        (404, "not_found")
    );

    let narrow = json!({"name": "n", "scope": "admin", "workspace": test.made.workspace});
    let (_, narrow) = test.create_key(narrow).await;
    for (method, path, body) in [
        (Method::GET, PATH.to_owned(), None),
        (Method::POST, PATH.to_owned(), Some(web())),
    ] {
        let answer = test.call(method, &path, &narrow, body).await;
        assert_eq!(answer.outcome(), (403, "exceeds_caller"));
    }
    let (_, reader) = member(&test, 71, Role::Member).await;
    let answer = test.call(Method::GET, PATH, &reader, None).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
}

#[tokio::test]
async fn the_wizard_shows_a_secret_once_and_the_rest_is_confirmed() {
    let test = published().await;
    let mut admin = somebody(&test, 80, Role::Admin).await;
    let new = "/dashboard/clients/new";
    let kinds = admin.get(new).await.raw;
    assert!(
        kinds.contains("MCP client") && kinds.contains("Machine"),
        "{kinds}"
    );
    let form = admin.get(&format!("{new}?kind=web")).await.raw;
    assert!(
        form.contains("redirect_uris") && form.contains("scope-memory:read"),
        "{form}"
    );
    let fields = [("kind", "web"), ("name", "Notes"), ("scope-memory:read", "on")];
    let refused = admin.post(new, &fields).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.raw.contains("at least one") && refused.raw.contains("value=\"Notes\""),
        "{}",
        refused.raw
    );
    let fields = [
        &fields[..],
        &[(
            "redirect_uris",
            "https://app.example.com/cb\r\nhttp://127.0.0.1/cb\r\n",
        )],
    ]
    .concat();
    let made = admin.post(new, &fields).await;
    assert_eq!(made.status, 200, "{}", made.raw);
    assert!(made.raw.contains("pc_secret_") && made.headers["cache-control"] == "no-store");
    let id = made.raw.split("/dashboard/clients/cli_").nth(1).expect("a link");
    let id = format!("cli_{}", id.split('"').next().expect("an end"));
    let page = format!("/dashboard/clients/{id}");
    let shown = admin.get(&page).await.raw;
    assert!(
        shown.contains("http://127.0.0.1/cb") && !shown.contains("pc_secret_"),
        "{shown}"
    );
    let edited = admin
        .post(
            &format!("{page}/edit"),
            &[
                ("name", "Notebook"),
                ("redirect_uris", "https://app.example.com/cb"),
            ],
        )
        .await;
    assert_eq!((edited.status.as_u16(), location(&edited)), (303, page.as_str()));
    let shown = admin.get(&page).await.raw;
    assert!(
        shown.contains("Notebook") && !shown.contains("http://127.0.0.1/cb"),
        "{shown}"
    );
    assert_eq!(admin.get(&format!("{page}/rotate-secret")).await.status, 200);
    let rotated = admin.post(&format!("{page}/rotate-secret"), &[]).await;
    assert!(rotated.raw.contains("pc_secret_"), "{}", rotated.raw);
    for action in ["revoke", "disable"] {
        let path = format!("{page}/{action}");
        assert!(admin.get(&path).await.raw.contains("<strong>Notebook</strong>"));
        assert_eq!(admin.post(&path, &[("confirm", "Notes")]).await.status, 422);
        let done = admin.post(&path, &[("confirm", "Notebook")]).await;
        assert_eq!(done.status, 303, "{action} {}", done.raw);
    }
    assert!(
        admin
            .get("/dashboard/clients?show=disabled")
            .await
            .raw
            .contains("Notebook")
    );
    let mut viewer = somebody(&test, 81, Role::Viewer).await;
    let shown = viewer.get(&page).await;
    assert!(
        shown.status == 200 && !shown.raw.contains("Change"),
        "{}",
        shown.raw
    );
    assert_eq!(viewer.get(new).await.status, 403);
}
