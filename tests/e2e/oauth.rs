//! People's tokens: a person signs in, a client gets a code and tokens, the edge lets them in, and no longer once they are
//! revoked or the code comes twice.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{Anon, Request, Response, Stack};
use shared::crypto::sha256;

use crate::{oracle::part, support::assert_invalid_token};

const PATH: &str = "/v1/memory/x";
const REDIRECT: &str = "http://127.0.0.1:53682/cb";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-rfc-7636-0123456789";

/// A public client on somebody's machine, and its person's browser.
pub(crate) struct App<'a> {
    stack: &'a Stack,
    control: Anon,
    pub(crate) client_id: String,
    cookies: Vec<String>,
    scope: String,
}

impl<'a> App<'a> {
    /// `portcullis clients installation create --public`, and a sign-in of the first administrator.
    async fn start(stack: &'a Stack) -> Self {
        let (email, password) = administrator(stack);
        let mut app = Self::create(stack, "memory:read");
        app.sign_in(&email, &password).await.expect(303);
        app
    }

    /// A client that asks for these scopes; nobody is signed in.
    pub(crate) fn create(stack: &'a Stack, scope: &str) -> Self {
        Self::create_with(stack, scope, &[])
    }

    /// The same with further options.
    pub(crate) fn create_with(stack: &'a Stack, scope: &str, options: &[&str]) -> Self {
        let own = [
            "--public",
            "--redirect-uri",
            "http://127.0.0.1/cb",
            "--scopes",
            "memory:read,memory:write,admin",
        ];
        let created = stack
            .client("Notes", &[&own[..], options].concat())
            .expect("a client");
        assert_eq!(created.get("client_secret"), None, "a public client has none");
        Self {
            stack,
            control: stack.anon_at_control(),
            client_id: created["client_id"].as_str().expect("an id").to_owned(),
            cookies: Vec::new(),
            scope: scope.to_owned(),
        }
    }

    /// The same client in another browser.
    pub(crate) fn elsewhere(&self) -> Self {
        Self {
            stack: self.stack,
            control: self.stack.anon_at_control(),
            client_id: self.client_id.clone(),
            cookies: Vec::new(),
            scope: self.scope.clone(),
        }
    }

    /// The answer to a sign-in in this browser.
    pub(crate) async fn sign_in(&mut self, email: &str, password: &str) -> Response {
        let page = self
            .browse(Request::get("/login?return_to=%2Faccount"))
            .await
            .expect(200);
        let form = [
            ("csrf", &*hidden(&page, "csrf")),
            ("return_to", "/account"),
            ("email", email),
            ("password", password),
        ];
        self.browse(post("/login", &form)).await
    }

