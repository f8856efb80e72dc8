//! The edge: whether what it knows is fresh, and whether it leads clients to the issuer (RFC 9728).

use serde_json::Value;
use shared::policy::same_resource;

use super::report::{Fault, Verdict};

/// A heartbeat comes every second.
const MAX_FEED_AGE_MS: u64 = 30_000;

/// `/.portcullis/health`.
pub(super) fn is_fresh(health: &Value) -> Verdict {
    let status = health["status"].as_str().unwrap_or_default();
    if status != "ok" {
        let fix = match status {
            "no_state" => {
                "see that `edges` of the control plane names this edge, and that ROOT_KEY and FEED_ID are those of `portcullis feed trust` (with `--group` for an edge of a group)"
            }
            "stale" => {
                "see that the control plane runs and reaches the edge: /health/ready there says why not"
            }
            _ => "see that this is the edge",
        };
        return Err(Fault::new(format!("status is `{status}`"), fix));
    }
    if !matches!(health["incompatible"], Value::Null | Value::Bool(false)) {
        return Err(Fault::new(
            "the edge meets entries that it does not know",
            "deploy the edge of the control plane's release",
        ));
    }
    let Some(age) = health["feed_age_ms"].as_u64() else {
        return Err(Fault::new(
            "no heartbeat of the control plane has reached it yet",
            "right after a start wait a second; else see that the control plane runs and reaches the edge",
        ));
    };
    if age > MAX_FEED_AGE_MS {
        return Err(Fault::new(
            format!("the newest heartbeat is {} s old", age / 1000),
            "see that the control plane runs and reaches the edge: revocations are not arriving",
        ));
    }
    let seq = health["head"]["seq"]
        .as_u64()
        .ok_or_else(|| Fault::new("no position in the feed", "see that this is the edge"))?;
    Ok(format!("fresh, at seq {seq}, newest heartbeat {age} ms old"))
}

/// RFC 9728 §3.3 at the edge: the resource that tokens are for, and who gives them.
pub(super) fn leads_to(document: &Value, resource: &str, issuer: &str) -> Verdict {
    let have = document["resource"].as_str().unwrap_or_default();
    if !same_resource(have, resource) {
        return Err(Fault::new(
            format!("`resource` is `{have}`, not `{resource}`"),
            "set RESOURCE of the Worker to the edge's public URL, the control plane's `resource`",
        ));
    }
    let servers = document["authorization_servers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if !servers.iter().any(|server| server == issuer) {
        let listed: Vec<&str> = servers.iter().filter_map(Value::as_str).collect();
        return Err(Fault::new(
            format!(
                "`authorization_servers` is [{}], without `{issuer}`",
                listed.join(", ")
            ),
            "set ISSUER of the Worker to the issuer, byte for byte",
        ));
    }
    Ok(format!("resource `{have}`, tokens from the issuer"))
}
