//! The Worker's variables, read and checked once per isolate. Nothing here is secret: the edge holds public keys only (I1).
//!
//! | variable | meaning |
//! | --- | --- |
//! | `ORIGIN` | base URL: where the gateway sends allowed requests |
//! | `CONTROL_PLANE` | base URL: where routes with the origin `control-plane` go; optional |
//! | `ISSUER` | our authorization server, byte for byte as in `iss` |
//! | `RESOURCE` | this API's resource identifier (RFC 8707), for its metadata |
//! | `PUBLIC_ORIGINS` | further origins under which callers reach this Worker, separated by commas: a DPoP proof names one of these, or the origin of `RESOURCE` |
//! | `BRAND` | the brand of its API keys; `pc` if absent |
//! | `ENVIRONMENTS` | the environments of keys it admits, separated by commas; `live` if absent |
//! | `ROOT_KEY`, `FEED_ID` | the one feed it trusts: base64url of a raw Ed25519 key (two, separated by a comma, while the root is being replaced), 32 hexadecimal digits |
//!
//! Bindings: `HUB` (Durable Object, class `Hub`), `SNAPSHOT` (KV, optional).

use std::cell::RefCell;
use std::rc::Rc;

use shared::crypto::{VerifyingKey, from_base64url};
use shared::dpop;
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
    /// That of `resource` first.
    public_origins: Vec<String>,
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
        let (root, other_root) = roots(&required("ROOT_KEY")?).ok_or_else(|| {
            wrong(
                "ROOT_KEY",
                "expected base64url of 32 bytes, or two of them with a comma between",
            )
        })?;
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
        let resource = required("RESOURCE")?;
        let public_origins = public_origins(&resource, variable(env, "PUBLIC_ORIGINS").as_deref())
            .ok_or_else(|| {
                wrong(
                    "PUBLIC_ORIGINS",
                    "expected http(s)://host[:port], separated by commas",
                )
            })?;
        Ok(Self {
            origin: base("ORIGIN", required("ORIGIN")?)?,
            control_plane: control_plane.map(|url| base("CONTROL_PLANE", url)).transpose()?,
            resource,
            public_origins,
            trust: Trust {
                feed,
                root,
                other_root,
            },
            deployment: Deployment {
                brand: variable(env, "BRAND").unwrap_or_else(|| "pc".into()),
                environments,
                issuer: required("ISSUER")?,
            },
        })
    }

    /// The origin that a caller who addressed this `host[:port]` means: ours under that name, or else that of `RESOURCE`. What
    /// the Host header says is never taken on trust, or a proof that was made for another server would do here too.
    pub(super) fn public_origin(&self, authority: &str) -> &str {
        let is_it = |origin: &&String| {
            let scheme = origin.split("://").next().unwrap_or_default();
            dpop::origin(&format!("{scheme}://{authority}")).as_ref() == Some(*origin)
        };
        let first = self.public_origins.first();
        let found = self
            .public_origins
            .get(1..)
            .unwrap_or_default()
            .iter()
            .find(is_it);
        found.or(first).map_or("", String::as_str)
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

/// One root, or two.
fn roots(text: &str) -> Option<(VerifyingKey, Option<VerifyingKey>)> {
    let key = |text: &str| {
        let bytes = from_base64url(text.trim())?.try_into().ok()?;
        Some(VerifyingKey::ed25519(bytes))
    };
    match text.split_once(',') {
        None => Some((key(text)?, None)),
        Some((root, other)) => Some((key(root)?, Some(key(other)?))),
    }
}

/// A resource identifier need not be a URL: then it names no origin, and no proof can.
fn public_origins(resource: &str, more: Option<&str>) -> Option<Vec<String>> {
    let mut origins = vec![dpop::origin(resource).unwrap_or_default()];
    for origin in more
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        origins.push(dpop::origin(origin).filter(|_| base_url(origin).is_some())?);
    }
    Some(origins)
}

fn base_url(url: &str) -> Option<String> {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let plain = !host.is_empty() && !host.starts_with('/') && !host.contains(['?', '#', ' ', '\\']);
    plain.then(|| url.trim_end_matches('/').to_owned())
}
