//! The brake on addresses that show bad credentials again and again: a scanner, or somebody who guesses.
//!
//! An address that has failed too often in a window is heard no more until it ends, unless its credential is one that this
//! isolate knows to be true: so colleagues behind the same address go on. Each isolate counts by itself; where the platform has
//! a rate limiter, that counts for a whole data centre (see the adapter). It brakes, it is no wall: signatures cannot be guessed.

use std::collections::HashMap;
use std::net::IpAddr;

use shared::policy::limits::Failures;
use shared::time::UnixMillis;

/// Addresses that one isolate remembers.
const MAX_ADDRESSES: usize = 20_000;

/// Who is counted as one: an IPv4 address, or an IPv6 /64, which is what one subscriber has. `None`: no address.
pub fn subscriber(address: &str) -> Option<String> {
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => Some(v4.to_string()),
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                Some(v4.to_string())
            } else {
                let [a, b, c, d, ..] = v6.segments();
                Some(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
            }
        }
    }
}

/// Failures of addresses.
#[derive(Debug, Default)]
pub struct Brake {
    /// Window and failures in it.
    addresses: HashMap<String, (u64, u64)>,
}

fn window(failures: Failures, now: UnixMillis) -> u64 {
    now.0
        .checked_div(failures.window_seconds.saturating_mul(1000))
        .unwrap_or(0)
}

impl Brake {
    /// Whether an address has failed too often.
    pub fn is_on(&self, subscriber: &str, failures: Failures, now: UnixMillis) -> bool {
        self.addresses
            .get(subscriber)
            .is_some_and(|(at, count)| *at == window(failures, now) && *count >= failures.failures)
    }

    /// Another failure.
    pub fn failed(&mut self, subscriber: &str, failures: Failures, now: UnixMillis) {
        self.add(subscriber, failures, 1, now);
    }

    /// Somebody who counts for more than this isolate says that it is enough.
    pub fn pull(&mut self, subscriber: &str, failures: Failures, now: UnixMillis) {
        self.add(subscriber, failures, failures.failures, now);
    }

    fn add(&mut self, subscriber: &str, failures: Failures, count: u64, now: UnixMillis) {
        let window = window(failures, now);
        if self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains_key(subscriber) {
            self.addresses.retain(|_, (at, _)| *at == window);
            if self.addresses.len() >= MAX_ADDRESSES {
                self.addresses.clear();
            }
        }
        let entry = self.addresses.entry(subscriber.to_owned()).or_default();
        if entry.0 != window {
            *entry = (window, 0);
        }
        entry.1 = entry.1.saturating_add(count);
    }
}

/// Whole seconds until the window ends, at least one.
pub fn resets_in_seconds(failures: Failures, now: UnixMillis) -> u64 {
    let length = failures.window_seconds.saturating_mul(1000).max(1);
    let gone = now.0.checked_rem(length).unwrap_or(0);
    length.saturating_sub(gone).div_ceil(1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Failures = Failures {
        failures: 3,
        window_seconds: 60,
    };
    const NOW: UnixMillis = UnixMillis(1_795_302_520_000);

    #[test]
    fn an_address_is_heard_again_in_the_next_window() {
        let mut brake = Brake::default();
        for _ in 0..3 {
            assert!(!brake.is_on("a", LIMIT, NOW));
            brake.failed("a", LIMIT, NOW);
        }
        assert!(brake.is_on("a", LIMIT, NOW));
        assert!(!brake.is_on("b", LIMIT, NOW));
        let later = UnixMillis(NOW.0 + 60_000);
        assert!(!brake.is_on("a", LIMIT, later));
        brake.pull("b", LIMIT, later);
        assert!(brake.is_on("b", LIMIT, later));
        assert!((1..=60).contains(&resets_in_seconds(LIMIT, NOW)));
    }

    #[test]
    fn a_subscriber_has_many_addresses() {
        assert_eq!(subscriber("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(subscriber("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(
            subscriber("2001:db8:1:2:3::4"),
            subscriber("2001:db8:1:2:ffff::1")
        );
        assert_ne!(subscriber("2001:db8:1:2::1"), subscriber("2001:db8:1:3::1"));
        for wrong in ["", "localhost", "192.0.2.1, 192.0.2.2", "192.0.2.1:80"] {
            assert_eq!(subscriber(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut brake = Brake::default();
        for number in 0..3 * MAX_ADDRESSES {
            brake.failed(&number.to_string(), LIMIT, NOW);
            assert!(brake.addresses.len() <= MAX_ADDRESSES);
        }
    }
}
