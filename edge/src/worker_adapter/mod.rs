//! The Cloudflare Worker: the gate and two kinds of Durable Objects, a thin rim around validator and replication (I6).
//!
//! What it does: reads requests and variables, keeps the feed fresh, forwards, answers. What it does not: decide. The path
//! of one request: `entry.js` → [`fast`], and where that does not do: [`http::Incoming`] → [`decide`] → (a fresher state from
//! [`feed`], if needed) → [`gateway`] or [`response`].
//!
//! Nothing here may panic: one panic hangs every request in flight in the isolate and wipes its memory (I13).

mod assertion;
mod canary;
mod config;
mod cors;
mod crypto;
mod decide;
mod fast;
mod feed;
mod gateway;
mod health;
mod http;
mod hub;
mod ingress;
mod isolate;
mod limits;
mod log;
mod metadata;
mod object;
mod peers;
mod region;
mod response;
mod self_revoke;
#[cfg(feature = "test-routes")]
mod test_routes;
mod uplink;
mod usage;
mod verify;

use wasm_bindgen::JsValue;
use worker::{Context, Env, Error, Result, console_error, event};

use config::EdgeConfig;
use http::{HeaderList, Incoming};

/// Runs once, when the module starts, and again after a panic. The runtime's own hook logs panics and has the module
/// started anew.
#[event(start)]
fn start() {
    crypto::install();
}

/// Answers every request that is not for the fast path.
#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let incoming = Incoming::read(&request).ok_or("the request could not be read")?;
    match route(&request, &incoming, &env, &context).await {
        Ok(response) => Ok(response),
        Err(error) => {
            console_error!("{} failed: {}", incoming.request_id, http::describe(&error));
            response::refuse(response::INTERNAL, &incoming.request_id, HeaderList::default())
                .map_err(Error::from)
        }
    }
}

/// The gate's own addresses, and the API behind it.
async fn route(
    request: &web_sys::Request,
    incoming: &Incoming,
    env: &Env,
    context: &Context,
) -> std::result::Result<web_sys::Response, JsValue> {
    let config = match EdgeConfig::of_isolate(env) {
        Ok(config) => config,
        Err(error) => {
            console_error!("misconfigured: {}", error);
            return response::refuse(
                response::MISCONFIGURED,
                &incoming.request_id,
                HeaderList::default(),
            );
        }
    };
    #[cfg(feature = "test-routes")]
    if let Some(answer) = test_routes::handle(request, incoming).await {
        return answer;
    }
    if incoming.path.starts_with(uplink::PREFIX) {
        return uplink::handle(request, incoming, env, &config).await;
    }
    feed::choose_region(incoming, &config);
    match incoming.path.as_str() {
        canary::PATH => canary::handle(incoming, env, &config).await,
        verify::PATH => verify::handle(request, incoming, env, context, &config).await,
        ingress::PATH | ingress::FETCH_PATH | ingress::COLLECT_PATH => {
            ingress::handle(request, incoming, env, &config).await
        }
        shared::assertion::JWKS_PATH => assertion::keys(&config, incoming),
        health::PATH => health::handle(incoming, env, &config).await,
        path if metadata::is_here(path) => {
            feed::warm_up(env, &config).await;
            isolate::with(|isolate| metadata::answer(&config, isolate.policy(), incoming))
                .unwrap_or_else(|| metadata::answer(&config, None, incoming))
        }
        _ => gateway::handle(request, incoming, env, context, &config).await,
    }
}
