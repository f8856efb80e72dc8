//! Limits: how many requests a key or client may make in a window, without asking anybody each time. Pure and synchronous.
//!
//! A region keeps the count of each window on disk and gives isolates *batches* out of it ([`batch`]); an isolate lets requests in
//! from its batch ([`Allowances`]) and asks for another when it is used up. The request that finds it empty waits for the answer.
//!
//! How exact that is, for a limit of N in one region:
//!
//! - never more than N in a window: what is given out is counted before it is used;
//! - fewer than N only by what isolates were given and did not use. A batch is at most a sixteenth of what is left, so with k
//!   isolates that is less than (k − 1) · N / 16, and nothing while one isolate serves the caller. Below N = 16 a batch is one
//!   request, and the limit is exact with any number of isolates.
//!
//! Each region counts by itself: a caller who spreads over r regions gets r · N. While its region does not answer, an isolate
//! admits up to N by itself: a limit is no reason to be down.

pub mod brake;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use shared::policy::limits::CompiledLimit;
use shared::time::UnixMillis;

use crate::validator::{Kind, Statement};

/// What part of the rest one batch is at most.
const SHARE: u64 = 16;
/// Callers that one isolate remembers.
const MAX_CALLERS: usize = 20_000;

/// One caller's limit in one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Class and caller.
    pub name: String,
    /// The class alone.
    pub class: String,
    /// How long a window is.
    pub window_ms: u64,
    /// Requests in a window.
    pub limit: u64,
}

impl Quota {
    /// The limit that a route's class sets for whoever makes this statement, if it sets one.
    pub fn of(limit: &CompiledLimit, statement: &Statement) -> Option<Self> {
        let (caller, number) = match &statement.kind {
            Kind::ApiKey { .. } => (format!("key {}", statement.index()?.get()), limit.per_key?),
            // Which client another issuer made it for is its own affair.
            Kind::Foreign { .. } => (
                format!("subject {} {}", statement.org.get(), statement.subject),
                limit.per_client?,
            ),
            Kind::AccessToken { client, .. } => (
                format!("client {} {client}", statement.org.get()),
                limit.per_client?,
            ),
        };
        Some(Self {
            name: format!("{} {caller}", limit.class),
            class: limit.class.to_string(),
            window_ms: limit.window_ms.max(1),
            limit: number,
        })
    }

    /// The number of the window at this moment.
    pub fn window(&self, now: UnixMillis) -> u64 {
        now.0.checked_div(self.window_ms).unwrap_or(0)
    }

    /// Whole seconds until the next window, at least one.
    pub fn resets_in_seconds(&self, now: UnixMillis) -> u64 {
        let gone = now.0.checked_rem(self.window_ms).unwrap_or(0);
        self.window_ms.saturating_sub(gone).div_ceil(1000).max(1)
    }

    /// `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers §3.
    pub fn policy_header(&self) -> String {
        let seconds = self.window_ms.div_ceil(1000);
        format!("\"{}\";q={};w={seconds}", self.class, self.limit)
    }

    /// `RateLimit` of the same draft, §4.
    pub fn header(&self, remaining: u64, now: UnixMillis) -> String {
        format!(
            "\"{}\";r={remaining};t={}",
            self.class,
            self.resets_in_seconds(now)
        )
    }
}

/// What an isolate asks its region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Of the quota.
    pub name: String,
    /// Of the quota.
    pub window_ms: u64,
    /// Of the quota.
    pub limit: u64,
}

/// What the region answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The window, by the region's clock.
    pub window: u64,
    /// Requests that the isolate may let in; 0: none are left.
    pub granted: u64,
    /// What is left at the region after that.
    pub left: u64,
}

/// How many of what is left one isolate gets.
pub fn batch(left: u64) -> u64 {
    left.min(left.checked_div(SHARE).unwrap_or(0).max(1))
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It passes; so many are left, as far as this isolate knows.
    Pass(u64),
    /// None is left in this window.
    Refuse,
    /// Ask the region, then [`Allowances::granted`] or [`Allowances::unanswered`].
    Ask,
}

#[derive(Clone, Copy, Debug, Default)]
struct Allowance {
    window: u64,
    left: u64,
    at_region: u64,
    passed: u64,
    exhausted: bool,
}

/// What one isolate may let in.
#[derive(Debug, Default)]
pub struct Allowances {
    callers: HashMap<String, Allowance>,
}

impl Allowances {
    /// Takes one request out of a caller's batch.
    pub fn take(&mut self, quota: &Quota, now: UnixMillis) -> Taken {
        let window = quota.window(now);
        let Some(allowance) = self.callers.get_mut(&quota.name) else {
            return Taken::Ask;
        };
        if allowance.window != window {
            return Taken::Ask;
        }
        if allowance.left > 0 {
            return allowance.pass();
        }
        if allowance.exhausted {
            return Taken::Refuse;
        }
        Taken::Ask
    }

    /// The region has answered; gives what becomes of the request that asked.
    pub fn granted(&mut self, quota: &Quota, grant: Grant, now: UnixMillis) -> Taken {
        let allowance = self.entry(quota, grant.window, now);
        // Two may have asked at once.
        allowance.left = allowance.left.saturating_add(grant.granted);
        allowance.at_region = grant.left;
        allowance.exhausted = grant.granted == 0;
        if allowance.left == 0 {
            return Taken::Refuse;
        }
        allowance.pass()
    }

    /// The region has not answered: the isolate counts alone.
    pub fn unanswered(&mut self, quota: &Quota, now: UnixMillis) -> Taken {
        let window = quota.window(now);
        let limit = quota.limit;
        let allowance = self.entry(quota, window, now);
        if allowance.passed >= limit {
            return Taken::Refuse;
        }
        // One at a time: the region may be back with the next.
        allowance.left = allowance.left.saturating_add(1);
        allowance.at_region = limit.saturating_sub(allowance.passed).saturating_sub(1);
        allowance.pass()
    }

    /// The allowance of a caller in a window: that of an earlier one is gone.
    fn entry(&mut self, quota: &Quota, window: u64, now: UnixMillis) -> &mut Allowance {
        if self.callers.len() >= MAX_CALLERS && !self.callers.contains_key(&quota.name) {
            let current = quota.window(now);
            self.callers.retain(|_, allowance| allowance.window == current);
            if self.callers.len() >= MAX_CALLERS {
                // Whoever comes again asks again.
                self.callers.clear();
            }
        }
        let allowance = self.callers.entry(quota.name.clone()).or_default();
        if allowance.window != window {
            *allowance = Allowance {
                window,
                ..Allowance::default()
            };
        }
        allowance
    }
}

impl Allowance {
    fn pass(&mut self) -> Taken {
        self.left = self.left.saturating_sub(1);
        self.passed = self.passed.saturating_add(1);
        Taken::Pass(self.left.saturating_add(self.at_region))
    }
}
