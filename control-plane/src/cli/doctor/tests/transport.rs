use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue};
use shared::time::UnixSeconds;

use super::super::metadata::{appended, inserted, is_issuer};
use super::super::probe::Answer;
use super::super::{certificate, transport};

/// Its end is a UTCTime: 18 August 2029.
const SHORT: &str = "MIIBbDCCAROgAwIBAgIUR1aO1lRdVjRCF3W+CCMRuQQLOBEwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBZDAeFw0yNjExMjIwMjQw\
     NTVaFw0yOTA4MTgwMjQwNTVaMAwxCjAIBgNVBAMMAWQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQFPJ47tykZ4+tJhWombVxy\
     GVmvX6/xaQ8Z+8pf+VYl9yEAz+MC2tP2yOE84UUL519XKuc37tA61bh+HvLhlOu0o1MwUTAdBgNVHQ4EFgQU4SouvHS6nsWVzddq\
     x/sHAGTAQDkwHwYDVR0jBBgwFoAU4SouvHS6nsWVzddqx/sHAGTAQDkwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBE\
     AiASjcqaOuZ4tPD2VivS/prNNDUNuHWeMHIfjarDjYNeugIgS4nKAhB8WlF/RdIXbpmuTSB0AFUKEh9s/d/vbWtQvLw=";
const SHORT_END: u64 = 1_881_715_255;
/// Its end is a GeneralizedTime: 25 August 2081.
const LONG: &str = "MIIBcDCCARWgAwIBAgIUQaAKNeLHQFRtI5tqE3WO1CCAmnowCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBZDAgFw0yNjExMjIwMjQw\
     NTdaGA8yMDgxMDgyNTAyNDA1N1owDDEKMAgGA1UEAwwBZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNWyKOpaX5XMDYA2trrq\
     /GmcSkcPGbNWgJR3Kb2VQgpXO8iBvwudvjhS2l3GhwLsDvsUbt7igMuDFER/KS0dpHajUzBRMB0GA1UdDgQWBBTrq+V2kodBCVyF\
     +a/MbduY2iAKEjAfBgNVHSMEGDAWgBTrq+V2kodBCVyF+a/MbduY2iAKEjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kA\
     MEYCIQDI1ucju3+XhoiuWvUTEXWeKDPp9K9hinN/e96SfVdhrgIhAOV8hihq5yWTKkuan/1os/jDAjv+YkZf5jemGkjCIjM5";
const LONG_END: u64 = 3_523_315_257;

fn der(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn answer(certificate: Option<Vec<u8>>) -> Answer {
    Answer {
        status: 200,
        headers: HeaderMap::new(),
        body: Vec::new(),
        certificate,
    }
}

#[test]
fn a_certificate_s_end_is_read_in_both_forms() {
    assert_eq!(certificate::not_after(&der(SHORT)), Some(UnixSeconds(SHORT_END)));
    assert_eq!(certificate::not_after(&der(LONG)), Some(UnixSeconds(LONG_END)));
}

#[test]
fn what_is_no_certificate_has_no_end_and_does_no_harm() {
    let whole = der(SHORT);
    for length in 0..whole.len() {
        let _ = certificate::not_after(&whole[..length]);
        let mut broken = whole.clone();
        broken[length] ^= 0xff;
        let _ = certificate::not_after(&broken);
    }
    assert_eq!(certificate::not_after(&whole[..40]), None);
    assert_eq!(certificate::not_after(b"\x30\x84\xff\xff\xff\xff"), None);
}

#[test]
fn a_certificate_that_ends_within_a_week_is_a_fault() {
    let seen = |days: u64| {
        let now = UnixSeconds(SHORT_END - days * 86_400 - 10);
        transport::tls("https://auth.example.com", &answer(Some(der(SHORT))), now)
    };
    assert_eq!(seen(7).unwrap(), "the certificate is trusted and lasts 7 days");
    assert_eq!(seen(6).unwrap_err().found, "the certificate ends in 6 days");
}

#[test]
fn plain_http_is_for_loopback_only() {
    let now = UnixSeconds(0);
    for address in ["http://127.0.0.1:7070", "http://[::1]", "http://localhost:1"] {
        assert!(transport::tls(address, &answer(None), now).is_ok(), "{address}");
    }
    for address in [
        "http://auth.example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "auth",
    ] {
        assert!(transport::tls(address, &answer(None), now).is_err(), "{address}");
    }
}

#[test]
fn a_minute_is_what_clocks_may_differ() {
    let date = HeaderValue::from_static("Sat, 21 Nov 2026 23:08:40 GMT");
    let mut answer = answer(None);
    answer.headers.insert("date", date);
    for (now, right) in [
        (1_795_302_520, true),
        (1_795_302_460, true),
        (1_795_302_580, true),
    ] {
        assert_eq!(
            transport::clock(&answer, UnixSeconds(now)).is_ok(),
            right,
            "{now}"
        );
    }
    for now in [1_795_302_459, 1_795_302_581] {
        assert!(transport::clock(&answer, UnixSeconds(now)).is_err(), "{now}");
    }
}

#[test]
fn an_issuer_has_no_slash_query_or_fragment() {
    for text in [
        "https://auth.example.com",
        "https://auth.example.com/tenant",
        "http://127.0.0.1:7070",
    ] {
        assert!(is_issuer(text).is_ok(), "{text}");
    }
    for text in [
        "https://auth.example.com/",
        "https://a.example?x",
        "https://a.example#x",
        "http://a.example",
    ] {
        assert!(is_issuer(text).is_err(), "{text}");
    }
}

#[test]
fn well_known_addresses_have_two_forms() {
    let host = "https://auth.example.com";
    assert_eq!(inserted(host, "x"), appended(host, "x"));
    let issuer = "https://auth.example.com/tenant/a";
    assert_eq!(
        inserted(issuer, "x"),
        "https://auth.example.com/.well-known/x/tenant/a"
    );
    assert_eq!(
        appended(issuer, "x"),
        "https://auth.example.com/tenant/a/.well-known/x"
    );
}
