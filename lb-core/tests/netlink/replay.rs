//! Recorded exchanges with the kernel's IPVS: the same datagrams must be answered by the same.

use std::fmt::Write as _;

use lb_core::netlink::{Access, answer};
use lb_core::operations::Operations;

use crate::director::{control, director};

const RECORDED: &str = include_str!("../../../tests/captures/kernel/netlink.txt");
/// How many exchanges there are at least; fewer are a broken test.
const EXCHANGES_MIN: usize = 240;

/// What the kernel takes and Sluice refuses, by section and question, with the error number.
const REFUSED: &[(&str, &str, i32)] = &[
    ("beyond", "protocol 47", 93),
    ("beyond", "unknown flags", 95),
    ("beyond", "persistence of no time", 95),
    ("beyond", "persistence of a long time", 95),
    ("beyond", "method 5", 95),
    ("beyond", "method 7", 95),
    ("beyond", "tunnel type 3", 95),
    ("beyond", "GUE with flags 3", 95),
    ("beyond", "GRE with remote checksums", 95),
    ("beyond", "number 256", 95),
];
/// Questions whose answer differs because of something that was refused before, or is forgotten.
const FOLLOWING: &[(&str, &str)] =
    &[("beyond", "get"), ("beyond", "dump"), ("beyond", "stop the master")];

#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) section: String,
    pub(crate) what: String,
    pub(crate) request: Vec<u8>,
    pub(crate) replies: Vec<Vec<u8>>,
}

pub(crate) fn exchanges() -> Vec<Exchange> {
    let mut found: Vec<Exchange> = Vec::new();
    let (mut section, mut what) = ("", "");
    for line in RECORDED.lines() {
        let Some((mark, rest)) = line.split_once(' ') else { continue };
        match mark {
            "##" => section = rest,
            "#" => what = rest,
            ">" => found.push(Exchange {
                section: section.to_owned(),
                what: what.to_owned(),
                request: bytes(rest),
                replies: Vec::new(),
            }),
            "<" => found.last_mut().unwrap().replies.push(bytes(rest)),
            _ => {}
        }
    }
    assert!(found.len() >= EXCHANGES_MIN, "{} exchanges", found.len());
    found
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The error number of a refusal.
pub(crate) fn error(reply: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(reply[4..6].try_into().unwrap());
    (kind == 2).then(|| -i32::from_ne_bytes(reply[16..20].try_into().unwrap()))
}

fn replay(mut operations: impl Operations, wanted: impl Fn(&Exchange) -> bool) {
    let mut wrong = Vec::new();
    for exchange in exchanges().iter().filter(|exchange| wanted(exchange)) {
        let Exchange { section, what, request, replies } = exchange;
        let got = answer(request, &mut operations, Access::Full);
        let is = |s: &str, w: &str| s == section && w == what;
        if let Some(&(_, _, number)) = REFUSED.iter().find(|(s, w, _)| is(s, w)) {
            assert_eq!(replies.last().and_then(|reply| error(reply)), Some(0), "{what}");
            let numbers: Vec<_> = got.iter().map(|reply| error(reply)).collect();
            assert_eq!(numbers, [Some(number)], "{section}: {what}");
        } else if FOLLOWING.iter().any(|(s, w)| is(s, w)) {
            assert!(!got.is_empty(), "{section}: {what}");
        } else if got != *replies {
            let list =
                |replies: &[Vec<u8>]| replies.iter().map(|r| hex(r) + "\n").collect::<String>();
            let (request, replies, got) = (hex(request), list(replies), list(&got));
            wrong.push(format!("{section}: {what}\n{request}\nexpected\n{replies}got\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_control_plane_answers_as_the_kernel_did() {
    replay(control(), |exchange| exchange.section != "daemons");
}

#[test]
fn sync_daemons_are_started_listed_and_stopped_as_by_the_kernel() {
    replay(director(), |exchange| exchange.section.contains("daemons"));
}
