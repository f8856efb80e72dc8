//! The policy that a state carries, compiled once per document.

use shared::feed::State;
use shared::policy::{CompiledPolicy, DEFAULT_REFRESH_MS, Policy};

use crate::validator::StatementCache;

/// The compiled policy of the newest document.
#[derive(Debug, Default)]
pub(super) struct PolicyKeeper {
    compiled: Option<CompiledPolicy>,
    /// The longest scope catalogue so far: later ones only append to it.
    catalogue: Vec<String>,
    /// The document that `compiled` was made of, to see a change.
    document: Vec<u8>,
    refused: Option<String>,
}

impl PolicyKeeper {
    /// Compiles the policy if it is another one. One that does not compile leaves none: nothing is let in by a guess.
    pub(super) fn follow(&mut self, state: &State, cache: &mut StatementCache) {
        let Some((version, document)) = state.policy() else {
            return;
        };
        if self.document == document {
            return;
        }
        self.refused = None;
        self.compiled = match Policy::from_feed(document).and_then(Policy::compile) {
            // Scopes in keys are bits of the catalogue: another order would give them another meaning.
            Ok(policy) if !policy.catalogue().all().starts_with(&self.catalogue) => {
                self.refused = Some(format!(
                    "version {version}: its scopes do not continue the ones before"
                ));
                None
            }
            Ok(policy) => {
                self.catalogue = policy.catalogue().all().to_vec();
                Some(policy)
            }
            Err(error) => {
                self.refused = Some(format!("version {version}: {error}"));
                None
            }
        };
        self.document = document.to_vec();
        // Scopes of remembered statements are bits of the old catalogue.
        cache.clear();
    }

    /// The policy, once there is one.
    pub(super) fn compiled(&self) -> Option<&CompiledPolicy> {
        self.compiled.as_ref()
    }

    /// Why the newest document is not in use.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// After how long to ask for news.
    pub(super) fn refresh_ms(&self) -> u64 {
        self.compiled
            .as_ref()
            .map_or(DEFAULT_REFRESH_MS, |policy| policy.policy.refresh_ms)
    }
}
