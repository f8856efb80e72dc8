//! Every way to revoke that there is, each in three steps: make credentials that it will end, end them, and mend what has to be
//! mended before it can be gone again.

use std::{io, sync::Arc, time::Duration};

use serde_json::{Value, json};
use shared::id::{GrantId, StatusIndex};

use super::{
    Storm, beyond,
    check::{Receipt, Wait},
};
use crate::{
    http::{self, Request, Response},
    person::{self, Person, expect},
};

/// A way to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    DeleteKey,
    Key,
    Grant,
    RevokeToken,
    RevokeRefresh,
    GiveUp,
    GiveUpAtEdge,
    CodeTwice,
    RefreshTwice,
    Client,
    App,
    User,
    Session,
    Org,
    Filter,
    Deactivate,
    LogOut,
    LogOutEverywhere,
}

impl Way {
    /// Those that end one credential.
    pub(super) const SINGLE: [Self; 9] = [
        Self::DeleteKey,
        Self::Key,
        Self::Grant,
        Self::RevokeToken,
        Self::RevokeRefresh,
        Self::GiveUp,
        Self::GiveUpAtEdge,
        Self::CodeTwice,
        Self::RefreshTwice,
    ];
    /// Those that end many.
    pub(super) const MANY: [Self; 9] = [
        Self::Client,
        Self::App,
        Self::User,
        Self::Session,
        Self::Org,
        Self::Filter,
        Self::Deactivate,
        Self::LogOut,
        Self::LogOutEverywhere,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DeleteKey => "DELETE key",
            Self::Key => "target key",
            Self::Grant => "target grant",
            Self::RevokeToken => "/revoke access token",
            Self::RevokeRefresh => "/revoke refresh token",
            Self::GiveUp => "self-revoke",
            Self::GiveUpAtEdge => "self-revoke by the edge",
            Self::CodeTwice => "code reuse",
            Self::RefreshTwice => "refresh reuse",
            Self::Client => "target client, its own",
            Self::App => "target client, people's",
            Self::User => "target user",
            Self::Session => "target session",
            Self::Org => "target org",
            Self::Filter => "filter",
            Self::Deactivate => "deactivate",
            Self::LogOut => "log out",
            Self::LogOutEverywhere => "log out everywhere",
        }
    }

    /// What its caller can wait for: some always wait until it is in force.
    pub(super) fn waits(self) -> &'static [Wait] {
        match self {
            Self::CodeTwice | Self::RefreshTwice | Self::LogOut | Self::LogOutEverywhere => {
                &[Wait::Effective]
            }
            _ => &[Wait::Effective, Wait::Ack, Wait::None],
        }
    }
}

/// Credentials that end together, and what the way calls them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bearers: Vec<String>,
    name: String,
}

/// An organisation of its own, to be revoked as a whole.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) org: String,
    pub(super) person: Person,
    pub(super) email: String,
    pub(super) admin_key: String,
}

/// One revoker: a member of the first organisation, and two clients.
#[derive(Debug)]
pub(super) struct Revoker {
    pub(super) storm: Arc<Storm>,
    pub(super) person: Person,
    pub(super) email: String,
    pub(super) user: String,
    pub(super) app: String,
    pub(super) machine: (String, String),
    pub(super) signed_in: bool,
}

