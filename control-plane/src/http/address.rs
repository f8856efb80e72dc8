//! Where a request comes from: the peer, or what a trusted proxy in front says.
//!
//! What it does not: trust a header that the configuration does not name. Anybody can send one.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::app::App;

/// The client's address, if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// What attempts are counted by: whoever has one IPv6 address has its /64. All that are not known count as one.
    pub fn counted(self) -> String {
        match self.0 {
            Some(IpAddr::V6(address)) => {
                let network = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
                format!("{network}/64")
            }
            _ => self.to_string(),
        }
    }
}

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("an unknown address"),
        }
    }
}

impl FromRequestParts<Arc<App>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|ConnectInfo(address)| address.ip());
        Ok(find(
            app.config.sign_in.address_header.as_deref(),
            &parts.headers,
            peer,
        ))
    }
}

/// The last entry is what the proxy next to us wrote; those before it may be the client's own.
fn find(header: Option<&str>, headers: &HeaderMap, peer: Option<IpAddr>) -> ClientAddress {
    let Some(header) = header else {
        return ClientAddress(peer.map(|address| address.to_canonical()));
    };
    let last = headers.get_all(header).iter().next_back();
    let entry = last
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.rsplit(',').next())
        .map(str::trim);
    let parsed = entry.and_then(|text| {
        let alone = text.parse::<IpAddr>().ok();
        alone.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
    });
    ClientAddress(parsed.map(|address| address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(header: Option<&str>, sent: &[&str]) -> String {
        let name = axum::http::HeaderName::from_static("x-forwarded-for");
        let headers: HeaderMap = sent
            .iter()
            .map(|value| (name.clone(), value.parse().expect("a value")))
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            });
        let peer = "192.0.2.1".parse().ok();
        find(header, &headers, peer).to_string()
    }

    #[test]
    fn a_header_counts_only_where_it_is_configured() {
        assert_eq!(found(None, &["203.0.113.9"]), "192.0.2.1");
        let header = Some("X-Forwarded-For");
        assert_eq!(found(header, &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(
            found(header, &["198.51.100.1, 203.0.113.9"]),
            "203.0.113.9",
            "the last one"
        );
        assert_eq!(found(header, &["198.51.100.1", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(found(header, &["203.0.113.9:1234"]), "203.0.113.9");
        assert_eq!(found(header, &["[2001:db8::1]:1234"]), "2001:db8::1");
        assert_eq!(found(header, &["::ffff:203.0.113.9"]), "203.0.113.9");
        for wrong in [&[][..], &["unknown"], &["203.0.113.9, "]] {
            assert_eq!(found(header, wrong), "an unknown address", "{wrong:?}");
        }
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let counted = |text: &str| ClientAddress(text.parse().ok()).counted();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(counted("2001:db8:1:2::1"), counted("2001:db8:1:2:ffff::"));
        assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
        assert_eq!(counted("192.0.2.1"), "192.0.2.1");
        assert_eq!(counted("?"), "an unknown address");
    }
}
