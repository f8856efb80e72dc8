//! What owners set for their organisation, and the owners of the first one for the installation. The API, the pages and the command
//! line call these functions.
//!
//! | what | who | does |
//! | --- | --- | --- |
//! | how long usage, addresses and details of the audit trail are kept | owners; never longer than the configuration says | `retention` |
//! | the longest life of a key, reminders before its end, whether rotating starts it anew | owners | [`keys`] |
//! | how long signing keys sign; rotating one now | owners of the first organisation | [`signers`] |
//!
//! What it does not: change the scope catalogue, the brand or anything else that the configuration says. Those are shown.

pub mod api;
pub(crate) mod keys;
pub mod page;
pub mod signers;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::id::OrgId;
use shared::time::UnixMillis;
use utoipa::ToSchema;

use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::tag::{IfMatch, Tag};
use crate::http::time::Timestamp;
use crate::keys::{confirm_rights, hold_caller};
use crate::store::Tx;
use crate::store::orgs::Role;
use crate::store::settings::Settings;

pub use keys::remind;
pub use signers::{SignerView, rotate_due, rotate_signer};

/// The furthest that anything can be set to: ten years.
const MOST_DAYS: u64 = 3660;

/// Everything on the page, and in `GET /v1/settings`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub struct SettingsView {
    /// Grows with every change.
    pub version: u64,
    /// How long things are kept.
    pub retention: RetentionView,
    /// What keys must be like.
    pub keys: KeysView,
    /// Scopes of this deployment, in the order of their bits.
    pub scopes: Vec<String>,
    /// Names for sets of them.
    pub presets: std::collections::BTreeMap<String, Vec<String>>,
    /// What every key begins with.
    pub brand: String,
    /// Kinds of keys that are issued here.
    pub environments: Vec<String>,
    /// Keys that sign, and when they are rotated.
    pub signing_keys: Vec<SignerView>,
    /// Days after which signing keys are rotated; `null`: never by themselves.
    pub signing: SigningView,
}

/// How long things are kept, in days. `null`: for good.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = SettingsRetention)]
pub struct RetentionView {
    /// What was set.
    pub set: Days,
    /// What counts: what was set, or the installation's limit if that is shorter.
    pub effective: Days,
    /// The installation's limits.
    pub limits: Days,
}

/// Days of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SettingsDays)]
pub struct Days {
    /// Usage by the hour.
    pub usage_days: Option<u64>,
    /// Network addresses.
    pub address_days: Option<u64>,
    /// Details of the audit trail.
    pub detail_days: Option<u64>,
}

/// What keys must be like.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = SettingsKeys)]
pub struct KeysView {
    /// The longest life of a new key; `null`: without end.
    pub max_days: Option<u64>,
    /// How long before the end its owner is told; `null`: not.
    pub remind_days: Option<u64>,
    /// Whether rotating a key starts its life anew.
    pub rotation_renews: bool,
}

/// Days after which signing keys are rotated.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = SettingsSigning)]
pub struct SigningView {
    /// Whether the caller may change it: an owner of the first organisation.
    pub may_change: bool,
    /// For the key that signs API keys.
    pub api_key_days: Option<u64>,
    /// For the key that signs access tokens.
    pub access_token_days: Option<u64>,
}

/// A value that is set, taken back, or left alone.
pub type Change = Option<Option<u64>>;

/// What is to be different; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SettingsChanges)]
pub struct Changes {
    /// How long usage is kept.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 3660)]
    pub usage_days: Change,
    /// How long network addresses are.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 3660)]
    pub address_days: Change,
    /// How long details of the audit trail are.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 3660)]
    pub detail_days: Change,
    /// The longest life of a key.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 3660)]
    pub key_max_days: Change,
    /// How long before its end the owner of a key is told.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 3660)]
    pub key_remind_days: Change,
    /// Whether rotating a key starts its life anew.
    #[serde(default)]
    pub rotation_renews: Option<bool>,
    /// Days after which the key that signs API keys is rotated. Owners of the first organisation only.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 3660)]
    pub api_key_signer_days: Change,
    /// The same for access tokens.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 3660)]
    pub token_signer_days: Change,
}

