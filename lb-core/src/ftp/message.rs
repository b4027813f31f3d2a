//! Commands and replies that name the end of a data connection.
//!
//! What is accepted is what the kernel's `ip_vs_ftp_get_addrport` accepts: words in any case,
//! anything between the word and the address, numbers with leading zeros or (in the old form) with
//! no digit at all, no line end. It differs in one thing: the kernel lets numbers wrap (256 is 0)
//! and takes a port 0 in the old form; here neither is an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::service::Family;

const PASV: &[u8] = b"PASV\r\n";
const EPSV: &[u8] = b"EPSV";
const PORT: &[u8] = b"PORT";
const EPRT: &[u8] = b"EPRT";
const ENTERING_PASSIVE: &[u8] = b"227 ";
const ENTERING_EXTENDED_PASSIVE: &[u8] = b"229 ";

/// Which reply of the server a control connection waits for; the kernel's `app_data`, and its
/// numbers. The last command decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// None: no command yet, or the client listens itself.
    #[default]
    Active = 0,
    /// 227, after PASV.
    Passive = 1,
    /// 229, after EPSV.
    ExtendedPassive = 3,
}

impl Mode {
    /// The mode with the kernel's number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Active),
            1 => Some(Self::Passive),
            3 => Some(Self::ExtendedPassive),
            _ => None,
        }
    }

    /// The kernel's number.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// How an [`Endpoint`] is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `h,h,h,h,p,p` of `PORT` and 227 (RFC 959 section 4.1.2).
    Plain,
    /// `|1|address|port|` of `EPRT` and 229 (RFC 2428 sections 2 and 3).
    Extended,
}

/// Where one end will listen for a data connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `None` in a usual 229: the address of the control connection's server.
    pub address: Option<IpAddr>,
    /// Never 0.
    pub port: u16,
    pub form: Form,
    /// The bytes of the payload that say so, with the delimiters of the extended form.
    pub text: Range<usize>,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCommand {
    /// `PASV`
    Passive,
    /// `EPSV`, or `EPSV` with the number of the connection's own family.
    ExtendedPassive,
    /// `PORT` or `EPRT`; the address is always there.
    DataPort(Endpoint),
}

impl ClientCommand {
    /// What the control connection waits for from now on.
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Passive => Mode::Passive,
            Self::ExtendedPassive => Mode::ExtendedPassive,
            Self::DataPort(_) => Mode::Active,
        }
    }
}

/// The command in a segment from the client (`ip_vs_ftp_in`). The commands without arguments are
/// found anywhere in the segment, as a client may send several at once; the others begin it.
/// With IPv6 there are only the extended forms.
pub fn client_command(payload: &[u8], family: Family) -> Option<ClientCommand> {
    for (at, window) in payload.windows(PASV.len()).enumerate() {
        if family == Family::V4 && window.eq_ignore_ascii_case(PASV) {
            return Some(ClientCommand::Passive);
        }
        let [word @ .., fifth, sixth] = window else { continue };
        if !word.eq_ignore_ascii_case(EPSV) {
            continue;
        }
        let is_command = match fifth {
            b'\r' => true,
            // `EPSV ALL`, or a family that is not the connection's: not ours to follow.
            b' ' => *sixth == family_digit(family) && payload.get(at + PASV.len()) == Some(&b'\r'),
            _ => continue,
        };
        return is_command.then_some(ClientCommand::ExtendedPassive);
    }
    let plain = || plain(payload, seek(payload, PORT, b' ', Form::Plain)?);
    let extended = || {
        let endpoint = extended(payload, seek(payload, EPRT, b' ', Form::Extended)?, family);
        endpoint.filter(|endpoint| endpoint.address.is_some())
    };
    let endpoint = if family == Family::V4 { plain().or_else(extended) } else { extended() };
    endpoint.map(ClientCommand::DataPort)
}

