//! Whose a URL is, roughly: what shares a place in the cache. Whoever has a name has all names under it, and whoever has an
//! address has those beside it.
//!
//! What it does not: know the list of public suffixes. A name is cut to its last two labels, or three where the second to last
//! is as short as those under which countries give names away (`co.uk`); those who share a suffix beside that share a site,
//! which costs them nothing before the cache is full.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// A label of so many letters before the last is taken for a part of the suffix.
const SHORT: usize = 3;

/// The site of a URL; all that have none are one.
pub(super) fn of(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return String::new();
    };
    match url.host() {
        Some(Host::Domain(name)) => of_name(name),
        Some(Host::Ipv4(address)) => Ipv4Addr::from_bits(address.to_bits() & !0xff).to_string(),
        Some(Host::Ipv6(address)) => Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).to_string(),
        None => String::new(),
    }
}

fn of_name(name: &str) -> String {
    let mut labels = name.trim_end_matches('.').rsplit('.');
    let last = labels.next().unwrap_or_default();
    let mut site = last.to_owned();
    for label in labels {
        site = format!("{label}.{site}");
        // Not the suffix alone, and not a short name by itself: `co.uk` goes on, `example.com` and `x.co.uk` end here.
        if label.len() > SHORT || site.matches('.').count() >= 2 {
            break;
        }
    }
    site
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_beside_each_other_are_one_site() {
        for (url, site) in [
            ("https://example.com/a", "example.com"),
            ("https://a.b.example.com:8443/c", "example.com"),
            ("https://example.com./a", "example.com"),
            ("https://app.example.co.uk/a", "example.co.uk"),
            ("https://x.dev/a", "x.dev"),
            ("https://a.x.dev/a", "a.x.dev"),
            ("http://localhost:7070/a", "localhost"),
            ("http://127.0.0.1:9/a", "127.0.0.0"),
            ("https://[2001:db8:1:2::3]/a", "2001:db8:1::"),
            ("nonsense", ""),
        ] {
            assert_eq!(of(url), site, "{url}");
        }
    }
}
