use super::*;

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

#[test]
fn a_network_is_an_address_or_a_range_and_nothing_else() {
    for text in [
        "10.0.0.0/8",
        "10.1.2.3/8",
        "0.0.0.0/0",
        "10.0.0.1",
        "10.0.0.1/32",
        "::1",
        "fc00::/7",
        "::/0",
        "2001:db8::1/128",
        "::ffff:10.0.0.0/104",
    ] {
        assert!(Network::parse(text).is_some(), "{text}");
    }
    for text in [
        "",
        "loopback",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0",
        "10.0.0.1:80",
        "[::1]",
        "fc00::/129",
        "::ffff:10.0.0.0/8",
        " 10.0.0.1",
        "localhost",
        "10.0.0.0/99999999999999999999",
    ] {
        assert!(Network::parse(text).is_none(), "{text}");
    }
}

#[test]
fn words_stand_for_the_ranges_of_their_name() {
    let holds = |word: &str, address: &str| {
        let address = address.parse().unwrap();
        let mut networks = Network::named(word).unwrap().iter();
        networks.any(|network| network.contains(address))
    };
    for (word, inside, outside) in [
        (
            "loopback",
            &["127.0.0.1", "127.255.255.255", "::1"][..],
            &["126.255.255.255", "128.0.0.0", "::2", "::"][..],
        ),
        (
            "linklocal",
            &["169.254.0.0", "169.254.255.255", "fe80::1", "febf::"],
            &["169.253.255.255", "169.255.0.0", "fec0::"],
        ),
        (
            "uniquelocal",
            &[
                "10.0.0.0",
                "10.255.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.1",
                "fc00::",
                "fdff::1",
            ],
            &[
                "9.255.255.255",
                "11.0.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.167.0.0",
                "192.169.0.0",
                "fe00::",
            ],
        ),
    ] {
        for address in inside {
            assert!(holds(word, address), "{word} {address}");
        }
        for address in outside {
            assert!(!holds(word, address), "{word} {address}");
        }
    }
    assert!(Network::named("Loopback").is_none() && Network::named("").is_none());
}

#[test]
fn clients_choose_their_address_where_everybody_is_a_proxy() {
    assert!(TrustProxy::Everybody.believes_everybody());
    for all in ["0.0.0.0/0", "::/0", "::ffff:0:0/96", "::/8"] {
        assert!(networks(&["10.0.0.1", all]).believes_everybody(), "{all}");
    }
    let some = networks(&["loopback", "uniquelocal", "0.0.0.0/1", "8000::/1"]);
    for trust in [TrustProxy::Nobody, TrustProxy::Hops(3), networks(&[]), some] {
        assert!(!trust.believes_everybody(), "{trust:?}");
    }
}
