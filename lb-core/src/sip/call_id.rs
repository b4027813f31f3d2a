//! The `Call-ID` of a SIP message (RFC 3261 sections 7.3, 8.1.1.4, 20.8).

/// Bytes of the longest Call-ID that is remembered.
pub const CALL_ID_MAX: usize = 255;

/// The name of the header field, and its compact form.
const NAME: &[u8] = b"call-id";
const COMPACT_NAME: &[u8] = b"i";

/// The Call-ID in the payload of a datagram. `None` where there is none, where it is empty, longer
/// than [`CALL_ID_MAX`], or not followed by the end of its line: as in the kernel nothing may
/// stand behind it.
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut rest = message;
    // The first line is the request or the status.
    while let Some(next) = after_line(rest) {
        rest = next;
        if let Some(behind) = after_name(rest) {
            return value(behind);
        }
    }
    None
}

/// What follows the end of the line: CR, LF or both.
fn after_line(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|&byte| is_line_end(byte))?;
    let rest = &text[end + 1..];
    let rest = match (text[end], rest) {
        (b'\r', [b'\n', rest @ ..]) => rest,
        _ => rest,
    };
    (!rest.is_empty()).then_some(rest)
}

/// What is behind the field's name, if the line begins with it. The compact form must not be the
/// begin of a longer word.
fn after_name(line: &[u8]) -> Option<&[u8]> {
    let starts =
        |name: &[u8]| line.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name));
    if starts(NAME) {
        return Some(&line[NAME.len()..]);
    }
    let behind = starts(COMPACT_NAME).then(|| &line[COMPACT_NAME.len()..])?;
    behind.first().is_some_and(|byte| !byte.is_ascii_alphabetic()).then_some(behind)
}

/// The value behind the name: `word [ "@" word ]`.
fn value(behind_name: &[u8]) -> Option<&[u8]> {
    let text = skip_blanks(behind_name)?.strip_prefix(b":")?;
    let text = skip_blanks(text).filter(|text| !text.is_empty())?;
    let local = word_len(text);
    let length = match text.get(local) {
        Some(b'@') if local > 0 => {
            let domain = word_len(&text[local + 1..]);
            if domain == 0 { 0 } else { local + 1 + domain }
        }
        _ => local,
    };
    let is_whole = text.get(length).is_some_and(|&byte| is_line_end(byte));
    (length > 0 && length <= CALL_ID_MAX && is_whole).then(|| &text[..length])
}

/// What is behind blanks; a line that begins with a blank goes on with the one before. `None`
/// where the line ends.
fn skip_blanks(text: &[u8]) -> Option<&[u8]> {
    let trimmed = trim(text);
    if !trimmed.first().is_some_and(|&byte| is_line_end(byte)) {
        return Some(trimmed);
    }
    let next = after_line(trimmed)?;
    is_blank(*next.first()?).then(|| trim(next))
}

fn trim(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|&&byte| is_blank(byte)).count();
    &text[blanks..]
}

/// Length of the `word` that the text begins with (RFC 3261 section 25.1).
fn word_len(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| is_word(byte)).count()
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'!'
                | b'%'
                | b'*'
                | b'_'
                | b'+'
                | b'`'
                | b'\''
                | b'~'
                | b'('
                | b')'
                | b'<'
                | b'>'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'{'
                | b'}'
        )
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> Option<String> {
        let message = format!("INVITE sip:bob@example.com SIP/2.0\r\n{lines}");
        call_id(message.as_bytes()).map(|id| String::from_utf8(id.to_vec()).unwrap())
    }

    #[test]
    fn a_call_id_is_found_wherever_it_stands() {
        let id = Some("f81d4fae-7dec@10.0.1.2".to_owned());
        assert_eq!(of("Call-ID: f81d4fae-7dec@10.0.1.2\r\n\r\n"), id);
        assert_eq!(of("Via: x\r\nFrom: <sip:a@b>\r\ncALL-id:f81d4fae-7dec@10.0.1.2\r\n"), id);
        assert_eq!(of("i: f81d4fae-7dec@10.0.1.2\n\n"), id);
        assert_eq!(of("I \t:\t f81d4fae-7dec@10.0.1.2\rTo: x\r"), id);
        assert_eq!(of("Call-ID:\r\n  f81d4fae-7dec@10.0.1.2\r\n"), id);
        assert_eq!(of("Call-ID: word\r\n"), Some("word".to_owned()));
    }

    #[test]
    fn what_is_no_call_id_is_none() {
        for lines in [
            "",
            "Via: x\r\n\r\n",
            "Call-ID\r\n",
            "Call-ID:\r\n",
            "Call-ID: \r\n\r\n",
            "Call-ID:\r\nx\r\n",
            "Call-ID: a@\r\n",
            "Call-ID: a b\r\n",
            "Call-ID: a",
            "Call-ID: a@b@c\r\n",
            " Call-ID: a\r\n",
            "Info: a\r\n",
            "ia: a\r\n",
        ] {
            assert_eq!(of(lines), None, "{lines:?}");
        }
        assert_eq!(call_id(b"Call-ID: first-line\r\n"), None);
        assert_eq!(call_id(b"\r\nCall-ID: a\r\n"), Some(&b"a"[..]));
    }

    #[test]
    fn the_longest_call_id_has_255_bytes() {
        let of_length = |length| of(&format!("Call-ID: {}\r\n", "a".repeat(length)));
        assert_eq!(of_length(255), Some("a".repeat(255)));
        assert_eq!(of_length(256), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(0_u8..=255, 0..400)) {
            if let Some(id) = call_id(&bytes) {
                proptest::prop_assert!(!id.is_empty() && id.len() <= CALL_ID_MAX);
                proptest::prop_assert!(bytes.windows(id.len()).any(|window| window == id));
            }
        }

        #[test]
        fn nearly_right_messages_are_read_without_harm(
            bytes in "[ \t\r\n:@iCc]{0,20}(Call-ID|i)[ \t\r\n:@abc]{0,20}"
        ) {
            let _id = call_id(bytes.as_bytes());
        }
    }
}
