use httparse::Header;
use proptest::prelude::*;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::{handshake::proxy::Network, transport::peer::Peer};

fn caller(peer: &str) -> Caller {
    let peer = match peer {
        "" => Peer::Local,
        address => Peer::Inet(SocketAddr::new(address.parse().unwrap(), 4000)),
    };
    peer.into()
}

/// Which networks a list of options stands for.
fn networks(list: &[&str]) -> TrustProxy {
    let mut networks = Vec::new();
    for text in list {
        match Network::named(text) {
            Some(named) => networks.extend_from_slice(named),
            None => networks.push(Network::parse(text).unwrap()),
        }
    }
    TrustProxy::Networks(networks)
}

/// What is believed of these fields when this peer sends them: address, port, whether it is secure, host.
fn believed(
    trust: &TrustProxy,
    peer: &str,
    fields: &[(&str, &str)],
) -> (String, u16, bool, Option<String>) {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| Header {
            name,
            value: value.as_bytes(),
        })
        .collect();
    let client = client(trust, &caller(peer), &Fields::new(&fields));
    let address = client.address.map_or(String::new(), |it| it.to_string());
    let host = client.host.map(|host| host.as_str().to_owned());
    (address, client.port, client.secure, host)
}

fn address(trust: &TrustProxy, peer: &str, forwarded: &str) -> String {
    believed(trust, peer, &[("X-Forwarded-For", forwarded)]).0
}

const EVERYTHING: [(&str, &str); 3] = [
    ("x-forwarded-for", "203.0.113.7"),
    ("X-FORWARDED-PROTO", "https"),
    ("X-Forwarded-Host", "app.example:8443"),
];

#[test]
fn nobody_is_believed_by_default() {
    let trust = TrustProxy::default();
    let untouched = ("127.0.0.1".to_owned(), 4000, false, None);
    assert_eq!(believed(&trust, "127.0.0.1", &EVERYTHING), untouched);
    assert_eq!(believed(&trust, "", &EVERYTHING).0, "");
}

#[test]
fn what_a_believed_proxy_says_is_taken_and_a_port_is_unknown_then() {
    let host = Some("app.example:8443".to_owned());
    let told = ("203.0.113.7".to_owned(), 0, true, host);
    for trust in [
        TrustProxy::Everybody,
        TrustProxy::Hops(1),
        networks(&["loopback"]),
        networks(&["10.0.0.1", "127.0.0.1"]),
        networks(&["::1", "127.0.0.0/30"]),
        networks(&["::ffff:127.0.0.1"]),
        networks(&["::ffff:127.0.0.0/104"]),
    ] {
        assert_eq!(
            believed(&trust, "127.0.0.1", &EVERYTHING),
            told,
            "{trust:?}"
        );
        // Where a socket takes both kinds of addresses, it writes the one as the other.
        let mapped = believed(&trust, "::ffff:127.0.0.1", &EVERYTHING);
        assert_eq!(mapped, told, "{trust:?}");
        assert_eq!(believed(&trust, "", &EVERYTHING), told, "{trust:?}");
    }
}

#[test]
fn a_stranger_is_not_believed() {
    for trust in [
        TrustProxy::Nobody,
        TrustProxy::Hops(0),
        networks(&[]),
        networks(&["loopback", "linklocal", "uniquelocal"]),
        networks(&["198.51.100.2", "198.51.100.0/32", "2001:db8::/32"]),
    ] {
        let untouched = ("198.51.100.1".to_owned(), 4000, false, None);
        assert_eq!(believed(&trust, "198.51.100.1", &EVERYTHING), untouched);
    }
}

#[test]
fn the_walk_goes_from_the_right_as_far_as_proxies_are_believed() {
    let chain = "6.6.6.6, 203.0.113.7, 10.0.0.2, 10.0.0.1";
    for (trust, expected) in [
        (TrustProxy::Everybody, "6.6.6.6"),
        (TrustProxy::Hops(1), "10.0.0.1"),
        (TrustProxy::Hops(2), "10.0.0.2"),
        (TrustProxy::Hops(3), "203.0.113.7"),
        (TrustProxy::Hops(4), "6.6.6.6"),
        (TrustProxy::Hops(u32::MAX), "6.6.6.6"),
        (networks(&["loopback"]), "10.0.0.1"),
        (networks(&["loopback", "10.0.0.1"]), "10.0.0.2"),
        (networks(&["loopback", "uniquelocal"]), "203.0.113.7"),
        (networks(&["uniquelocal"]), "127.0.0.1"),
        (networks(&["loopback", "0.0.0.0/0"]), "6.6.6.6"),
        (networks(&["::/0"]), "6.6.6.6"),
    ] {
        assert_eq!(address(&trust, "127.0.0.1", chain), expected, "{trust:?}");
    }
}

