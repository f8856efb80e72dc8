use super::*;

fn demo() -> CompiledPolicy {
    Policy::demo("http://edge", "http://issuer")
        .compile()
        .expect("the demo compiles")
}

fn number(policy: &CompiledPolicy, method: &str, path: &str) -> Option<u64> {
    policy.route(method, path).map(|(route, _)| route.number)
}

fn with(route: &str) -> Result<CompiledPolicy, PolicyError> {
    let json = format!(r#"{{"version":1,"resource":"r","scopes":["a","admin"],"routes":[{route}]}}"#);
    Policy::from_json(json.as_bytes())?.compile()
}

/// Tomcat and its kin cut `;…` off each segment before they look for whom a path is meant; most others do not.
#[test]
fn a_path_with_parameters_belongs_to_a_route_only_if_every_server_says_so() {
    let routes = r#"{"path":"/admin/**","scopes":["admin"]},{"path":"/v1/{org}/x","scopes":["a"]},
        {"path":"/v1/w/{workspace}/x","scopes":["a"]},{"path":"/exact;v=1/x","scopes":["a"]},{"path":"/public/**","public":true},
        {"path":"/**","scopes":["a"]}"#;
    let policy = with(routes).expect("compiles");
    let found = |path: &str| number(&policy, "GET", path);
    for (path, expected) in [
        ("/other/x;v=1", Some(5)),
        ("/other;a=1;b=2/x", Some(5)),
        ("/public/x;v=1", Some(4)),
        ("/public/x;", Some(4)),
        ("/admin/x;v=1", Some(0)),
        ("/exact;v=1/x", Some(3)),
        ("/x%3B", Some(5)),
        // To somebody these are the administration, or another's.
        ("/admin;x/secret", None),
        ("/admin;/secret", None),
        ("/admin%253Bx/secret", None),
        ("/admin%253bx/secret", None),
        ("/;x/admin/secret", None),
        ("/;/admin/secret", None),
        ("/public;x/y", None),
        ("/public/;x/y", None),
        ("/v1/org_1;x/x", None),
        ("/v1/w/ws_1;x/x", None),
        ("/v1;x/org_1/x", None),
    ] {
        assert_eq!(found(path), expected, "{path}");
    }
    assert!(policy.guarded_route("/admin;x/secret").is_none());
}

#[test]
fn the_demo_policy_decides_as_its_table_says() {
    let policy = demo();
    for (method, path, expected) in [
        ("GET", "/public", Some(0)),
        ("GET", "/public/a/b", Some(0)),
        ("GET", "/publicity", None),
        ("GET", "/v1/memory/retrieve", Some(1)),
        ("HEAD", "/v1/memory/retrieve", Some(1)),
        ("POST", "/v1/memory/x", Some(2)),
        ("PUT", "/v1/memory/x", Some(2)),
        ("DELETE", "/v1/memory/x", Some(3)),
        ("PATCH", "/v1/memory/x", None),
        ("get", "/v1/memory/x", None),
        ("GET", "/Admin/x", None),
        ("GET", "/admin/", Some(4)),
        ("DELETE", "/v1/auth/keys/key_1", Some(5)),
        ("GET", "/", None),
    ] {
        assert_eq!(number(&policy, method, path), expected, "{method} {path}");
    }
    assert_eq!(policy.bound_ms(), DEFAULT_MAX_STALENESS_MS);
}

#[test]
fn a_document_survives_the_feed() {
    let policy = Policy::demo("http://edge", "http://issuer");
    assert_eq!(Policy::from_json(&policy.to_json()), Ok(policy));
}

#[test]
fn patterns_match_whole_segments() {
    let policy = with(r#"{"path":"/o/{org}/w/{workspace}/*","scopes":["a"]}"#).expect("compiles");
    let (_, captures) = policy.route("GET", "/o/org_1/w/ws_2/x").expect("matches");
    assert_eq!(
        captures,
        Captures {
            org: Some("org_1"),
            workspace: Some("ws_2")
        }
    );
    for path in [
        "/o/org_1/w/ws_2",
        "/o/org_1/w/ws_2/",
        "/o//w/ws_2/x",
        "/o/org_1/w/ws_2/x/y",
    ] {
        assert!(policy.route("GET", path).is_none(), "{path}");
    }
    for twice in ["/o/{org}/x/{org}", "/{workspace}/{org}/{workspace}"] {
        let rule = format!(r#"{{"path":"{twice}","scopes":["a"]}}"#);
        assert!(
            with(&rule).is_err(),
            "{twice}: one of the two would not be compared"
        );
    }
    let exact = with(r#"{"path":"/a","public":true}"#).expect("compiles");
    assert!(exact.route("GET", "/a").is_some() && exact.route("GET", "/a/").is_none());
}

#[test]
fn mistakes_are_named() {
    for (route, place) in [
        (r#"{"path":"a"}"#, "routes[0].path"),
        (r#"{"path":"/a/**/b"}"#, "routes[0].path"),
        (r#"{"path":"/a*"}"#, "routes[0].path"),
        (r#"{"path":"/a/../b"}"#, "routes[0].path"),
        (r#"{"path":"/%61"}"#, "routes[0].path"),
        (r#"{"path":"/a","scopes":["b"]}"#, "routes[0].scopes"),
        (r#"{"path":"/a","methods":["get"]}"#, "routes[0].methods"),
        (r#"{"path":"/a","methods":["HEAD"]}"#, "routes[0].methods"),
        (
            r#"{"path":"/a","public":true,"scopes":["a"]}"#,
            "routes[0].public",
        ),
        (
            r#"{"path":"/a","public":true,"forward_credential":true}"#,
            "routes[0].forward_credential",
        ),
        (
            r#"{"path":"/a","strict":true,"on_stale":{"allow_for_seconds":5}}"#,
            "routes[0].on_stale",
        ),
        (
            r#"{"path":"/a","on_stale":{"allow_for_seconds":86401}}"#,
            "routes[0].on_stale",
        ),
        (
            r#"{"path":"/a","max_staleness_ms":10}"#,
            "routes[0].max_staleness_ms",
        ),
        (
            r#"{"path":"/a","max_connection_seconds":0}"#,
            "routes[0].max_connection_seconds",
        ),
        (
            r#"{"path":"/a","browser_origins":["*"]}"#,
            "routes[0].browser_origins",
        ),
        (
            r#"{"path":"/a","browser_origins":["https://a/"]}"#,
            "routes[0].browser_origins",
        ),
        (r#"{"path":"/a","origin":"ftp://x"}"#, "routes[0].origin"),
        (r#"{"path":"/a","pubic":true}"#, "document"),
        (r#"{"path":"/a","path":"/b"}"#, "document"),
    ] {
        let found = with(route).expect_err(route);
        assert_eq!(found.place, place, "{route}: {found}");
    }
}

#[test]
fn the_bound_is_that_of_the_slowest_deny_route() {
    let routes = r#"{"path":"/a","max_staleness_ms":5000},{"path":"/b","strict":true,"max_staleness_ms":9000},
        {"path":"/c","max_staleness_ms":60000,"on_stale":{"allow_for_seconds":60}}"#;
    assert_eq!(with(routes).expect("compiles").bound_ms(), 5000);
}

#[test]
fn a_bare_origin_may_end_in_a_slash() {
    assert!(same_resource("https://a", "https://a/"));
    assert!(!same_resource("https://a/x", "https://a/x/"));
    assert!(!same_resource("https://a", "https://A"));
    assert!(!same_resource("https://a", "https://a//"));
}

#[test]
fn rules_of_operations_are_checked() {
    let rule = |members: &str| format!(r#"{{"path":"/mcp","mcp":{{"rules":[{{{members}}}]}}}}"#);
    for (members, place) in [
        (r#""method":"","scopes":["a"]"#, "method"),
        (r#""method":"tools/call, x","scopes":["a"]"#, "method"),
        (r#""method":"tools/call","scopes":[]"#, "scopes"),
        (r#""method":"tools/call","scopes":["b"]"#, "scopes"),
        (r#""method":"tools/call","names":[""],"scopes":["a"]"#, "names"),
        (r#""method":"tools/list","names":["x"],"scopes":["a"]"#, "names"),
        (
            r#""method":"tools/call","names":["x\ty"],"scopes":["a"]"#,
            "names",
        ),
        (
            r#""method":"resources/read","names":["notes"],"scopes":["a"]"#,
            "names",
        ),
        (
            r#""method":"resources/read","names":["FILE:///a"],"scopes":["a"]"#,
            "names",
        ),
    ] {
        let found = with(&rule(members)).expect_err(members);
        assert_eq!(
            found.place,
            format!("routes[0].mcp.rules[0].{place}"),
            "{members}: {found}"
        );
    }
    for (route, place) in [
        (
            rule(r#""method":"tools/call","scopes":["a"],"name":"x""#),
            "document",
        ),
        (
            r#"{"path":"/mcp","mcp":{"rules":[],"legacy":"allow"}}"#.to_owned(),
            "document",
        ),
        (r#"{"path":"/mcp","mcp":{}}"#.to_owned(), "document"),
        (
            r#"{"path":"/mcp","public":true,"mcp":{"rules":[]}}"#.to_owned(),
            "routes[0].mcp",
        ),
    ] {
        assert_eq!(with(&route).expect_err(&route).place, place, "{route}");
    }
    let policy = with(&rule(r#""method":"tools/call","names":["x"],"scopes":["a"]"#)).expect("compiles");
    assert_eq!(policy.scopes_of("r"), ScopeSet(1));
    let again = Policy::from_json(&policy.policy.to_json());
    assert_eq!(again.as_ref(), Ok(&policy.policy));
}

#[test]
fn limits_belong_to_classes() {
    let with = |limits: &str| {
        let json = format!(
            r#"{{"version":1,"resource":"r","scopes":["a"],{limits},"routes":[
                {{"path":"/reports/**","class":"reports"}},{{"path":"/free/**","class":"reports","public":true}},{{"path":"/**"}}]}}"#
        );
        Policy::from_json(json.as_bytes()).and_then(Policy::compile)
    };
    let policy = with(
        r#""limits":{"reports":{"window_seconds":60,"per_key":5}},
           "failures_per_address":{"failures":3,"window_seconds":10}"#,
    )
    .expect("compiles");
    let limits: Vec<Option<u64>> = policy
        .routes()
        .iter()
        .map(|route| route.limit.as_ref().and_then(|limit| limit.per_key))
        .collect();
    assert_eq!(limits, [Some(5), None, None], "a public route knows no caller");
    let again = Policy::from_json(&policy.policy.to_json());
    assert_eq!(again.as_ref(), Ok(&policy.policy));
    for (wrong, place) in [
        (
            r#""limits":{"other":{"window_seconds":60,"per_key":5}}"#,
            "limits.other",
        ),
        (
            r#""limits":{"reports":{"window_seconds":0,"per_key":5}}"#,
            "limits.reports.window_seconds",
        ),
        (
            r#""limits":{"reports":{"window_seconds":60,"per_key":0}}"#,
            "limits.reports.per_key",
        ),
        (
            r#""limits":{"reports":{"window_seconds":60,"per_client":0}}"#,
            "limits.reports.per_client",
        ),
        (r#""limits":{"reports":{"window_seconds":60}}"#, "limits.reports"),
        (
            r#""limits":{"reports":{"window_seconds":60,"per_key":5,"burst":1}}"#,
            "document",
        ),
        (
            r#""failures_per_address":{"failures":0,"window_seconds":10}"#,
            "failures_per_address",
        ),
    ] {
        assert_eq!(with(wrong).expect_err(wrong).place, place, "{wrong}");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let json = r#"{"version":1,"resource":"","scopes":["a"],"refresh_ms":1,"limits":{"x":{"window_seconds":0}},
        "routes":[{"path":"a","scopes":["b"],"methods":["get"]},{"path":"/a"},
                  {"path":"/m","mcp":{"rules":[{"method":"tools/list","names":["x"],"scopes":[]}]}}]}"#;
    let policy = Policy::from_json(json.as_bytes()).expect("well formed");
    let problems = policy.clone().compile_all().expect_err("many mistakes");
    let places: Vec<_> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "resource",
            "refresh_ms",
            "limits.x",
            "limits.x.window_seconds",
            "limits.x",
            "routes[0].scopes",
            "routes[0].path",
            "routes[0].methods",
            "routes[2].mcp.rules[0].names",
            "routes[2].mcp.rules[0].scopes",
        ]
    );
    assert_eq!(policy.compile().expect_err("the first").place, "resource");
}

#[test]
fn routes_that_nothing_reaches() {
    let shadow = |first: &str, later: &str| {
        let json = format!(r#"{{"version":1,"resource":"r","scopes":["a"],"routes":[{first},{later}]}}"#);
        let policy = Policy::from_json(json.as_bytes()).and_then(Policy::compile);
        let found = policy.expect("compiles").unreachable().len();
        found == 1
    };
    let path = |path: &str| format!(r#"{{"path":"{path}"}}"#);
    for (first, later, expected) in [
        ("/**", "/a", true),
        ("/a/**", "/a", true),
        ("/a/**", "/a/*/b", true),
        ("/a/**", "/b/**", false),
        ("/a/*", "/a/b", true),
        ("/a/*", "/a/", false),
        ("/a/b", "/a/*", false),
        ("/a/*", "/a/**", false),
        ("/{org}/x", "/*/x", true),
        ("/a", "/a", true),
    ] {
        assert_eq!(
            shadow(&path(first), &path(later)),
            expected,
            "{first} before {later}"
        );
    }
    let get = r#"{"path":"/a","methods":["GET"]}"#;
    assert!(shadow(get, get) && shadow(&path("/a"), get) && !shadow(get, &path("/a")));
}
