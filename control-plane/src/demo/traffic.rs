//! The month's requests: busy days, quiet nights and weekends, a few refusals. The same every time but for the date.

use std::collections::BTreeMap;

use shared::crypto::sha256;
use shared::id::{KeyId, OrgId};
use shared::time::UnixMillis;

use super::story::Key;
use crate::store::usage::{HourKey, Tally, Use};
use crate::store::{StoreError, Tx};

const HOUR_MS: u64 = 3_600_000;
const HOURS: u64 = 30 * 24;
/// The first of January 1970 was a Thursday.
const THURSDAY: u64 = 3;

/// Writes it, and gives the number of requests.
pub(super) async fn write(
    tx: &mut Tx,
    org: OrgId,
    keys: &[(KeyId, &'static Key)],
    now: UnixMillis,
) -> Result<u64, StoreError> {
    let this_hour = now.0 / HOUR_MS;
    let mut hours: BTreeMap<HourKey, Tally> = BTreeMap::new();
    let mut uses: BTreeMap<String, Use> = BTreeMap::new();
    for (id, key) in keys {
        let name = id.to_string();
        let one = uses.entry(name.clone()).or_default();
        let age = key.age_days.saturating_mul(24).min(HOURS);
        for hour in this_hour.saturating_sub(age)..this_hour {
            let total = requests(key, hour);
            // The last of them was somewhere in the hour.
            let last = UnixMillis(
                hour.saturating_mul(HOUR_MS)
                    .saturating_add(noise(key, hour, 7) % HOUR_MS),
            );
            for (n, (country, colo)) in key.places.iter().enumerate() {
                let here = share(total, n, key.places.len());
                let refused = here.saturating_mul(key.refused) / 1000;
                for (reason, count) in [("allowed", here.saturating_sub(refused)), (why(key), refused)] {
                    if count == 0 {
                        continue;
                    }
                    let row = HourKey {
                        org: org.get(),
                        hour,
                        credential: name.clone(),
                        class: key.class.to_owned(),
                        reason: reason.to_owned(),
                        country: (*country).to_owned(),
                        colo: (*colo).to_owned(),
                    };
                    hours.insert(
                        row,
                        Tally {
                            requests: count,
                            last,
                        },
                    );
                    if reason == "allowed" {
                        one.requests = one.requests.saturating_add(count);
                        one.last_used = one.last_used.max(Some(last));
                    } else {
                        one.refused = one.refused.saturating_add(count);
                        one.last_refused = one.last_refused.max(Some(last));
                    }
                }
            }
        }
    }
    let total = hours
        .values()
        .fold(0_u64, |sum, tally| sum.saturating_add(tally.requests));
    let rows: Vec<_> = hours.iter().map(|(key, tally)| (key, *tally)).collect();
    tx.add_usage_hours(&rows).await?;
    let uses: Vec<_> = uses
        .iter()
        .map(|(name, one)| ((org.get(), name.as_str()), *one))
        .collect();
    tx.add_uses(&uses, now).await?;
    Ok(total)
}

/// The first place has half of what is left, and so on.
fn share(total: u64, n: usize, places: usize) -> u64 {
    let before: u64 = (0..n).map(|m| total >> (m + 1)).sum();
    if n + 1 == places {
        total.saturating_sub(before)
    } else {
        total >> (n + 1)
    }
}

fn why(key: &Key) -> &'static str {
    if key.revoked.is_some() {
        "revoked"
    } else {
        "scope_missing"
    }
}

fn requests(key: &Key, hour: u64) -> u64 {
    let weekday = (hour / 24 + THURSDAY) % 7;
    let percent = if key.sleeps {
        let by_hour = match hour % 24 {
            0..=5 => 8,
            6..=7 | 19..=23 => 35,
            8..=9 | 17..=18 => 75,
            _ => 100,
        };
        if weekday >= 5 { by_hour / 3 } else { by_hour }
    } else {
        90
    };
    let wave = 70 + noise(key, hour, 0) % 60;
    key.requests.saturating_mul(percent).saturating_mul(wave) / 10_000
}

/// Looks random, and is the same for the same key and hour.
fn noise(key: &Key, hour: u64, salt: u64) -> u64 {
    let digest = sha256(format!("{} {hour} {salt}", key.name).as_bytes());
    digest
        .iter()
        .take(4)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