#[test]
fn several_fields_are_one_list() {
    let fields = [
        ("X-Forwarded-For", "6.6.6.6,203.0.113.7"),
        ("Other", "1.1.1.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("X-Forwarded-Proto", "wss, http"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "first.example , second.example"),
        ("X-Forwarded-Host", "third.example"),
    ];
    let trust = networks(&["loopback", "uniquelocal"]);
    let host = Some("first.example".to_owned());
    let told = ("203.0.113.7".to_owned(), 0, true, host);
    assert_eq!(believed(&trust, "127.0.0.1", &fields), told);
}

#[test]
fn entries_lose_port_brackets_and_the_prefix_of_ipv4_addresses() {
    for (entry, expected) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:80", "192.0.2.1"),
        (" \t192.0.2.1:65535 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
    ] {
        assert_eq!(address(&TrustProxy::Hops(1), "127.0.0.1", entry), expected);
    }
}

#[test]
fn the_walk_stops_at_what_is_no_address_and_the_last_address_stands() {
    for entry in [
        "",
        " ",
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:x",
        "[192.0.2.1]",
        "[2001:db8::1",
        "[2001:db8::1]443",
        "[2001:db8::1]:",
        "2001:db8::1%eth0",
        "\"192.0.2.1\"",
        "192.0.2.1 192.0.2.2",
        "192.0.2.1;x",
        "0xc0000201",
        "192.0.2.1\u{e9}",
        "10.0.0.0/8",
    ] {
        let one = |list: &str| address(&TrustProxy::Everybody, "127.0.0.1", list);
        assert_eq!(one(entry), "127.0.0.1", "{entry}");
        assert_eq!(
            one(&format!("6.6.6.6, {entry}, 10.0.0.1")),
            "10.0.0.1",
            "{entry}"
        );
    }
}

#[test]
fn a_scheme_that_is_none_of_ours_is_not_secure_and_none_says_nothing() {
    let secure = |fields: &[(&str, &str)], own: bool| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        let caller = Caller {
            secure: own,
            ..caller("127.0.0.1")
        };
        let client = client(&TrustProxy::Hops(1), &caller, &Fields::new(&fields));
        client.secure
    };
    for (scheme, expected) in [
        ("https", true),
        ("HTTPS", true),
        ("wss", true),
        ("https,http", true),
        ("http", false),
        ("ws", false),
        ("http,https", false),
        ("httpss", false),
        ("1", false),
    ] {
        for own in [true, false] {
            assert_eq!(secure(&[("X-Forwarded-Proto", scheme)], own), expected);
        }
    }
    for own in [true, false] {
        assert_eq!(secure(&[("X-Forwarded-Proto", "")], own), own);
        assert_eq!(secure(&[], own), own);
    }
}

#[test]
fn a_host_that_is_none_is_not_taken() {
    for host in ["", "user@host", "a b", "a:99999", "http://a", "a/b", "[::1"] {
        let fields = [("X-Forwarded-Host", host)];
        let (_, _, _, told) = believed(&TrustProxy::Everybody, "127.0.0.1", &fields);
        assert_eq!(told, None, "{host}");
    }
}

#[test]
fn ten_thousand_entries_are_walked_like_ten() {
    let long = "1,".repeat(10_000);
    assert_eq!(
        address(&TrustProxy::Everybody, "127.0.0.1", &long),
        "127.0.0.1"
    );
    let long = format!("6.6.6.6{}", ",10.0.0.1".repeat(10_000));
    let trust = networks(&["loopback", "uniquelocal"]);
    assert_eq!(address(&trust, "127.0.0.1", &long), "6.6.6.6");
}

