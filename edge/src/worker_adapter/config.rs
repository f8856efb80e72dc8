//! The Worker's variables, read and checked once per isolate. But for the uplink key and the assertion key, nothing here is
//! secret: the edge holds public keys only (I1).
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
//! | `REGIONS` | the regions that this edge has, separated by commas: some of wnam, enam, weur, eeur, apac, oc; all if absent |
//! | `HOME_REGION` | the one that this Worker's isolates read; if absent, the one nearest to the first caller |
//! | `HUB_URL`, `REGION_URL` | base URLs of a hub and of regions that run elsewhere; `{region}` in the second is the region's name, or it is a list `weur=https://…,apac=https://…`. Without them the objects behind the bindings |
//! | `UPLINK_KEY` | a secret of 32 characters or more: what peers behind a URL know each other by. Only with it this Worker answers below `/.portcullis/peer/` |
//! | `PULL_FROM` | base URL of the control plane: the hub asks it for the feed, for an edge that it cannot reach. Needs `UPLINK_KEY`, as `portcullis edge key` printed it |
//! | `ASSERTION_KEY` | a secret: what the gate signs its word to origins with, see [`assertion`](super::assertion) |
//! | `COLO_CACHE` | `on`: the isolates of a data centre share what one of them has read, for a second |
//!
//! Bindings: `HUB`, `REGION` (Durable Objects, classes `Hub` and `Region`), `SNAPSHOT` (KV, optional), `BRAKE` (rate limiter, optional).

use std::cell::RefCell;
use std::rc::Rc;

use shared::crypto::{VerifyingKey, from_base64url, sha256};
use shared::dpop;
use shared::feed::Trust;
use worker::{Env, Result, js_sys::Reflect};

use super::assertion::AssertionKeys;
use crate::replication::RegionName;
use crate::validator::Deployment;

/// The regions that Cloudflare has, in the order of their location hints' documentation.
const REGIONS: &str = "wnam,enam,weur,eeur,apac,oc";
/// A shorter uplink key could be guessed.
const MIN_UPLINK_KEY: usize = 32;

/// What peers know each other by.
#[derive(Clone)]
pub(super) struct UplinkKey(String);

impl std::fmt::Debug for UplinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UplinkKey(redacted)")
    }
}

