//! All credentials that match: counted first, revoked in one transaction, told in few entries, one receipt, one audit row.
//!
//! Conditions are joined by *and*. One that a kind does not have excludes the kind: a grant has no name, a key no client. That
//! the use of an API key is not known here makes `last_used_before` one of grants. The calling key is never among what
//! matches, and the answer says so: revoke it by its id.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::crypto::sha256;
use shared::id::{ClientId, KeyId, UserId, WorkspaceId};
use shared::key::Environment;
use shared::scope::{Catalogue, ScopeSet};
use shared::time::UnixMillis;

use super::one::Request;
use super::rules;
use super::write::{self, Record, RevocationReceipt, Scope, live_at, live_grants_at};
use super::{Cause, Why};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::time::parse_rfc3339;
use crate::keys::{confirm_rights, hold_caller};
use crate::store::Tx;
use crate::store::orgs::Role;
use crate::store::revocations::{Counts, GrantsWhere, KeysWhere};

/// The most that one revocation ends; in tests small enough to be passed.
const MOST: u64 = if cfg!(test) { 25 } else { 100_000 };

/// The member `filter` of a request.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RevocationFilter)]
pub(super) struct FilterBody {
    /// Which credentials; both kinds, if absent.
    kind: Option<Kind>,
    /// Made before this time.
    #[schema(format = "date-time")]
    created_before: Option<String>,
    /// Made after this time.
    #[schema(format = "date-time")]
    created_after: Option<String>,
    /// Grants that were not used since.
    #[schema(format = "date-time")]
    last_used_before: Option<String>,
    /// Keys whose name begins like this.
    name_prefix: Option<String>,
    /// Keys for this kind of environment.
    #[schema(value_type = Option<crate::keys::json::EnvironmentWord>)]
    environment: Option<Environment>,
    /// Those that have this scope, or one that implies it.
    scope: Option<String>,
    /// Those that act for this member: `usr_…`.
    user: Option<String>,
    /// Grants of this client.
    client: Option<String>,
    /// Keys for this workspace, or `all`.
    workspace: Option<String>,
}

/// Which credentials a filter is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CredentialKind)]
pub(super) enum Kind {
    /// API keys.
    Keys,
    /// What people let apps do, and tokens for identity assertions.
    Grants,
    /// Both.
    #[default]
    All,
}

/// What it says, read. As JSON it is one text per meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Filter {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_before: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_after: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_before: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// An id, or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = FilterRevoked)]
pub(super) enum Answer {
    /// What would be revoked; or that there is nothing, and never was.
    Counted {
        /// Whether nothing was done because of that.
        dry_run: bool,
        /// How many match.
        matched: Counts,
        /// What matches too, and would stay.
        #[serde(flatten)]
        left_out: LeftOut,
    },
    /// What was revoked, now or by the same filter before.
    Done {
        /// The receipt.
        #[serde(flatten)]
        receipt: Box<RevocationReceipt>,
        /// The conditions.
        #[schema(value_type = Object)]
        filter: Value,
        /// What matches too, and stays.
        #[serde(flatten)]
        left_out: LeftOut,
    },
}

/// What matches, and is not revoked.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RevocationLeftOut)]
pub(super) struct LeftOut {
    /// The calling key.
    #[schema(value_type = Option<String>)]
    left_out: Option<KeyId>,
    /// How many credentials of owners: by a filter, only an owner revokes those.
    owners_left_out: u64,
}

fn invalid(name: &str, detail: impl Into<String>) -> ApiError {
    ApiError::invalid_field(&format!("filter.{name}"), detail)
}

impl Filter {
    /// Reads a filter; one without a condition is refused.
    pub(super) fn read(body: FilterBody) -> Result<Self, ApiError> {
        let time = |name: &str, text: Option<String>| {
            let expected = || invalid(name, "must be an RFC 3339 time such as 2030-01-31T12:00:00Z");
            text.map(|text| {
                parse_rfc3339(&text)
                    .map(shared::time::UnixSeconds::millis)
                    .ok_or_else(expected)
            })
            .transpose()
        };
        let workspace = body.workspace.map(|text| {
            let known = text == "all" || text.parse::<WorkspaceId>().is_ok();
            known
                .then_some(text)
                .ok_or_else(|| invalid("workspace", "must be `all` or an id such as ws_000000001"))
        });
        let user = body.user.map(|text| {
            text.parse()
                .map_err(|_| invalid("user", "must be an id such as usr_000000001"))
        });
        let filter = Self {
            kind: body.kind.unwrap_or_default(),
            created_before: time("created_before", body.created_before)?,
            created_after: time("created_after", body.created_after)?,
            last_used_before: time("last_used_before", body.last_used_before)?,
            // Compared without regard to case.
            name_prefix: body.name_prefix.map(|prefix| prefix.to_lowercase()),
            environment: body.environment,
            scope: body.scope,
            user: user.transpose()?,
            client: body.client,
            workspace: workspace.transpose()?,
        };
        filter.check()?;
        Ok(filter)
    }

