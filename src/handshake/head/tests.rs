use super::*;

#[test]
fn a_head_ends_after_its_first_blank_line() {
    assert_eq!(find_end(b"a\r\nb\r\n\r\nrest\r\n\r\n"), End::At(8));
    assert_eq!(find_end(b"a\r\n\r\n\0\n"), End::At(5));
    for length in 1..100 {
        let head = [&b"x".repeat(length), &b"\r\n\r\n"[..]].concat();
        assert_eq!(find_end(&head), End::At(length + 4));
    }
}

#[test]
fn every_start_of_a_head_may_become_one() {
    let head = b"\r\nGET / HTTP/1.1\r\na: b\tc\xff\r\n\r\n";
    for length in 0..head.len() {
        assert_eq!(find_end(&head[..length]), End::NotYet, "{length}");
    }
    assert_eq!(find_end(head), End::At(head.len()));
}

#[test]
fn one_blank_line_before_the_request_line_is_no_end() {
    assert_eq!(find_end(b"\r\na\r\n\r\n"), End::At(7));
    assert_eq!(find_end(b"\r\n\r"), End::NotYet);
    assert_eq!(find_end(b"\r\n\r\n"), End::Malformed);
}

#[test]
fn half_a_line_break_is_noticed_at_once() {
    for bytes in [
        &b"a\n"[..],
        b"\n",
        b"a\rb",
        b"a\r\r\n",
        b"\r\r",
        b"a\r\nb\n\r\n",
        b"\r\n\n",
    ] {
        assert_eq!(find_end(bytes), End::Malformed, "{bytes:?}");
    }
}

#[test]
fn control_characters_are_noticed_at_once() {
    for byte in (0..=0x1f).chain([0x7f]) {
        let expected = match byte {
            b'\t' | b'\r' => End::NotYet,
            _ => End::Malformed,
        };
        assert_eq!(find_end(&[b'a', byte]), expected, "{byte}");
    }
    assert_eq!(
        find_end(b"\x16\x03\x01\x02\x00"),
        End::Malformed,
        "a TLS hello"
    );
}

#[test]
fn bytes_and_lines_are_counted_before_the_end_has_come() {
    let line = b"x".repeat(MAX_HEAD);
    assert_eq!(find_end(&line[1..]), End::NotYet);
    assert_eq!(find_end(&line), End::TooLarge);
    let lines = b"x\r\n".repeat(MAX_FIELDS + 2);
    assert_eq!(find_end(&lines[3..]), End::NotYet);
    assert_eq!(find_end(&lines), End::TooLarge);
}
