//! What may differ between the two directors without being a difference. All of it is here.
//!
//! **Frames**, see [`frames`]:
//!
//! 1. ARP, neighbour discovery, multicast listener reports: each director speaks for itself.
//! 2. What follows the packet: Ethernet's padding.
//! 3. The identification of IPv4 packets that the director makes itself (ICMP errors, echo replies,
//!    resets, outer headers of tunnels), and with it the header's checksum: free to choose.
//! 4. The flow label of ICMPv6 and of TCP resets of IPv6: free to choose.
//! 5. GUE's source port, a hash with a secret, and so its checksum.
//! 6. The order of frames on different wires. On one wire it counts.
//!
//! **Listings**, see [`listing`]:
//!
//! 7. Blanks at the ends of lines.
//! 8. The order of connections: that of a hash table with a secret.
//! 9. The seconds that a connection has left: up to [`SECONDS`]. The two are not asked in the same
//!    moment, and Sluice's clock goes in steps of 1/8 s.
//! 10. A connection in its last second, which the other one has ended already: likewise.
//!
//! Sluice's statistics are exact at once, the kernel's after two seconds: `stats` waits for them.

use std::collections::HashSet;

use crate::network::Left;

/// How much the time that a connection has left may differ.
const SECONDS: u32 = 2;

/// The frames that count, without what is free.
pub(crate) fn frames(left: Vec<Left>, tunnel_ports: &HashSet<u16>) -> Vec<Left> {
    let mut frames: Vec<Left> = left
        .into_iter()
        .filter(|(_, frame)| !is_noise(frame))
        .map(|(wire, frame)| (wire, masked(frame, tunnel_ports)))
        .collect();
    frames.sort_by(|a, b| a.0.cmp(&b.0));
    frames
}

fn is_noise(frame: &[u8]) -> bool {
    let next = |at: usize| frame.get(at).copied().unwrap_or_default();
    let is_discovery = |kind: u8| (130..=137).contains(&kind) || kind == 143;
    match frame.get(12..14) {
        Some([0x08, 0x00]) => false,
        Some([0x86, 0xdd]) => match next(20) {
            58 => is_discovery(next(54)),
            // Multicast listener reports have a router alert in front.
            0 => next(54) == 58 && is_discovery(next(62)),
            _ => false,
        },
        _ => true,
    }
}

fn masked(mut frame: Vec<u8>, tunnel_ports: &HashSet<u16>) -> Vec<u8> {
    let word = |at: usize, frame: &[u8]| {
        u16::from_be_bytes([
            frame.get(at).copied().unwrap_or(0),
            frame.get(at + 1).copied().unwrap_or(0),
        ])
    };
    if frame.get(12..14) == Some(&[0x08, 0x00]) && frame.len() >= 34 {
        frame.truncate(14 + usize::from(word(16, &frame)).max(20));
        if is_made_here_v4(&frame) {
            frame[18..20].fill(0);
            frame[24..26].fill(0);
        }
        let transport = 14 + usize::from(frame[14] & 15) * 4;
        if frame[23] == 17 {
            mask_gue(&mut frame, transport, tunnel_ports);
        }
    } else if frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.len() >= 54 {
        frame.truncate(54 + usize::from(word(18, &frame)));
        let is_reset = frame[20] == 6 && frame.get(67).is_some_and(|flags| flags & 4 != 0);
        if frame[20] == 58 || is_reset {
            frame[15] &= 0xf0;
            frame[16..18].fill(0);
        }
        if frame[20] == 17 {
            mask_gue(&mut frame, 54, tunnel_ports);
        }
    }
    frame
}

/// Whether the outermost header is of the director's own making.
fn is_made_here_v4(frame: &[u8]) -> bool {
    let transport = 14 + usize::from(frame[14] & 15) * 4;
    let kind = frame.get(transport).copied().unwrap_or_default();
    let is_own = frame[26..28] == [10, 0] && frame[29] == 1;
    match frame[23] {
        1 => is_own || kind == 0 || frame[15] & 0xc0 == 0xc0,
        // A reset of the director's: it has seen no router, and its identification is free.
        6 => frame.get(transport + 13).is_some_and(|flags| flags & 4 != 0) && frame[22] == 64,
        _ => is_own,
    }
}

fn mask_gue(frame: &mut [u8], at: usize, tunnel_ports: &HashSet<u16>) {
    if frame.len() < at + 8 {
        return;
    }
    if tunnel_ports.contains(&u16::from_be_bytes([frame[at + 2], frame[at + 3]])) {
        frame[at..at + 2].fill(0);
        if frame[at + 6..at + 8] != [0, 0] {
            frame[at + 6..at + 8].fill(0xff);
        }
    }
}

/// A line of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    text: String,
    /// Seconds that a connection has left.
    left: Option<u32>,
}

impl std::fmt::Display for Row {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.left {
            Some(left) => write!(out, "{} ({left} s)", self.text),
            None => out.write_str(&self.text),
        }
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        let is_near = match (self.left, other.left) {
            (Some(one), Some(another)) => one.abs_diff(another) <= SECONDS,
            (one, another) => one == another,
        };
        is_near && self.text == other.text
    }
}

/// The rows of a listing; those of connections are sorted.
pub(crate) fn listing(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = text.lines().map(row).collect();
    if text.starts_with("IPVS connection entries") {
        rows[2..].sort_by(|a, b| (&a.text, a.left).cmp(&(&b.text, b.left)));
    }
    rows
}

fn row(line: &str) -> Row {
    let line = line.trim_end();
    let words: Vec<&str> = line.split_whitespace().collect();
    let time = words.get(1).and_then(|word| word.split_once(':'));
    let time = time.and_then(|(minutes, seconds)| {
        Some(minutes.parse::<u32>().ok()? * 60 + seconds.parse::<u32>().ok()?)
    });
    match time {
        Some(left) if words.len() >= 6 => {
            let text = [&words[..1], &words[2..]].concat().join(" ");
            Row { text, left: Some(left) }
        }
        _ => Row { text: line.to_owned(), left: None },
    }
}

/// Leaves out of both listings the connections in their last second that the other has not.
pub(crate) fn leave_out_ending(one: &mut Vec<Row>, other: &mut Vec<Row>) {
    let stays = |row: &Row, others: &[Row]| row.left != Some(0) || others.contains(row);
    let kept = one.iter().filter(|row| stays(row, other)).cloned().collect();
    other.retain(|row| stays(row, one));
    *one = kept;
}

#[test]
fn only_a_connection_in_its_last_second_may_be_on_one_side_alone() {
    let of = |rows: &[&str]| {
        let head = "IPVS connection entries\npro expire state source virtual destination\n";
        listing(&format!("{head}{}", rows.join("\n")))
    };
    let ending = "TCP 00:00 CLOSE 10.0.1.2:1 10.0.0.100:80 10.0.2.12:80";
    let living = "TCP 00:01 CLOSE 10.0.1.2:2 10.0.0.100:80 10.0.2.12:80";
    let are_same = |one: &[&str], other: &[&str]| {
        let (mut one, mut other) = (of(one), of(other));
        leave_out_ending(&mut one, &mut other);
        one == other
    };
    assert!(are_same(&[ending, living], &[living]));
    assert!(are_same(&[living], &[ending, living]));
    assert!(are_same(&[ending, living], &[ending, living]));
    assert!(!are_same(&[ending, living], &[ending]));
}
