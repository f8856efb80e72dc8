//! Line 4, first half: tokens by client_credentials work at the edge. The forged ones are in `forged`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{Request, Response, Stack};

use crate::{oracle::part, support::only_seen};

const PATH: &str = "/v1/memory/x";

/// An OAuth client made by an operator.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Client {
    /// `portcullis clients installation create`.
    pub(crate) fn create(stack: &Stack, scope: &str) -> Self {
        let created = stack.client("test", &["--scopes", scope]).expect("a client");
        let text = |name: &str| {
            created[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name} in {created}"))
                .to_owned()
        };
        let client = Self {
            id: text("client_id"),
            secret: text("client_secret"),
        };
        stack.secrets.saw(&client.secret);
        client
    }

    /// A token by client_secret_post.
    pub(crate) async fn token(&self, stack: &Stack) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &*self.id),
            ("client_secret", &*self.secret),
        ];
        let answer = stack
            .anon_at_control()
            .send(Request::new("POST", "/token").form(&form))
            .await;
        token_of(stack, &answer)
    }

    /// A token by client_secret_post for a resource (RFC 8707).
    pub(crate) async fn token_for(&self, stack: &Stack, resource: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &*self.id),
            ("client_secret", &*self.secret),
            ("resource", resource),
        ];
        let request = Request::new("POST", "/token").form(&form);
        token_of(stack, &stack.anon_at_control().send(request).await)
    }

    /// A token by client_secret_basic, with a wanted scope.
    async fn token_by_basic(&self, stack: &Stack, scope: &str) -> Response {
        let basic = format!(
            "Basic {}",
            STANDARD.encode(format!("{}:{}", self.id, self.secret))
        );
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        stack
            .anon_at_control()
            .send(
                Request::new("POST", "/token")
                    .header("authorization", basic)
                    .form(&form),
            )
            .await
    }
}

fn token_of(stack: &Stack, answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.all("cache-control").contains("no-store"), "RFC 6749 §5.1");
    let body = answer.json();
    assert_eq!(
        body["token_type"].as_str().unwrap().to_ascii_lowercase(),
        "bearer"
    );
    let token = body["access_token"].as_str().unwrap().to_owned();
    stack.secrets.saw(&token);
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_a_token_and_the_edge_lets_it_in() {
    let stack = Stack::with().gates(2).start().await;
    let client = Client::create(&stack, "memory:read");
    for gate in 0..2 {
        let token = client.token(&stack).await;
        assert_eq!(part(&token, 0)["alg"], "RS256");
        assert_eq!(part(&token, 0)["typ"], "at+jwt");
        assert_eq!(part(&token, 1)["aud"], stack.edge_url());
        let caller = stack.caller_at(gate, &token);
        // New, then seen before.
        caller.get(PATH).await.expect(200);
        caller.get(PATH).await.expect(200);
        caller.post(PATH, "x").await.expect(403);
        caller.get("/admin/x").await.expect(403);
        let seen = stack.origin.take();
        assert_eq!(seen.len(), 2);
        assert_eq!(
            seen[0].headers["x-portcullis-subject"], client.id,
            "the client is its own subject"
        );
        assert_eq!(seen[0].headers["x-portcullis-scopes"], "memory:read");
        assert!(!seen[0].headers.contains_key("authorization"));
    }
    let token = token_of(&stack, &client.token_by_basic(&stack, "memory:read").await);
    stack.caller(&token).get(PATH).await.expect(200);
    only_seen(&stack);
    let too_much = client.token_by_basic(&stack, "admin").await;
    assert_eq!(
        (too_much.status, too_much.json()["error"].as_str()),
        (400, Some("invalid_scope"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_gets_no_token() {
    let stack = Stack::start().await;
    let client = Client::create(&stack, "memory:read");
    let wrong = Client {
        id: client.id.clone(),
        secret: format!("{}x", client.secret),
    };
    let answer = wrong.token_by_basic(&stack, "memory:read").await;
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (401, Some("invalid_client"))
    );
    assert!(
        answer
            .header("www-authenticate")
            .unwrap_or_default()
            .starts_with("Basic"),
        "RFC 6749 §5.2"
    );
    let unknown = Client {
        id: "clt_000000000".to_owned(),
        secret: client.secret,
    };
    assert_eq!(unknown.token_by_basic(&stack, "memory:read").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_s_metadata_leads_to_its_keys() {
    let stack = Stack::start().await;
    let anon = stack.anon_at_control();
    let metadata = anon
        .get("/.well-known/oauth-authorization-server")
        .await
        .expect(200)
        .json();
    assert_eq!(metadata["issuer"], stack.control.url());
    assert_eq!(
        metadata["token_endpoint"],
        format!("{}/token", stack.control.url())
    );
    assert_eq!(
        metadata["jwks_uri"],
        format!("{}/.well-known/jwks.json", stack.control.url())
    );
    let jwks = anon.get("/.well-known/jwks.json").await.expect(200).json();
    let token = Client::create(&stack, "memory:read").token(&stack).await;
    let kid = &part(&token, 0)["kid"];
    let key = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == *kid)
        .expect("the token's key is there");
    assert_eq!(
        (key["kty"].as_str(), key["alg"].as_str(), key["use"].as_str()),
        (Some("RSA"), Some("RS256"), Some("sig"))
    );
    assert!(!jwks.to_string().contains("\"d\""), "public members only");
}
