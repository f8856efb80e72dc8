//! Limits at the rim: one call after a request was let in. A class without limits costs nothing.
//!
//! The counting is [`crate::limits`]'s; here is the question to the region, and the headers: `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers), and with a refusal `Retry-After`.

use shared::policy::limits::Failures;
use shared::strict_json;
use shared::verdict::{Outcome, Reason};
use worker::{Context, Env, Result, SqlStorage, SqlStorageValue, console_error};

use super::config::EdgeConfig;
use super::decide::{Pass, Stop};
use super::http::{self, HeaderList, now};
use super::isolate::{self, Isolate};
use super::log;
use super::peers::{self, Peer};
use super::response::OK;
use crate::limits::{Grant, Question, Quota, Taken, batch, brake};
use crate::validator::RequestFacts;

/// Where regions answer.
pub(super) const PATH: &str = "/quota";
/// The most bytes of a question.
pub(super) const MAX_QUESTION: usize = 4096;
/// How long the region may take: somebody's request waits.
const WAIT_MS: u32 = 1500;
/// How often windows that have ended are looked for.
const PRUNE_MS: u64 = 60_000;

/// The same facts, with what is known of the caller's address.
pub(super) fn braked<'a>(facts: RequestFacts<'a>, place: &str) -> RequestFacts<'a> {
    let braked = isolate::with(|isolate| {
        let failures = failures(isolate)?;
        let subscriber = address(place)?;
        Some(isolate.brake.is_on(&subscriber, failures, now()))
    });
    RequestFacts {
        braked: braked.flatten() == Some(true),
        ..facts
    }
}

/// Lets a request in, or not, by the limits of its class; notes bad credentials by address.
pub(super) async fn admit(
    decided: std::result::Result<Pass, Stop>,
    place: &str,
    env: &Env,
    context: &Context,
    config: &EdgeConfig,
) -> std::result::Result<Pass, Stop> {
    match decided {
        Ok(pass) if pass.limit.is_some() => limited(pass, env, config).await,
        Err(stop) if stop.reason.outcome() == Outcome::InvalidToken => {
            note_failure(place, env, context);
            Err(stop)
        }
        Err(mut stop) if stop.reason == Reason::AddressBraked => {
            if let Some(Some(failures)) = isolate::with(|isolate| failures(isolate)) {
                let seconds = brake::resets_in_seconds(failures, now());
                stop.cors.push("retry-after", &seconds.to_string());
            }
            Err(stop)
        }
        other => other,
    }
}

fn failures(isolate: &Isolate) -> Option<Failures> {
    isolate.policy()?.policy.failures_per_address
}

/// The fifth word of a place.
fn address(place: &str) -> Option<String> {
    brake::subscriber(place.split(' ').nth(4)?)
}

/// Another bad credential. Where the platform has a rate limiter (the optional binding `BRAKE`), that counts for the whole data
/// centre, and nobody waits for it.
fn note_failure(place: &str, env: &Env, context: &Context) {
    let noted = isolate::with(|isolate| {
        let failures = failures(isolate)?;
        let subscriber = address(place)?;
        isolate.brake.failed(&subscriber, failures, now());
        Some((subscriber, failures))
    });
    let Some(Some((subscriber, failures))) = noted else {
        return;
    };
    if !peers::has_brake(env) {
        return;
    }
    let env = env.clone();
    context.wait_until(async move {
        if peers::is_over_brake(&env, &subscriber).await {
            isolate::with(|isolate| isolate.brake.pull(&subscriber, failures, now()));
        }
    });
}