impl Revoker {
    /// Credentials for a way; `size` of them where it ends many.
    pub(super) async fn make(
        &mut self,
        way: Way,
        size: usize,
        number: usize,
        tenant: Option<&mut Tenant>,
    ) -> io::Result<Batch> {
        let by_session = !matches!(
            way,
            Way::DeleteKey | Way::Key | Way::RevokeToken | Way::GiveUp | Way::GiveUpAtEdge
        ) && !matches!(way, Way::Client | Way::Filter | Way::Org);
        if by_session && !self.signed_in {
            self.person.log_in(&self.email, super::PASSWORD).await?;
            self.signed_in = true;
        }
        let admin = self.storm.stack.admin_key.clone();
        let of = |bearers: Vec<String>, name: &str| Batch {
            bearers,
            name: name.to_owned(),
        };
        Ok(match way {
            Way::DeleteKey | Way::Key | Way::GiveUp | Way::GiveUpAtEdge => {
                let (id, key) = self.storm.key(&admin, "single", Some(&self.user)).await?;
                of(vec![key], &id)
            }
            Way::Grant => {
                let code = self.person.code().await?;
                let access = self.person.exchange(&code).await?.access;
                let grant = self.grant_of(&access).await?;
                of(vec![access], &grant)
            }
            Way::RevokeToken => {
                let token = self.storm.machine_token(&self.machine).await?;
                of(vec![token.clone()], &token)
            }
            Way::RevokeRefresh => {
                let code = self.person.code().await?;
                let tokens = self.person.exchange(&code).await?;
                of(vec![tokens.access], &tokens.refresh)
            }
            Way::CodeTwice => {
                let code = self.person.code().await?;
                let tokens = self.person.exchange(&code).await?;
                of(vec![tokens.access], &code)
            }
            Way::RefreshTwice => {
                let code = self.person.code().await?;
                let first = self.person.exchange(&code).await?;
                let second = self.person.refresh(&first.refresh).await?;
                let third = self.person.refresh(&second.refresh).await?;
                of(vec![third.access], &first.refresh)
            }
            Way::Client => {
                let mut tokens = Vec::new();
                for _ in 0..size {
                    tokens.push(self.storm.machine_token(&self.machine).await?);
                }
                of(tokens, &self.machine.0)
            }
            Way::App => of(grants(&mut self.person, size).await?, &self.app),
            Way::Session | Way::LogOut | Way::LogOutEverywhere => {
                let tokens = grants(&mut self.person, size).await?;
                let session = person::claim(&tokens[0], "sid")?;
                of(tokens, &session)
            }
            Way::Filter => {
                let prefix = format!("batch-{number}-");
                let mut keys = Vec::new();
                for _ in 0..size {
                    keys.push(self.storm.key(&admin, &prefix, Some(&self.user)).await?.1);
                }
                of(keys, &prefix)
            }
            Way::User | Way::Deactivate => {
                // A grant first: what is watched closely is of both kinds.
                let mut all = grants(&mut self.person, 1).await?;
                for _ in 1..size {
                    all.push(self.storm.key(&admin, "of a user", Some(&self.user)).await?.1);
                }
                of(all, &self.user)
            }
            Way::Org => {
                let tenant = tenant.ok_or_else(|| beyond("no organisation to revoke"))?;
                tenant.person.log_in(&tenant.email, super::PASSWORD).await?;
                let mut all = grants(&mut tenant.person, 1).await?;
                for _ in 1..size {
                    all.push(self.storm.key(&tenant.admin_key, "of an org", None).await?.1);
                }
                of(all, &tenant.org)
            }
        })
    }

    /// Ends them. The receipt is that of the last answer: of an incomplete one it asks again.
    pub(super) async fn revoke(
        &mut self,
        way: Way,
        wait: Wait,
        batch: &Batch,
        tenant: Option<&Tenant>,
    ) -> io::Result<Option<Receipt>> {
        let admin = &self.storm.stack.admin_key;
        let query = format!("?wait={}", wait.as_str());
        let name = batch.name.as_str();
        let target = |kind: &str| json!({"target": {kind: name}});
        let revocations = |key: &str, body: &Value| {
            Request::new("POST", &format!("/v1/revocations{query}"))
                .bearer(key)
                .json(body)
        };
        let give_up =
            || Request::new("POST", &format!("/v1/auth/self-revoke{query}")).bearer(&batch.bearers[0]);
        let mut host = self.storm.stack.control.address();
        let request = match way {
            Way::DeleteKey => Request::new("DELETE", &format!("/v1/auth/keys/{name}{query}")).bearer(admin),
            Way::Key => revocations(admin, &target("key")),
            Way::Grant => revocations(admin, &target("grant")),
            Way::Client | Way::App => revocations(admin, &target("client")),
            Way::User => revocations(admin, &target("user")),
            Way::Session => revocations(admin, &target("session")),
            Way::Org => {
                let tenant = tenant.ok_or_else(|| beyond("no organisation to revoke"))?;
                revocations(&tenant.admin_key, &target("org"))
            }
            Way::Filter => revocations(admin, &json!({"filter": {"kind": "keys", "name_prefix": name}})),
            Way::Deactivate => {
                Request::new("POST", &format!("/v1/memberships/{name}/deactivate{query}")).bearer(admin)
            }
            Way::GiveUp => give_up(),
            Way::GiveUpAtEdge => {
                host = self.storm.stack.gate(0);
                give_up()
            }
            Way::RevokeToken => {
                let (id, secret) = &self.machine;
                let form = [
                    ("client_id", id.clone()),
                    ("client_secret", secret.clone()),
                    ("token", name.to_owned()),
                    ("wait", wait.as_str().to_owned()),
                ];
                person::post("/revoke", &form)
            }
            Way::RevokeRefresh => {
                let form = [
                    ("client_id", self.app.clone()),
                    ("token", name.to_owned()),
                    ("wait", wait.as_str().to_owned()),
                ];
                person::post("/revoke", &form)
            }
            Way::CodeTwice => self.person.exchange_request(name),
            Way::RefreshTwice => self.person.refresh_request(name),
            Way::LogOut | Way::LogOutEverywhere => return self.log_out(way).await,
        };
        for _ in 0..3 {
            let sent = self.storm.pool.now();
            let answer = http::once(&host, &request).await?;
            let received = self.storm.pool.now();
            let bound = self.storm.pool.bound();
            match way {
                Way::RevokeToken | Way::RevokeRefresh if answer.status == 503 => continue,
                Way::RevokeToken | Way::RevokeRefresh => expect(&answer, 200)?,
                Way::CodeTwice | Way::RefreshTwice => {
                    expect(&answer, 400)?;
                    if received.saturating_sub(sent) >= super::RECEIPT_WAIT {
                        return Ok(None);
                    }
                }
                // The edge has waited long enough, and has ended it itself: no receipt, nothing promised.
                Way::GiveUpAtEdge if answer.status == 202 && answer.json()["status"] == "revoked_at_edge" => {
                    return Ok(None);
                }
                _ => {
                    let receipt = read(&answer, received)?;
                    let is_whole = answer.json()["effective_at"].is_string();
                    if is_whole || wait == Wait::None {
                        return Ok(Some(receipt));
                    }
                    self.storm.count_incomplete();
                    continue;
                }
            }
            return Ok(Some(Receipt {
                received,
                seq: None,
                bound,
            }));
        }
        Ok(None)
    }