/// `null` takes back, absence leaves alone.
fn change<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Change, D::Error> {
    Option::<u64>::deserialize(deserializer).map(Some)
}

/// What the caller's organisation has set. For everybody in it who administers.
pub async fn show(app: &App, caller: &Caller) -> Result<SettingsView, ApiError> {
    audit::reaches_everything(app, caller, "settings")?;
    let mut tx = app.store.begin_read().await?;
    view(&mut tx, app, caller).await
}

async fn view(tx: &mut Tx, app: &App, caller: &Caller) -> Result<SettingsView, ApiError> {
    let own = tx.settings(caller.org.get()).await?;
    let installation = tx.settings(0).await?;
    let runs = runs_installation(tx, caller).await?;
    let policy = app.policy();
    let policy = &policy.policy;
    Ok(SettingsView {
        version: own.version,
        retention: retention(app, &own),
        keys: KeysView {
            max_days: own.key_max_days,
            remind_days: own.key_remind_days,
            rotation_renews: own.renewed_since.is_some(),
        },
        scopes: policy.scopes.all().to_vec(),
        presets: policy.presets.clone(),
        brand: app.config.brand.clone(),
        environments: app.config.environments.iter().map(ToString::to_string).collect(),
        signing_keys: signers::list(app, &installation),
        signing: SigningView {
            may_change: runs,
            api_key_days: installation.api_key_signer_days,
            access_token_days: installation.token_signer_days,
        },
    })
}

/// The version of what can be changed.
pub fn tag(view: &SettingsView) -> Tag {
    Tag::of(&(view.retention.set, view.keys, view.signing))
}

/// The first organisation runs the installation, and its owners set what concerns all.
async fn runs_installation(tx: &mut Tx, caller: &Caller) -> Result<bool, ApiError> {
    Ok(caller.role == Role::Owner && tx.first_org().await? == Some(caller.org))
}

fn retention(app: &App, own: &Settings) -> RetentionView {
    let set = Days {
        usage_days: own.usage_days,
        address_days: own.address_days,
        detail_days: own.detail_days,
    };
    let limits = limits(app);
    RetentionView {
        set,
        limits,
        effective: within(set, limits),
    }
}

/// What the configuration says: nobody keeps anything for longer.
pub(crate) fn limits(app: &App) -> Days {
    let days = |days: u64| (days > 0).then_some(days);
    Days {
        usage_days: Some(app.config.usage.retention_days),
        address_days: days(app.config.retention.address_days),
        detail_days: days(app.config.retention.detail_days),
    }
}

/// The shorter of each.
fn within(set: Days, limits: Days) -> Days {
    let shorter = |set: Option<u64>, limit: Option<u64>| match (set, limit) {
        (Some(set), Some(limit)) => Some(set.min(limit)),
        (set, limit) => set.or(limit),
    };
    Days {
        usage_days: shorter(set.usage_days, limits.usage_days),
        address_days: shorter(set.address_days, limits.address_days),
        detail_days: shorter(set.detail_days, limits.detail_days),
    }
}

/// How long an organisation's things are kept.
pub(crate) async fn kept(tx: &mut Tx, app: &App, org: OrgId) -> Result<Days, ApiError> {
    Ok(retention(app, &tx.settings(org.get()).await?).effective)
}

