//! Usage at the rim: one call per decision, the keeper of each window, and the sending to the region.
//!
//! The counting is [`crate::usage`]'s. A keeper is a timer inside `waitUntil` of the request that opened its window, because no
//! code runs between requests: it announces the window, closes it when its time is up, and sends what waits. A sending that
//! fails is tried again, by this keeper for some seconds and by every later one.
//!
//! What is not counted: preflights and the gate's own endpoints (but the requests that the verify endpoint is asked about),
//! and canaries.

mod shelf;

pub(super) use shelf::{MAX_BODY, Shelf};

use shared::verdict::Reason;
use worker::{Context, Env, console_error};

use super::config::EdgeConfig;
use super::decide::{Pass, Stop};
use super::http::{self, now};
use super::isolate;
use super::peers::{self, Peer, READ_MS};
use super::response::OK;
use crate::usage::{Outgoing, WINDOW_MS};

/// Where regions and the hub take records.
pub(super) const PATH: &str = "/usage";
/// How often one keeper tries to send, and its first pause between, which doubles.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE_MS: u32 = 500;

/// Counts a decision that is final. `place`: of the caller, as `http` reads it.
pub(super) fn count(decided: &Result<Pass, Stop>, place: &str, env: &Env, context: &Context) {
    let (mark, reason) = match decided {
        Ok(pass) if pass.public => (&pass.mark, Reason::Public),
        Ok(pass) => (&pass.mark, Reason::Allowed),
        Err(stop) => (&stop.mark, stop.reason),
    };
    let mut parts = place.split(' ').skip(1);
    let country = parts.next().unwrap_or_default();
    let opened = isolate::with(|isolate| {
        if !isolate.usage.is_named() {
            isolate
                .usage
                .name(http::random()?, parts.nth(1).unwrap_or_default());
        }
        isolate.usage.count(mark, reason, country, now())
    });
    if let Some(Some(number)) = opened {
        let env = env.clone();
        context.wait_until(async move { keep(number, &env).await });
    }
}

/// One window, from its announcement to its delivery.
pub(super) async fn keep(number: u64, env: &Env) {
    let Ok(config) = EdgeConfig::of_isolate(env) else {
        return;
    };
    send(env, &config, 1).await;
    let window = u32::try_from(WINDOW_MS).unwrap_or(u32::MAX);
    http::pause(window).await;
    let announced = isolate::with(|isolate| isolate.usage.close(number, now())).flatten();
    send(env, &config, ATTEMPTS).await;
    if let Some(next) = announced {
        http::pause(window).await;
        isolate::with(|isolate| isolate.usage.lapse(next, now()));
        send(env, &config, ATTEMPTS).await;
    }
}

/// Sends what waits until nothing does, or so many attempts have failed.
async fn send(env: &Env, config: &EdgeConfig, attempts: u32) {
    let mut pause_ms = FIRST_PAUSE_MS;
    let mut left = attempts;
    while left > 0 {
        match isolate::with(|isolate| isolate.usage.outgoing(now())) {
            None | Some(Outgoing::Nothing) => return,
            Some(Outgoing::InFlight) => {}
            Some(Outgoing::Send { through, body }) => {
                if deliver(env, config, &body).await {
                    isolate::with(|isolate| isolate.usage.delivered(through));
                    continue;
                }
                isolate::with(|isolate| isolate.usage.failed());
            }
        }
        left = left.saturating_sub(1);
        if left > 0 {
            http::pause(pause_ms).await;
            pause_ms = pause_ms.saturating_mul(2);
        }
    }
}

async fn deliver(env: &Env, config: &EdgeConfig, body: &[u8]) -> bool {
    let Some(Some(region)) = isolate::with(|isolate| isolate.home().cloned()) else {
        return false;
    };
    match peers::ask_peer(env, config, Peer::Region(&region), PATH, Some(body), READ_MS).await {
        Ok(answer) if answer.status == OK => true,
        Ok(answer) => {
            console_error!("{} answered {} to usage", region, answer.status);
            false
        }
        Err(error) => {
            console_error!("{} did not take usage: {}", region, http::describe(&error));
            false
        }
    }
}
