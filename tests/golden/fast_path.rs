//! The fast path makes of every packet what all stages make of it: two directors get the same
//! frames, and one of them takes none on the fast path.

use lb_core::fuzz::{MAC, PacketPath};
use lb_core::wire::build::{Ip, Link, Tcp, Udp};
use proptest::prelude::*;

/// Ends of the services that [`PacketPath`] has, of every method: direct routing, NAT, tunnels,
/// FTP, persistence, one packet.
const TCP: &[&str] =
    &["10.0.0.100:80", "10.0.0.100:21", "10.0.0.101:80", "10.0.0.102:80", "10.0.0.102:99"];
const UDP: &[&str] = &["10.0.0.100:53", "10.0.0.101:53", "10.0.0.102:53"];
const CLIENTS: &[&str] = &["10.0.1.2:1001", "10.0.1.2:1002", "10.0.9.9:1001"];
/// The same of IPv6.
const TCP6: &[&str] = &["[fd00::100]:80", "[fd00::100]:21", "[fd00::101]:80", "[fd00::102]:80"];
const UDP6: &[&str] = &["[fd00::100]:53"];
const CLIENTS6: &[&str] =
    &["[fd00:1::2]:1001", "[fd00:1::2]:1002", "[fd00:9::9]:1001", "[::1]:1001"];
const SERVERS6: &[&str] =
    &["[fd00:1::11]:8080", "[fd00:1::12]:8080", "[fd00:1::11]:21", "[fd00:1::11]:80"];
/// Real servers of NAT.
const SERVERS: &[&str] = &["10.0.1.11:5353", "10.0.1.12:5353", "10.0.1.11:21", "10.0.1.11:80"];
const FLAGS: &[&str] = &["A", "S", "FA", "R", "PA", "SA", ""];
const PAYLOADS: &[usize] = &[0, 1, 20, 1400, 1459, 1460, 1480];

/// One of these, and half of the time the first: so that connections see many packets.
fn one(of: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(of[0]), proptest::sample::select(of)]
}

/// A frame of a client or of a real server: mostly as most are.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop_oneof![
        (one(CLIENTS), one(TCP), one(UDP), one(SERVERS)),
        (one(CLIENTS6), one(TCP6), one(UDP6), one(SERVERS6)),
    ];
    let kind = (0..4_u8, prop_oneof![2 => Just("A"), 3 => proptest::sample::select(FLAGS)]);
    let size = prop_oneof![3 => Just(0), 1 => proptest::sample::select(PAYLOADS)];
    let fault = prop_oneof![15 => Just(None), 1 => (12..60_usize).prop_map(Some)];
    let rest = (prop_oneof![6 => Just(64_u8), 1 => 0..3_u8], any::<bool>(), 0..12_usize, fault);
    (ends, kind, size, rest).prop_map(|((client, tcp, udp, server), (kind, flags), size, rest)| {
        let (ttl, checksum, trailer, fault) = rest;
        let payload = vec![7; size];
        let link = Link { destination: MAC, ..Link::default() };
        let ip = Ip { dont_fragment: checksum, ..Ip::default() };
        let segment =
            |src, dst| Tcp { src, dst, flags, ttl, payload: &payload, ip, ..Tcp::default() };
        let datagram = |src, dst| Udp { src, dst, ttl, checksum, payload: &payload, ip };
        let mut frame = match kind {
            0 => segment(client, tcp).frame(&link),
            1 => datagram(client, udp).frame(&link),
            2 => segment(server, client).frame(&link),
            _ => datagram(server, client).frame(&link),
        };
        // Some are padded, some have more behind them than padding.
        if trailer > 8 {
            frame.resize((frame.len() + trailer - 9).max(60), 0xaa);
        }
        // And some have one bit wrong, in a header mostly.
        if let Some(byte) = fault.and_then(|place| frame.get_mut(place)) {
            *byte ^= 1;
        }
        frame
    })
}

proptest! {
    #[test]
    fn both_ways_are_one(
        bursts in proptest::collection::vec(
            (prop_oneof![4 => Just(0_u32), 1 => 0..200_u32],
             proptest::collection::vec(frame(), 1..48)),
            1..12,
        ),
    ) {
        let (mut fast, mut thorough) = (PacketPath::new(), PacketPath::new());
        thorough.set_thorough();
        for (seconds, frames) in bursts {
            let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            for path in [&mut fast, &mut thorough] {
                path.wait(seconds);
            }
            prop_assert_eq!(fast.frames(&frames), thorough.frames(&frames));
            prop_assert_eq!(fast.account(), thorough.account());
        }
    }
}
