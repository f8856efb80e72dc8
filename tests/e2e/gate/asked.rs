//! Those who ask: nginx `auth_request`, Traefik and Caddy, Envoy. What each of them sends, and what it makes of the answer.

use e2e::Request;

use super::{Gate, PATH, STRICT, told};
use crate::paths::{Expected, TABLE};

/// The question about a method and a target.
type Asker = fn(&str, &str) -> Request;

/// How each of them asks about a request.
fn askers() -> [(&'static str, Asker); 3] {
    [
        ("auth_request", |method, target| {
            Request::get("/.portcullis/verify?answers=auth_request")
                .header("x-original-method", method)
                .header("x-original-uri", target)
        }),
        ("forwardAuth", |method, target| {
            Request::get("/.portcullis/verify")
                .header("x-forwarded-method", method)
                .header("x-forwarded-uri", target)
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "api.example.com")
        }),
        ("ext_authz", |method, target| {
            Request::new(method, &format!("/.portcullis/ext_authz{target}"))
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_asker_gets_the_verdict_of_the_proxy() {
    let gate = Gate::start().await;
    let reader = gate.key("read").await;
    let admin = gate.stack.admin_key.clone();
    for (name, ask) in askers() {
        let status = async |request: Request| gate.asks().send(request).await.status;
        let allowed = gate
            .asker(&reader.key)
            .send(ask("GET", "/v1/memory/x?q=1"))
            .await
            .expect(200);
        assert_eq!(
            allowed.header("x-portcullis-credential"),
            Some(reader.id.as_str()),
            "{name}"
        );
        assert!(
            allowed
                .header("x-portcullis-subject")
                .unwrap()
                .starts_with("usr_"),
            "{name}"
        );
        assert_eq!(
            allowed.header("x-portcullis-scopes"),
            Some("memory:read"),
            "{name}"
        );
        assert_eq!(allowed.header("cache-control"), Some("no-store"), "{name}");
        assert_eq!(status(ask("POST", PATH).bearer(&reader.key)).await, 403, "{name}");
        assert_eq!(
            status(ask("GET", STRICT).bearer(&reader.key)).await,
            403,
            "{name}"
        );
        assert_eq!(status(ask("GET", STRICT).bearer(&admin)).await, 200, "{name}");
        assert_eq!(status(ask("GET", PATH)).await, 401, "{name}");
        assert_eq!(status(ask("GET", "/public/x")).await, 200, "{name}");
        assert_eq!(
            status(ask("GET", "/nowhere").bearer(&reader.key)).await,
            403,
            "{name}"
        );
        assert_eq!(
            status(ask("GET", "/.portcullis/jwks.json").bearer(&reader.key)).await,
            403,
            "{name}"
        );
        assert_eq!(status(ask("TRACE", "/public/x")).await, 403, "{name}");
        // An answer to a preflight would be taken for leave.
        let preflight = ask("OPTIONS", PATH)
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "GET");
        assert_eq!(status(preflight).await, 403, "{name}");
        let twice = ask("GET", PATH).bearer(&reader.key).bearer(&reader.key);
        let unclear = status(twice).await;
        assert_eq!(unclear, if name == "auth_request" { 403 } else { 400 }, "{name}");
    }
    assert!(gate.stack.origin.take().is_empty(), "nothing is forwarded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_asker_is_told_that_a_trick_is_fine() {
    let gate = Gate::start().await;
    let key = gate.key("read").await.key;
    for (name, ask) in askers() {
        for (target, expected) in TABLE.iter().filter(|(target, _)| target.starts_with('/')) {
            let status = gate.asks().send(ask("GET", target)).await.status;
            let good = match expected {
                Expected::Malformed if name == "auth_request" => status == 403,
                Expected::Malformed => matches!(status, 400 | 403),
                Expected::Denied => matches!(status, 401 | 403),
                Expected::Public(_) => status == 200,
            };
            assert!(good, "{name} {target}: {status}, {expected:?}");
            let climbing = target.replacen("/public", "/v1/memory", 1);
            let status = gate.asker(&key).send(ask("GET", &climbing)).await.status;
            let may = status != 200 || !matches!(expected, Expected::Malformed);
            assert!(may, "{name} {climbing}: {status}");
        }
    }
}

/// What the Worker's endpoint says, for the same questions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unclear_questions_are_refused_as_by_the_worker() {
    let gate = Gate::start().await;
    let key = gate.key("read").await.key;
    let verify = || Request::verify("GET", PATH).bearer(&key);
    let bare = || Request::get("/.portcullis/verify").bearer(&key);
    let questions = vec![
        verify(),
        bare(),
        bare().header("x-original-uri", PATH),
        bare().header("x-original-method", "GET"),
        verify().header("x-forwarded-uri", "/admin/x"),
        verify().header("x-forwarded-uri", PATH),
        verify().header("x-forwarded-method", "DELETE"),
        verify().header("x-original-uri", "/public/x"),
        verify().header("x-original-uri", PATH),
        verify().header("x-original-method", "GET"),
        Request::verify("get", PATH).bearer(&key),
        Request::verify("GET", "v1/memory/x").bearer(&key),
        Request::verify("GET", "/public#/../admin/x"),
        Request::verify("GET", "http://evil.example/public/x"),
        Request::verify("GET", "/.portcullis/health"),
        Request::verify("CONNECT", "/public/x"),
        verify().header("portcullis-min-seq", "x"),
        verify().header("x-portcullis-subject", "usr_forged"),
        Request::new("POST", "/.portcullis/verify")
            .header("x-original-method", "GET")
            .header("x-original-uri", PATH)
            .bearer(&key),
        Request::new("PUT", "/.portcullis/verify")
            .header("x-original-method", "GET")
            .header("x-original-uri", PATH)
            .bearer(&key),
        Request::new("HEAD", "/.portcullis/verify")
            .header("x-original-method", "GET")
            .header("x-original-uri", PATH)
            .bearer(&key),
    ];
    let identity = |answer: &e2e::Response| {
        let ours = |(name, _): &&(String, String)| name.contains("portcullis");
        let mut said: Vec<_> = answer.headers.iter().filter(ours).cloned().collect();
        said.sort();
        said
    };
    for (number, question) in questions.iter().enumerate() {
        let theirs = gate.stack.anon().send(question.clone()).await;
        let ours = gate.asks().send(question.clone()).await;
        assert_eq!(told(&ours), told(&theirs), "{number}: {question:?}");
        assert_eq!(identity(&ours), identity(&theirs), "{number}: {question:?}");
    }
}

/// Envoy leaves a client's headers as they are, but for what it is told to set and to remove.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_is_told_what_to_take_away() {
    let gate = Gate::start().await;
    let key = gate.key("read").await.key;
    let ask = |path: &str| Request::get(&format!("/.portcullis/ext_authz{path}"));
    let removed = |answer: &e2e::Response| {
        let text = answer
            .header("x-envoy-auth-headers-to-remove")
            .unwrap_or_default();
        text.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let answer = gate.asker(&key).send(ask(PATH)).await.expect(200);
    let gone = removed(&answer);
    for name in [
        "authorization",
        "dpop",
        "portcullis-assertion",
        "x-portcullis-issuer",
        // Read as the same name by many origins, and passed on by Envoy unless it is told not to.
        "x_portcullis_subject",
        "x-portcullis_subject",
        "x_portcullis-org",
        "portcullis_assertion",
        "x-http-method-override",
        "x_http_method_override",
        "x-original-url",
    ] {
        assert!(gone.iter().any(|known| known == name), "{name}: {gone:?}");
    }
    assert!(
        !gone.iter().any(|known| known == "x-portcullis-subject"),
        "it is set: {gone:?}"
    );
    // And what it shows of the client's own.
    let odd = ask(PATH)
        .header("x.portcullis.org", "org_forged")
        .header("x.passes", "1");
    let gone = removed(&gate.asker(&key).send(odd).await.expect(200));
    assert!(gone.iter().any(|known| known == "x.portcullis.org"), "{gone:?}");
    assert!(!gone.iter().any(|known| known == "x.passes"), "{gone:?}");
    // Nobody in particular: then nobody is what the origin hears.
    let answer = gate
        .asks()
        .send(ask("/public/x").header("authorization", "Basic dTpw"))
        .await
        .expect(200);
    let gone = removed(&answer);
    for name in [
        "x-portcullis-subject",
        "x-portcullis-org",
        "x-portcullis-scopes",
        "portcullis-assertion",
    ] {
        assert!(gone.iter().any(|known| known == name), "{name}: {gone:?}");
    }
    assert!(
        !gone.iter().any(|known| known == "authorization"),
        "another scheme: {gone:?}"
    );
    for path in ["", "x", "?q=/public/x"] {
        assert_eq!(gate.asks().send(ask(path)).await.status, 403, "{path:?}");
    }
}

/// Its answers say what the gate signs: whoever has a credential would go with that where no gate is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_a_proxy_can_not_ask() {
    let scene = crate::library::Example::scene().await;
    let upstream = scene.0.origin.url();
    let seed = shared::crypto::base64url(&[44; 32]);
    let gate = Gate::before(scene, &upstream, &[("ASSERTION_KEY", &seed)]).await;
    gate.stack.secrets.saw(&seed);
    let key = gate.key("read").await.key;
    for (name, ask) in askers() {
        let public = gate.caller(&key).send(ask("GET", PATH)).await;
        assert_eq!(public.status, 404, "{name}");
        assert_eq!(public.header("portcullis-assertion"), None, "{name}");
        assert_eq!(public.header("x-portcullis-subject"), None, "{name}");
        let told = gate.asker(&key).send(ask("GET", PATH)).await.expect(200);
        assert!(told.header("portcullis-assertion").is_some(), "{name}");
    }
    assert!(gate.stack.origin.take().is_empty());
    // There, nothing else is to be had; the documents are for everybody.
    gate.asker(&key).get(PATH).await.expect(404);
    for address in [gate.port.address(), gate.ask_address()] {
        let keys = e2e::Anon::new(&address)
            .get(shared::assertion::JWKS_PATH)
            .await
            .expect(200);
        assert_eq!(keys.json()["keys"].as_array().unwrap().len(), 1);
        e2e::Anon::new(&address)
            .get("/.well-known/oauth-protected-resource")
            .await
            .expect(200);
    }
}
