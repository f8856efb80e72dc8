//! Against servers on this machine, which only the switch for development lets us reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use shared::time::UnixMillis;

use super::cache::{CAPACITY, Cache};
use super::{FetchError, Fetcher, fresh_seconds, is_json};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Serves what the test wants, and gives the address: `http://127.0.0.1:port`.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn fetcher(loopback: bool) -> Fetcher {
    Fetcher::new(loopback).expect("a client")
}

#[tokio::test]
async fn only_urls_that_lead_outside() {
    let outside = fetcher(false);
    for (url, error) in [
        ("http://example.com/x", FetchError::Url),
        ("ftp://example.com/x", FetchError::Url),
        ("https://me@example.com/x", FetchError::Url),
        ("nonsense", FetchError::Url),
        ("https://127.0.0.1/x", FetchError::Address),
        ("https://0x7f.1/x", FetchError::Address),
        ("https://2130706433/x", FetchError::Address),
        ("https://[::1]/x", FetchError::Address),
        ("https://[::ffff:127.0.0.1]/x", FetchError::Address),
        ("https://169.254.169.254/latest/meta-data", FetchError::Address),
        ("https://10.0.0.1/x", FetchError::Address),
        ("https://[fd00::1]/x", FetchError::Address),
    ] {
        assert_eq!(outside.json(url, 10).await.err(), Some(error), "{url}");
    }
    // In development loopback may be reached, and nothing else that is special.
    let inside = fetcher(true);
    for url in ["https://10.0.0.1/x", "https://169.254.169.254/x"] {
        assert_eq!(
            inside.json(url, 10).await.err(),
            Some(FetchError::Address),
            "{url}"
        );
    }
    let plain = inside.json("http://example.com/x", 10).await;
    assert_eq!(plain.err(), Some(FetchError::Url));
}

/// The filter sits in the resolver that the connection uses: a name that leads home goes nowhere, whatever it is called.
#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_refused() {
    let base = serve(Router::new().route("/x", get(|| async { (JSON, "{}") }))).await;
    let port = base.rsplit(':').next().expect("a port");
    let url = format!("https://localhost:{port}/x");
    assert_eq!(
        fetcher(false).json(&url, 10).await.err(),
        Some(FetchError::Address)
    );
    let url = format!("http://localhost:{port}/x");
    assert_eq!(fetcher(true).json(&url, 10).await.expect("fetched").body, b"{}");
}

#[tokio::test]
async fn only_json_of_its_size_without_detours() {
    let router = Router::new()
        .route("/ok", get(|| async { (JSON, "[1234567]") }))
        .route(
            "/plus",
            get(|| async {
                (
                    [("content-type", "Application/Problem+JSON; charset=utf-8")],
                    "{}",
                )
            }),
        )
        .route("/html", get(|| async { ([("content-type", "text/html")], "{}") }))
        .route("/gone", get(|| async { (StatusCode::GONE, JSON, "{}") }))
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/elsewhere",
            get(|| async { (StatusCode::FOUND, [("location", "/ok")]).into_response() }),
        );
    let base = serve(router).await;
    let fetch = async |path: &str, most| fetcher(true).json(&format!("{base}{path}"), most).await;
    assert_eq!(fetch("/ok", 9).await.expect("fetched").body, b"[1234567]");
    assert_eq!(fetch("/ok", 8).await.err(), Some(FetchError::TooLarge(8)));
    assert!(fetch("/plus", 8).await.is_ok());
    assert_eq!(fetch("/html", 8).await.err(), Some(FetchError::ContentType));
    assert_eq!(fetch("/gone", 8).await.err(), Some(FetchError::Status(410)));
    assert_eq!(fetch("/empty", 8).await.err(), Some(FetchError::Status(204)));
    assert_eq!(fetch("/elsewhere", 8).await.err(), Some(FetchError::Status(302)));
}

