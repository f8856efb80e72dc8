use serde_json::{Value, json};

use super::super::deployment::{Target, examine};
use super::site::{Asked, Fault, Told, failures};
use crate::clock::Clock;

/// The checks that fail when the tiny deployment has this fault.
async fn with(fault: Fault) -> Vec<String> {
    failures(fault, async |probe, base| {
        let target = Target {
            issuer: base.clone(),
            edge: base,
            client_id: None,
        };
        examine(&probe, &target, Clock::system().now().seconds()).await
    })
    .await
}

/// Changes one member of the documents below `/.well-known` whose name starts like this.
fn member(asked: &Asked, told: &mut Told, document: &str, name: &str, value: Value) {
    if asked.path.starts_with(&format!("/.well-known/{document}")) {
        told.change(|body| body[name] = value);
    }
}

const OAUTH: &str = "oauth-authorization-server";
const OPENID: &str = "openid-configuration";

#[tokio::test]
async fn a_right_deployment_passes_every_check() {
    assert_eq!(with(|_, _| {}).await, [""; 0]);
}

#[tokio::test]
async fn a_slash_at_the_issuer_s_end_is_seen() {
    let failed = with(|asked, told| {
        if asked.path.ends_with(OAUTH) {
            told.change(|body| body["issuer"] = format!("{}/", body["issuer"].as_str().unwrap()).into());
        }
    });
    assert_eq!(
        failed.await,
        ["issuer in oauth-authorization-server", "both documents"]
    );
}

#[tokio::test]
async fn another_issuer_is_seen_in_either_document() {
    let failed = with(|asked, told| {
        for document in [OAUTH, OPENID] {
            member(asked, told, document, "issuer", "https://other.example".into());
        }
    });
    assert_eq!(
        failed.await,
        [
            "issuer in oauth-authorization-server",
            "issuer in openid-configuration"
        ]
    );
}

#[tokio::test]
async fn a_missing_document_is_seen_once() {
    let failed = with(|asked, told| {
        if asked.path.ends_with(OPENID) && asked.method == "GET" {
            told.status = 404;
        }
    });
    assert_eq!(failed.await, ["issuer in openid-configuration"]);
    let failed = with(|asked, told| {
        if asked.path.ends_with(OPENID) && asked.method == "GET" {
            told.headers.insert("content-type", "text/html".to_owned());
        }
    });
    assert_eq!(failed.await, ["issuer in openid-configuration"]);
}

/// One member of both documents gone or wrong: both say so.
#[tokio::test]
async fn every_member_that_clients_need_is_looked_at() {
    let faults: [Fault; 9] = [
        |asked, told| both(asked, told, "authorization_endpoint", Value::Null),
        |asked, told| {
            both(
                asked,
                told,
                "token_endpoint",
                "http://auth.example.com/token".into(),
            );
        },
        |asked, told| {
            both(
                asked,
                told,
                "registration_endpoint",
                "https://auth.example.com/x#y".into(),
            );
        },
        |asked, told| both(asked, told, "jwks_uri", "".into()),
        |asked, told| both(asked, told, "response_types_supported", json!(["token"])),
        |asked, told| {
            both(
                asked,
                told,
                "grant_types_supported",
                json!(["authorization_code"]),
            );
        },
        |asked, told| both(asked, told, "grant_types_supported", json!(["refresh_token"])),
        |asked, told| both(asked, told, "code_challenge_methods_supported", json!(["plain"])),
        |asked, told| {
            both(
                asked,
                told,
                "authorization_response_iss_parameter_supported",
                Value::Null,
            );
        },
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let failed = with(fault).await;
        let wanted = [
            "members of oauth-authorization-server",
            "members of openid-configuration",
        ];
        assert!(
            wanted.iter().all(|name| failed.iter().any(|have| have == name)),
            "{number}: {failed:?}"
        );
    }
}

fn both(asked: &Asked, told: &mut Told, name: &str, value: Value) {
    member(asked, told, OAUTH, name, value.clone());
    member(asked, told, OPENID, name, value);
}