/// An entry of a list, as likely an address as anything else.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0..4_u8).prop_map(|last| format!("10.0.0.{last}")),
        3 => any::<[u8; 4]>().prop_map(|octets| Ipv4Addr::from(octets).to_string()),
        2 => any::<[u8; 16]>().prop_map(|octets| Ipv6Addr::from(octets).to_string()),
        1 => any::<([u8; 4], u16)>()
            .prop_map(|(octets, port)| format!("{}:{port}", Ipv4Addr::from(octets))),
        1 => any::<([u8; 16], u16)>()
            .prop_map(|(octets, port)| format!("[{}]:{port}", Ipv6Addr::from(octets))),
        1 => any::<[u8; 4]>().prop_map(|octets| format!("::ffff:{}", Ipv4Addr::from(octets))),
        1 => "[ -~]{0,12}".prop_map(|text| text.replace(',', ".")),
    ]
}

fn trust() -> impl Strategy<Value = TrustProxy> {
    prop_oneof![
        Just(TrustProxy::Nobody),
        Just(TrustProxy::Everybody),
        (0..5_u32).prop_map(TrustProxy::Hops),
        prop::collection::vec((any::<[u8; 4]>(), 0..=32_u32), 0..4).prop_map(|ranges| {
            let mut networks: Vec<_> = ranges
                .into_iter()
                .filter_map(|(octets, length)| {
                    Network::parse(&format!("{}/{length}", Ipv4Addr::from(octets)))
                })
                .collect();
            networks.extend(Network::parse("10.0.0.0/30"));
            networks.extend(Network::parse("127.0.0.1"));
            TrustProxy::Networks(networks)
        }),
    ]
}

/// The address of an entry, read another way: from its ends inwards.
fn naive_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches([' ', '\t']);
    let host = match entry.rsplit_once(':') {
        Some((host, port))
            if port.parse::<u16>().is_ok()
                && !port.starts_with('+')
                && (host.ends_with(']') || !host.contains(':')) =>
        {
            host
        }
        _ => entry,
    };
    let address: IpAddr = if host.starts_with('[') {
        let inner = host.trim_start_matches('[').trim_end_matches(']');
        (format!("[{inner}]") == host).then_some(())?;
        IpAddr::V6(inner.parse().ok()?)
    } else {
        (host == entry || host.contains('.')).then_some(())?;
        host.parse().ok()?
    };
    Some(match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    })
}

/// The same walk, on the list of all addresses: the first one that nobody vouches for.
fn naive(trust: &TrustProxy, peer: IpAddr, fields: &[Vec<String>]) -> IpAddr {
    let mut chain = vec![peer];
    for entry in fields.concat().iter().rev() {
        match naive_address(entry) {
            Some(address) => chain.push(address),
            None => break,
        }
    }
    let is_believed = |hop: usize, address: &IpAddr| match trust {
        TrustProxy::Nobody => false,
        TrustProxy::Everybody => true,
        TrustProxy::Hops(most) => hop < *most as usize,
        TrustProxy::Networks(networks) => networks.iter().any(|it| it.contains(*address)),
    };
    let stranger = chain
        .iter()
        .enumerate()
        .position(|(hop, address)| !is_believed(hop, address));
    chain[stranger.unwrap_or(chain.len() - 1)]
}

proptest! {
    #[test]
    fn the_walk_ends_where_a_naive_one_does(
        trust in trust(),
        lists in prop::collection::vec(prop::collection::vec(entry(), 1..6), 0..4),
    ) {
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let values: Vec<_> = lists.iter().map(|list| list.join(" ,\t")).collect();
        let fields: Vec<_> = values
            .iter()
            .map(|value| Header { name: "X-Forwarded-For", value: value.as_bytes() })
            .collect();
        let client = client(&trust, &caller("127.0.0.1"), &Fields::new(&fields));
        prop_assert_eq!(client.address, Some(naive(&trust, peer, &lists)));
        // A proxy may name its own address; the port is unknown then, too.
        prop_assert!(client.port == 0 || client.address == Some(peer));
    }

    #[test]
    fn any_bytes_are_walked_to_some_end(
        trust in trust(),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
    ) {
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
        let fields: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(index, value)| Header { name: names[index % 3], value })
            .collect();
        let client = client(&trust, &caller(""), &Fields::new(&fields));
        prop_assert!(client.port == 0);
    }
}