impl UplinkKey {
    /// Whether an Authorization header holds it. Digests are compared, so that time says nothing about the key.
    pub(super) fn is_in(&self, authorization: Option<&str>) -> bool {
        let shown = authorization.and_then(|header| header.strip_prefix("Bearer "));
        shown.is_some_and(|shown| sha256(shown.as_bytes()) == sha256(self.0.as_bytes()))
    }
}

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
    /// Never empty.
    pub(super) regions: Vec<RegionName>,
    pub(super) home_region: Option<RegionName>,
    /// Without a slash at the end.
    pub(super) hub_url: Option<String>,
    region_urls: Vec<(RegionName, String)>,
    pub(super) uplink_key: Option<UplinkKey>,
    pub(super) colo_cache: bool,
    pub(super) assertion: Option<AssertionKeys>,
    /// Without a slash at the end.
    pub(super) pull_from: Option<String>,
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

    /// The configuration, if it was read before.
    pub(super) fn known() -> Option<Rc<Self>> {
        CONFIG.with(|slot| slot.try_borrow().ok()?.clone())
    }

    /// Reads all variables; the error names the first that is missing or wrong.
    #[expect(clippy::too_many_lines, reason = "one variable after the other")]
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
        let regions = variable(env, "REGIONS").unwrap_or_else(|| REGIONS.into());
        let regions = regions
            .split(',')
            .map(|name| region(name.trim()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                wrong(
                    "REGIONS",
                    "expected names out of wnam, enam, weur, eeur, apac, oc",
                )
            })?;
        let home_region = variable(env, "HOME_REGION")
            .map(|name| region(&name).filter(|name| regions.contains(name)))
            .map(|name| name.ok_or_else(|| wrong("HOME_REGION", "expected one of REGIONS")))
            .transpose()?;
        let region_urls = variable(env, "REGION_URL")
            .map(|urls| region_urls(&urls, &regions))
            .map(|urls| {
                urls.ok_or_else(|| {
                    wrong(
                        "REGION_URL",
                        "expected http(s)://…{region}…, or name=http(s)://…, for every region",
                    )
                })
            })
            .transpose()?
            .unwrap_or_default();
        let hub_url = variable(env, "HUB_URL")
            .map(|url| base("HUB_URL", url))
            .transpose()?;
        let uplink_key = variable(env, "UPLINK_KEY").map(UplinkKey);
        let colo_cache = match variable(env, "COLO_CACHE").as_deref() {
            None | Some("off") => false,
            Some("on") => true,
            Some(_) => return Err(wrong("COLO_CACHE", "expected on or off")),
        };
        if uplink_key
            .as_ref()
            .is_some_and(|key| key.0.len() < MIN_UPLINK_KEY)
        {
            return Err(wrong("UPLINK_KEY", "expected 32 characters or more"));
        }
        let pull_from = variable(env, "PULL_FROM")
            .map(|url| base("PULL_FROM", url))
            .transpose()?;
        let assertion = variable(env, "ASSERTION_KEY")
            .map(|text| {
                let wrong = || {
                    wrong(
                        "ASSERTION_KEY",
                        "expected base64url of 32 bytes, or two of them with a comma between",
                    )
                };
                AssertionKeys::import(&text).ok_or_else(wrong)
            })
            .transpose()?;
        let needs_key = hub_url.is_some() || !region_urls.is_empty() || pull_from.is_some();
        if uplink_key.is_none() && needs_key {
            return Err(wrong(
                "UPLINK_KEY",
                "is not set, but HUB_URL, REGION_URL or PULL_FROM is",
            ));
        }
        Ok(Self {
            regions,
            home_region,
            hub_url,
            region_urls,
            uplink_key,
            colo_cache,
            assertion,
            pull_from,
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

    /// Where a region that runs elsewhere is reached, without a slash at the end.
    pub(super) fn region_url(&self, region: &RegionName) -> Option<&str> {
        let mut urls = self.region_urls.iter();
        urls.find(|(name, _)| name == region).map(|(_, url)| url.as_str())
    }

    /// The region of this name, if the edge has it.
    pub(super) fn region(&self, name: &str) -> Option<&RegionName> {
        self.regions.iter().find(|region| region.as_str() == name)
    }

    /// The region that is nearest to a place: continent, country and longitude with spaces between. The platform has no objects
    /// in Africa, South America and the Middle East. Without a place: the first of western Europe and those that there are.
    pub(super) fn region_near(&self, place: &str) -> Option<&RegionName> {
        let mut parts = place.split(' ');
        let continent = parts.next().unwrap_or_default();
        let _country = parts.next();
        // Whole degrees will do.
        let degrees = parts.next().and_then(|text| text.split('.').next());
        let longitude: Option<i32> = degrees.and_then(|degrees| degrees.parse().ok());
        let east_of = |degrees: i32| longitude.is_some_and(|here| here > degrees);
        let near: [&str; 2] = match continent {
            "NA" if east_of(-100) => ["enam", "wnam"],
            "NA" => ["wnam", "enam"],
            "SA" => ["enam", "wnam"],
            "EU" if east_of(15) => ["eeur", "weur"],
            // The Middle East; India and all that is east of it.
            "AS" if !east_of(60) && longitude.is_some() => ["eeur", "weur"],
            "AS" => ["apac", "oc"],
            "OC" | "AN" => ["oc", "apac"],
            _ => ["weur", "eeur"],
        };
        let found = near.iter().find_map(|name| self.region(name));
        self.home_region
            .as_ref()
            .or(found)
            .or_else(|| self.regions.first())
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

/// One of the platform's regions.
fn region(name: &str) -> Option<RegionName> {
    let known = REGIONS.split(',').any(|region| region == name);
    known.then(|| name.parse().ok()).flatten()
}

/// A URL for every region, or nothing.
fn region_urls(text: &str, regions: &[RegionName]) -> Option<Vec<(RegionName, String)>> {
    let listed = |name: &RegionName| {
        let mut pairs = text.split(',').filter_map(|pair| pair.trim().split_once('='));
        pairs
            .find(|(region, _)| *region == name.as_str())
            .map(|(_, url)| url.to_owned())
    };
    let url = |name: &RegionName| {
        let url = if text.contains("{region}") {
            Some(text.replace("{region}", name.as_str()))
        } else {
            listed(name)
        };
        base_url(&url?).map(|url| (name.clone(), url))
    };
    regions.iter().map(url).collect()
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
