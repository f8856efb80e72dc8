//! Issuing a key: one transaction that holds the caller, dates the key, draws its index, signs it and records it.

use serde_json::json;
use shared::id::{KeyId, OrgId, SigningKeyId, UserId, WorkspaceId};
use shared::key::{self, BuildError, Environment, PlainKey, Statement};
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};

use super::rules::{self, Grant};
use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::{Caller, Credential};
use crate::http::idempotency::{self, Idempotency};
use crate::orgs;
use crate::settings;
use crate::signing::{self, Purpose};
use crate::store::Tx;
use crate::store::keys::ApiKey;
use crate::store::orgs::{IssueSubjects, Role};

/// The operation's name in the idempotency table.
const OPERATION: &str = "api_key.create";

/// What a new key should be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: ScopeSet,
    /// One workspace, or all.
    pub workspace: Option<WorkspaceId>,
    /// Which kind of environment it is for.
    pub environment: Environment,
    /// When it ends; never, if absent.
    pub expires_at: Option<UnixSeconds>,
    /// Whom it acts for; the caller, if absent.
    pub user: Option<UserId>,
}

/// A key that was just made. The only moment at which its text is known.
#[derive(Debug)]
pub struct Issued {
    /// To be shown once.
    pub plain: PlainKey,
    /// What is kept.
    pub key: ApiKey,
}

/// Makes a key for the caller or for a member of its organisation.
pub async fn create(
    app: &App,
    caller: &Caller,
    new: NewKey,
    idempotency: Option<Idempotency>,
) -> Result<Issued, ApiError> {
    create_from(app, caller, new, idempotency, None).await
}