#[test]
fn what_servers_say() {
    let headers = |list: &[(&'static str, &str)]| -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    };
    for (value, expected) in [
        ("max-age=30", 30),
        ("public, Max-Age=\"90\"", 90),
        ("max-age=30, no-store", 0),
        ("no-cache", 0),
        ("max-age=x", 0),
        ("private", 600),
    ] {
        assert_eq!(
            fresh_seconds(&headers(&[("cache-control", value)])),
            expected,
            "{value}"
        );
    }
    assert_eq!(
        fresh_seconds(&headers(&[("cache-control", "max-age=100"), ("age", "40")])),
        60
    );
    assert!(is_json(&headers(&[("content-type", "application/jwk-set+json")])));
    assert!(!is_json(&headers(&[("content-type", "text/json")])));
    assert!(!is_json(&headers(&[])));
}

/// A server whose answers count themselves and fail until it is told not to.
async fn counting(good: Arc<AtomicU64>, asked: Arc<AtomicU64>) -> String {
    let handler = move || {
        let (good, asked) = (Arc::clone(&good), Arc::clone(&asked));
        async move {
            asked.fetch_add(1, Ordering::SeqCst);
            match good.load(Ordering::SeqCst) {
                0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                _ => (
                    [
                        ("content-type", "application/json"),
                        ("cache-control", "max-age=5"),
                    ],
                    "{}",
                )
                    .into_response(),
            }
        }
    };
    serve(Router::new().route("/x", get(handler))).await
}

#[tokio::test]
async fn an_answer_is_kept_within_bounds_and_a_failure_never() {
    let (good, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let url = format!("{}/x", counting(Arc::clone(&good), Arc::clone(&asked)).await);
    let cache = Cache::new(fetcher(true), 100);
    let look = async |at: u64| {
        let outcome = cache
            .get(&url, UnixMillis(at), || Ok(()), |body| Ok(body.len()))
            .await;
        (outcome.map(|length| *length), asked.load(Ordering::SeqCst))
    };
    assert_eq!(look(0).await, (Err(FetchError::Status(500)), 1));
    assert_eq!(
        look(0).await,
        (Err(FetchError::Status(500)), 2),
        "asked again at once"
    );
    good.store(1, Ordering::SeqCst);
    assert_eq!(look(0).await, (Ok(2), 3));
    assert_eq!(
        look(59_999).await,
        (Ok(2), 3),
        "a minute at least, whatever it says"
    );
    assert_eq!(look(60_000).await, (Ok(2), 4));
    let limited = cache
        .get(
            &url,
            UnixMillis(200_000),
            || Err(FetchError::Limited(7)),
            |_| Ok(0),
        )
        .await;
    assert_eq!(limited.err(), Some(FetchError::Limited(7)));
}

#[tokio::test]
async fn a_crowd_looks_once() {
    for good in [0, 1] {
        let asked = Arc::new(AtomicU64::new(0));
        let url = format!(
            "{}/x",
            counting(Arc::new(AtomicU64::new(good)), Arc::clone(&asked)).await
        );
        let cache = Arc::new(Cache::new(fetcher(true), 100));
        let crowd: Vec<_> = (0..20)
            .map(|_| {
                let (cache, url) = (Arc::clone(&cache), url.clone());
                tokio::spawn(async move {
                    cache
                        .get(&url, UnixMillis(0), || Ok(()), |_| Ok(()))
                        .await
                        .is_ok()
                })
            })
            .collect();
        for one in crowd {
            assert_eq!(one.await.expect("an end"), good == 1);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1, "good: {good}");
    }
}

/// Whoever fills the cache with documents that never grow old pushes out their own.
#[tokio::test]
async fn a_site_that_fills_the_cache_makes_room_for_others() {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let others = get(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { (JSON, "{}") }
    });
    let lasting = get(|| async {
        let headers = [JSON[0], ("cache-control", "max-age=86400")];
        (headers, "{}")
    });
    let base = serve(Router::new().route("/others", others).route("/many/{n}", lasting)).await;
    let port = base.rsplit(':').next().expect("a port");
    let cache = Cache::new(fetcher(true), 100);
    let look = async |url: &str, at: u64| {
        let found = cache.get(url, UnixMillis(at), || Ok(()), |_| Ok(())).await;
        found.expect("fetched");
    };
    let ours = format!("http://localhost:{port}/others");
    look(&ours, 0).await;
    for number in 0..CAPACITY + 50 {
        look(&format!("{base}/many/{number}"), 1).await;
    }
    look(&ours, 2).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "still kept");
    // Room is made for somebody new as well, by the one that was asked for longest ago.
    let new = format!("http://localhost:{port}/others?new");
    look(&new, 3).await;
    look(&ours, 4).await;
    look(&new, 4).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
