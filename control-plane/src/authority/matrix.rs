//! Every role on every call of `/v1`, with objects of the caller's organisation and of another one, through the real router,
//! held against the table.
//!
//! The presets are changed first, so that the scope `admin` is left to every role: the role alone decides then. With the
//! usual ones, members and viewers lack the scope as well, which the second test asks.

mod asked;
mod world;

use axum::body::Body;
use axum::http::{Method, Request};

use super::calls::{self, By, CALLS, Call};
use crate::dashboard::tests::ROLES;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp};
use asked::Asked;
use world::World;

/// What is allowed and ends otherwise than with 2xx, because of what this installation is like.
fn otherwise(method: &str, path: &str) -> &'static [u16] {
    match (method, path) {
        // Somebody else's draft would be checked; this one is in force already and the tag is of an older version.
        ("PUT", "/v1/policy") | ("POST", "/v1/policy/rollback") => &[412],
        // A cool-down after it was looked at, when it was made.
        ("POST", "/v1/issuers/{id}/refresh") => &[429],
        _ => &[],
    }
}

/// Whose objects a path names: only these can be another organisation's. Versions of the policy and signing keys are the
/// installation's.
fn names_an_object(path: &str) -> bool {
    path.contains("{id}") || path.contains("{user}")
}

fn method(line: &Call) -> Method {
    line.0.parse().expect("a method")
}

