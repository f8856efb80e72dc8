//! A whole control plane in a test: temporary SQLite, a clock that the test moves, the real router. No network, no jobs:
//! nothing is published unless the test does it.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use shared::id::{OrgId, SessionId, UserId};
use shared::key::Environment;
use shared::time::UnixMillis;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::app::{App, Parts};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::auth::{Caller, Credential};
use crate::keys::{self, NewKey};
use crate::orgs;
use crate::orgs::bootstrap::{FirstStart, first_start};
use crate::random::Random;
use crate::routes;
use crate::store::Store;
use crate::store::orgs::{NewUser, Role};
use crate::store::sessions::SessionRow;

/// 2026-11-21T23:08:40Z.
pub(crate) const START: UnixMillis = UnixMillis(1_795_302_520_000);

/// A control plane after its first start.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Clock,
    pub(crate) made: FirstStart,
    router: Router,
    _folder: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) raw: String,
}

impl Answer {
    /// Status and `code` of a problem, or an empty code.
    pub(crate) fn outcome(&self) -> (u16, &str) {
        (
            self.status.as_u16(),
            self.body["code"].as_str().unwrap_or_default(),
        )
    }

    /// A string member, which must be there.
    pub(crate) fn text(&self, name: &str) -> String {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .to_owned()
    }
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(None, change).await
    }

    /// The same on a migrated, empty database of either engine, if one is given.
    pub(crate) async fn start_on(store: Option<Store>, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config {
            database_url: format!("sqlite://{}", folder.path().join("test.db").display()),
            master_key_file: Some(folder.path().join("master.key")),
            ..Config::default()
        };
        change(&mut config);
        let clock = Clock::manual(START);
        let random = Random::system();
        let store = match store {
            Some(store) => store,
            None => Store::connect(&config.database_url).await.expect("a database"),
        };
        store.migrate().await.expect("a schema");
        let made = first_start(&store, &config, &clock, &random, true)
            .await
            .expect("a first start");
        let made = made.expect("the database was empty");
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let parts = Parts {
            config,
            store,
            clock: clock.clone(),
            random,
            metrics,
        };
        let app = App::build(parts).await.expect("an application");
        let router = routes::router(Arc::clone(&app));
        Self {
            app,
            clock,
            made,
            router,
            _folder: folder,
        }
    }

    /// Every route.
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// One request with a key and perhaps a JSON body.
    pub(crate) async fn call(&self, method: Method, path: &str, key: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {key}"));
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.send(request.body(body).expect("a request")).await
    }

    /// Any request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            raw: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// One request as the bootstrap administrator.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call(method, path, &self.made.admin_key, body).await
    }

    /// A new key: its id and its text.
    pub(crate) async fn create_key(&self, body: Value) -> (String, String) {
        let answer = self.admin(Method::POST, "/v1/auth/keys", Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        (answer.text("id"), answer.text("key"))
    }
}

/// Waits for what a task in the background does, for ten seconds at most.
pub(crate) async fn eventually(mut check: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if check().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it did not happen");
}

/// A member of the first organisation, and an admin key of theirs if the role allows one, or a reading one.
pub(crate) async fn member(test: &TestApp, number: u64, role: Role) -> (UserId, String) {
    let id = person(test, test.made.org, (number, role), None).await;
    let preset = match role {
        Role::Owner | Role::Admin => "admin",
        Role::Member | Role::Viewer => "read",
    };
    let new = NewKey {
        name: "theirs".to_owned(),
        scopes: keys::scopes_of(Some(preset), None, &test.app.policy().policy).expect("a preset"),
        workspace: None,
        environment: Environment::Live,
        expires_at: None,
        user: None,
    };
    // Made by themselves: what somebody else makes for them is less.
    let caller = caller(test, test.made.org, id).await;
    let issued = keys::create(&test.app, &caller, new, None).await.expect("a key");
    (id, issued.plain.expose().to_owned())
}

/// A member of an organisation: `{number}@example.com`, with a password or without one.
pub(crate) async fn person(
    test: &TestApp,
    org: OrgId,
    (number, role): (u64, Role),
    password_hash: Option<&str>,
) -> UserId {
    let id = UserId::from_u64(number).expect("small");
    let user = NewUser {
        id,
        email: &format!("{number}@example.com"),
        name: "Somebody",
        password_hash,
    };
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_user(&user, now).await.expect("user");
    tx.insert_membership(org, id, role, now)
        .await
        .expect("membership");
    tx.commit().await.expect("commit");
    id
}

/// A session of a quarter of an hour and more that nobody has the cookie of.
pub(crate) fn session(test: &TestApp, number: u64, (org, user): (OrgId, UserId)) -> SessionRow {
    let now = test.clock.now();
    SessionRow {
        digest: shared::crypto::sha256(&number.to_be_bytes()),
        sid: SessionId::from_u64(number).expect("small"),
        user,
        org,
        created_at: now,
        last_seen_at: now,
        auth_time: now,
        expires_at: now.saturating_add(1_000_000),
        user_agent: "curl/8".to_owned(),
        address: "192.0.2.1".to_owned(),
        methods: "pwd".to_owned(),
    }
}

/// A member as their session makes them, without one.
pub(crate) async fn caller(test: &TestApp, org: OrgId, user: UserId) -> Caller {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let membership = tx.membership(org, user).await.expect("asked").expect("a member");
    let policy = test.app.policy();
    Caller {
        org,
        user,
        workspace: None,
        environment: Environment::Live,
        scopes: test
            .app
            .catalogue()
            .expand(orgs::rights(membership.role, &policy.policy)),
        ends_at: None,
        role: membership.role,
        membership_version: membership.version,
        credential: Credential::Session(SessionId::from_u64(user.get()).expect("small")),
        holder: user,
        request_id: String::new(),
    }
}
