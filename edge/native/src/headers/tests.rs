use super::*;

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(HeaderName::as_str).collect()
}

#[test]
fn nobody_brings_what_only_a_gate_may_say() {
    for name in [
        "x-portcullis-subject",
        "x_portcullis_org",
        "x-_portcullis-org",
        "x.portcullis.org",
        "portcullis-assertion",
        "portcullis_assertion",
        "portcullis-min-seq",
        "portcullis",
        "x-portcullis",
        "x-portcullis-anything",
    ] {
        assert!(is_dropped(name), "{name}");
    }
    for name in [
        "xportcullis-x",
        "portcullissubject",
        "x-portcullis2",
        "my-portcullis",
        "x-a-portcullis",
    ] {
        assert!(!is_dropped(name), "{name}");
    }
}

#[test]
fn nothing_is_read_as_another_request() {
    for name in [
        "x-http-method-override",
        "x_http_method_override",
        "x-original-uri",
        "x.rewrite.url",
        "x_forwarded_for",
        "x_request_id",
        "content_type",
        "mcp_method",
        "cf_connecting_ip",
    ] {
        assert!(is_dropped(name), "{name}");
    }
    for name in [
        "x-forwarded-for",
        "content-type",
        "mcp-method",
        "authorization",
        "x-passes",
        "x_passes",
        "forwarded",
    ] {
        assert!(!is_dropped(name), "{name}");
    }
}

#[test]
fn headers_of_a_hop_stay_on_their_hop_and_connection_takes_nothing_that_counts() {
    let mut headers = map(&[
        (
            "connection",
            "keep-alive, x-mine, Mcp-Method, content-type, cookie, x-forwarded-for",
        ),
        ("x-mine", "1"),
        ("mcp-method", "1"),
        ("content-type", "1"),
        ("cookie", "1"),
        ("x-forwarded-for", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "Basic x"),
    ]);
    strip_request(&mut headers);
    let mut left = names(&headers);
    left.sort_unstable();
    assert_eq!(left, ["content-type", "cookie", "mcp-method", "x-forwarded-for"]);
}

/// A caller writes them as easily as a proxy. What passes within the process is the business of the proxy before it.
#[test]
fn where_a_request_came_from_the_gate_says() {
    let mut headers = map(&[
        ("forwarded", "for=1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("x_real_ip", "1.2.3.4"),
        ("cf-connecting-ip", "1.2.3.4"),
        ("true-client-ip", "1.2.3.4"),
        ("x-client-ip", "1.2.3.4"),
        ("x-forwarded", "1.2.3.4"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/admin"),
        ("x-forwarded-server", "a"),
        ("x_forwarded_prefix", "/admin"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-passes", "1"),
    ]);
    let mut within = headers.clone();
    strip_request(&mut headers);
    let mut left = names(&headers);
    left.sort_unstable();
    assert_eq!(left, ["x-forwarded-for", "x-passes"]);
    strip_claims(&mut within);
    assert!(within.contains_key("x-real-ip") && within.contains_key("x-forwarded-prefix"));
}

#[test]
fn each_hyphen_may_be_an_underscore() {
    assert_eq!(spellings("dpop"), ["dpop"]);
    let mut all = spellings("x-portcullis-org");
    assert_eq!(all[0], "x-portcullis-org");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().all(|name| is_ours(name)), "{all:?}");
}

#[test]
fn what_one_caller_got_is_not_for_another() {
    for (said, expected) in [
        (None, "private"),
        (Some("public, max-age=60, s-maxage=9"), "private, max-age=60"),
        (Some("max-age=60"), "private, max-age=60"),
        (Some("No-Store"), "No-Store"),
        (Some("private, max-age=1"), "private, max-age=1"),
        (Some("private=\"x\", max-age=1"), "private, max-age=1"),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(said) = said {
            headers.insert(CACHE_CONTROL, said.parse().unwrap());
        }
        headers.insert("surrogate-control", "max-age=9".parse().unwrap());
        finish(&mut headers, false, true);
        assert_eq!(headers[CACHE_CONTROL], expected, "{said:?}");
        assert_eq!(headers[VARY], "Authorization, Origin");
        assert!(!headers.contains_key("surrogate-control"));
    }
    let mut headers = map(&[("vary", "Accept, origin"), ("access-control-allow-origin", "*")]);
    finish(&mut headers, false, false);
    assert_eq!(headers[VARY], "Accept, origin, Authorization");
    assert!(headers.contains_key("access-control-allow-origin"));
    let mut headers = map(&[("access-control-allow-origin", "*")]);
    finish(&mut headers, true, true);
    assert_eq!(names(&headers), ["vary"]);
}