/// Changes settings of the caller's organisation: owners only.
pub async fn change_settings(
    app: &App,
    caller: &Caller,
    changes: Changes,
    seen: &IfMatch,
) -> Result<SettingsView, ApiError> {
    may_change(app, caller)?;
    check(&changes)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    confirm_rights(&mut tx, caller).await?;
    seen.confirm(&tag(&view(&mut tx, app, caller).await?))?;
    let before = tx.settings(caller.org.get()).await?;
    let mut own = before;
    set(&mut own.usage_days, changes.usage_days);
    set(&mut own.address_days, changes.address_days);
    set(&mut own.detail_days, changes.detail_days);
    set(&mut own.key_max_days, changes.key_max_days);
    set(&mut own.key_remind_days, changes.key_remind_days);
    match changes.rotation_renews {
        Some(true) => own.renewed_since = own.renewed_since.or(Some(now)),
        Some(false) => own.renewed_since = None,
        None => {}
    }
    write(&mut tx, app, caller, Some(caller.org), (&before, &mut own), now).await?;
    if changes.api_key_signer_days.is_some() || changes.token_signer_days.is_some() {
        if !runs_installation(&mut tx, caller).await? {
            let detail = "signing keys are those of all organisations: owners of the first one set this";
            return Err(ApiError::new(Code::ExceedsCaller, detail));
        }
        let before = tx.settings(0).await?;
        let mut installation = before;
        set(&mut installation.api_key_signer_days, changes.api_key_signer_days);
        set(&mut installation.token_signer_days, changes.token_signer_days);
        write(&mut tx, app, caller, None, (&before, &mut installation), now).await?;
    }
    let view = view(&mut tx, app, caller).await?;
    tx.commit().await?;
    Ok(view)
}

pub(crate) fn may_change(app: &App, caller: &Caller) -> Result<(), ApiError> {
    audit::reaches_everything(app, caller, "settings")?;
    if caller.role == Role::Owner {
        return Ok(());
    }
    let detail = "only owners change settings, rotate signing keys and erase people";
    Err(ApiError::new(Code::ExceedsCaller, detail))
}

fn set(field: &mut Option<u64>, change: Change) {
    if let Some(value) = change {
        *field = value;
    }
}

fn check(changes: &Changes) -> Result<(), ApiError> {
    for (field, change, least) in [
        ("usage_days", changes.usage_days, 1),
        ("address_days", changes.address_days, 1),
        ("detail_days", changes.detail_days, 1),
        ("key_max_days", changes.key_max_days, 1),
        ("key_remind_days", changes.key_remind_days, 1),
        // Issuing waits until all edges have the new key: not every hour.
        ("api_key_signer_days", changes.api_key_signer_days, 1),
        ("token_signer_days", changes.token_signer_days, 1),
    ] {
        if let Some(Some(days)) = change
            && !(least..=MOST_DAYS).contains(&days)
        {
            let detail = format!("must be from {least} to {MOST_DAYS} days, or null");
            return Err(ApiError::invalid_field(field, detail));
        }
    }
    Ok(())
}

async fn write(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    org: Option<OrgId>,
    (before, after): (&Settings, &mut Settings),
    now: UnixMillis,
) -> Result<(), ApiError> {
    if before == after {
        return Ok(());
    }
    after.version = before.version.saturating_add(1);
    if !tx.set_settings(org.map_or(0, OrgId::get), after, now).await? {
        let detail = "the settings were changed during this request; nothing was done, try again";
        return Err(ApiError::new(Code::RightsChanged, detail));
    }
    let event = Event {
        org,
        actor: &caller.actor(),
        action: "settings.change",
        target: org.map_or_else(|| "installation".to_owned(), |org| org.to_string()),
        detail: json!({ "from": words(before), "to": words(after) }),
    };
    Ok(audit::record(tx, &app.random, &event, now).await?)
}

fn words(settings: &Settings) -> Value {
    json!({
        "usage_days": settings.usage_days,
        "address_days": settings.address_days,
        "detail_days": settings.detail_days,
        "key_max_days": settings.key_max_days,
        "key_remind_days": settings.key_remind_days,
        "rotation_renews": settings.renewed_since.is_some(),
        "api_key_signer_days": settings.api_key_signer_days,
        "token_signer_days": settings.token_signer_days,
    })
}

/// A time of a key as people see it.
pub(crate) fn shown(at: Option<UnixMillis>) -> Option<Timestamp> {
    at.map(Timestamp::from)
}