#[tokio::test]
async fn openid_asks_for_more() {
    let faults: [Fault; 3] = [
        |asked, told| both(asked, told, "subject_types_supported", Value::Null),
        |asked, told| {
            both(
                asked,
                told,
                "id_token_signing_alg_values_supported",
                json!(["ES256"]),
            );
        },
        |asked, told| {
            both(
                asked,
                told,
                "id_token_signing_alg_values_supported",
                json!(["RS256", "none"]),
            );
        },
    ];
    for fault in faults {
        assert_eq!(with(fault).await, ["members of openid-configuration"]);
    }
}

#[tokio::test]
async fn documents_that_differ_are_seen() {
    let failed = with(|asked, told| member(asked, told, OPENID, "scopes_supported", json!(["a"]))).await;
    assert_eq!(failed, [""; 0], "one may say more than the other");
    let failed = with(|asked, told| {
        member(asked, told, OAUTH, "scopes_supported", json!(["b"]));
        member(asked, told, OPENID, "scopes_supported", json!(["a"]));
    });
    assert_eq!(failed.await, ["both documents"]);
}

#[tokio::test]
async fn weak_private_or_unnamed_keys_are_seen() {
    fn key(asked: &Asked, told: &mut Told, change: impl FnOnce(&mut Value)) {
        if asked.path.ends_with("jwks.json") {
            told.change(|body| change(&mut body["keys"][0]));
        }
    }
    let faults: [Fault; 8] = [
        |asked, told| {
            key(asked, told, |key| {
                key["n"] = shared::crypto::base64url(&[0xb5; 128]).into();
            });
        },
        // 2047 bits.
        |asked, told| {
            key(asked, told, |key| {
                key["n"] = shared::crypto::base64url(&[0x7f; 256]).into();
            });
        },
        |asked, told| key(asked, told, |key| key["kid"] = "k2".into()),
        |asked, told| key(asked, told, |key| key["kid"] = Value::Null),
        |asked, told| key(asked, told, |key| key["alg"] = Value::Null),
        |asked, told| key(asked, told, |key| key["d"] = "AA".into()),
        |asked, told| key(asked, told, |key| key["kty"] = "oct".into()),
        |asked, told| member(asked, told, "jwks.json", "keys", json!([])),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        assert_eq!(with(fault).await, ["keys"], "{number}");
    }
}

#[tokio::test]
async fn closed_answers_preflights_and_errors_are_seen() {
    const ORIGIN: &str = "access-control-allow-origin";
    let preflight: Fault = |asked, told| {
        if asked.path == "/token" && asked.method == "OPTIONS" {
            told.status = 405;
        }
    };
    let headers: Fault = |asked, told| {
        if asked.path == "/token" {
            told.headers
                .insert("access-control-allow-headers", "*".to_owned());
        }
    };
    let error: Fault = |asked, told| {
        if asked.path == "/token" && asked.method == "POST" {
            told.headers.remove(ORIGIN);
        }
    };
    let cookies: Fault = |asked, told| {
        if asked.path == "/token" {
            told.headers
                .insert("access-control-allow-credentials", "true".to_owned());
        }
    };
    for fault in [preflight, headers, error, cookies] {
        assert_eq!(with(fault).await, ["CORS of /token"]);
    }
    let everywhere = with(|asked, told| {
        if !asked.path.starts_with("/.well-known/oauth-protected-resource") {
            told.headers.remove(ORIGIN);
        }
    });
    let wanted = [
        "CORS of /.well-known/oauth-authorization-server",
        "CORS of /.well-known/openid-configuration",
        "CORS of /.well-known/jwks.json",
        "CORS of /token",
        "CORS of /revoke",
        "CORS of /userinfo",
    ];
    assert_eq!(everywhere.await, wanted);
}

#[tokio::test]
async fn an_authorize_that_scripts_may_read_is_seen() {
    for method in ["GET", "OPTIONS"] {
        let fault: Fault = if method == "GET" {
            |asked, told| open_authorize(asked, told, "GET")
        } else {
            |asked, told| open_authorize(asked, told, "OPTIONS")
        };
        assert_eq!(with(fault).await, ["CORS of /authorize"], "{method}");
    }
}

