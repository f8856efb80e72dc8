//! Reading the region: when, how often, and who waits for it (DESIGN §4, "In an isolate").
//!
//! No code runs between requests, so reads ride on requests. All but those of strict routes share one latch, a start time
//! that lapses: a request that is cancelled in the middle holds nobody up. Waiters sleep on their own timers and look
//! again. The age of the state counts from the moment at which a read *started*, if the region was fresh then.
//!
//! Ordinary reads may share what another isolate of the data centre has read within the last second; a receipt's bound
//! counts that second in. Strict reads, and those for a caller who names a seq, never do.

use shared::feed::Refusal;
use shared::time::UnixMillis;
use worker::{Context, Env, console_error};

use super::config::EdgeConfig;
use super::http::{self, Incoming, now};
use super::isolate::{self, Cause, Latch};
use super::peers::{self, Answer, Peer, READ_MS};
use super::response::OK;
use crate::replication::{Caught, RegionName};

/// How long a request waits for a refresh that another one has started.
const WAIT_MS: u64 = 2500;
const NAP_MS: u32 = 5;
/// Answers in a row that one read may take to catch up. Each holds up to 24 MiB.
const MAX_ROUNDS: usize = 8;
/// DESIGN §9: how long the isolates of a data centre share an answer.
const COLO_TTL_MS: u64 = 1000;

/// Makes sure that the isolate has a region: the first request chooses it.
pub(super) fn choose_region(incoming: &Incoming, config: &EdgeConfig) {
    isolate::with(|isolate| {
        isolate.region(|| config.region_near(&incoming.place).cloned());
    });
}

/// Makes sure that there is something to decide with: the first requests of an isolate wait for the region, and if it
/// does not answer, for the copy in KV.
pub(super) async fn warm_up(env: &Env, config: &EdgeConfig) {
    if isolate::with(|isolate| isolate.is_cold()) != Some(true) {
        return;
    }
    if refresh_first(env, config, Cause::Cold).await || !http::has_kv(env) {
        return;
    }
    if isolate::with(|isolate| isolate.wants_copy(now())) != Some(true) {
        return;
    }
    if let Some(copy) = http::load_from_kv(env).await {
        let taken = isolate::with(|isolate| isolate.take_copy(&config.trust, &copy));
        if let Some(Err(refusal)) = taken {
            console_error!("the copy in KV is refused: {}", refusal);
        }
    }
}

/// Starts the ordinary refresh if it is due. Nobody waits for it.
pub(super) fn refresh_in_background(env: &Env, context: &Context) {
    let latch = isolate::with(|isolate| isolate.is_refresh_due(now()).then(|| isolate.take_latch(now())));
    let Some(Some(Latch::Taken(start))) = latch else {
        return;
    };
    let env = env.clone();
    context.wait_until(async move { refresh(&env, start).await });
}

/// The ordinary refresh, whose latch was taken at `start`.
pub(super) async fn refresh(env: &Env, start: UnixMillis) {
    if let Ok(config) = EdgeConfig::of_isolate(env) {
        let _ = read(env, &config, Cause::Refresh).await;
    }
    isolate::with(|isolate| isolate.release_latch(start));
}

/// Refreshes and waits for it, or waits for the refresh that is running. Whether a fresh region was heard.
pub(super) async fn refresh_first(env: &Env, config: &EdgeConfig, cause: Cause) -> bool {
    let arrived = now();
    let before = isolate::with(|isolate| isolate.contact_at()).flatten();
    loop {
        match isolate::with(|isolate| isolate.take_latch(now())) {
            Some(Latch::Taken(start)) => {
                let heard = read(env, config, cause).await.is_ok();
                isolate::with(|isolate| isolate.release_latch(start));
                return heard && isolate::with(|isolate| isolate.contact_at()).flatten() != before;
            }
            Some(Latch::InFlight) if now().since(arrived) < WAIT_MS => http::pause(NAP_MS).await,
            Some(Latch::InFlight | Latch::TooSoon) | None => {
                return isolate::with(|isolate| isolate.contact_at()).flatten() != before;
            }
        }
        if isolate::with(|isolate| isolate.contact_at()).flatten() != before {
            return true;
        }
    }
}

