//! The Worker's variables, read and checked once per isolate. Nothing here is secret: the edge holds public keys only (I1).
//!
//! | variable | meaning |
//! | --- | --- |
//! | `ORIGIN` | base URL: where the gateway sends allowed requests |
//! | `CONTROL_PLANE` | base URL: where routes with the origin `control-plane` go; optional |
//! | `ISSUER` | our authorization server, byte for byte as in `iss` |
//! | `RESOURCE` | this API's resource identifier (RFC 8707), for its metadata |
//! | `BRAND` | the brand of its API keys; `pc` if absent |
//! | `ENVIRONMENTS` | the environments of keys it admits, separated by commas; `live` if absent |
//! | `ROOT_KEY`, `FEED_ID` | the one feed it trusts: base64url of a raw Ed25519 key, 32 hexadecimal digits |
//!
//! Bindings: `HUB` (Durable Object, class `Hub`), `SNAPSHOT` (KV, optional).

use std::cell::RefCell;
use std::rc::Rc;

use shared::crypto::{VerifyingKey, from_base64url};
use shared::feed::Trust;
use worker::{Env, Result, js_sys::Reflect};

use crate::validator::Deployment;

/// What this Worker was configured to be.
#[derive(Clone, Debug)]
pub(super) struct EdgeConfig {
    /// Without a slash at the end.
    pub(super) origin: String,
    /// Without a slash at the end.
    pub(super) control_plane: Option<String>,
    pub(super) resource: String,
    pub(super) trust: Trust,
    pub(super) deployment: Deployment,
}

thread_local! {
    static CONFIG: RefCell<Option<Rc<EdgeConfig>>> = const { RefCell::new(None) };
}

impl EdgeConfig {
    /// The configuration, read the first time it is asked for in an isolate.
    pub(super) fn of_isolate(env: &Env) -> Result<Rc<Self>> {
        CONFIG.with(|slot| {
            let known = slot.try_borrow().ok().and_then(|config| config.clone());
            if let Some(config) = known {
                return Ok(config);
            }
            let config = Rc::new(Self::read(env)?);
            if let Ok(mut slot) = slot.try_borrow_mut() {
                *slot = Some(Rc::clone(&config));
            }
            Ok(config)
        })
    }

    /// Reads all variables; the error names the first that is missing or wrong.
    pub(super) fn read(env: &Env) -> Result<Self> {
        let wrong = |name: &str, expected: &str| worker::Error::from(format!("variable {name}: {expected}"));
        let required = |name: &str| variable(env, name).ok_or_else(|| wrong(name, "is not set"));
        let root = from_base64url(&required("ROOT_KEY")?)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| wrong("ROOT_KEY", "expected base64url of 32 bytes"))?;
        let feed = required("FEED_ID")?
            .parse()
            .map_err(|_| wrong("FEED_ID", "expected 32 lower-case hex digits"))?;
        let environments = variable(env, "ENVIRONMENTS").unwrap_or_else(|| "live".into());
        let environments = environments
            .split(',')
            .map(|name| name.trim().parse())
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| wrong("ENVIRONMENTS", "expected live, test, dev, separated by commas"))?;
        let control_plane = variable(env, "CONTROL_PLANE");
        let base = |name: &str, url: String| {
            base_url(&url).ok_or_else(|| wrong(name, "expected http(s)://host[/path]"))
        };
        Ok(Self {
            origin: base("ORIGIN", required("ORIGIN")?)?,
            control_plane: control_plane.map(|url| base("CONTROL_PLANE", url)).transpose()?,
            resource: required("RESOURCE")?,
            trust: Trust {
                feed,
                root: VerifyingKey::ed25519(root),
            },
            deployment: Deployment {
                brand: variable(env, "BRAND").unwrap_or_else(|| "pc".into()),
                environments,
                issuer: required("ISSUER")?,
            },
        })
    }

    /// Where a route's requests go, without a slash at the end. `None`: nowhere, for the control plane's URL is not set.
    pub(super) fn upstream<'a>(&'a self, origin: Option<&'a str>) -> Option<&'a str> {
        match origin {
            None => Some(&self.origin),
            Some("control-plane") => self.control_plane.as_deref(),
            Some(url) => Some(url.trim_end_matches('/')),
        }
    }
}

/// A variable's text. A binding of another type counts as absent.
fn variable(env: &Env, name: &str) -> Option<String> {
    Reflect::get(env, &name.into())
        .ok()?
        .as_string()
        .filter(|text| !text.is_empty())
}

fn base_url(url: &str) -> Option<String> {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let plain = !host.is_empty() && !host.starts_with('/') && !host.contains(['?', '#', ' ', '\\']);
    plain.then(|| url.trim_end_matches('/').to_owned())
}
