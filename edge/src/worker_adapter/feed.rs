//! Reading the hub: when, how often, and who waits for it (DESIGN §4, "In an isolate").
//!
//! No code runs between requests, so reads ride on requests. All but those of strict routes share one latch, a start time
//! that lapses: a request that is cancelled in the middle holds nobody up. Waiters sleep on their own timers and look
//! again. The age of the state counts from the moment at which a read *started*.

use shared::feed::Refusal;
use worker::{Context, Env, console_error};

use super::account::Account;
use super::config::EdgeConfig;
use super::http::{self, now};
use super::isolate::{self, Caught, Cause, Latch};

/// How long a request waits for a refresh that another one has started.
const WAIT_MS: u64 = 2500;
const NAP_MS: u32 = 5;
/// Answers in a row that one read may take to catch up. Each holds up to 24 MiB.
const MAX_ROUNDS: usize = 8;

/// Makes sure that there is something to decide with: the first requests of an isolate wait for the hub, and if it does
/// not answer, for the copy in KV.
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
    context.wait_until(async move {
        if let Ok(config) = EdgeConfig::of_isolate(&env) {
            let _ = read(&env, &config, Cause::Refresh).await;
        }
        isolate::with(|isolate| isolate.release_latch(start));
    });
}

/// Refreshes and waits for it, or waits for the refresh that is running. Whether the hub was heard.
pub(super) async fn refresh_first(env: &Env, config: &EdgeConfig, cause: Cause) -> bool {
    let arrived = now();
    let before = isolate::with(|isolate| isolate.contact_at()).flatten();
    loop {
        match isolate::with(|isolate| isolate.take_latch(now())) {
            Some(Latch::Taken(start)) => {
                let heard = read(env, config, cause).await.is_ok();
                isolate::with(|isolate| isolate.release_latch(start));
                return heard;
            }
            Some(Latch::InFlight) if now().since(arrived) < WAIT_MS => http::pause(NAP_MS).await,
            Some(Latch::InFlight | Latch::TooSoon) | None => {
                return isolate::with(|isolate| isolate.contact_at()).flatten() > before;
            }
        }
        if isolate::with(|isolate| isolate.contact_at()).flatten() > before {
            return true;
        }
    }
}

/// A read of this request's own, started now. `Err` if it did not leave the isolate as new as the hub.
pub(super) async fn read(env: &Env, config: &EdgeConfig, cause: Cause) -> Result<(), ()> {
    let mut from_scratch = false;
    for _ in 0..MAX_ROUNDS {
        let started = now();
        let head = isolate::with(|isolate| {
            isolate.count_read(cause);
            isolate.head()
        });
        let (epoch, after) = match head {
            Some(Some(head)) if !from_scratch => (head.epoch, head.seq),
            Some(_) => (0, 0),
            None => return Err(()),
        };
        let answer = match http::ask_hub(env, &format!("/state?epoch={epoch}&after={after}"), None).await {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => {
                console_error!("the hub answered {}", answer.status);
                return Err(());
            }
            Err(error) => {
                console_error!("the hub did not answer: {}", http::describe(&error));
                return Err(());
            }
        };
        let Ok(account) = serde_json::from_str::<Account>(&answer.account) else {
            return Err(());
        };
        if account.incompatible {
            console_error!("the hub met an entry that it does not know, and has stopped");
            isolate::with(|isolate| isolate.account = account);
            return Err(());
        }
        match isolate::with(|isolate| isolate.take_answer(&config.trust, &answer.body, account, started)) {
            Some(Ok(Caught::Up)) => return Ok(()),
            Some(Ok(Caught::Behind)) => {}
            // Frames that do not fit may still be bridged by a snapshot.
            Some(Err(Refusal::Gap | Refusal::BadCertificate)) if !from_scratch => from_scratch = true,
            Some(Err(refusal)) => {
                console_error!("an answer of the hub is refused: {}", refusal);
                return Err(());
            }
            None => return Err(()),
        }
    }
    Err(())
}