async fn limited(mut pass: Pass, env: &Env, config: &EdgeConfig) -> std::result::Result<Pass, Stop> {
    let quota = match (&pass.limit, &pass.mark.statement) {
        (Some(limit), Some(statement)) => Quota::of(limit, statement),
        _ => None,
    };
    let Some(quota) = quota else {
        return Ok(pass);
    };
    let taken = isolate::with(|isolate| isolate.allowances.take(&quota, now()));
    let taken = match taken {
        Some(Taken::Ask) => ask(&quota, env, config).await,
        taken => taken,
    };
    let mut headers = HeaderList::default();
    headers.push("ratelimit-policy", &quota.policy_header());
    if let Some(Taken::Pass(remaining)) = taken {
        headers.push("ratelimit", &quota.header(remaining, now()));
        pass.limits = headers;
        Ok(pass)
    } else {
        headers.push("ratelimit", &quota.header(0, now()));
        headers.push("retry-after", &quota.resets_in_seconds(now()).to_string());
        let mut cors = pass.cors;
        cors.append(&headers);
        Err(Stop {
            reason: Reason::RateLimited,
            scopes: String::new(),
            audience: None,
            mark: pass.mark,
            cors,
        })
    }
}

async fn ask(quota: &Quota, env: &Env, config: &EdgeConfig) -> Option<Taken> {
    let region = isolate::with(|isolate| isolate.home().cloned()).flatten()?;
    let question = Question {
        name: quota.name.clone(),
        window_ms: quota.window_ms,
        limit: quota.limit,
    };
    let body = serde_json::to_vec(&question).unwrap_or_default();
    let asked = peers::ask_peer(env, config, Peer::Region(&region), PATH, Some(&body), WAIT_MS).await;
    let grant: Option<Grant> = match asked {
        Ok(answer) if answer.status == OK => strict_json::read_any(&answer.body).ok(),
        Ok(answer) => {
            console_error!("{} answered {} about a limit", region, answer.status);
            None
        }
        Err(error) => {
            console_error!(
                "{} did not answer about a limit: {}",
                region,
                http::describe(&error)
            );
            None
        }
    };
    isolate::with(|isolate| match grant {
        Some(grant) => isolate.allowances.granted(quota, grant, now()),
        None => isolate.allowances.unanswered(quota, now()),
    })
}

/// The counts of a region: `quota (name -> window, used, ends)`.
#[derive(Debug)]
pub(super) struct Quotas {
    sql: SqlStorage,
    pruned_at: u64,
}

impl Quotas {
    /// Opens the table, and makes it the first time.
    pub(super) fn open(sql: SqlStorage) -> Result<Self> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS quota (name TEXT PRIMARY KEY, number INTEGER NOT NULL, used INTEGER NOT NULL, \
             ends INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS quota_ends ON quota (ends)",
        ] {
            sql.exec(statement, None)?;
        }
        Ok(Self { sql, pruned_at: 0 })
    }

    /// Gives an isolate its next batch. One event, one transaction.
    pub(super) fn grant(&mut self, question: &Question) -> Result<Grant> {
        let now = now();
        let window_ms = question.window_ms.max(1);
        let window = now.0.checked_div(window_ms).unwrap_or(0);
        if now.0.abs_diff(self.pruned_at) > PRUNE_MS {
            self.pruned_at = now.0;
            self.sql
                .exec("DELETE FROM quota WHERE ends < ?", vec![log::integer(now.0)?])?;
        }
        let rows = self.sql.exec(
            "SELECT used FROM quota WHERE name = ? AND number = ?",
            vec![question.name.as_str().into(), log::integer(window)?],
        )?;
        let used = match rows
            .raw()
            .next()
            .transpose()?
            .and_then(|row| row.into_iter().next())
        {
            Some(SqlStorageValue::Integer(used)) => u64::try_from(used).unwrap_or(u64::MAX),
            None => 0,
            Some(_) => return Err("a count that is none".into()),
        };
        let left = question.limit.saturating_sub(used);
        let granted = batch(left);
        let ends = window.saturating_add(1).saturating_mul(window_ms);
        if granted > 0 {
            self.sql.exec(
                "INSERT INTO quota (name, number, used, ends) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET \
                 number = excluded.number, used = excluded.used, ends = excluded.ends",
                vec![
                    question.name.as_str().into(),
                    log::integer(window)?,
                    log::integer(used.saturating_add(granted))?,
                    log::integer(ends)?,
                ],
            )?;
        }
        Ok(Grant {
            window,
            granted,
            left: left.saturating_sub(granted),
        })
    }
}
