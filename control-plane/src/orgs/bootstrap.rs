//! The first start: signing keys, an organisation, its owner, a workspace and an admin key, in one transaction.
//!
//! The secrets are shown once: written to `bootstrap_file` (mode 0600) before the commit, so that no crash leaves a
//! database whose admin key nobody has; or given back for the terminal. Without either the first start is refused.

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use shared::id::{KeyId, OrgId, UserId, WorkspaceId};
use shared::key::{self, Environment, PlainKey, Statement};
use shared::scope::{ADMIN, ScopeSet};
use shared::time::UnixMillis;

use super::{SHORT_IDS, password};
use crate::audit::{self, Actor, Event};
use crate::clock::Clock;
use crate::config::Config;
use crate::policies;
use crate::random::{Random, RandomError};
use crate::revocation::incarnation;
use crate::signing::{self, Keyring, Purpose};
use crate::store::keys::ApiKey;
use crate::store::orgs::{IssueSubjects, NewUser, Role};
use crate::store::{Store, Tx};

/// No 0/O, 1/l/I: a password may have to be typed. A power of two, so every character is worth five bits.
const PASSWORD_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const PASSWORD_LENGTH: usize = 26;

/// What the first start made. Holds secrets: no Debug.
#[derive(Serialize)]
pub struct FirstStart {
    /// The admin key's text.
    pub admin_key: String,
    /// Its id.
    pub admin_key_id: KeyId,
    /// The owner's e-mail address.
    pub admin_email: String,
    /// The owner's password.
    pub admin_password: String,
    /// The organisation.
    pub org: OrgId,
    /// The owner.
    pub user: UserId,
    /// The default workspace.
    pub workspace: WorkspaceId,
}

/// Sets up an empty database. `None`: it was set up before.
pub async fn first_start(
    store: &Store,
    config: &Config,
    clock: &Clock,
    random: &Random,
    terminal: bool,
) -> anyhow::Result<Option<FirstStart>> {
    if store.begin_read().await?.incarnation().await?.is_some() {
        return Ok(None);
    }
    anyhow::ensure!(
        terminal || config.bootstrap_file.is_some(),
        "the first start shows secrets once and there is no terminal: set `bootstrap_file` to a path for them"
    );
    let password = random_password(random)?;
    let password_hash = password::hash(SecretString::from(password.clone())).await?;
    let policy = policies::of_configuration(config)?;
    let keyring = Keyring::load(store, config).await?;
    let now = clock.now();

    let mut tx = store.begin().await?;
    let incarnation_path = config.incarnation_path();
    // One that is there is of a first start that came no further, or of a database that is gone.
    let incarnation = match incarnation::read(&incarnation_path)? {
        Some(known) => known,
        None => random.bytes()?,
    };
    if !tx.claim_installation(incarnation, now).await? {
        // Another instance was first and shows them.
        return Ok(None);
    }
    anyhow::ensure!(
        signing::initialise(&mut tx, &keyring, &policy, random, now).await?,
        "the database has signing keys but no installation: it was not made by this program"
    );
    let owner = insert_owner(&mut tx, config, random, &password_hash, now).await?;
    let (plain, admin_key) = issue_admin_key(&mut tx, config, random, &keyring, &owner, now).await?;
    record(&mut tx, random, &owner, &admin_key, now).await?;
    let made = FirstStart {
        admin_key: plain.expose().to_owned(),
        admin_key_id: admin_key.id,
        admin_email: config.bootstrap_email.to_lowercase(),
        admin_password: password,
        org: owner.org,
        user: owner.user,
        workspace: owner.workspace,
    };
    if let Some(path) = &config.bootstrap_file {
        write_file(path, &made).with_context(|| format!("cannot write bootstrap_file {}", path.display()))?;
    }
    // Before the commit too: a database without it does not publish.
    incarnation::write(&incarnation_path, incarnation)?;
    tx.commit().await?;
    Ok(Some(made))
}

struct Owner {
    org: OrgId,
    user: UserId,
    workspace: WorkspaceId,
}

