//! Which addresses are on the public internet: what a URL of a stranger may lead to, and nothing else.
//!
//! By the special-purpose registries of IANA (RFC 6890), read strictly: IPv6 only from 2000::/3, and of that nothing that
//! carries an IPv4 address inside (6to4, Teredo) or is not for hosts. Mapped, NAT64, ULA and link-local lie outside of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Network and prefix length.
const SPECIAL_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    // Between a carrier and its customers (RFC 6598).
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local, and where clouds keep their machines' credentials.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    // 6to4 relays, which are no more (RFC 7526).
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    // Benchmarks (RFC 2544).
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast.
    ([224, 0, 0, 0], 4),
    // Reserved, and broadcast.
    ([240, 0, 0, 0], 4),
    // Clouds keep their own services at this one too.
    ([168, 63, 129, 16], 32),
];

/// Within 2000::/3.
const SPECIAL_V6: [([u16; 8], u32); 4] = [
    // IETF protocol assignments: Teredo, benchmarks, ORCHID and more.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    // 6to4.
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// Whether an address belongs to a host on the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4
            .into_iter()
            .any(|(network, length)| within_v4(address, network, length)),
        IpAddr::V6(address) => {
            within_v6(address, [0x2000, 0, 0, 0, 0, 0, 0, 0], 3)
                && !SPECIAL_V6
                    .into_iter()
                    .any(|(network, length)| within_v6(address, network, length))
        }
    }
}

fn within_v4(address: Ipv4Addr, network: [u8; 4], length: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    address.to_bits() & mask == Ipv4Addr::from(network).to_bits()
}

fn within_v6(address: Ipv6Addr, network: [u16; 8], length: u32) -> bool {
    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
    address.to_bits() & mask == Ipv6Addr::from(network).to_bits()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().expect("an address"))
    }

    #[test]
    fn hosts_on_the_internet() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2a00:1450::1",
            "3ffe::1",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn addresses_for_other_purposes() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            // An IPv4 address inside: mapped, compatible, translated, NAT64 (both prefixes), 6to4, Teredo.
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "100::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    proptest! {
        /// However an IPv4 address is wrapped, nothing is reached through the wrapping.
        #[test]
        fn no_ipv6_address_carries_an_ipv4_one(bits: u32, low: u64) {
            let v4 = Ipv4Addr::from_bits(bits);
            let wide = u128::from(bits);
            for wrapped in [
                v4.to_ipv6_mapped(),
                v4.to_ipv6_compatible(),
                Ipv6Addr::from_bits(0x0064_ff9b_u128 << 96 | wide),
                Ipv6Addr::from_bits(0x2002_u128 << 112 | wide << 80 | u128::from(low)),
                Ipv6Addr::from_bits(0x2001_0000_u128 << 96 | wide << 64 | u128::from(low)),
            ] {
                prop_assert!(!is_public(wrapped.into()), "{wrapped}");
            }
        }

        /// Never wider than what the standard library calls private.
        #[test]
        fn agrees_with_the_standard_library(bits: u32, wide: u128) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified()
            {
                prop_assert!(!is_public(v4.into()), "{v4}");
            }
            let v6 = Ipv6Addr::from_bits(wide);
            if v6.is_loopback() || v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local()
                || v6.is_unspecified() || v6.to_ipv4().is_some()
            {
                prop_assert!(!is_public(v6.into()), "{v6}");
            }
        }
    }
}