    /// A form of one of our own pages, with its token.
    pub(crate) async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let shown = self.browse(Request::get(page)).await.expect(200);
        let token = hidden(&shown, "csrf");
        let mut form = vec![("csrf", token.as_str())];
        form.extend_from_slice(fields);
        self.browse(post(path, &form)).await
    }

    /// Types a device's code and answers the question that comes.
    pub(crate) async fn answer_device(&mut self, code: &str, decision: &str) {
        let asked = self
            .submit("/device", "/device", &[("user_code", code)])
            .await
            .expect(200);
        let fields = ["csrf", "user_code", "scopes", "identity"].map(|name| (name, hidden(&asked, name)));
        let mut form: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        form.push(("decision", decision));
        self.browse(post("/device", &form)).await.expect(200);
    }

    pub(crate) async fn browse(&mut self, request: Request) -> Response {
        let request = if self.cookies.is_empty() {
            request
        } else {
            request.header("cookie", self.cookies.join("; "))
        };
        let answer = self.control.send(request).await;
        for (name, value) in &answer.headers {
            if name.eq_ignore_ascii_case("set-cookie") {
                let pair = value.split(';').next().expect("a pair").to_owned();
                let (name, secret) = pair.split_once('=').expect("a pair");
                if !secret.is_empty() {
                    self.stack.secrets.saw(secret);
                }
                let prefix = format!("{name}=");
                self.cookies.retain(|cookie| !cookie.starts_with(&prefix));
                self.cookies.push(pair);
            }
        }
        answer
    }

    /// Through the consent page, if it comes, to the code.
    pub(crate) async fn code(&mut self) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(sha256(VERIFIER.as_bytes()));
        let target = format!(
            "/authorize?response_type=code&client_id={}&redirect_uri={}&scope=openid+{}&state=s&code_challenge={challenge}\
             &code_challenge_method=S256",
            self.client_id,
            REDIRECT.replace(':', "%3A").replace('/', "%2F"),
            self.scope.replace(':', "%3A").replace(' ', "+"),
        );
        let mut answer = self.browse(Request::get(&target)).await;
        if answer.status == 200 {
            let fields = ["csrf", "query", "scopes", "identity"].map(|name| (name, hidden(&answer, name)));
            let mut form: Vec<_> = fields
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            form.push(("decision", "allow"));
            answer = self.browse(post("/authorize", &form)).await;
        }
        let answer = answer.expect(303);
        let location = answer.header("location").expect("a location");
        let query = location
            .strip_prefix(REDIRECT)
            .expect("the port that was asked for");
        let code = query
            .trim_start_matches('?')
            .split('&')
            .find_map(|pair| pair.strip_prefix("code="));
        let code = code.expect("a code").to_owned();
        self.stack.secrets.saw(&code);
        code
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut form = vec![("client_id", self.client_id.as_str())];
        form.extend_from_slice(fields);
        self.control.send(post(path, &form)).await
    }

    pub(crate) async fn exchange(&self, code: &str) -> Response {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", REDIRECT),
        ];
        self.post("/token", &fields).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Response {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post("/token", &fields).await
    }

    /// The access and the refresh token of an answer.
    pub(crate) fn tokens(&self, answer: Response) -> (String, String) {
        let body = answer.expect(200).json();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 3600);
        let text = |name: &str| body[name].as_str().expect(name).to_owned();
        assert!(text("refresh_token").starts_with("ref_"));
        for name in ["access_token", "refresh_token", "id_token"] {
            self.stack.secrets.saw(&text(name));
        }
        (text("access_token"), text("refresh_token"))
    }
}

/// The address and the password of the first administrator.
pub(crate) fn administrator(stack: &Stack) -> (String, String) {
    let bootstrap = stack.control.bootstrap().expect("the first start's secrets");
    let email = bootstrap.get("admin_email").unwrap_or("admin@localhost");
    let password = bootstrap.get("admin_password").expect("a password");
    (email.to_owned(), password.to_owned())
}

/// `POST` of a form whose values may hold anything.
pub(crate) fn post(path: &str, pairs: &[(&str, &str)]) -> Request {
    let escape = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect::<String>()
    };
    let escaped: Vec<_> = pairs.iter().map(|(name, value)| (*name, escape(value))).collect();
    let pairs: Vec<_> = escaped
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Request::new("POST", path).form(&pairs)
}