async fn insert_owner(
    tx: &mut Tx,
    config: &Config,
    random: &Random,
    password_hash: &str,
    now: UnixMillis,
) -> anyhow::Result<Owner> {
    let draw = || -> Result<u64, RandomError> { random.below(SHORT_IDS) };
    let owner = Owner {
        org: OrgId::from_u64(draw()?).context("org id")?,
        user: UserId::from_u64(draw()?).context("user id")?,
        workspace: WorkspaceId::from_u64(draw()?).context("workspace id")?,
    };
    let user = NewUser {
        id: owner.user,
        email: &config.bootstrap_email.to_lowercase(),
        name: "Administrator",
        password_hash: Some(password_hash),
    };
    tx.insert_org(owner.org, "Default", now).await?;
    tx.insert_user(&user, now).await?;
    tx.insert_membership(owner.org, owner.user, Role::Owner, now)
        .await?;
    tx.insert_workspace(owner.workspace, owner.org, "default", now)
        .await?;
    Ok(owner)
}

async fn issue_admin_key(
    tx: &mut Tx,
    config: &Config,
    random: &Random,
    keyring: &Keyring,
    owner: &Owner,
    now: UnixMillis,
) -> anyhow::Result<(PlainKey, ApiKey)> {
    let scopes: ScopeSet = policies::of_configuration(config)?.policy.scopes.parse([ADMIN])?;
    // Live reaches the keys of every environment; a deployment without it gets the most that it has.
    let environment = *config.environments.iter().min().unwrap_or(&Environment::Live);
    let subjects = IssueSubjects {
        org: owner.org,
        workspace: None,
        user: Some(owner.user),
    };
    let (signing_key, index) =
        signing::draw_index(tx, Purpose::ApiKey, &owner.org.into(), None, random, now).await?;
    let signer = keyring.key(tx, signing_key).await?;
    let statement = Statement {
        signing_key,
        index,
        org: owner.org,
        user: owner.user,
        workspace: None,
        scopes,
        issued_at: tx.issue_time(subjects, now.seconds()).await?,
        expires_at: None,
        nonce: random.bytes()?,
    };
    let plain = key::build(&config.brand, environment, &statement, |message| {
        signer.sign_ed25519(message)
    })
    .map_err(|error| anyhow::anyhow!("the admin key could not be built: {error:?}"))?;
    let key = ApiKey {
        id: index.into(),
        org: owner.org,
        user: owner.user,
        workspace: None,
        name: "bootstrap admin key".to_owned(),
        environment,
        scopes,
        masked: plain.masked(),
        signing_key,
        issued_at: statement.issued_at,
        expires_at: None,
        not_after: None,
        family: index.into(),
        rotated_from: None,
        rotated_to: None,
        created_by: Actor::system().who,
        created_at: now,
        revoked: None,
        quarantine: None,
    };
    tx.insert_key(&key).await?;
    Ok((plain, key))
}

async fn record(
    tx: &mut Tx,
    random: &Random,
    owner: &Owner,
    key: &ApiKey,
    now: UnixMillis,
) -> anyhow::Result<()> {
    let actor = Actor::system();
    let changes = [
        ("org.create", owner.org.to_string(), json!({"name": "Default"})),
        (
            "user.create",
            owner.user.to_string(),
            json!({"role": Role::Owner}),
        ),
        (
            "workspace.create",
            owner.workspace.to_string(),
            json!({"name": "default"}),
        ),
        (
            "api_key.create",
            key.id.to_string(),
            json!({"name": key.name, "scopes": [ADMIN]}),
        ),
    ];
    for (action, target, detail) in changes {
        let event = Event {
            org: Some(owner.org),
            actor: &actor,
            action,
            target,
            detail,
        };
        audit::record(tx, random, &event, now).await?;
    }
    Ok(())
}

fn random_password(random: &Random) -> Result<String, RandomError> {
    let bytes: [u8; PASSWORD_LENGTH] = random.bytes()?;
    let characters = bytes
        .iter()
        .filter_map(|byte| PASSWORD_ALPHABET.get(usize::from(byte % 32)));
    Ok(characters.map(|byte| char::from(*byte)).collect())
}

/// Written aside and renamed, so that nobody ever reads half of it; never readable by others, not even for a moment.
fn write_file(path: &Path, made: &FirstStart) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(serde_json::to_string_pretty(made)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    Ok(())
}
