//! Any bytes get the same verdict however they come, and a request that passes is one that no two parsers read
//! differently.

use std::collections::HashSet;

use zocket::{
    AllowedOrigins, Rules,
    handshake::{Head, MAX_HEAD, UpgradeRequest, parse},
};

pub fn run(bytes: &[u8]) {
    let rules = |path: Option<&str>, origins| Rules {
        path: path.map(str::to_owned),
        origins,
    };
    for rules in [
        rules(None, AllowedOrigins::Any),
        rules(Some("/chat"), AllowedOrigins::List(vec!["http://a".into()])),
        rules(None, AllowedOrigins::Owner),
    ] {
        check(bytes, &rules);
    }
}

fn check(bytes: &[u8], rules: &Rules) {
    let Head::Complete { length, request } = parse(bytes, rules) else {
        assert!(bytes.len() < MAX_HEAD);
        return;
    };
    assert!(length <= bytes.len());
    // Less of it is the same, or not enough.
    for cut in [length.saturating_sub(1), length, bytes.len() / 2] {
        if let Head::Complete {
            request: earlier, ..
        } = parse(&bytes[..cut], rules)
        {
            assert_eq!(earlier, request);
        }
    }
    match request {
        Ok(request) => check_request(&bytes[..length], &request, rules),
        Err(refusal) => {
            assert!([400, 403, 404, 426, 431].contains(&refusal.status));
            let response = refusal.to_response();
            assert!(response.starts_with(format!("HTTP/1.1 {} ", refusal.status).as_bytes()));
        }
    }
}

fn check_request(head: &[u8], request: &UpgradeRequest, rules: &Rules) {
    let head: String = head.iter().map(|byte| char::from(*byte)).collect();
    let lines: Vec<_> = head.trim_start_matches("\r\n").split("\r\n").collect();
    assert!(
        lines
            .iter()
            .all(|line| !line.contains(|c: char| c.is_ascii_control() && c != '\t'))
    );
    assert!(lines[0].starts_with("GET ") && lines[0].ends_with(" HTTP/1.1"));
    let fields: Vec<(String, &str)> = (lines[1..].iter())
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
        .collect();
    assert_eq!(fields.len() + 3, lines.len(), "a line without a colon");
    let all = |name: &str| {
        fields
            .iter()
            .filter(|field| field.0 == name)
            .map(|field| field.1)
            .collect::<Vec<_>>()
    };
    assert!(
        fields
            .iter()
            .all(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']))
    );
    assert_eq!((all("host").len(), all("sec-websocket-key").len()), (1, 1));
    assert_eq!(all("sec-websocket-version"), ["13"]);
    assert!(all("authorization").len() <= 1);
    assert!(
        all("transfer-encoding").is_empty()
            && all("content-length").iter().all(|length| *length == "0")
    );

    let mut json = Vec::new();
    request.headers.write_json(&mut json);
    let told: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&json).expect("an object");
    assert_eq!(told.len(), request.headers.len());
    let names: HashSet<_> = request.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), request.headers.len(), "a doubled name");
    for (name, value) in request.headers.iter() {
        assert_eq!(name, name.to_lowercase());
        let real = all(name);
        match (name, real.is_empty()) {
            ("cookie", true) => panic!("a cookie from the query"),
            ("cookie", false) => assert_eq!(value, real.join("; ")),
            // Withheld from another site, it may come from the query.
            ("authorization", false) if rules.origins == AllowedOrigins::Any => {}
            (_, false) => assert_eq!(value, real.join(", ")),
            (_, true) => {}
        }
    }
    assert!(request.path.starts_with('/'));
    assert!(rules.path.as_ref().is_none_or(|path| *path == request.path));
    assert_eq!(
        request.origin.is_some(),
        rules.origins == AllowedOrigins::Owner && !all("origin").is_empty()
    );
    assert_eq!(request.accept.len(), 28);
}
