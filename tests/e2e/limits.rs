//! Limits per key and client, and the brake on addresses that show bad credentials.

use std::time::Duration;

use e2e::{Connection, EdgeCaller, Request, Response, Stack, wait};
use serde_json::{Value, json};

const ORIGIN: &str = "https://app.example.com";

/// A day is long enough that no test meets the end of a window.
fn policy(limits: Value, brake: Value) -> Value {
    let mut policy = json!({
        "version": 1,
        "resource": "$RESOURCE",
        "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "workspace:manage", "admin"],
        "presets": { "read": ["memory:read"], "admin": ["admin"] },
        "routes": [
            { "path": "/v1/memory/reports/**", "scopes": ["memory:read"], "class": "reports", "browser_origins": [ORIGIN],
              "browser_api_keys": true },
            { "path": "/v1/memory/**", "scopes": ["memory:read"] },
            { "path": "/v1/auth/**", "audience": "$CONTROL_PLANE", "origin": "control-plane", "forward_credential": true }
        ]
    });
    if limits.is_object() {
        policy["limits"] = limits;
    }
    if brake.is_object() {
        policy["failures_per_address"] = brake;
    }
    policy
}

const REPORTS: &str = "/v1/memory/reports/x";

async fn ask(caller: &EdgeCaller) -> Response {
    caller.send(Request::get(REPORTS).header("origin", ORIGIN)).await
}

#[tokio::test]
async fn a_key_has_its_limit_at_all_isolates_together() {
    let limits = json!({ "reports": { "window_seconds": 86_400, "per_key": 12 } });
    let stack = Stack::with()
        .gates(2)
        .policy(policy(limits, Value::Null))
        .start()
        .await;
    let (one, other) = (stack.admin().key("read").await, stack.admin().key("read").await);
    let mut passed = 0;
    for number in 0..16 {
        let answer = ask(&stack.caller_at(number % 2, &one.key)).await;
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"reports\";q=12;w=86400")
        );
        let limit = answer.header("ratelimit").expect("what is left").to_owned();
        if number < 12 {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(
                limit.starts_with(&format!("\"reports\";r={};t=", 11 - number)),
                "{limit}"
            );
            passed += 1;
            continue;
        }
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (429, &json!("rate_limited"))
        );
        assert!(limit.starts_with("\"reports\";r=0;t="), "{limit}");
        let seconds: u64 = answer
            .header("retry-after")
            .and_then(|text| text.parse().ok())
            .expect("when to come again");
        assert!((1..=86_400).contains(&seconds));
        // A page must be able to read that.
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        assert!(
            exposed.contains("RateLimit") && exposed.contains("Retry-After"),
            "{exposed}"
        );
    }
    assert_eq!(passed, 12);
    // Another key has its own, another class none; and the verify endpoint counts with the gateway.
    ask(&stack.caller(&other.key)).await.expect(200);
    let free = stack
        .caller(&one.key)
        .send(Request::verify("GET", "/v1/memory/x"))
        .await
        .expect(200);
    assert_eq!(free.header("ratelimit"), None);
    let verify = stack.caller(&one.key).send(Request::verify("GET", REPORTS)).await;
    assert_eq!(verify.status, 429);
    // Refusals are counted like any others.
    wait::until_true("the refusals are counted", Duration::from_secs(20), || async {
        let target = format!(
            "/v1/usage?interval=day&group_by=class&reason=rate_limited&credential={}",
            one.id
        );
        let page = stack.admin().send(Request::get(&target)).await.json();
        let row = &page["usage"][0];
        row["requests"] == 5 && row["class"] == "reports"
    })
    .await;
}

#[tokio::test]
async fn what_was_given_out_survives_a_restart() {
    let limits = json!({ "reports": { "window_seconds": 86_400, "per_key": 3 } });
    let mut stack = Stack::with().policy(policy(limits, Value::Null)).start().await;
    let key = stack.admin().key("read").await;
    for _ in 0..2 {
        ask(&stack.caller(&key.key)).await.expect(200);
    }
    // Isolate and region are gone; what the region has given out is on its disk.
    stack.edge.kill();
    stack.edge.restart().await.expect("it comes back");
    stack.settled().await;
    ask(&stack.caller(&key.key)).await.expect(200);
    assert_eq!(ask(&stack.caller(&key.key)).await.status, 429);
}

#[tokio::test]
async fn an_address_that_guesses_is_braked_and_its_neighbours_are_not() {
    let brake = json!({ "failures": 5, "window_seconds": 86_400 });
    let stack = Stack::with().policy(policy(Value::Null, brake)).start().await;
    let (known, unknown) = (stack.admin().key("read").await, stack.admin().key("read").await);
    let from = |address: &str, key: &str| {
        Request::verify("GET", "/v1/memory/x")
            .header("cf-connecting-ip", address)
            .bearer(key)
    };
    let (guesser, colleague) = ("2001:db8:1:2::7", "2001:db8:1:2::8");
    let mut connection = Connection::open(&stack.gate(0)).await.expect("a connection");
    let mut send = async |request: Request| connection.exchange(&request).await.expect("an answer");
    assert_eq!(send(from(colleague, &known.key)).await.status, 200);
    let mut forged = known.key.clone();
    forged.replace_range(8..12, "AAAA");
    for _ in 0..5 {
        assert_eq!(send(from(guesser, &forged)).await.status, 401);
    }
    let braked = send(from(guesser, &forged)).await;
    assert_eq!(
        (braked.status, &braked.json()["code"]),
        (429, &json!("rate_limited"))
    );
    assert!(braked.header("retry-after").is_some());
    // The same subscriber: whoever is known goes on, others wait. Another address is heard.
    assert_eq!(send(from(colleague, &known.key)).await.status, 200);
    assert_eq!(send(from(colleague, &unknown.key)).await.status, 429);
    assert_eq!(send(from("2001:db8:1:3::7", &unknown.key)).await.status, 200);
    assert_eq!(
        send(from(guesser, &unknown.key)).await.status,
        200,
        "known by now, wherever it comes from"
    );
}
