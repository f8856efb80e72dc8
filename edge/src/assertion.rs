//! Assertions that were made a moment ago, so that a request that comes again and again costs the gate one signature in
//! half a minute.
//!
//! Pure: the adapter signs. Bounded: a full memory forgets all that is too old to be used again, and if that is nothing,
//! everything.

use std::collections::HashMap;
use std::sync::Arc;

use shared::assertion::{self, Claims, LIFETIME_SECONDS, REUSE_SECONDS};
use shared::dpop;
use shared::time::UnixSeconds;

/// Requests of callers that are remembered at most; each takes about a kilobyte.
const LIMIT: usize = 4096;

/// What an assertion depends on: all that it says but the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Where the request goes.
    pub to: Destination,
    /// Who acts.
    pub subject: String,
    /// Their organisation.
    pub org: String,
    /// `ws_…`, or `all`.
    pub workspace: String,
    /// The effective scopes.
    pub scope: String,
    /// The credential's public id.
    pub credential: String,
}

/// A request as its origin gets it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    audience: String,
    method: String,
    path_hash: String,
}

impl Destination {
    /// Of a request for this canonical path that goes to `upstream`, a base URL, which may have a path of its own. `None`: nothing
    /// can be said for such an upstream.
    pub fn of(upstream: &str, method: &str, path: &str) -> Option<Self> {
        let (_, rest) = upstream.split_once("://")?;
        let base = rest
            .split_once('/')
            .map_or("", |(_, base)| base.trim_end_matches('/'));
        let path_hash = if base.is_empty() {
            assertion::path_hash(path)
        } else {
            assertion::path_hash(&format!("/{base}{path}"))
        };
        Some(Self {
            audience: dpop::origin(upstream)?,
            method: method.to_owned(),
            path_hash: path_hash?,
        })
    }
}

impl Caller {
    /// What a gate with this resource identifier says of it now.
    pub fn claims(&self, issuer: &str, now: UnixSeconds) -> Claims {
        Claims {
            iss: issuer.to_owned(),
            aud: self.to.audience.clone(),
            sub: self.subject.clone(),
            org: self.org.clone(),
            workspace: self.workspace.clone(),
            scope: self.scope.clone(),
            credential: self.credential.clone(),
            htm: Some(self.to.method.clone()),
            htp: Some(self.to.path_hash.clone()),
            iat: now,
            exp: now.saturating_add(LIFETIME_SECONDS),
        }
    }
}

/// Assertions by caller.
#[derive(Debug, Default)]
pub struct Assertions {
    made: HashMap<Caller, (UnixSeconds, Arc<str>)>,
}

impl Assertions {
    /// One that may be used again.
    pub fn find(&self, caller: &Caller, now: UnixSeconds) -> Option<Arc<str>> {
        let (at, text) = self.made.get(caller)?;
        is_young(*at, now).then(|| Arc::clone(text))
    }

    /// Remembers one that was made now.
    pub fn remember(&mut self, caller: Caller, text: Arc<str>, now: UnixSeconds) {
        if self.made.len() >= LIMIT {
            self.made.retain(|_, (at, _)| is_young(*at, now));
        }
        if self.made.len() >= LIMIT {
            self.made.clear();
        }
        self.made.insert(caller, (now, text));
    }
}

/// A clock that jumped back makes nothing young.
fn is_young(at: UnixSeconds, now: UnixSeconds) -> bool {
    at <= now && now.0.saturating_sub(at.0) < REUSE_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_795_219_200);

    fn caller(credential: usize) -> Caller {
        Caller {
            to: Destination::of("https://origin.example.com", "GET", "/x").unwrap(),
            subject: "usr_1".into(),
            org: "org_1".into(),
            workspace: "all".into(),
            scope: "memory:read".into(),
            credential: format!("key_{credential}"),
        }
    }

    #[test]
    fn one_is_used_for_half_a_minute_by_the_same_caller_only() {
        let mut assertions = Assertions::default();
        assertions.remember(caller(1), "a".into(), NOW);
        let find = |caller: &Caller, now: u64| assertions.find(caller, UnixSeconds(now));
        assert_eq!(find(&caller(1), NOW.0 + 29).as_deref(), Some("a"));
        assert_eq!(find(&caller(1), NOW.0 + 30), None);
        assert_eq!(find(&caller(1), NOW.0 - 1), None, "the clock jumped back");
        assert_eq!(find(&caller(2), NOW.0), None);
        let narrower = Caller {
            scope: String::new(),
            ..caller(1)
        };
        assert_eq!(find(&narrower, NOW.0), None, "a ceiling came down");
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut assertions = Assertions::default();
        for number in 0..LIMIT {
            assertions.remember(caller(number), "a".into(), NOW);
        }
        let later = NOW.saturating_add(REUSE_SECONDS);
        assertions.remember(caller(0), "b".into(), later);
        assert_eq!(assertions.made.len(), 1, "what is old goes first");
        for number in 0..3 * LIMIT {
            assertions.remember(caller(number), "c".into(), later);
        }
        assert!(assertions.made.len() <= LIMIT);
    }
}
