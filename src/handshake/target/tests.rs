use super::*;

fn split(target: &str) -> Option<(&str, &str)> {
    Target::parse(target).map(|target| (target.path, target.query))
}

#[test]
fn a_target_splits_at_its_first_question_mark() {
    assert_eq!(split("/"), Some(("/", "")));
    assert_eq!(split("/a/b?c=d?e"), Some(("/a/b", "c=d?e")));
    assert_eq!(split("/?"), Some(("/", "")));
    assert_eq!(split("//a?b"), Some(("//a", "b")));
}

#[test]
fn nothing_is_decoded() {
    assert_eq!(split("/%61/../b?%3f"), Some(("/%61/../b", "%3f")));
}

#[test]
fn path_and_query_are_taken_from_an_absolute_target() {
    assert_eq!(split("http://h/path?q"), Some(("/path", "q")));
    assert_eq!(split("WSS://h:1/a"), Some(("/a", "")));
    assert_eq!(split("ws://[::1]:1"), Some(("/", "")));
    assert_eq!(split("https://h?q=http://x/"), Some(("/", "q=http://x/")));
}

#[test]
fn every_other_form_is_refused() {
    for target in [
        "",
        "*",
        "h",
        "h:443",
        "?q",
        "a/b",
        "ftp://h/",
        "://h/",
        "http:/h",
        "http:///a",
        "http://u@h/",
        "/a#b",
        "http://h/#",
    ] {
        assert_eq!(split(target), None, "{target}");
    }
}
