//! Any bytes get the same verdict however they come, and a request that passes is one that no two parsers read
//! differently.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use zocket::{
    AllowedOrigins, Peer, Rules, TrustProxy,
    border::event::write_headers,
    handshake::{
        caller::Caller,
        head::MAX_HEAD,
        request::{Head, UpgradeRequest, parse},
        rules::Site,
        subprotocol::Subprotocol,
    },
};

use super::memory;

/// Who asks.
const CALLER: Caller = Caller {
    peer: Peer::Local,
    secure: false,
    certificate: None,
};

/// Bytes that are held for each byte of a head, and besides.
const READ: usize = 8;
const SOME: usize = 2 * 1024;
const PROTOCOL: &str = "sec-websocket-protocol";

pub fn run(bytes: &[u8]) {
    memory::alone(|| check_all(bytes));
}

fn check_all(bytes: &[u8]) {
    let rules = |path: Option<&str>, origins| Rules {
        path: path.map(str::to_owned),
        origins,
        protocols: vec!["a".into(), "mqtt".into()],
        ..Rules::default()
    };
    for rules in [
        rules(None, AllowedOrigins::Any),
        rules(Some("/chat"), AllowedOrigins::List(vec!["http://a".into()])),
        rules(None, AllowedOrigins::Owner),
        Rules {
            trust_proxy: TrustProxy::Everybody,
            trusted_headers: vec!["x-user".into(), "token".into()],
            ..rules(None, AllowedOrigins::Any)
        },
    ] {
        check(bytes, &rules);
    }
}

