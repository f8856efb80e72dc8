//! Two organisations with something of every kind.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use serde_json::{Value, json};
use shared::id::{ClientId, GrantId, OrgId, SessionId, UserId};
use shared::scope::ScopeSet;

use super::asked::Ids;
use crate::authority::calls::Call;
use crate::dashboard::tests::ROLES;
use crate::issuers::tests::Served;
use crate::revocation::Reach;
use crate::signing::{self, Purpose};
use crate::store::grants::{Grant, Terms};
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, person, session};

/// An organisation, and its owner's key.
pub(super) struct Side {
    org: OrgId,
    owner: UserId,
    key: String,
}

pub(super) struct World {
    pub(super) test: TestApp,
    pub(super) own: Side,
    other: Side,
    /// What the other organisation has, by kind.
    pub(super) other_ids: Ids,
    /// A key for each role in the first.
    keys: Vec<(Role, String)>,
    idp: Served,
    number: AtomicU64,
}

/// Well-formed ids of nothing.
pub(super) fn made_up(path: &str) -> Ids {
    let mut ids = Ids::from([
        ("user", "usr_zzzzzzzzz".to_owned()),
        ("message", "msg_zzzzzzzzz".to_owned()),
        ("version", "1".to_owned()),
        ("purpose", "api_key".to_owned()),
    ]);
    let prefix = KINDS.iter().find(|(root, ..)| path.starts_with(root));
    if let Some((_, prefix, _)) = prefix {
        ids.insert("id", format!("{prefix}_zzzzzzzzz"));
    }
    ids
}

/// Whose ids are under which path: their prefix, and what they are called here.
const KINDS: [(&str, &str, &str); 9] = [
    ("/v1/auth/keys", "key", "key"),
    ("/v1/revocations", "rev", "revocation"),
    ("/v1/invitations", "inv", "invitation"),
    ("/v1/workspaces", "ws", "workspace"),
    ("/v1/clients", "cli", "client"),
    ("/v1/grants", "grt", "grant"),
    ("/v1/sessions", "ses", "session"),
    ("/v1/issuers", "iss", "issuer_id"),
    ("/v1/webhooks", "whk", "webhook"),
];

impl World {
    pub(super) async fn start() -> Self {
        let test = TestApp::start_with(|config| {
            config.dev = true;
            config.edges = Vec::new();
            config.feed.receipt_wait_ms = 1;
        })
        .await;
        let own = Side {
            org: test.made.org,
            owner: test.made.user,
            key: test.made.admin_key.clone(),
        };
        every_role_may_hold_admin(&test).await;
        let number = AtomicU64::new(1000);
        let other = elsewhere(&test).await;
        let mut world = Self {
            test,
            own,
            other,
            other_ids: Ids::new(),
            keys: Vec::new(),
            idp: Served::start().await,
            number,
        };
        world.other_ids = world.everything(&world.other).await;
        for role in ROLES {
            world.keys.push((role, world.new_caller(role).await));
        }
        world
    }

