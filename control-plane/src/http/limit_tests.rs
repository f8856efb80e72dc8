//! Each limit at its default, and that counting needs bounded memory.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use shared::id::ClientId;
use std::net::SocketAddr;

use super::*;
use crate::testing::{Answer, START, TestApp};

const SECRET: &str = "x";

async fn post(test: &TestApp, from: &str, path: &str, body: &str) -> Answer {
    let address = SocketAddr::new(from.parse().expect("an address"), 4000);
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .extension(ConnectInfo(address))
        .body(Body::from(body.to_owned()));
    test.send(request.expect("a request")).await
}

fn refused_until(answer: &Answer) -> Option<&str> {
    let limited = answer.status == StatusCode::TOO_MANY_REQUESTS;
    limited.then(|| {
        assert_eq!(answer.body["error"], "temporarily_unavailable", "{answer:?}");
        assert!(answer.body["error_description"].is_string());
        assert_eq!(answer.headers["cache-control"], "no-store");
        answer.headers["retry-after"].to_str().expect("text")
    })
}

/// Without a client nothing else is counted first: an unauthenticated flood.
#[tokio::test]
async fn an_address_makes_600_requests_a_minute_to_each_endpoint() {
    let test = TestApp::start().await;
    let limits = &test.app.limits;
    let address = ClientAddress("192.0.2.1".parse().ok());
    for path in ["/token", "/introspect", "/revoke"] {
        for _ in 0..600 {
            assert_eq!(limits.request(path, address), Ok(()));
        }
        let answer = post(&test, "192.0.2.1", path, "").await;
        assert_eq!(refused_until(&answer), Some("1"), "{path}");
        assert_eq!(
            refused_until(&post(&test, "192.0.2.2", path, "").await),
            None,
            "{path}"
        );
    }
    test.clock.advance_ms(100);
    assert_eq!(
        limits.request("/token", address),
        Ok(()),
        "one in a tenth of a second"
    );
    assert!(limits.request("/token", address).is_err());
    test.clock.advance_ms(60_000);
    for _ in 0..600 {
        assert_eq!(limits.request("/token", address), Ok(()));
    }
}

#[tokio::test]
async fn a_confidential_client_makes_600_requests_a_minute() {
    let test = TestApp::start().await;
    for _ in 0..600 {
        assert_eq!(test.app.limits.client_request("client_1"), Ok(()));
    }
    assert!(test.app.limits.client_request("client_1").is_err());
    assert_eq!(test.app.limits.client_request("client_2"), Ok(()));
}

#[tokio::test]
async fn ten_wrong_secrets_for_a_client_are_the_most_from_one_address() {
    let test = TestApp::start().await;
    let id = ClientId::from_u64(5).expect("small");
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={SECRET}");
    for attempt in 0..10 {
        let answer = post(&test, "192.0.2.1", "/token", &form).await;
        assert_eq!((answer.status.as_u16(), attempt), (401, attempt));
    }
    for path in ["/token", "/introspect", "/revoke"] {
        assert_eq!(
            refused_until(&post(&test, "192.0.2.1", path, &form).await),
            Some("90"),
            "one of ten in a quarter of an hour"
        );
    }
    let elsewhere = post(&test, "192.0.2.2", "/token", &form).await;
    assert_eq!(elsewhere.status, 401, "nobody is locked out by others");
    test.clock.advance_ms(90_000);
    assert_eq!(post(&test, "192.0.2.1", "/token", &form).await.status, 401);
    assert!(refused_until(&post(&test, "192.0.2.1", "/token", &form).await).is_some());
}

#[tokio::test]
async fn fifty_failures_are_the_most_from_one_address() {
    let test = TestApp::start().await;
    for number in 1..=50 {
        let id = ClientId::from_u64(number).expect("small");
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={SECRET}");
        assert_eq!(
            post(&test, "2001:db8::1", "/token", &form).await.status,
            401,
            "{number}"
        );
    }
    let form = "grant_type=client_credentials&client_id=cli_000000099&client_secret=x";
    let neighbour = post(&test, "2001:db8::2", "/token", form).await;
    assert_eq!(refused_until(&neighbour), Some("18"), "one /64 is one address");
}

#[tokio::test]
async fn dev_is_far_from_every_limit() {
    let test = TestApp::start_with(|config| config.dev = true).await;
    let address = ClientAddress(None);
    for _ in 0..20_000 {
        assert_eq!(test.app.limits.request("/token", address), Ok(()));
        assert_eq!(test.app.limits.may_authenticate("", address), Ok(()));
        test.app.limits.failed_authentication("", address);
    }
}

#[test]
fn many_count_at_once() {
    let clock = Clock::manual(START);
    let limiter = Limiter::new("test", 60, MINUTE, &clock);
    assert_eq!(limiter.take_many("a", 0), Ok(()));
    assert_eq!(limiter.take_many("a", 50), Ok(()));
    assert_eq!(
        limiter
            .take_many("a", 20)
            .map_err(|many| many.retry_after_seconds),
        Err(10)
    );
    assert_eq!(limiter.take_many("b", 20), Ok(()));
    clock.advance_ms(10_000);
    assert_eq!(limiter.take_many("a", 20), Ok(()));
    // More than all of it is all of it: it waits, but not for ever.
    assert!(limiter.take_many("a", 1000).is_err());
    clock.advance_ms(60_000);
    assert_eq!(limiter.take_many("a", 1000), Ok(()));
}

#[test]
fn memory_is_bounded_and_given_back() {
    let clock = Clock::manual(START);
    let limiter = Limiter::new("test", 2, MINUTE, &clock);
    for number in 0..MOST_KEYS {
        assert_eq!(limiter.take(&number.to_string()), Ok(()));
    }
    // Whoever comes now shares one count, and those who are known keep theirs.
    assert_eq!(limiter.take("new"), Ok(()));
    assert_eq!(limiter.take("newer"), Ok(()));
    assert!(limiter.take("newest").is_err());
    assert_eq!(limiter.take("1"), Ok(()));
    assert!(limiter.inner.len() <= MOST_KEYS + 1);
    limiter.prune();
    assert!(limiter.inner.len() > MOST_KEYS / 2, "they still count");
    clock.advance_ms(120_000);
    limiter.prune();
    assert_eq!(limiter.inner.len(), 0);
}

#[test]
fn a_look_does_not_count() {
    let limiter = Limiter::new("test", 1, MINUTE, &Clock::manual(START));
    for _ in 0..3 {
        assert_eq!(limiter.look("a"), Ok(()));
    }
    assert_eq!(limiter.take("a"), Ok(()));
    assert!(limiter.look("a").is_err());
    assert_eq!(limiter.take("b"), Ok(()));
}

#[test]
fn a_share_per_key_and_hour() {
    let clock = Clock::manual(START);
    let limiter = Limiter::new("test", 2, Duration::from_hours(1), &clock);
    let wait = |seconds| {
        Err(TooMany {
            retry_after_seconds: seconds,
        })
    };
    let (one, other) = ("192.0.2.1", "192.0.2.2");
    assert_eq!((limiter.take(one), limiter.take(one)), (Ok(()), Ok(())));
    assert_eq!(limiter.take(one), wait(1800));
    assert_eq!(limiter.take(other), Ok(()), "each for itself");
    clock.advance_ms(1_800_000);
    assert_eq!(limiter.take(one), Ok(()), "half an hour, half a share");
    assert_eq!(limiter.take(one), wait(1800));
    clock.advance_ms(10_800_000);
    limiter.prune();
    assert_eq!(limiter.inner.len(), 0);
}