async fn send(test: &TestApp, line: &Call, asked: &Asked, key: &str) -> Answer {
    let mut request = Request::builder()
        .method(method(line))
        .uri(&asked.target)
        .header("authorization", format!("Bearer {key}"));
    if asked.conditional {
        request = request.header("if-match", "\"1\"");
    }
    let body = match &asked.body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    test.send(request.body(body).expect("a request")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_on_every_call() {
    let world = World::start().await;
    for role in ROLES {
        for line in CALLS.iter().filter(|line| line.2.authenticates()) {
            on_own(&world, role, line).await;
            // The operator's administrators, who these are, may end anybody's trust in an issuer.
            let is_operators = (line.0, line.1) == ("DELETE", "/v1/issuers/{id}");
            if names_an_object(line.1) && !is_operators {
                on_foreign(&world, role, line).await;
            }
        }
    }
}

/// With what is their organisation's: the table decides.
async fn on_own(world: &World, role: Role, line: &Call) {
    let (verb, path, by) = *line;
    let allowed = by.admits(role);
    // A refusal comes before anybody looks whether the thing is there.
    let ids = if allowed {
        world.fresh(&world.own, path).await
    } else {
        world::made_up(path)
    };
    let asked = asked::of(line, &ids);
    let key = world.key(role, line).await;
    let answer = send(&world.test, line, &asked, &key).await;
    let (status, code) = answer.outcome();
    let name = format!("{role:?} {verb} {} ({code}): {}", asked.target, answer.raw);
    if allowed {
        let fine = answer.status.is_success() || otherwise(verb, path).contains(&status);
        assert!(fine, "may, and gets {status}: {name}");
        assert!(
            !world.shows_another(&answer),
            "shows what is another organisation's: {name}"
        );
    } else {
        assert_eq!((status, code), (403, "exceeds_caller"), "may not: {name}");
    }
    world.clear(&world.own, path, &ids).await;
}

/// With another organisation's: whoever may is told that there is no such thing; whoever may not learns nothing either.
async fn on_foreign(world: &World, role: Role, line: &Call) {
    let (verb, _, by) = *line;
    let ids = world.others(line.1);
    let asked = asked::of(line, &ids);
    let key = world.key(role, line).await;
    let answer = send(&world.test, line, &asked, &key).await;
    let expected = if by.admits(role) {
        (404, "not_found")
    } else {
        (403, "exceeds_caller")
    };
    let name = format!("{role:?} {verb} {}: {}", asked.target, answer.raw);
    assert_eq!(answer.outcome(), expected, "{name}");
}

/// What names an object elsewhere than in the path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_organisations_objects_are_not_there_in_bodies_and_queries_either() {
    let world = World::start().await;
    for (line, asked, expected) in asked::elsewhere(&world.other_ids) {
        let key = world.key(Role::Owner, &line).await;
        let answer = send(&world.test, &line, &asked, &key).await;
        let name = format!("{} {} {:?}: {}", line.0, asked.target, asked.body, answer.raw);
        assert_eq!(answer.status, expected, "{name}");
        assert!(!world.shows_another(&answer), "{name}");
    }
}

/// With the usual presets nobody below an admin has the scope, whatever their key states.
#[tokio::test]
async fn without_the_scope_nothing_is_administered() {
    let test = TestApp::start_with(|config| config.dev = true).await;
    for (n, role) in (300..).zip(ROLES) {
        let (_, key) = crate::testing::member(&test, n, role).await;
        for line in CALLS.iter().filter(|line| line.2.needs_admin_scope()) {
            let asked = asked::of(line, &world::made_up(line.1));
            let refused = send(&test, line, &asked, &key).await.outcome() == (403, "insufficient_scope");
            assert_eq!(
                refused,
                matches!(role, Role::Viewer | Role::Member),
                "{role:?} {} {}",
                line.0,
                line.1
            );
        }
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_credential_where_the_table_asks_for_one() {
    let test = TestApp::start().await;
    for line in CALLS {
        let (verb, path, by) = *line;
        let asked = asked::of(line, &world::made_up(path));
        let request = Request::builder().method(method(line)).uri(&asked.target);
        let answer = test.send(request.body(Body::empty()).expect("a request")).await;
        let status = answer.status.as_u16();
        match by {
            By::Anybody => assert_eq!(status, 200, "{verb} {path}"),
            // The sender is known by the signature of what it sends.
            By::Sender => assert!(matches!(status, 400 | 401 | 404 | 415), "{verb} {path}: {status}"),
            By::Admin(_) | By::Member(_) | By::Holder | By::Bearer | By::Edge => {
                assert_eq!(answer.outcome(), (401, "credentials_missing"), "{verb} {path}");
            }
        }
    }
}

#[test]
fn no_line_twice_and_what_changes_something_asks_for_more_than_a_look() {
    for (n, line) in CALLS.iter().enumerate() {
        let mut rest = CALLS.iter().skip(n + 1);
        assert!(
            rest.all(|other| (other.0, other.1) != (line.0, line.1)),
            "{line:?}"
        );
        assert!(line.1.starts_with(calls::ROOT), "{line:?}");
        let asks = line.1 == "/v1/policy/test";
        let looks = matches!(line.2, By::Admin(super::Act::See) | By::Member(super::Act::See));
        assert!(line.0 == "GET" || asks || !looks, "{line:?}");
    }
    assert_eq!(calls::by(&Method::HEAD, "/v1/whoami"), Some(By::Holder));
    assert_eq!(calls::by(&Method::DELETE, "/v1/whoami"), None);
    assert_eq!(calls::by(&Method::GET, "/v1/nothing"), None);
    assert_eq!(calls::methods("/v1/sessions"), "GET,HEAD,DELETE");
}

/// What the router knows and the table does not is not there: this is how a forgotten line shows itself.
#[tokio::test]
async fn a_route_without_a_line_is_refused() {
    use axum::routing::get;
    let test = TestApp::start().await;
    let app = std::sync::Arc::clone(&test.app);
    let router = axum::Router::new()
        .route("/v1/forgotten", get(async || "secret"))
        .route("/v1/whoami", get(async || "me").delete(async || "gone"))
        .route("/elsewhere", get(async || "here"))
        .layer(axum::middleware::from_fn_with_state(
            app,
            crate::http::admission::admit,
        ));
    let ask = async |verb: &str, path: &str| {
        let request = Request::builder()
            .method(verb)
            .uri(path)
            .header("authorization", format!("Bearer {}", test.made.admin_key));
        let request = request.body(Body::empty()).expect("a request");
        let answer = tower::ServiceExt::oneshot(router.clone(), request)
            .await
            .expect("infallible");
        let bytes = axum::body::to_bytes(answer.into_body(), 1000)
            .await
            .expect("a body");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    assert_eq!(ask("GET", "/v1/whoami").await, "me");
    assert_eq!(ask("GET", "/elsewhere").await, "here");
    assert_eq!(ask("GET", "/v1/forgotten").await, "");
    assert_eq!(ask("DELETE", "/v1/whoami").await, "");
}