/// The end that a segment from the server names in the reply that `mode` waits for
/// (`ip_vs_ftp_out`).
pub fn server_reply(payload: &[u8], mode: Mode, family: Family) -> Option<Endpoint> {
    match mode {
        Mode::Active => None,
        Mode::Passive => plain(payload, seek(payload, ENTERING_PASSIVE, b'(', Form::Plain)?),
        Mode::ExtendedPassive => {
            let start = seek(payload, ENTERING_EXTENDED_PASSIVE, b'(', Form::Extended)?;
            extended(payload, start, family)
        }
    }
}

/// The number of an address family in the extended forms (RFC 2428 section 2).
const fn family_digit(family: Family) -> u8 {
    match family {
        Family::V4 => b'1',
        Family::V6 => b'2',
    }
}

/// Offset of the first byte of an address: behind `word`, anything, and `opening` once or more.
/// The plain form needs no opening: some servers write 227 without parentheses.
fn seek(payload: &[u8], word: &[u8], opening: u8, form: Form) -> Option<usize> {
    let (begin, rest) = payload.split_at_checked(word.len())?;
    if !begin.eq_ignore_ascii_case(word) {
        return None;
    }
    let is_found = |&byte: &u8| byte == opening || (form == Form::Plain && byte.is_ascii_digit());
    let found = rest.iter().position(is_found)?;
    let openings = rest.get(found..)?.iter().position(|&byte| byte != opening)?;
    Some(word.len() + found + openings)
}

/// `h,h,h,h,p,p` at `start`. A byte must follow, or digits could be missing.
fn plain(payload: &[u8], start: usize) -> Option<Endpoint> {
    const LAST: usize = 5;
    let mut numbers = [0_u8; LAST + 1];
    let mut index = 0;
    for (offset, &byte) in payload.get(start..)?.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                let number = numbers.get_mut(index)?;
                *number = number.checked_mul(10)?.checked_add(byte - b'0')?;
            }
            b',' if index < LAST => index += 1,
            _ if index == LAST => {
                let [a, b, c, d, high, low] = numbers;
                let port = u16::from_be_bytes([high, low]);
                return (port != 0).then(|| Endpoint {
                    address: Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
                    port,
                    form: Form::Plain,
                    text: start..start + offset,
                });
            }
            _ => return None,
        }
    }
    None
}

/// `|family|address|port|` or `|||port|` at `start`, with any printable delimiter.
fn extended(payload: &[u8], start: usize, family: Family) -> Option<Endpoint> {
    let (&delimiter, mut rest) = payload.get(start..)?.split_first()?;
    // A digit could not be told from the port's own.
    if !delimiter.is_ascii_graphic() || delimiter.is_ascii_digit() {
        return None;
    }
    let mut field = || {
        let length = rest.iter().position(|&byte| byte == delimiter)?;
        let (field, after) = rest.split_at_checked(length)?;
        rest = after.get(1..)?;
        Some(field)
    };
    let (number, address, port) = (field()?, field()?, field()?);
    let address = if number.is_empty() && address.is_empty() {
        None
    } else if number == [family_digit(family)] {
        Some(parse_address(address, family)?)
    } else {
        return None;
    };
    let port = u16::try_from(parse_decimal(port)?).ok().filter(|&port| port != 0)?;
    let text = start..payload.len() - rest.len();
    Some(Endpoint { address, port, form: Form::Extended, text })
}

fn parse_address(bytes: &[u8], family: Family) -> Option<IpAddr> {
    match family {
        // Not `Ipv4Addr::from_str`: the kernel takes leading zeros, as decimal.
        Family::V4 => {
            let mut fields = bytes.split(|&byte| byte == b'.');
            let mut octets = [0_u8; 4];
            for octet in &mut octets {
                *octet = u8::try_from(parse_decimal(fields.next()?)?).ok()?;
            }
            fields.next().is_none().then(|| octets.into())
        }
        Family::V6 => std::str::from_utf8(bytes).ok()?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
    }
}