/// The same, to take over from another key in somebody else's hands.
pub(super) async fn create_from(
    app: &App,
    caller: &Caller,
    new: NewKey,
    idempotency: Option<Idempotency>,
    reissued_from: Option<KeyId>,
) -> Result<Issued, ApiError> {
    let now = app.clock.now();
    let name = rules::name(&new.name)?;
    let grant = Grant {
        workspace: new.workspace,
        environment: new.environment,
        scopes: new.scopes,
        expires_at: rules::expiry(new.expires_at, now.seconds())?,
    };
    if !app.config.environments.contains(&grant.environment) {
        let detail = "this deployment does not issue keys for that environment";
        return Err(ApiError::invalid_field("environment", detail));
    }
    rules::may_grant(caller, &grant)?;
    let user = new.user.unwrap_or(caller.user);
    if user != caller.user && !matches!(caller.role, Role::Owner | Role::Admin) {
        let detail = "only owners and admins make keys for other members";
        return Err(ApiError::new(Code::ExceedsCaller, detail).field("user"));
    }

    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    settings::keys::check_expiry(&mut tx, caller.org, grant.expires_at, now.seconds()).await?;
    let drawn = draw(&mut tx, app, caller.org, now).await?;
    claim(&mut tx, caller, OPERATION, idempotency, drawn.id, now).await?;
    let subjects = IssueSubjects {
        org: caller.org,
        workspace: grant.workspace,
        user: Some(user),
    };
    let issued_at = tx.issue_time(subjects, now.seconds()).await?;
    confirm_rights(&mut tx, caller).await?;
    confirm_owner(&mut tx, app, caller, user, &grant).await?;
    if let Some(workspace) = grant.workspace
        && !tx.has_workspace(caller.org, workspace).await?
    {
        return Err(ApiError::invalid_field(
            "workspace",
            "there is no such workspace; use its id, or `all`",
        ));
    }
    let draft = Draft {
        org: caller.org,
        user,
        grant,
        issued_at,
        drawn,
    };
    let (plain, masked) = draft.build(app)?;
    let key = draft.row(name, masked, caller.holder.to_string(), now);
    tx.insert_key(&key).await?;
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "api_key.create",
        target: key.id.to_string(),
        detail: json!({
            "name": key.name,
            "scopes": app.catalogue().names(key.scopes),
            "workspace": key.workspace,
            "environment": key.environment,
            "user": key.user,
            "expires_at": key.expires_at,
            "reissued_from": reissued_from,
        }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    metrics::counter!("portcullis_api_keys_created_total").increment(1);
    Ok(Issued { plain, key })
}

/// A key whose index is drawn and whose rights are confirmed.
pub(super) struct Draft {
    pub(super) org: OrgId,
    pub(super) user: UserId,
    pub(super) grant: Grant,
    pub(super) issued_at: UnixSeconds,
    pub(super) drawn: Drawn,
}

/// A status index and the key that signs for it.
#[derive(Clone)]
pub(super) struct Drawn {
    pub(super) id: KeyId,
    pub(super) signer: std::sync::Arc<signing::SigningKey>,
}

impl Drawn {
    fn signing_key(&self) -> SigningKeyId {
        self.signer.id
    }
}

/// Draws an index from a block that the edge knows, so that the key works at once.
pub(super) async fn draw(tx: &mut Tx, app: &App, org: OrgId, now: UnixMillis) -> Result<Drawn, ApiError> {
    let (signing_key, index) =
        signing::draw_index(tx, Purpose::ApiKey, &org.into(), None, &app.random, now).await?;
    let signer = app.keyring.key(tx, signing_key).await?;
    Ok(Drawn {
        id: KeyId::from(index),
        signer,
    })
}

impl Draft {
    /// The key's text and what lists show of it.
    pub(super) fn build(&self, app: &App) -> Result<(PlainKey, String), ApiError> {
        let statement = Statement {
            signing_key: self.drawn.signing_key(),
            index: self.drawn.id.into(),
            org: self.org,
            user: self.user,
            workspace: self.grant.workspace,
            scopes: self.grant.scopes,
            issued_at: self.issued_at,
            expires_at: self.grant.expires_at,
            nonce: app.random.bytes().map_err(ApiError::internal)?,
        };
        let sign = |message: &[u8]| self.drawn.signer.sign_ed25519(message);
        match key::build(&app.config.brand, self.grant.environment, &statement, sign) {
            Ok(plain) => {
                let masked = plain.masked();
                Ok((plain, masked))
            }
            Err(BuildError::Signer(error)) => Err(error.into()),
            Err(BuildError::Times) => Err(ApiError::invalid_field(
                "expires_at",
                "must be after the time of issue",
            )),
            Err(error) => Err(ApiError::internal(anyhow::anyhow!(
                "a key could not be built: {error}"
            ))),
        }
    }

    /// The row of a first key; a successor changes the line. Who made it is who gets its text,
    /// and not whoever a borrowed key acts for.
    pub(super) fn row(&self, name: String, masked: String, created_by: String, now: UnixMillis) -> ApiKey {
        ApiKey {
            id: self.drawn.id,
            org: self.org,
            user: self.user,
            workspace: self.grant.workspace,
            name,
            environment: self.grant.environment,
            scopes: self.grant.scopes,
            masked,
            signing_key: self.drawn.signing_key(),
            issued_at: self.issued_at,
            expires_at: self.grant.expires_at,
            not_after: None,
            family: self.drawn.id,
            rotated_from: None,
            rotated_to: None,
            created_by,
            created_at: now,
            revoked: None,
            quarantine: None,
        }
    }
}

/// Holds the calling credential until the commit: whoever revokes it waits for us, or we see that it is dead.
pub(crate) async fn hold_caller(tx: &mut Tx, caller: &Caller, now: UnixMillis) -> Result<(), ApiError> {
    let key = match caller.credential {
        Credential::ApiKey(key) => key,
        // Grants are held after memberships: `confirm_rights` does.
        Credential::AccessToken { .. } => return Ok(()),
        // A session needs no lock: what is issued does not hang on it, and its member is held before the commit.
        Credential::Session(sid) => {
            return match tx.session_ended_at(sid).await? {
                None => Ok(()),
                Some(_) => Err(ApiError::new(
                    Code::InvalidToken,
                    "the session has ended; sign in again",
                )),
            };
        }
    };
    if tx.hold_key(key, now).await? {
        return Ok(());
    }
    if tx.key(key).await?.is_some_and(|key| key.quarantine.is_some()) {
        return Err(quarantined());
    }
    Err(ApiError::new(
        Code::InvalidToken,
        "the calling key was revoked or ended during this request",
    ))
}

/// A key in quarantine gives nothing out: whatever it made would be free of its ceiling.
pub(super) fn quarantined() -> ApiError {
    ApiError::new(
        Code::KeyQuarantined,
        "the key is in quarantine; release it first, or revoke it",
    )
}

/// An access token's consent is held like a calling key: whoever ends it waits for us, or we see that it is over.
async fn hold_grant(tx: &mut Tx, caller: &Caller) -> Result<(), ApiError> {
    let Credential::AccessToken { grant } = caller.credential else {
        return Ok(());
    };
    if tx.hold_grant_of_caller(grant).await? {
        return Ok(());
    }
    let detail = "the sign-in that the token came from ended during this request";
    Err(ApiError::new(Code::InvalidToken, detail))
}

/// The caller's membership must be the one that the request was judged by. Its row is held by `issue_time` or here.
pub(crate) async fn confirm_rights(tx: &mut Tx, caller: &Caller) -> Result<(), ApiError> {
    let version = tx.hold_membership(caller.org, caller.user).await?;
    if version == Some(caller.membership_version) {
        return hold_grant(tx, caller).await;
    }
    let detail = "the caller's rights changed during this request; nothing was done, try again";
    Err(ApiError::new(Code::RightsChanged, detail))
}

/// Whoever owns the key must be a member with at least these rights.
async fn confirm_owner(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    user: UserId,
    grant: &Grant,
) -> Result<(), ApiError> {
    let no_member = || ApiError::invalid_field("user", "there is no such active member; use the id of one");
    let member = tx
        .membership(caller.org, user)
        .await?
        .filter(|member| member.alive)
        .ok_or_else(no_member)?;
    may_act_for(caller, member.role)?;
    let ceiling = app
        .catalogue()
        .expand(orgs::rights(member.role, &app.policy().policy));
    if ceiling.contains(app.catalogue().expand(grant.scopes)) {
        return Ok(());
    }
    let detail = format!(
        "the role `{}` of the key's user does not allow these scopes",
        member.role.as_str()
    );
    Err(ApiError::new(Code::ExceedsCaller, detail).field("scopes"))
}

/// A key has the role of its user: nobody but an owner is shown the text of an owner's key, new or rotated.
pub(super) fn may_act_for(caller: &Caller, user: Role) -> Result<(), ApiError> {
    if user != Role::Owner || caller.role == Role::Owner {
        return Ok(());
    }
    let detail = "only an owner makes, rotates or re-issues a key that acts for an owner";
    Err(ApiError::new(Code::ExceedsCaller, detail).field("user"))
}

/// Claims the Idempotency-Key for a key. One that was made before is shown to nobody a second time.
pub(super) async fn claim(
    tx: &mut Tx,
    caller: &Caller,
    operation: &'static str,
    idempotency: Option<Idempotency>,
    id: KeyId,
    now: UnixMillis,
) -> Result<(), ApiError> {
    let who = (caller.org, caller.user);
    let before = idempotency::claim(tx, who, operation, idempotency, id.get(), now).await?;
    let Some(made) = before else {
        return Ok(());
    };
    let made = KeyId::from_u64(made)
        .ok_or_else(|| ApiError::internal(anyhow::anyhow!("idempotency row without a key")))?;
    let detail =
        "this request was answered before; a key is shown only once: rotate it if the answer was lost";
    Err(idempotency::shown_once(&made, detail))
}
