use proptest::prelude::*;

use super::*;

fn accept(offers: &str, most: u8) -> Option<String> {
    let accepted = Deflate::accept(offers, Window::new(most).unwrap());
    accepted.map(|deflate| deflate.to_string())
}

/// The answer with these parameters behind those that are always there.
fn answer(parameters: &str) -> String {
    let always = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    format!("{always}{parameters}")
}

#[test]
fn offers_are_accepted_without_a_context() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate;server_no_context_takeover ; client_no_context_takeover",
        " permessage-deflate\t;\tclient_max_window_bits = 12",
        "permessage-deflate; client_max_window_bits=\"8\"",
    ] {
        assert_eq!(accept(offer, 15), Some(answer("")), "{offer}");
    }
}

#[test]
fn the_windows_of_both_sides_are_no_larger_than_asked_for_and_allowed() {
    let cases = [
        (
            "server_max_window_bits=15",
            15,
            "; server_max_window_bits=15",
        ),
        ("server_max_window_bits=9", 15, "; server_max_window_bits=9"),
        (
            "server_max_window_bits=\"11\"",
            15,
            "; server_max_window_bits=11",
        ),
        (
            "server_max_window_bits=15",
            10,
            "; server_max_window_bits=10",
        ),
        ("server_max_window_bits=9", 10, "; server_max_window_bits=9"),
        ("client_max_window_bits", 10, "; client_max_window_bits=10"),
        (
            "client_max_window_bits=11",
            10,
            "; client_max_window_bits=10",
        ),
        ("client_max_window_bits=10", 10, ""),
        ("client_max_window_bits=8", 10, ""),
        (
            "client_max_window_bits; server_max_window_bits=12",
            13,
            "; server_max_window_bits=12; client_max_window_bits=13",
        ),
    ];
    for (parameters, most, expected) in cases {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(
            accept(&offer, most),
            Some(answer(expected)),
            "{offer}, {most}"
        );
    }
    let window = |offer, most| {
        let accepted = Deflate::accept(offer, Window::new(most).unwrap());
        accepted.unwrap().window().bits()
    };
    assert_eq!(window("permessage-deflate", 12), 12);
    assert_eq!(
        window("permessage-deflate; server_max_window_bits=10", 12),
        10
    );
}

#[test]
fn offers_that_are_unknown_or_malformed_are_declined() {
    for offer in [
        "",
        ",",
        "x-webkit-deflate-frame",
        "permessage-deflate-2",
        "permessage-bzip2",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=1e1",
        "permessage-deflate; server_max_window_bits=\"9",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; mux",
        "permessage-deflate;",
        "permessage-deflate; ;",
        "permessage-deflate server_no_context_takeover",
        "permessage-deflate=1",
        "permessage-deflate; x=\"a, permessage-deflate",
        "permessage-deflate; x=\"a\\\", permessage-deflate\"",
    ] {
        assert_eq!(accept(offer, 15), None, "{offer}");
    }
}

#[test]
fn the_first_acceptable_offer_is_taken() {
    let cases = [
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            "",
        ),
        (
            "x, permessage-deflate; x, permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "; server_max_window_bits=10",
        ),
        ("x; y=\"permessage-deflate, z\", permessage-deflate", ""),
    ];
    for (offers, expected) in cases {
        assert_eq!(accept(offers, 15), Some(answer(expected)), "{offers}");
    }
}

proptest! {
    #[test]
    fn no_offer_makes_it_panic_and_an_accepted_one_stays_within_bounds(
        offers in prop_oneof![
            ".*",
            "(permessage-deflate|[;,=\" ]|(server|client)_max_window_bits|[0-9]{1,2}|\\\\){0,12}",
        ],
        most in 9..=15_u8,
    ) {
        if let Some(deflate) = Deflate::accept(&offers, Window::new(most).unwrap()) {
            prop_assert!(deflate.window().bits() <= most);
            // What is answered is an offer that would be accepted again.
            prop_assert!(accept(&deflate.to_string(), most).is_some());
        }
    }
}