/// The value of a hidden field of a page.
pub(crate) fn hidden(page: &Response, name: &str) -> String {
    let text = page.text();
    let (_, rest) = text
        .split_once(&format!(r#"name="{name}" value=""#))
        .unwrap_or_else(|| panic!("no {name} in {text}"));
    rest.split('"').next().expect("an end").replace("&#38;", "&")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_s_token_works_until_its_refresh_token_is_revoked() {
    let stack = Stack::start().await;
    let mut app = App::start(&stack).await;
    let code = app.code().await;
    let (access, refresh) = app.tokens(app.exchange(&code).await);
    assert_eq!(part(&access, 0)["typ"], "at+jwt");
    stack.caller(&access).get(PATH).await.expect(200);
    let seen = crate::support::only_seen(&stack);
    assert!(seen.headers["x-portcullis-subject"].starts_with("usr_"));
    assert_eq!(seen.headers["x-portcullis-scopes"], "memory:read");
    stack.caller(&access).post(PATH, "x").await.expect(403);
    let (second, refresh) = app.tokens(app.refresh(&refresh).await);
    for token in [&access, &second] {
        stack.caller(token).get(PATH).await.expect(200);
    }
    // The answer comes when it is true: the very next request of either is refused.
    let answer = app.post("/revoke", &[("token", &refresh)]).await.expect(200);
    assert_eq!(
        (answer.text().as_str(), answer.header("content-type")),
        ("", None)
    );
    for token in [&access, &second] {
        assert_invalid_token(&stack.caller(token).get(PATH).await, "after /revoke");
    }
    app.refresh(&refresh).await.expect(400);
    // Another grant of the same person goes on, and needs no consent again.
    let code = app.code().await;
    let (access, _) = app.tokens(app.exchange(&code).await);
    stack.caller(&access).get(PATH).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_comes_twice_kills_at_the_edge() {
    let stack = Stack::start().await;
    let mut app = App::start(&stack).await;
    let code = app.code().await;
    let (access, refresh) = app.tokens(app.exchange(&code).await);
    stack.caller(&access).get(PATH).await.expect(200);
    let answer = app.exchange(&code).await.expect(400);
    assert_eq!(answer.json()["error"], "invalid_grant");
    assert_invalid_token(&stack.caller(&access).get(PATH).await, "after the second use");
    app.refresh(&refresh).await.expect(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reused_refresh_token_kills_at_the_edge() {
    let stack = Stack::start().await;
    let mut app = App::start(&stack).await;
    let code = app.code().await;
    let (_, first) = app.tokens(app.exchange(&code).await);
    let (_, second) = app.tokens(app.refresh(&first).await);
    let (access, _) = app.tokens(app.refresh(&second).await);
    stack.caller(&access).get(PATH).await.expect(200);
    app.refresh(&first).await.expect(400);
    assert_invalid_token(&stack.caller(&access).get(PATH).await, "after the reuse");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_s_own_token_dies_at_the_edge_when_it_is_revoked() {
    let stack = Stack::start().await;
    let client = crate::jwt::Client::create(&stack, "memory:read");
    let (token, other) = (client.token(&stack).await, client.token(&stack).await);
    stack.caller(&token).get(PATH).await.expect(200);
    let form = [
        ("client_id", &*client.id),
        ("client_secret", &*client.secret),
        ("token", &*token),
    ];
    let request = post("/revoke", &form);
    stack.anon_at_control().send(request).await.expect(200);
    assert_invalid_token(&stack.caller(&token).get(PATH).await, "after /revoke");
    stack.caller(&other).get(PATH).await.expect(200);
}

/// An outside library drives the whole flow, as a public and as a confidential client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth4webapi_is_content() {
    let stack = Stack::start().await;
    for kind in ["--public", "--refresh-grace=30"] {
        let created = stack
            .client(
                "Library",
                &[
                    kind,
                    "--device",
                    "--redirect-uri",
                    REDIRECT,
                    "--scopes",
                    "memory:read",
                ],
            )
            .expect("a client");
        let secret = created["client_secret"].as_str().unwrap_or_default();
        let id = created["client_id"].as_str().expect("an id");
        drive_library(&stack, &[("CLIENT_ID", id), ("CLIENT_SECRET", secret)]).await;
    }
}

/// The same library as a client that nobody registered: it registers itself, or has a document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth4webapi_makes_itself_known() {
    let stack = Stack::start().await;
    for (how, method, algorithm) in [
        ("register", "none", ""),
        ("register", "client_secret_basic", ""),
        ("register", "private_key_jwt", "RS256"),
        ("document", "none", ""),
        ("document", "private_key_jwt", "PS256"),
        ("document", "private_key_jwt", "ES256"),
        ("document", "private_key_jwt", "Ed25519"),
    ] {
        drive_library(&stack, &[("HOW", how), ("METHOD", method), ("ALG", algorithm)]).await;
    }
}

async fn drive_library(stack: &Stack, variables: &[(&str, &str)]) {
    let bootstrap = stack.control.bootstrap().expect("the first start's secrets");
    let root = e2e::files::root();
    let done = tokio::process::Command::new(root.join("node_modules/.bin/node"))
        .arg(root.join("tests/clients/oauth4webapi.mjs"))
        .env("ISSUER", stack.control.url())
        .env("EDGE", stack.edge_url())
        .env("REDIRECT", REDIRECT)
        .env("EMAIL", bootstrap.get("admin_email").unwrap_or("admin@localhost"))
        .env("PASSWORD", bootstrap.get("admin_password").expect("a password"))
        .envs(variables.iter().copied())
        .output()
        .await
        .expect("node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        done.status.success() && text(&done.stdout).ends_with("all good\n"),
        "{variables:?}: {}{}",
        text(&done.stdout),
        text(&done.stderr)
    );
}