    fn next(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    async fn post(&self, side: &Side, path: &str, body: Value) -> Answer {
        let answer = self.test.call(Method::POST, path, &side.key, Some(body)).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        answer
    }

    /// A new member.
    async fn member(&self, side: &Side, role: Role) -> UserId {
        person(&self.test, side.org, (self.next(), role), None).await
    }

    /// A key of a member of the caller's organisation: always the same one, unless the call would replace it.
    pub(super) async fn key(&self, role: Role, line: &Call) -> String {
        let known = self.keys.iter().find(|(whose, _)| *whose == role);
        match known {
            Some((_, key)) if !line.1.contains("/self/") => key.clone(),
            _ => self.new_caller(role).await,
        }
    }

    async fn new_caller(&self, role: Role) -> String {
        if role == Role::Owner {
            // A key that somebody else made for an owner is worth an admin's.
            let body = json!({"name": "own", "scope": "admin"});
            return self.post(&self.own, "/v1/auth/keys", body).await.text("key");
        }
        let user = self.member(&self.own, role).await;
        let body = json!({"name": "theirs", "scope": "admin", "user": user});
        self.post(&self.own, "/v1/auth/keys", body).await.text("key")
    }

    /// Something new for a call to act on.
    pub(super) async fn fresh(&self, side: &Side, path: &str) -> Ids {
        let mut ids = made_up(path);
        let name = format!("n{}", self.next());
        ids.insert("issuer", format!("{}/{name}", self.idp.url));
        ids.insert("jwks", format!("{}/keys", self.idp.url));
        ids.insert("name", name);
        ids.insert("key", self.new_key(side).await);
        if path.ends_with("/reissue") {
            ids.insert("colleague", self.member(side, Role::Member).await.to_string());
        }
        if let Some((_, _, kind)) = KINDS.iter().find(|(root, ..)| path.starts_with(root))
            && path.contains("{id}")
        {
            ids.insert("id", self.one(side, kind, &ids.clone()).await);
        }
        if path.contains("{message}") {
            ids.insert("message", self.message(side, &ids["id"]).await);
        }
        if path.starts_with("/v1/service-accounts/") {
            let body = json!({"name": ids["name"], "role": "member"});
            let made = self.post(side, "/v1/service-accounts", body).await;
            ids.insert("user", made.text("user"));
        } else if path.contains("{user}") || path == "/v1/sessions" {
            ids.insert("user", self.member(side, Role::Member).await.to_string());
        }
        if path.ends_with("/erase") {
            let path = format!("/v1/memberships/{}/deactivate", ids["user"]);
            self.post(side, &path, json!({})).await;
        }
        if path.ends_with("/unblock") {
            let path = format!("/v1/issuers/{}/block", ids["id"]);
            self.post(side, &path, json!({"subject": "eve"})).await;
        }
        ids
    }

    async fn new_key(&self, side: &Side) -> String {
        // Of a member: an owner's is for owners to rotate.
        let user = self.member(side, Role::Member).await;
        let body = json!({"name": "made", "scope": "read", "user": user});
        self.post(side, "/v1/auth/keys", body).await.text("id")
    }

    async fn message(&self, side: &Side, webhook: &str) -> String {
        let path = format!("/v1/webhooks/{webhook}/ping");
        self.post(side, &path, json!({})).await.text("message")
    }

    /// The id of something new of a kind.
    async fn one(&self, side: &Side, kind: &str, ids: &Ids) -> String {
        let (path, body, member) = match kind {
            "key" => return ids["key"].clone(),
            "session" => return self.session(side).await.to_string(),
            "grant" => return self.grant(side).await.to_string(),
            "revocation" => {
                // Of a key alone the receipt goes by the key.
                let whose = self.member(side, Role::Member).await;
                let target = json!({"target": {"user": whose}});
                ("/v1/revocations", target, "revocation")
            }
            "invitation" => {
                let body = json!({"email": format!("{}@example.com", ids["name"]), "role": "viewer"});
                ("/v1/invitations", body, "id")
            }
            "workspace" => (
                "/v1/workspaces",
                json!({"name": format!("of {}", ids["name"])}),
                "id",
            ),
            "client" => {
                let body = json!({"name": "App", "kind": "machine", "scope": "read"});
                ("/v1/clients", body, "id")
            }
            "issuer_id" => {
                let body = json!({
                    "issuer": format!("{}/of", ids["issuer"]), "jwks_uri": ids["jwks"],
                    "audiences": ["api"], "scopes": ["memory:read"]
                });
                ("/v1/issuers", body, "id")
            }
            _ => {
                let body = json!({"url": "https://example.com/hooks", "events": ["user.deactivated"]});
                ("/v1/webhooks", body, "id")
            }
        };
        self.post(side, path, body).await.text(member)
    }

    async fn session(&self, side: &Side) -> SessionId {
        let user = self.member(side, Role::Member).await;
        let row = session(&self.test, self.next(), (side.org, user));
        let sid = row.sid;
        let mut tx = self.test.app.store.begin().await.expect("tx");
        tx.insert_session(&row).await.expect("session");
        tx.commit().await.expect("commit");
        sid
    }

    async fn grant(&self, side: &Side) -> GrantId {
        let body = json!({"name": "App", "kind": "machine", "scope": "read"});
        let client: ClientId = self
            .post(side, "/v1/clients", body)
            .await
            .text("id")
            .parse()
            .expect("an id");
        let user = self.member(side, Role::Member).await;
        let (app, now) = (&self.test.app, self.test.clock.now());
        let end = now.seconds().saturating_add(3600);
        let mut tx = app.store.begin().await.expect("tx");
        let reach = Reach::from(side.org);
        let drawn = signing::draw_index(&mut tx, Purpose::AccessToken, &reach, Some(end), &app.random, now);
        let (signing_key, index) = drawn.await.expect("an index");
        let grant = Grant {
            id: GrantId::from_u64(self.next()).expect("small"),
            terms: Terms {
                client,
                user,
                org: side.org,
                scopes: ScopeSet::EMPTY,
                identity: 0,
                resource: app.config.resource.clone(),
                session: None,
                auth_time: now.seconds(),
            },
            issued_at: now.seconds(),
            index,
            signing_key,
            bound_to: None,
            idle_expires: end,
            expires: end,
            created_at: now,
            revoked_at: None,
        };
        tx.insert_grant(&grant).await.expect("a grant");
        tx.commit().await.expect("commit");
        grant.id
    }

    /// One of every kind.
    async fn everything(&self, side: &Side) -> Ids {
        let mut all = self.fresh(side, "/v1/auth/keys").await;
        for (_, _, kind) in KINDS {
            let ids = self.fresh(side, "/v1/auth/keys").await;
            all.insert(kind, self.one(side, kind, &ids).await);
        }
        all.insert("message", self.message(side, &all["webhook"].clone()).await);
        all.insert("user", self.member(side, Role::Member).await.to_string());
        let body = json!({"name": "robot", "role": "member"});
        let robot = self.post(side, "/v1/service-accounts", body).await;
        all.insert("robot", robot.text("user"));
        all.insert("org", side.org.to_string());
        all
    }

    /// The other organisation's, as a path names them. The rest makes sense, so that nothing else is refused.
    pub(super) fn others(&self, path: &str) -> Ids {
        let mut ids = made_up(path);
        for name in ["name", "issuer", "jwks", "message", "user"] {
            ids.insert(name, self.other_ids[name].clone());
        }
        ids.insert("colleague", self.own.owner.to_string());
        if path.starts_with("/v1/service-accounts") {
            ids.insert("user", self.other_ids["robot"].clone());
        }
        if let Some((_, _, kind)) = KINDS.iter().find(|(root, ..)| path.starts_with(root)) {
            ids.insert("id", self.other_ids[kind].clone());
        }
        ids
    }

    /// Whether an answer names anything of the other organisation.
    pub(super) fn shows_another(&self, answer: &Answer) -> bool {
        let of_nobody = ["name", "issuer", "jwks", "version", "purpose"];
        let ids = self
            .other_ids
            .iter()
            .filter(|(kind, id)| !of_nobody.contains(kind) && !id.ends_with("zzzzzzzzz"));
        let mut ids = ids.map(|(_, id)| id);
        ids.any(|id| answer.raw.contains(id.as_str()))
    }

    /// An organisation has few webhooks: those that a call was about go.
    pub(super) async fn clear(&self, side: &Side, path: &str, _: &Ids) {
        if !path.starts_with("/v1/webhooks") {
            return;
        }
        let list = self.test.call(Method::GET, "/v1/webhooks", &side.key, None).await;
        for webhook in list.body["webhooks"].as_array().expect("a list") {
            let path = format!("/v1/webhooks/{}", webhook["id"].as_str().expect("an id"));
            let gone = self.test.call(Method::DELETE, &path, &side.key, None).await;
            assert_eq!(gone.status, 200, "{gone:?}");
        }
    }
}

/// A deployment may let everybody's keys hold every scope. Their roles are what they were.
async fn every_role_may_hold_admin(test: &TestApp) {
    let mut document: Value = serde_json::from_slice(&test.app.policy().policy.to_json()).expect("JSON");
    let presets = document["presets"].as_object_mut().expect("presets");
    for scopes in presets.values_mut() {
        let scopes = scopes.as_array_mut().expect("a list");
        if !scopes.contains(&json!("admin")) {
            scopes.push(json!("admin"));
        }
    }
    let body = json!({"policy": document});
    let request = axum::http::Request::put("/v1/policy?wait=none")
        .header("authorization", format!("Bearer {}", test.made.admin_key))
        .header("content-type", "application/json")
        .header("if-match", "\"1\"");
    let body = axum::body::Body::from(body.to_string());
    let answer = test.send(request.body(body).expect("a request")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Another organisation with an owner.
async fn elsewhere(test: &TestApp) -> Side {
    let org = OrgId::from_u64(900).expect("small");
    let made = test.clock.now().saturating_add(1000);
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.insert_org(org, "Elsewhere", made).await.expect("org");
    tx.commit().await.expect("commit");
    let owner = person(test, org, (901, Role::Owner), None).await;
    let made = crate::revocations::local::admin_key(&test.app, Some(org))
        .await
        .expect("a key");
    Side {
        org,
        owner,
        key: made["admin_key"].as_str().expect("text").to_owned(),
    }
}