fn check(bytes: &[u8], rules: &Rules) {
    let most = READ * bytes.len().min(MAX_HEAD) + SOME;
    let Head::Complete {
        length, request, ..
    } = memory::at_most(most, || parse(bytes, rules, &CALLER))
    else {
        assert!(bytes.len() < MAX_HEAD);
        return;
    };
    assert!(length <= bytes.len());
    // Less of it is the same, or not enough.
    for cut in [length.saturating_sub(1), length, bytes.len() / 2] {
        if let Head::Complete {
            request: earlier, ..
        } = parse(&bytes[..cut], rules, &CALLER)
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

    let offered = all(PROTOCOL).join(",");
    let offered: Vec<_> = offered.split(',').map(str::trim_ascii).collect();
    let is_ours = offered.contains(&"zocket.1");
    let mut tokens = (offered.iter()).filter_map(|item| item.strip_prefix("zocket.h."));
    let token = tokens.next();
    assert!(tokens.next().is_none() && (is_ours || token.is_none()));
    match &request.protocol {
        Subprotocol::Zocket => assert!(is_ours),
        Subprotocol::Other(name) => {
            assert!(!is_ours && offered.contains(&name.as_str()) && rules.protocols.contains(name));
        }
        Subprotocol::None => {
            assert!(!is_ours && !(rules.protocols.iter()).any(|it| offered.contains(&it.as_str())));
        }
    }
    let claims = token.map_or_else(|| Some(Vec::new()), claims);
    if let Some(claims) = claims {
        check_merge(
            &fields,
            &claims,
            &parameters(lines[0]),
            request,
            &rules.trusted_headers,
        );
    }
    let other_site = request.site == Site::Other;
    assert!(!other_site || rules.origins == AllowedOrigins::Any && !all("origin").is_empty());
    assert!(request.path().starts_with('/'));
    let path = rules.path.as_deref();
    assert!(path.is_none_or(|path| path == request.path()));
    let origins = all("origin");
    let origin = (!origins.is_empty()).then(|| origins.join(", "));
    assert_eq!(request.origin, origin);
    check_forwarded(&all, request, rules);
    let target = lines[0].split(' ').nth(1).unwrap_or_default();
    let url: String = request.url.bytes().map(char::from).collect();
    assert_eq!(url, target);
    assert_eq!(request.accept.len(), 28);
}

/// The names and values of the query, decoded; the line has a character for each byte.
fn parameters(line: &str) -> Vec<(String, String)> {
    let target = line.split(' ').nth(1).unwrap_or_default();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let decode = |text: &str| {
        let bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
        let mut decoded = Vec::new();
        let mut rest = &bytes[..];
        while let [byte, after @ ..] = rest {
            let hex = after.get(..2).filter(|_| *byte == b'%');
            let hex = hex.and_then(|hex| str::from_utf8(hex).ok());
            let hex = hex.filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let value = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            decoded.push(value.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
            rest = if value.is_some() { &after[2..] } else { after };
        }
        String::from_utf8_lossy(&decoded).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// The names and values in a token, by another way than the engine's.
fn claims(token: &str) -> Option<Vec<(String, String)>> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for c in token.chars() {
        let digit = alphabet.find(c).expect("base64url");
        bits = bits << 6 | u32::try_from(digit).expect("below 64");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    let json = String::from_utf8(bytes).expect("text");
    let mut pairs = Vec::new();
    let mut rest = json.trim_ascii().trim_start_matches('{');
    while let Some(start) = rest.find('"') {
        let mut strings = serde_json::Deserializer::from_str(&rest[start..]).into_iter::<String>();
        // Lone surrogates are not read here.
        let name = strings.next()?.ok()?;
        let value = &rest[start + strings.byte_offset()..];
        let value = value.trim_ascii_start().strip_prefix(':').expect("a value");
        let mut strings = serde_json::Deserializer::from_str(value).into_iter::<String>();
        pairs.push((name, strings.next()?.ok()?));
        rest = &value[strings.byte_offset()..];
    }
    Some(pairs)
}

/// What proxies say counts if they are believed, as far as it is readable.
fn check_forwarded<'a>(
    all: &dyn Fn(&str) -> Vec<&'a str>,
    request: &UpgradeRequest,
    rules: &Rules,
) {
    let list = |name: &str| all(name).join(",");
    let host = list("x-forwarded-host");
    let first = host.split(',').next().unwrap_or_default();
    let is_believed = rules.trust_proxy == TrustProxy::Everybody;
    let is_forwarded = is_believed && request.host == first.trim_matches([' ', '\t']);
    assert!(is_forwarded || [&*request.host] == *all("host"));
    let forwarded = list("x-forwarded-for");
    let mut address = None;
    for entry in forwarded.rsplit(',').filter(|_| is_believed) {
        let entry = entry.trim_matches([' ', '\t']);
        let bare = entry.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let socket = entry.parse().map(|it: SocketAddr| it.ip());
        let plain = entry.parse().or(socket);
        let read = match bare {
            Some(bare) => bare.parse().map(IpAddr::V6).ok(),
            None => plain.ok(),
        };
        let Some(read) = read else { break };
        address = Some(read.to_canonical());
    }
    assert_eq!((request.address, request.port), (address, 0));
    let scheme = list("x-forwarded-proto").to_ascii_lowercase();
    let scheme = scheme
        .split(',')
        .next()
        .map(|it| it.trim_matches([' ', '\t']).to_owned());
    let is_secure = scheme.is_some_and(|it| it == "https" || it == "wss");
    assert_eq!(request.secure, is_believed && is_secure);
}

/// The names in lower case.
type Fields<'a> = [(String, &'a str)];

/// Reads the merged headers again, name by name.
fn check_merge(
    fields: &Fields,
    claims: &[(String, String)],
    parameters: &[(String, String)],
    request: &UpgradeRequest,
    trusted: &[String],
) {
    let mut json = Vec::new();
    write_headers(&mut json, &request.headers);
    let told: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&json).expect("an object");
    assert_eq!(told.len(), request.headers.len(), "a doubled name");
    let is_left = |name: &str| {
        let known = ["host", "origin", "user-agent", "accept"].contains(&name);
        known || name.starts_with("accept-") || name.starts_with("sec-")
    };
    let is_left = |name: &str| request.site == Site::Own || is_left(name);
    let real = |name: &str| -> Option<String> {
        if name == PROTOCOL {
            return None;
        }
        let values: Vec<_> = (fields.iter().filter(|field| field.0 == name))
            .map(|field| field.1)
            .collect();
        let separator = if name == "cookie" { "; " } else { ", " };
        (!values.is_empty()).then(|| values.join(separator))
    };
    // Of a trusted name nothing counts but what is left of the fields.
    let may_be_named = |pair: &&(String, String)| {
        let lower = pair.0.to_lowercase();
        !trusted.contains(&lower) || real(&lower).is_some() && is_left(&lower)
    };
    let claims = &claims
        .iter()
        .filter(may_be_named)
        .cloned()
        .collect::<Vec<_>>()[..];
    let parameters = &(parameters.iter().filter(may_be_named).cloned()).collect::<Vec<_>>()[..];
    let last = |list: &[(String, String)], is: &dyn Fn(&str) -> bool| {
        let found = list.iter().rfind(|(name, _)| is(name));
        found.map(|(_, value)| value.clone())
    };
    // What the client names in its subprotocol wins over the query, under whatever spelling.
    let named = |name: &str, lower: &str| {
        let any = |it: &str| it.to_lowercase() == *lower;
        let exact = |it: &str| it == name;
        let claimed = if lower == name {
            last(claims, &any)
        } else {
            last(claims, &exact)
        };
        let claimed = claimed.or_else(|| last(claims, &any));
        claimed.or_else(|| {
            if lower == name {
                last(parameters, &any)
            } else {
                last(parameters, &exact)
            }
        })
    };
    for (name, value) in &told {
        let lower = name.to_lowercase();
        let is_named = (claims.iter().chain(parameters)).any(|it| it.0 == *name);
        let expected = match real(&lower) {
            Some(_) if !is_left(&lower) && lower != "authorization" => None,
            Some(value) if is_left(&lower) => Some(value).filter(|_| lower == *name || is_named),
            _ if lower != *name && !is_named => None,
            _ => named(name, &lower),
        };
        assert_eq!(value.as_str(), expected.as_deref(), "{name}");
        assert!(lower != "cookie" || name == "cookie" && real(name).is_some());
        assert_ne!(lower, PROTOCOL);
    }
    let real_names: HashSet<_> = (fields.iter().map(|field| field.0.as_str()))
        .filter(|name| is_left(name) && *name != PROTOCOL)
        .collect();
    let told_fields: Vec<_> = request.headers.fields().collect();
    assert_eq!(told_fields.len(), real_names.len());
    assert!(told_fields.iter().all(|name| real_names.contains(name)));
    assert!(real_names.iter().all(|name| told.contains_key(*name)));
    for (name, _) in claims.iter().chain(parameters) {
        let lower = name.to_lowercase();
        let is_free = real(&lower).is_none() || !is_left(&lower) && lower == "authorization";
        assert!(
            !is_free
                || lower == "cookie"
                || lower == PROTOCOL
                || told.contains_key(&lower) && told.contains_key(name)
        );
    }
    // Bytes that cost the client one cost no more than a few here.
    assert!(request.headers.bytes() <= 8 * MAX_HEAD);
}
