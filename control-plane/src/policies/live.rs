//! The policy that this process goes by. It changes while requests run: each takes what is in force when it asks.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use shared::policy::{CompiledPolicy, Policy};
use shared::scope::Catalogue;

use crate::app::App;
use crate::audit::Actor;
use crate::config::Config;
use crate::revocation::{self, Cause};
use crate::signing::SigningError;
use crate::store::{StoreError, Tx};

/// What is in force here.
#[derive(Debug)]
pub struct Live {
    current: RwLock<(u64, Arc<CompiledPolicy>)>,
    catalogues: Grown,
    /// A version that this release cannot read: said once.
    unreadable: AtomicU64,
}

/// A catalogue, and the one that it grew into. Each has more names than the one before, of which there are at most 64: so all are
/// kept, and can be lent.
#[derive(Debug)]
struct Grown {
    catalogue: Catalogue,
    next: OnceLock<Box<Self>>,
}

impl Grown {
    fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            next: OnceLock::new(),
        }
    }

    fn last(&self) -> &Self {
        let mut last = self;
        while let Some(next) = last.next.get() {
            last = next;
        }
        last
    }

    /// Any other than a longer one changes nothing: places in a catalogue are for ever.
    fn grow(&self, catalogue: &Catalogue) {
        loop {
            let last = self.last();
            let grows = catalogue.all().len() > last.catalogue.all().len()
                && catalogue.all().starts_with(last.catalogue.all());
            if !grows || last.next.set(Box::new(Self::new(catalogue.clone()))).is_ok() {
                return;
            }
        }
    }
}

impl Live {
    /// What is in force when the process starts.
    pub async fn load(tx: &mut Tx, config: &Config) -> anyhow::Result<Self> {
        let state = tx.feed_state().await?;
        let version = state.as_ref().map_or(0, |state| state.policy_version);
        let published = state.map(|state| state.policy).unwrap_or_default();
        let policy = in_force(config, &published)?;
        revocation::check_policy(tx, &policy).await?;
        Ok(Self {
            catalogues: Grown::new(policy.catalogue().clone()),
            current: RwLock::new((u64::try_from(version).unwrap_or(0), Arc::new(policy))),
            unreadable: AtomicU64::new(0),
        })
    }

    /// The policy.
    pub fn policy(&self) -> Arc<CompiledPolicy> {
        Arc::clone(&self.read().1)
    }

    /// The version that edges know it under, as far as this process has heard.
    pub fn version(&self) -> u64 {
        self.read().0
    }

    /// The scope catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogues.last().catalogue
    }

    /// Goes over to a version, unless it has a later one.
    pub(super) fn set(&self, version: u64, policy: CompiledPolicy) {
        self.catalogues.grow(policy.catalogue());
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if version >= current.0 {
            *current = (version, Arc::new(policy));
        }
        let version = current.0;
        drop(current);
        #[expect(clippy::cast_precision_loss, reason = "a number for a graph")]
        metrics::gauge!("portcullis_policy_version").set(version as f64);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, (u64, Arc<CompiledPolicy>)> {
        // What is behind the lock is replaced whole.
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The policy of the file, or the demo's: what a first start begins with.
pub fn of_configuration(config: &Config) -> anyhow::Result<CompiledPolicy> {
    let policy = match &config.policy_file {
        Some(path) => read_file(path)?,
        None => Policy::demo(&config.resource, &config.issuer),
    };
    anyhow::ensure!(
        policy.resource == config.resource,
        "the policy's resource is {:?}, the configuration's is {:?}: they must be equal, byte for byte",
        policy.resource,
        config.resource
    );
    Ok(policy.compile()?)
}

fn read_file(path: &Path) -> anyhow::Result<Policy> {
    let named = |error: &dyn std::fmt::Display| anyhow::anyhow!("policy file {}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| named(&error))?;
    Policy::from_json(&text).map_err(|error| named(&error))
}

/// The file's, or what edges were told last.
pub(super) fn in_force(config: &Config, published: &[u8]) -> anyhow::Result<CompiledPolicy> {
    if config.policy_file.is_some() || published.is_empty() {
        return of_configuration(config);
    }
    let unreadable =
        |error| anyhow::anyhow!("the route policy in the database is of another release: {error}");
    let policy = Policy::from_json(published).map_err(unreadable)?;
    if is_demo(&policy) {
        return of_configuration(config);
    }
    let policy = Policy {
        resource: config.resource.clone(),
        ..policy
    };
    policy.compile().map_err(unreadable)
}

/// Nobody has changed it: it follows the configuration.
fn is_demo(policy: &Policy) -> bool {
    let own = policy.routes.last().and_then(|route| route.audience.as_deref());
    own.is_some_and(|audience| *policy == Policy::demo(&policy.resource, audience))
}

/// Puts what the configuration says in force, if that is something else than edges were told last.
pub(crate) async fn publish_at_start(app: &App) -> Result<(), SigningError> {
    let mut tx = app.store.begin().await?;
    tx.lock_feed().await?;
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    // Not what was read when the process started: somebody may have changed it since.
    let policy = in_force(&app.config, &state.policy).map_err(|error| {
        tracing::error!(%error, "the route policy cannot be read");
        StoreError::Corrupt("route policy")
    })?;
    let (who, reason) = match &app.config.policy_file {
        Some(_) => ("policy_file", "the file of the configuration"),
        None => ("system", "the configuration says another resource or issuer"),
    };
    let actor = Actor {
        who: who.to_owned(),
        ..Actor::system()
    };
    let cause = Cause::system(&actor, reason);
    let now = app.clock.now();
    let published = revocation::publish_policy(&mut tx, &policy, cause, &app.random, now).await?;
    tx.commit().await?;
    let known = u64::try_from(state.policy_version).unwrap_or(0);
    app.policies.set(published.unwrap_or(known), policy);
    Ok(())
}

/// Goes over to what another instance has put in force. A job. A file is followed by nobody: it is read at the start.
pub async fn follow(app: Arc<App>) -> anyhow::Result<()> {
    if app.config.policy_file.is_some() {
        return Ok(());
    }
    let mut tx = app.store.begin_read().await?;
    let Some(version) = tx.published_policy_version().await? else {
        return Ok(());
    };
    if version <= app.policies.version() {
        return Ok(());
    }
    let Some(state) = tx.feed_state().await? else {
        return Ok(());
    };
    drop(tx);
    match in_force(&app.config, &state.policy) {
        Ok(policy) => {
            let version = u64::try_from(state.policy_version).unwrap_or(version);
            tracing::info!(version, "another instance has put a route policy in force");
            app.policies.set(version, policy);
        }
        Err(error) => {
            // It goes on with what it has; what the edges do is not its decision.
            if app.policies.unreadable.swap(version, Ordering::Relaxed) != version {
                tracing::error!(
                    version,
                    error = format!("{error:#}"),
                    "a route policy was not followed"
                );
            }
        }
    }
    Ok(())
}