    fn check(&self) -> Result<(), ApiError> {
        if self.name_prefix.as_deref() == Some("") {
            return Err(invalid(
                "name_prefix",
                "every name begins with nothing: leave it out",
            ));
        }
        let of_keys = [
            ("name_prefix", self.name_prefix.is_some()),
            ("environment", self.environment.is_some()),
            ("workspace", self.workspace.is_some()),
        ];
        let of_grants = [
            ("client", self.client.is_some()),
            ("last_used_before", self.last_used_before.is_some()),
        ];
        let of_both = [
            self.created_before.is_some(),
            self.created_after.is_some(),
            self.scope.is_some(),
            self.user.is_some(),
        ];
        let given =
            |list: &[(&'static str, bool)]| list.iter().find(|(_, given)| *given).map(|(name, _)| *name);
        match (self.kind, given(&of_keys), given(&of_grants)) {
            (Kind::Grants, Some(name), _) => Err(invalid(name, "grants have none: it is for `kind: keys`")),
            (Kind::Keys, _, Some("client")) => {
                Err(invalid("client", "keys have none: it is for `kind: grants`"))
            }
            (Kind::Keys, _, Some(name)) => Err(invalid(
                name,
                "when an API key was used last is not known here: it is for `kind: grants`",
            )),
            (Kind::All, Some(one), Some(other)) => Err(invalid(
                one,
                format!("no credential has both this and {other}: nothing would match"),
            )),
            (_, None, None) if !of_both.contains(&true) => {
                let detail = "name at least one condition, or revoke the organisation";
                Err(ApiError::new(Code::InvalidField, detail).field("filter"))
            }
            _ => Ok(()),
        }
    }

    /// The kinds that can match at all.
    fn has_keys(&self) -> bool {
        self.kind != Kind::Grants && self.client.is_none() && self.last_used_before.is_none()
    }

    fn has_grants(&self) -> bool {
        let of_keys = self.name_prefix.is_some() || self.environment.is_some() || self.workspace.is_some();
        self.kind != Kind::Keys && !of_keys
    }
}

/// The single scopes that are this one or imply it; an unknown one is refused.
fn implying(name: &str, catalogue: &Catalogue) -> Result<ScopeSet, ApiError> {
    let wanted = catalogue
        .parse([name])
        .map_err(|unknown| invalid("scope", unknown.to_string()))?;
    let single = catalogue
        .all()
        .iter()
        .filter_map(|name| catalogue.parse([name]).ok());
    Ok(single
        .filter(|scope| catalogue.expand(*scope).contains(wanted))
        .fold(ScopeSet::EMPTY, ScopeSet::union))
}

struct Matching {
    keys: Option<KeysWhere>,
    grants: Option<GrantsWhere>,
}

impl Matching {
    /// `None`: a client that the organisation cannot know.
    async fn find(
        tx: &mut Tx,
        app: &App,
        caller: &Caller,
        filter: &Filter,
        now: UnixMillis,
    ) -> Result<Self, ApiError> {
        let scopes = match &filter.scope {
            Some(name) => implying(name, app.catalogue())?,
            None => ScopeSet::EMPTY,
        };
        let mut client = None;
        if let Some(name) = &filter.client {
            let found = match name.parse::<ClientId>() {
                Ok(id) => tx.client(id).await?,
                Err(_) => tx.client_by_identifier(name).await?,
            };
            let known = found.filter(|client| !client.is_of_another(caller.org));
            client = Some(known.ok_or_else(|| ApiError::not_found("client"))?.id);
        }
        let keys = filter.has_keys().then(|| KeysWhere {
            user: filter.user,
            environment: filter.environment,
            workspace: filter.workspace.as_deref().and_then(|text| text.parse().ok()),
            all_workspaces: filter.workspace.as_deref() == Some("all"),
            name_prefix: filter.name_prefix.clone(),
            created_before: filter.created_before,
            created_after: filter.created_after,
            scopes,
            except: caller.credential.api_key(),
            spares_owners: caller.role != Role::Owner,
            ..KeysWhere::in_reach(caller.reach(), live_at(now))
        });
        let grants = filter.has_grants().then(|| GrantsWhere {
            user: filter.user,
            client,
            created_before: filter.created_before,
            created_after: filter.created_after,
            last_used_before: filter.last_used_before,
            scopes,
            spares_owners: caller.role != Role::Owner,
            ..GrantsWhere::of(Some(caller.org), live_grants_at(app, now))
        });
        Ok(Self { keys, grants })
    }

    async fn count(&self, tx: &mut Tx) -> Result<Counts, ApiError> {
        let mut counts = Counts::default();
        if let Some(keys) = &self.keys {
            counts.keys = tx.count_keys_where(keys).await?;
        }
        if let Some(grants) = &self.grants {
            counts.grants = tx.count_grants_where(grants).await?;
            counts.tokens = tx.count_tokens_where(grants).await?;
        }
        Ok(counts)
    }

    /// What would match but for who asks: the calling key, and credentials of owners.
    async fn left_out(&self, tx: &mut Tx, matched: Counts) -> Result<LeftOut, ApiError> {
        let with_owners = Self {
            keys: self.keys.clone().map(|keys| KeysWhere {
                spares_owners: false,
                ..keys
            }),
            grants: self.grants.clone().map(|grants| GrantsWhere {
                spares_owners: false,
                ..grants
            }),
        };
        let with_owners = with_owners.count(tx).await?;
        let mut left_out = None;
        if let Some(keys) = &self.keys {
            let with_caller = KeysWhere {
                except: None,
                spares_owners: false,
                ..keys.clone()
            };
            let more = tx.count_keys_where(&with_caller).await? > with_owners.keys;
            left_out = keys.except.filter(|_| more);
        }
        Ok(LeftOut {
            left_out,
            owners_left_out: with_owners.sum().saturating_sub(matched.sum()),
        })
    }
}

fn too_many(matched: Counts) -> ApiError {
    let detail = format!(
        "{} credentials match, and at most {MOST} are revoked at once: narrow the filter, or revoke the organisation",
        matched.sum()
    );
    ApiError::new(Code::TooManyMatches, detail).with("matched", json!(matched))
}

/// Revokes all that match, or counts them.
pub(super) async fn revoke(
    app: &App,
    caller: &Caller,
    filter: Filter,
    dry_run: bool,
    request: Request<'_>,
) -> Result<Answer, ApiError> {
    if filter.has_grants() {
        rules::may_administer(app, caller)?;
    }
    // 1. Counted, before anything is held.
    let mut tx = app.store.begin_read().await?;
    let matching = Matching::find(&mut tx, app, caller, &filter, app.clock.now()).await?;
    let matched = matching.count(&mut tx).await?;
    let left_out = matching.left_out(&mut tx, matched).await?;
    drop(tx);
    if dry_run {
        return Ok(Answer::Counted {
            dry_run,
            matched,
            left_out,
        });
    }
    if matched.sum() > MOST {
        return Err(too_many(matched));
    }
    // 2. Locks, in the order of those who issue.
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, app.clock.now()).await?;
    if let Some(keys) = &matching.keys {
        tx.hold_keys_where(keys).await?;
    }
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let now = app.clock.now();
    let matching = Matching::find(&mut tx, app, caller, &filter, now).await?;
    let matched = matching.count(&mut tx).await?;
    if matched.sum() > MOST {
        return Err(too_many(matched));
    }
    // 3. The end of them all; or the receipt of the last time.
    let filter = serde_json::to_value(&filter).map_err(ApiError::internal)?;
    let subject = subject(caller, &filter);
    let row = if matched.sum() == 0 {
        let before = tx.last_revocation(&subject).await?;
        drop(tx);
        let Some(before) = before else {
            return Ok(Answer::Counted {
                dry_run,
                matched,
                left_out,
            });
        };
        before
    } else {
        let actor = caller.actor();
        let record = Record {
            org: Some(caller.org),
            subject,
            filter: Some(filter.clone()),
            action: "credentials.revoke",
            target: caller.org.to_string(),
            why: Why {
                reason: request.reason,
                cause: Cause::Asked,
                comment: request.comment,
                actor: &actor,
            },
        };
        let scope = Scope {
            keys: matching.keys,
            grants: matching.grants,
            ..Scope::default()
        };
        let row = write::write(&mut tx, app, scope, record, now).await?;
        tx.commit().await?;
        write::announce(app, row.counts);
        row
    };
    let receipt = write::receipt(app, row.id.to_string(), row, request.wait).await?;
    Ok(Answer::Done {
        receipt: Box::new(receipt),
        filter,
        left_out,
    })
}

/// One text per filter and reach: the same filter of a caller who reaches less, or spares owners, is another.
fn subject(caller: &Caller, filter: &Value) -> String {
    let reach = caller.reach();
    let spared = if caller.role == Role::Owner {
        ""
    } else {
        "spares owners "
    };
    let text = format!("{spared}{:?} {} {filter}", reach.workspace, reach.environment);
    let digest = shared::crypto::base64url(&sha256(text.as_bytes()));
    format!("{}/where/{digest}", caller.org)
}
