//! Identity providers that organisations trust for their own members, and their keys.
//!
//! Which there are is configuration, so nobody makes us fetch anything but their addresses. What it does not: read what they
//! sign (`id_jag` does).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use shared::strict_json;

use crate::app::App;
use crate::clock::Clock;
use crate::config::{Config, IdentityProvider};
use crate::http::fetch::cache::Cache;
use crate::http::fetch::{FetchError, Fetcher};
use crate::http::limit::Limiter;

/// The largest discovery document, and the largest JWK Set: some providers put certificates beside their keys.
const MAX_BYTES: usize = 64 * 1024;
/// In which look-ups are counted.
const HOUR: Duration = Duration::from_hours(1);

/// What was fetched of them, and how often that may happen.
#[derive(Debug)]
pub struct IdentityProviders {
    discovered: Cache<String>,
    keys: Cache<Value>,
    /// Bounded by what is configured: only its issuers are keys here.
    look_ups: Limiter,
}

impl IdentityProviders {
    /// Nothing is fetched before an assertion comes.
    pub fn build(config: &Config, clock: &Clock) -> anyhow::Result<Self> {
        let fetcher = Fetcher::new(config.fetches_loopback())?;
        Ok(Self {
            discovered: Cache::new(fetcher.clone(), MAX_BYTES),
            keys: Cache::new(fetcher, MAX_BYTES),
            look_ups: Limiter::new(
                "provider_look_ups",
                config.look_ups_per_hour().get().into(),
                HOUR,
                clock,
            ),
        })
    }
}

/// The provider with this issuer identifier, byte for byte.
pub(super) fn trusted<'a>(app: &'a App, issuer: &str) -> Option<&'a IdentityProvider> {
    let mut all = app.config.identity_providers.iter();
    all.find(|provider| provider.issuer == issuer)
}

/// Its public keys.
pub(super) async fn keys(app: &App, provider: &IdentityProvider) -> Result<Arc<Value>, FetchError> {
    let providers = &app.identity_providers;
    let now = app.clock.now();
    let leave = || {
        let share = providers.look_ups.take(&provider.issuer);
        share.map_err(|many| FetchError::Limited(many.retry_after_seconds))
    };
    let uri = if let Some(uri) = &provider.jwks_uri {
        Arc::new(uri.clone())
    } else {
        let document = format!(
            "{}/.well-known/openid-configuration",
            provider.issuer.trim_end_matches('/')
        );
        let read = |body: &[u8]| discovered(&provider.issuer, body);
        providers.discovered.get(&document, now, leave, read).await?
    };
    let read = |body: &[u8]| {
        strict_json::from_slice(body).map_err(|_| FetchError::Content("it is not a JSON object".to_owned()))
    };
    providers.keys.get(&uri, now, leave, read).await
}

/// The `jwks_uri` of a discovery document. OpenID Connect Discovery §4.3: the document says whose it is.
fn discovered(issuer: &str, body: &[u8]) -> Result<String, FetchError> {
    let wrong = |problem: &str| FetchError::Content(problem.to_owned());
    let document: Map<String, Value> =
        strict_json::from_slice(body).map_err(|_| wrong("it is not a JSON object"))?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(wrong("the discovery document is another issuer's"));
    }
    let uri = document.get("jwks_uri").and_then(Value::as_str);
    uri.map(str::to_owned)
        .ok_or_else(|| wrong("the discovery document has no jwks_uri"))
}