/// A number of digits alone; `None` for no digit, too.
fn parse_decimal(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        number.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(a: u8, b: u8, c: u8, d: u8) -> Option<IpAddr> {
        Some(IpAddr::from([a, b, c, d]))
    }

    /// Address and port, and the text that says so.
    type Seen<'a> = Option<(Option<IpAddr>, u16, &'a str)>;

    fn seen(payload: &str, endpoint: Option<Endpoint>) -> Seen<'_> {
        endpoint.map(|it| (it.address, it.port, &payload[it.text]))
    }

    fn passive(payload: &str) -> Seen<'_> {
        seen(payload, server_reply(payload.as_bytes(), Mode::Passive, Family::V4))
    }

    fn extended_passive(payload: &str) -> Seen<'_> {
        seen(payload, server_reply(payload.as_bytes(), Mode::ExtendedPassive, Family::V4))
    }

    fn data_port(payload: &str, family: Family) -> Seen<'_> {
        match client_command(payload.as_bytes(), family) {
            Some(ClientCommand::DataPort(endpoint)) => seen(payload, Some(endpoint)),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    #[test]
    fn passive_replies() {
        let expected = Some((v4(10, 0, 2, 11), 51210, "10,0,2,11,200,10"));
        for payload in [
            "227 Entering Passive Mode (10,0,2,11,200,10)\r\n",
            "227 Entering Passive Mode (10,0,2,11,200,10).\r\n",
            "227 Entering Passive Mode ((10,0,2,11,200,10)",
            "227 Entering Passive Mode 10,0,2,11,200,10\r\n",
            "227 =10,0,2,11,200,10\r",
            "227 (10,0,2,11,200,10,7)",
            "227 10,0,2,11,200,10 and more\r\n226 ok\r\n",
        ] {
            assert_eq!(passive(payload), expected, "{payload}");
        }
        assert_eq!(passive("227 (010,0,2,,0,021)"), Some((v4(10, 0, 2, 0), 21, "010,0,2,,0,021")));
    }

    #[test]
    fn what_is_no_passive_reply() {
        for payload in [
            "",
            "22",
            "227 ",
            "227-Entering Passive Mode (10,0,2,11,200,10)\r\n",
            " 227 Entering Passive Mode (10,0,2,11,200,10)\r\n",
            "229 Entering Passive Mode (10,0,2,11,200,10)\r\n",
            // Not the whole line is here: there may be another digit.
            "227 Entering Passive Mode (10,0,2,11,200,10",
            "227 Entering Passive Mode (10,0,2,11,200)\r\n",
            "227 Entering Passive Mode ( 10,0,2,11,200,10)\r\n",
            "227 Entering Passive Mode (10, 0,2,11,200,10)\r\n",
            "227 Mode 2 (10,0,2,11,200,10)\r\n",
            "227 Entering Passive Mode (((((",
            // The kernel would take these as 0.0.2.11:51210 and port 0.
            "227 Entering Passive Mode (256,0,2,11,200,10)\r\n",
            "227 Entering Passive Mode (10,0,2,11,0,0)\r\n",
        ] {
            assert_eq!(passive(payload), None, "{payload}");
        }
    }

    #[test]
    fn extended_passive_replies() {
        for (payload, address, text) in [
            ("229 Entering Extended Passive Mode (|||51300|)\r\n", None, "|||51300|"),
            ("229 (|||51300|", None, "|||51300|"),
            ("229 ((!!!051300!)\r\n", None, "!!!051300!"),
            ("229 2 (|1|10.0.2.11|51300|)", v4(10, 0, 2, 11), "|1|10.0.2.11|51300|"),
        ] {
            assert_eq!(extended_passive(payload), Some((address, 51300, text)), "{payload}");
        }
        for payload in [
            "229 Entering Extended Passive Mode |||51300|\r\n",
            "229 (|||51300)\r\n",
            "229 (|||51300",
            "229 (||51300|)\r\n",
            "229 (|||0|)\r\n",
            "229 (||||)\r\n",
            "229 (|||65536|)\r\n",
            "229 (|||99999999999|)\r\n",
            "229 (||| 51300|)\r\n",
            "229 (|1||51300|)\r\n",
            "229 (||10.0.2.11|51300|)\r\n",
            "229 (|2|10.0.2.11|51300|)\r\n",
            "229 (   51300 )\r\n",
            "229 (\u{80}\u{80}\u{80}51300\u{80})\r\n",
            "227 (|||51300|)\r\n",
        ] {
            assert_eq!(extended_passive(payload), None, "{payload}");
        }
    }

    #[test]
    fn a_reply_that_nobody_waits_for_is_text() {
        let (plain, extended) = (b"227 (10,0,2,11,200,10)\r\n", b"229 (|||51300|)\r\n");
        assert_eq!(server_reply(plain, Mode::Active, Family::V4), None);
        assert_eq!(server_reply(plain, Mode::ExtendedPassive, Family::V4), None);
        assert_eq!(server_reply(extended, Mode::Active, Family::V4), None);
        assert_eq!(server_reply(extended, Mode::Passive, Family::V4), None);
    }

    #[test]
    fn ports_of_clients() {
        let expected = |text| Some((v4(10, 0, 1, 2), 40001, text));
        for payload in
            ["PORT 10,0,1,2,156,65\r\n", "port   10,0,1,2,156,65\n", "PoRT10,0,1,2,156,65 "]
        {
            assert_eq!(data_port(payload, Family::V4), expected("10,0,1,2,156,65"), "{payload}");
            assert_eq!(data_port(payload, Family::V6), None, "{payload}");
        }
        for (payload, text) in [
            ("EPRT |1|10.0.1.2|40001|\r\n", "|1|10.0.1.2|40001|"),
            ("eprt  |1|010.0.01.2|040001|", "|1|010.0.01.2|040001|"),
            ("EPRT x1x10.0.1.2x40001x\r\n", "x1x10.0.1.2x40001x"),
        ] {
            assert_eq!(data_port(payload, Family::V4), expected(text), "{payload}");
            assert_eq!(data_port(payload, Family::V6), None, "{payload}");
        }
        let payload = "EPRT |2|fd00:1::2|40001|\r\n";
        let address = "fd00:1::2".parse().ok();
        assert_eq!(data_port(payload, Family::V6), Some((address, 40001, "|2|fd00:1::2|40001|")));
        assert_eq!(data_port(payload, Family::V4), None);
    }

    #[test]
    fn what_is_no_port_of_a_client() {
        for payload in [
            "PORT 10,0,1,2,156,65",
            "NOOP\r\nPORT 10,0,1,2,156,65\r\n",
            "PORT 10,0,1,2,0,0\r\n",
            "PORT 10.0.1.2,156,65\r\n",
            "EPRT|1|10.0.1.2|40001|\r\n",
            "EPRT |||40001|\r\n",
            "EPRT |1|10.0.1|40001|\r\n",
            "EPRT |1|10.0.1.2.3|40001|\r\n",
            "EPRT |1|10.0.1.256|40001|\r\n",
            "EPRT |1|10..1.2|40001|\r\n",
            "EPRT |01|10.0.1.2|40001|\r\n",
            "EPRT .1.10.0.1.2.40001.\r\n",
            "EPRT 51510.0.1.25400015\r\n",
            "EPRT |1|10.0.1.2|40001\r\n",
            "EPRT |2|fd00:1::2|40001|\r\n",
        ] {
            assert_eq!(data_port(payload, Family::V4), None, "{payload}");
        }
    }

    #[test]
    fn requests_for_passive_mode() {
        use ClientCommand::{ExtendedPassive, Passive};
        let cases = [
            ("PASV\r\n", Some(Passive), None),
            ("TYPE I\r\npasv\r\nRETR x\r\n", Some(Passive), None),
            ("PASV\n", None, None),
            ("EPSV\r\n", Some(ExtendedPassive), Some(ExtendedPassive)),
            ("NOOP\r\nepsv\r\n", Some(ExtendedPassive), Some(ExtendedPassive)),
            ("EPSV 1\r\n", Some(ExtendedPassive), None),
            ("EPSV 2\r\n", None, Some(ExtendedPassive)),
            ("EPSV ALL\r\n", None, None),
            ("EPSV 1", None, None),
            ("EPSVX\r\n", None, None),
            // The first one decides.
            ("EPSV ALL\r\nPASV\r\n", None, None),
            ("EPSV\r\nPASV\r\n", Some(ExtendedPassive), Some(ExtendedPassive)),
        ];
        for (payload, with_v4, with_v6) in cases {
            assert_eq!(client_command(payload.as_bytes(), Family::V4), with_v4, "{payload}");
            assert_eq!(client_command(payload.as_bytes(), Family::V6), with_v6, "{payload}");
        }
    }

    #[test]
    fn modes_have_the_numbers_of_the_kernel() {
        for number in 0..=255 {
            let mode = Mode::from_number(number);
            assert_eq!(mode.is_some(), [0, 1, 3].contains(&number));
            assert_eq!(mode.map_or(number, Mode::number), number);
        }
    }

    /// Bytes that look like messages, to get far into the parsers.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "227 ",
                "229 ",
                "PORT ",
                "EPRT ",
                "PASV\r\n",
                "EPSV",
                "(",
                "|",
                "1",
                "2",
                "|||",
                ",",
                "10,0,2,11",
                "10.0.2.11",
                "fd00::1",
                "255",
                "65535",
                ")",
                "\r\n",
                " ",
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..3),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_is_found_lies_in_the_payload_and_says_it(payload in message()) {
            for family in [Family::V4, Family::V6] {
                let mut found = Vec::new();
                for mode in [Mode::Active, Mode::Passive, Mode::ExtendedPassive] {
                    found.extend(server_reply(&payload, mode, family));
                }
                if let Some(ClientCommand::DataPort(endpoint)) = client_command(&payload, family) {
                    prop_assert!(endpoint.address.is_some());
                    found.push(endpoint);
                }
                for endpoint in found {
                    prop_assert_ne!(endpoint.port, 0);
                    let text = &payload[endpoint.text.clone()];
                    let again = match endpoint.form {
                        Form::Plain => plain(&[text, b" "].concat(), 0),
                        Form::Extended => extended(text, 0, family),
                    };
                    let again = again.map(|it| (it.address, it.port, it.text.len()));
                    prop_assert_eq!(again, Some((endpoint.address, endpoint.port, text.len())));
                }
            }
        }

        #[test]
        fn every_endpoint_that_is_written_is_read(address: [u8; 4], v6: [u8; 16], port in 1_u16..) {
            let ([a, b, c, d], [high, low]) = (address, port.to_be_bytes());
            let plain = format!("{a},{b},{c},{d},{high},{low}");
            let (v4, v6) = (IpAddr::from(address), IpAddr::from(v6));
            for (text, line, family, address) in [
                (plain.clone(), format!("PORT {plain}\r\n"), Family::V4, v4),
                (format!("|1|{v4}|{port}|"), format!("EPRT |1|{v4}|{port}|\r\n"), Family::V4, v4),
                (format!("|2|{v6}|{port}|"), format!("EPRT |2|{v6}|{port}|\r\n"), Family::V6, v6),
            ] {
                prop_assert_eq!(data_port(&line, family), Some((Some(address), port, &*text)));
            }
            let line = format!("227 Entering Passive Mode ({plain})\r\n");
            prop_assert_eq!(passive(&line), Some((Some(v4), port, &*plain)));
        }
    }
}
