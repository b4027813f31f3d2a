//! What servers answer to the packets that they got.

use std::net::{IpAddr, SocketAddr};

use crate::case::{Input, inputs};
use crate::network::Left;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// The ends of a packet that has ports.
#[derive(Clone, Copy, Debug)]
struct Ends {
    protocol: u8,
    source: SocketAddr,
    destination: SocketAddr,
}

/// The answers of masqueraded servers to what left because of `frame`: others answer their clients
/// on a way of their own. `words` are those behind the ends.
pub(crate) fn answers(frame: &[u8], left: &[Left], words: &str) -> Vec<Input> {
    let Some(asked) = ends(frame) else { return Vec::new() };
    let is_masqueraded = |got: &Ends| {
        got.protocol == asked.protocol
            && got.source == asked.source
            && got.destination.ip() != asked.destination.ip()
    };
    let answer = |got: Ends| {
        let kind = match got.protocol {
            TCP => "tcp",
            UDP => "udp",
            _ => "sctp",
        };
        inputs(&format!("{kind} {} > {} {words}", got.destination, got.source))
    };
    let got = left.iter().filter_map(|(_, frame)| ends(frame));
    got.filter(is_masqueraded).flat_map(answer).collect()
}

fn ends(frame: &[u8]) -> Option<Ends> {
    let packet = frame.get(14..)?;
    let (protocol, source, destination, at): (u8, IpAddr, IpAddr, usize) = match frame[12..14] {
        [0x08, 0x00] => {
            let address =
                |at: usize| Some(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?.into());
            (*packet.get(9)?, address(12)?, address(16)?, usize::from(packet.first()? & 15) * 4)
        }
        [0x86, 0xdd] => {
            let address =
                |at: usize| Some(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?.into());
            (*packet.get(6)?, address(8)?, address(24)?, 40)
        }
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let (from, to) = (port(at)?, port(at + 2)?);
    [TCP, UDP, SCTP].contains(&protocol).then(|| Ends {
        protocol,
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    })
}
