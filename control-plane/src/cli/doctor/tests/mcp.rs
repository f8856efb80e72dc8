use serde_json::{Value, json};

use super::super::mcp::examine;
use super::site::{Asked, Fault, Told, failures};

async fn with(fault: Fault) -> Vec<String> {
    let failed = failures(fault, async |probe, base| {
        examine(&probe, &format!("{base}/mcp")).await
    })
    .await;
    // The host is the test's own.
    let names = failed.iter().map(|name| match name.split_once("/.well-known/") {
        Some((_, form)) => form.to_owned(),
        None => name.clone(),
    });
    names.collect()
}

fn challenge(asked: &Asked, told: &mut Told, text: &str) {
    if asked.path == "/mcp" {
        told.headers.insert("www-authenticate", text.to_owned());
    }
}

fn server(asked: &Asked, told: &mut Told, name: &str, value: Value) {
    if asked.path.ends_with("oauth-authorization-server") || asked.path.ends_with("openid-configuration") {
        told.change(|body| body[name] = value);
    }
}

#[tokio::test]
async fn a_right_server_passes_every_check() {
    assert_eq!(with(|_, _| {}).await, [""; 0]);
}

#[tokio::test]
async fn a_server_that_does_not_challenge_is_seen() {
    let failed = with(|asked, told| {
        if asked.path == "/mcp" {
            told.status = 403;
        }
    });
    assert_eq!(failed.await, ["challenge", "scope in the challenge"]);
    let failed = with(|asked, told| challenge(asked, told, "Basic realm=\"x\""));
    assert_eq!(failed.await, ["challenge", "scope in the challenge"]);
    let failed = with(|asked, told| challenge(asked, told, "Bearer scope=\"tools\""));
    assert_eq!(failed.await, ["challenge"]);
    let failed = with(|asked, told| {
        let text = told.headers.get("www-authenticate").cloned().unwrap_or_default();
        challenge(asked, told, &format!("{text}, error=\"invalid_token\""));
    });
    assert_eq!(failed.await, ["challenge"]);
    let failed = with(|asked, told| {
        let text = told.headers.get("www-authenticate").cloned().unwrap_or_default();
        challenge(asked, told, &text.replace("scope=\"tools\"", "scope=\"\""));
    });
    assert_eq!(failed.await, ["scope in the challenge"]);
}

#[tokio::test]
async fn each_way_to_the_resource_metadata_is_walked() {
    let all = [
        "resource metadata named by the challenge",
        "resource metadata path-suffixed",
        "resource metadata at the root",
    ];
    // The challenge names the path-suffixed address.
    let failed = with(|asked, told| {
        if asked.path.ends_with("oauth-protected-resource/mcp") {
            told.status = 404;
        }
    });
    assert_eq!(failed.await, all[..2]);
    let failed = with(|asked, told| {
        if asked.path.ends_with("oauth-protected-resource") {
            told.status = 404;
        }
    });
    assert_eq!(failed.await, all[2..]);
    let elsewhere: Fault = |asked, told| {
        if asked.path.contains("oauth-protected-resource") {
            told.change(|body| body["resource"] = "https://other.example/mcp".into());
        }
    };
    let sibling: Fault = |asked, told| {
        if asked.path.contains("oauth-protected-resource") {
            told.change(|body| {
                body["resource"] = format!("{}/mc", body["resource"].as_str().unwrap()).into();
            });
        }
    };
    let nobody: Fault = |asked, told| {
        if asked.path.contains("oauth-protected-resource") {
            told.change(|body| body["authorization_servers"] = json!([]));
        }
    };
    for fault in [elsewhere, sibling, nobody] {
        assert_eq!(with(fault).await, all);
    }
}

#[tokio::test]
async fn each_form_of_the_server_s_metadata_is_tried() {
    let failed = with(|asked, told| {
        if asked.path.ends_with("openid-configuration") {
            told.status = 404;
        }
    });
    assert_eq!(failed.await, [""; 0], "the next form is tried");
    let failed = with(|asked, told| {
        if asked.path.ends_with("openid-configuration") {
            told.status = 500;
        }
    });
    assert_eq!(
        failed.await,
        ["openid-configuration"],
        "clients stop at anything but 404"
    );
    let failed = with(|asked, told| {
        if asked.path.ends_with("oauth-authorization-server") {
            told.change(|body| body["issuer"] = "https://other.example".into());
        }
    });
    assert_eq!(failed.await, ["oauth-authorization-server"]);
    let failed = with(|asked, told| {
        if !asked.path.contains("protected-resource") && asked.path != "/mcp" {
            told.status = 404;
        }
    });
    assert_eq!(failed.await, ["authorization server"]);
}

#[tokio::test]
async fn what_clients_cannot_do_without_is_seen() {
    let faults: [(Fault, &str); 5] = [
        (
            |a, t| server(a, t, "code_challenge_methods_supported", json!([])),
            "PKCE",
        ),
        (
            |a, t| server(a, t, "client_id_metadata_document_supported", Value::Null),
            "registration",
        ),
        (
            |a, t| {
                server(
                    a,
                    t,
                    "authorization_response_iss_parameter_supported",
                    false.into(),
                );
            },
            "iss in answers",
        ),
        (
            |a, t| {
                server(
                    a,
                    t,
                    "token_endpoint_auth_methods_supported",
                    json!(["private_key_jwt"]),
                );
            },
            "grants and clients",
        ),
        (
            |a, t| server(a, t, "grant_types_supported", json!(["authorization_code"])),
            "grants and clients",
        ),
    ];
    for (fault, wanted) in faults {
        assert_eq!(with(fault).await, [wanted]);
    }
    let registered = with(|asked, told| {
        server(asked, told, "client_id_metadata_document_supported", Value::Null);
        server(
            asked,
            told,
            "registration_endpoint",
            "https://auth.example.com/register".into(),
        );
    });
    assert_eq!(registered.await, [""; 0]);
}

#[tokio::test]
async fn a_way_without_tls_or_without_a_server_is_seen() {
    let report = examine(
        &super::super::probe::Probe::new().unwrap(),
        "ftp://api.example.com/mcp",
    )
    .await;
    assert!(report.checks.iter().all(|check| !check.ok));
    let report = examine(
        &super::super::probe::Probe::new().unwrap(),
        "http://127.0.0.1:1/mcp",
    )
    .await;
    let first = &report.checks[0];
    assert!(first.ok, "{first:?}");
    assert!(report.checks[1..].iter().all(|check| !check.ok));
    assert!(report.verdict().is_err());
}