/// Waits for a refresh that started after `arrived`. It shares the isolate's one refresh per second, and no answer of other
/// isolates. Whether a fresh region was heard.
pub(super) async fn refresh_after(env: &Env, config: &EdgeConfig, arrived: UnixMillis) -> bool {
    while now().since(arrived) < WAIT_MS {
        match isolate::with(|isolate| isolate.take_latch(now())) {
            Some(Latch::Taken(start)) => {
                let heard = read(env, config, Cause::Seq).await.is_ok();
                isolate::with(|isolate| isolate.release_latch(start));
                return heard && isolate::with(|isolate| isolate.contact_at()).flatten() >= Some(arrived);
            }
            Some(Latch::InFlight | Latch::TooSoon) => http::pause(NAP_MS).await,
            None => return false,
        }
        // Somebody else's may have started late enough, unless it was shared.
        let heard = isolate::with(|isolate| isolate.contact_at()).flatten();
        if !config.colo_cache && heard >= Some(arrived) {
            return true;
        }
    }
    false
}

/// A read of this request's own, started now. `Err` if it did not leave the isolate as new as the region; for a strict route
/// also if the region was not fresh itself.
pub(super) async fn read(env: &Env, config: &EdgeConfig, cause: Cause) -> Result<(), ()> {
    let Some(Some(region)) = isolate::with(|isolate| isolate.home().cloned()) else {
        return Err(());
    };
    let mut from_scratch = false;
    for _ in 0..MAX_ROUNDS {
        let started = now();
        let head = isolate::with(|isolate| {
            isolate.count_read(cause);
            isolate.head()
        });
        let head = head.ok_or(())?.filter(|_| !from_scratch);
        let (epoch, after) = head.map_or((0, 0), |head| (head.epoch, head.seq));
        let path = format!("/state?epoch={epoch}&after={after}");
        // Only ours: another deployment of the same account has another feed, or another key.
        let key = format!("{}/{region}{path}", config.trust.feed);
        let shared = config.colo_cache && cause.takes_shared();
        let found = if shared { cached(&key, started).await } else { None };
        let is_new = shared && found.is_none();
        let (answer, started) = match found {
            Some(found) => {
                isolate::with(|isolate| isolate.shared_reads = isolate.shared_reads.saturating_add(1));
                found
            }
            None => (ask(env, config, &region, &path).await?, started),
        };
        let Some(account) = answer.account.clone() else {
            return Err(());
        };
        let (is_fresh, is_incompatible) = (account.contact_age_ms == Some(0), account.incompatible);
        let taken = isolate::with(|isolate| {
            isolate.take_answer(&config.trust, &answer.body, account, started, now())
        });
        if is_incompatible {
            console_error!("the region met an entry that it does not know, and has stopped");
            return Err(());
        }
        match taken {
            Some(Ok(caught)) => {
                if is_new && is_fresh {
                    peers::keep(&key, started, &answer).await;
                }
                match caught {
                    Caught::Behind => {}
                    // Whoever is past a fresh region knows all that it knew.
                    Caught::Up | Caught::Ahead if is_fresh || cause != Cause::Strict => return Ok(()),
                    Caught::Up | Caught::Ahead => return Err(()),
                }
            }
            // Frames that do not fit may still be bridged by a snapshot.
            Some(Err(Refusal::Gap | Refusal::BadCertificate)) if !from_scratch => from_scratch = true,
            Some(Err(refusal)) => {
                console_error!("an answer of the region is refused: {}", refusal);
                return Err(());
            }
            None => return Err(()),
        }
    }
    Err(())
}

async fn ask(env: &Env, config: &EdgeConfig, region: &RegionName, path: &str) -> Result<Answer, ()> {
    match peers::ask_peer(env, config, Peer::Region(region), path, None, READ_MS).await {
        Ok(answer) if answer.status == OK => Ok(answer),
        Ok(answer) => {
            console_error!("the region answered {}", answer.status);
            Err(())
        }
        Err(error) => {
            console_error!("the region did not answer: {}", http::describe(&error));
            Err(())
        }
    }
}

/// What another isolate has read within the last second, with the start of that read. A cache counts in whole seconds, so we
/// look ourselves; and the clock of another machine may be ahead of ours, but never makes anything newer than now.
async fn cached(key: &str, now: UnixMillis) -> Option<(Answer, UnixMillis)> {
    let (started, account, body) = peers::cached(key).await?;
    let answer = Answer {
        status: OK,
        account: Some(account),
        body,
    };
    (now.since(started) < COLO_TTL_MS).then(|| (answer, started.min(now)))
}