fn open_authorize(asked: &Asked, told: &mut Told, method: &str) {
    if asked.path == "/authorize" && asked.method == method {
        told.headers.insert("access-control-allow-origin", "*".to_owned());
    }
}

#[tokio::test]
async fn an_open_redirector_is_seen() {
    let failed = with(|asked, told| {
        if asked.path == "/authorize" {
            told.status = 303;
            told.headers.insert(
                "location",
                "https://unregistered.portcullis.example/callback".to_owned(),
            );
        }
    });
    assert_eq!(failed.await, ["unregistered redirect_uri", "http redirect_uri"]);
    let failed = with(|asked, told| {
        if asked.path == "/authorize" {
            told.status = 200;
        }
    });
    assert_eq!(failed.await, ["unregistered redirect_uri", "http redirect_uri"]);
}

#[tokio::test]
async fn a_sign_in_page_without_protection_is_seen() {
    fn header(asked: &Asked, told: &mut Told, name: &'static str, value: &str) {
        if asked.path == "/login" {
            told.headers.insert(name, value.to_owned());
        }
    }
    const POLICY: &str = "content-security-policy";
    let faults: [Fault; 6] = [
        |asked, told| header(asked, told, POLICY, "default-src 'none'"),
        |asked, told| {
            header(
                asked,
                told,
                POLICY,
                "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
            );
        },
        |asked, told| header(asked, told, POLICY, "frame-ancestors 'none'"),
        |asked, told| header(asked, told, "x-content-type-options", ""),
        |asked, told| header(asked, told, "cache-control", "public"),
        |asked, told| header(asked, told, "referrer-policy", "unsafe-url"),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        assert_eq!(with(fault).await, ["headers of /login"], "{number}");
    }
    let cookies: [Fault; 3] = [
        |asked, told| header(asked, told, "set-cookie", "a=b; SameSite=Lax"),
        |asked, told| header(asked, told, "set-cookie", "a=b; HttpOnly; SameSite=None"),
        |asked, told| {
            if asked.path == "/login" {
                told.headers.remove("set-cookie");
            }
        },
    ];
    for (number, fault) in cookies.into_iter().enumerate() {
        assert_eq!(with(fault).await, ["cookies of /login"], "{number}");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_seen() {
    for date in ["Sat, 21 Nov 2020 23:08:40 GMT", "now"] {
        let fault: Fault = if date == "now" {
            |_, told| drop(told.headers.insert("date", "now".to_owned()))
        } else {
            |_, told| {
                drop(
                    told.headers
                        .insert("date", "Sat, 21 Nov 2020 23:08:40 GMT".to_owned()),
                );
            }
        };
        assert_eq!(with(fault).await, ["clock"], "{date}");
    }
}

#[tokio::test]
async fn an_edge_that_is_behind_is_seen() {
    fn health(asked: &Asked, told: &mut Told, name: &str, value: Value) {
        if asked.path == "/.portcullis/health" {
            told.change(|body| body[name] = value);
        }
    }
    let faults: [Fault; 6] = [
        |asked, told| health(asked, told, "status", "stale".into()),
        |asked, told| health(asked, told, "status", "no_state".into()),
        |asked, told| health(asked, told, "incompatible", true.into()),
        |asked, told| health(asked, told, "feed_age_ms", 31_000.into()),
        |asked, told| health(asked, told, "feed_age_ms", Value::Null),
        |asked, told| health(asked, told, "head", Value::Null),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        assert_eq!(with(fault).await, ["state of the edge"], "{number}");
    }
}

#[tokio::test]
async fn resource_metadata_that_leads_elsewhere_is_seen() {
    const NAME: &str = "oauth-protected-resource";
    let wanted = [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/any/path",
    ];
    let failed = with(|asked, told| member(asked, told, NAME, "resource", "https://other.example".into()));
    assert_eq!(failed.await, wanted);
    let failed = with(|asked, told| member(asked, told, NAME, "authorization_servers", json!([])));
    assert_eq!(failed.await, wanted);
    let failed = with(|asked, told| {
        if asked.path.ends_with("/any/path") && asked.method == "GET" {
            told.status = 404;
        }
    });
    assert_eq!(failed.await, [wanted[1]]);
}