    async fn log_out(&mut self, way: Way) -> io::Result<Option<Receipt>> {
        let path = match way {
            Way::LogOut => "/logout",
            _ => "/account/sessions/end-all",
        };
        let sent = self.storm.pool.now();
        let answer = self.person.submit("/account/sessions", path, &[]).await?;
        let received = self.storm.pool.now();
        expect(&answer, 303)?;
        let receipt = Receipt {
            received,
            seq: None,
            bound: self.storm.pool.bound(),
        };
        // Whoever has waited for so long was not told that it is in force.
        Ok((received.saturating_sub(sent) < super::RECEIPT_WAIT).then_some(receipt))
    }

    /// Makes the next round possible.
    pub(super) async fn mend(&mut self, way: Way, tenant: Option<&mut Tenant>) -> io::Result<()> {
        match way {
            Way::User | Way::Session | Way::LogOut | Way::LogOutEverywhere => self.signed_in = false,
            Way::Deactivate => {
                self.signed_in = false;
                // Until that is in force everywhere, what they are given anew may meet a gate that still has them suspended.
                let path = format!("/v1/memberships/{}/resume?wait=effective", self.user);
                let request = Request::new("POST", &path).bearer(&self.storm.stack.admin_key);
                let control = self.storm.stack.control.address();
                expect(&http::once(&control, &request).await?, 200)?;
            }
            Way::Org => {
                let tenant = tenant.ok_or_else(|| beyond("no organisation to revoke"))?;
                tenant.admin_key = self.storm.org_admin(&tenant.org).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The public id of the grant behind an access token: no answer says it, the database does.
    async fn grant_of(&self, access: &str) -> io::Result<String> {
        let claims = person::claims(access).ok_or_else(|| beyond("no claims"))?;
        let entry = &claims["status"]["status_list"];
        let list = entry["uri"].as_str().and_then(|uri| uri.rsplit('/').next());
        let list = list.and_then(|number| number.parse::<u64>().ok());
        let index = list
            .zip(entry["idx"].as_u64())
            .map(|(list, place)| list * StatusIndex::LIST_LENGTH + place)
            .ok_or_else(|| beyond("no status index in a token"))?;
        let sql = format!("SELECT grant_id FROM grant_indexes WHERE idx = {index}");
        let storm = Arc::clone(&self.storm);
        let id = tokio::task::spawn_blocking(move || storm.stack.control.query(&sql)).await??;
        let id = id.parse().ok().and_then(GrantId::from_u64);
        id.map(|id| id.to_string())
            .ok_or_else(|| beyond("no id of a grant"))
    }
}

/// So many access tokens of a person, each of a grant of its own.
pub(super) async fn grants(person: &mut Person, size: usize) -> io::Result<Vec<String>> {
    let mut tokens = Vec::new();
    for _ in 0..size {
        let code = person.code().await?;
        tokens.push(person.exchange(&code).await?.access);
    }
    Ok(tokens)
}

/// The receipt in an answer.
pub(super) fn read(answer: &Response, received: Duration) -> io::Result<Receipt> {
    if !matches!(answer.status, 200 | 202) {
        expect(answer, 200)?;
    }
    let body = answer.json();
    let bound = body["bound_ms"]
        .as_u64()
        .ok_or_else(|| beyond(&format!("a receipt without bound_ms: {body}")))?;
    Ok(Receipt {
        received,
        seq: body["seq"].as_u64(),
        bound: Duration::from_millis(bound),
    })
}
