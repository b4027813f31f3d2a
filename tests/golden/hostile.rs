//! Hostile frames: nothing panics, every frame has exactly one fate, nothing is left behind.

use lb_core::fuzz::{MAC, PacketPath};
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Arp, Icmp, Icmp6, Ip, Ip6, Link, Ndp, Sctp, Tcp, Udp};
use proptest::prelude::*;

/// One frame of each kind that the director knows, some with all that can be in front or behind.
fn valid() -> Vec<Vec<u8>> {
    let link = Link { destination: MAC, ..Link::default() };
    let tagged = Link { vlan: Some(0), ..link };
    let broadcast = Link { destination: MacAddress::BROADCAST, ..link };
    let options = Ip { options: &[1; 40], ..Ip::default() };
    let recorded: Vec<u8> = [&[7, 11, 4][..], &[0; 9], &[68, 12, 5, 1], &[0; 8]].concat();
    let asking = Ip { options: &recorded, ..Ip::default() };
    let ask = Arp::who_has("10.0.0.100", "10.0.1.9", link.source);
    let large = vec![7; 1460];
    let mut padded = Tcp { flags: "A", ..Tcp::default() }.frame(&link);
    padded.resize(64, 0xaa);
    vec![
        Tcp::default().frame(&link),
        Tcp { flags: "FA", payload: &large, ..Tcp::default() }.frame(&link),
        Tcp { ip: options, ..Tcp::default() }.frame(&tagged),
        Tcp { ip: asking, ..Tcp::default() }.frame(&link),
        Icmp { ip: asking, ..Icmp::default() }.frame(&link),
        Udp { dst: "10.0.0.100:54", ip: asking, ..Udp::default() }.frame(&link),
        Tcp { ttl: 1, ..Tcp::default() }.frame(&link),
        Tcp { dst: "10.0.0.100:81", ..Tcp::default() }.frame(&tagged),
        padded,
        Udp { payload: b"question", ..Udp::default() }.frame(&link),
        Udp { dst: "10.0.0.100:54", ..Udp::default() }.frame(&link),
        Icmp { body: &[3; 56], ..Icmp::default() }.frame(&link),
        Icmp { kind: (3, 4), rest: 1400, body: &Tcp::default().packet(), ..Icmp::default() }
            .frame(&link),
        ask.frame(&broadcast),
        Arp { operation: 2, ..ask }.frame(&tagged),
    ]
    .into_iter()
    .chain(of_methods(&link))
    .chain(of_templates(&link))
    .chain(six(&link))
    .collect()
}

/// What persistence, calls and marks are about.
fn of_templates(link: &Link) -> Vec<Vec<u8>> {
    let vlan = Link { vlan: Some(7), ..*link };
    let call = b"INVITE sip:b@a SIP/2.0\r\nCall-ID: one@10.0.1.2\r\n\r\n";
    let message = Udp { dst: "10.0.0.102:5060", payload: call, ..Udp::default() };
    let from_server = Udp { src: "10.0.1.11:5070", dst: "10.0.1.2:5060", ..message };
    let tcp = |dst| Tcp { dst, ..Tcp::default() };
    let alone = Udp { dst: "10.0.0.102:53", ..Udp::default() };
    let far = tcp("10.9.0.1:80");
    let about = Tcp { src: "10.0.0.102:80", dst: "10.0.1.2:2000", ..Tcp::default() };
    let error = Icmp { dst: "10.0.0.102", kind: (3, 1), body: &about.packet(), ..Icmp::default() };
    vec![
        tcp("10.0.0.102:80").frame(link),
        tcp("10.0.0.102:21").frame(link),
        tcp("10.0.0.102:50000").frame(link),
        Tcp { flags: "A", ..tcp("10.0.0.102:80") }.frame(link),
        message.frame(link),
        Udp { dst: "10.0.0.102:5061", ..message }.frame(link),
        from_server.frame(link),
        Udp { src: "10.0.1.11:5071", ..from_server }.frame(link),
        alone.frame(link),
        far.frame(link),
        far.frame(&vlan),
        Udp { dst: "10.9.0.1:53", ..Udp::default() }.frame(link),
        error.frame(link),
        Tcp { src: "[fd00:1::2]:1001", dst: "[fd00::102]:99", ..Tcp::default() }.frame(link),
        Tcp { src: "[fd00:1::2]:1001", dst: "[fd00:9::1]:99", ..Tcp::default() }.frame(&vlan),
    ]
}

/// What NAT, tunnels, fragments, SCTP, FTP and a VLAN are about.
fn of_methods(link: &Link) -> Vec<Vec<u8>> {
    let reply = Udp { src: "10.0.1.11:5353", dst: "10.0.1.2:1001", ..Udp::default() };
    let more = Ip { more_fragments: true, identification: 7, ..Ip::default() };
    let later = Ip { fragment_offset: 24, identification: 7, ..Ip::default() };
    let vlan = Link { vlan: Some(7), ..*link };
    let large = vec![7; 1460];
    let esp = [0x32; 40];
    let ends = ([10, 0, 1, 2].into(), [10, 0, 0, 100].into());
    let outer = ([10, 0, 1, 1].into(), [10, 0, 1, 11].into());
    let tunneled = Tcp { dst: "10.0.0.101:80", ..Tcp::default() };
    let in_tunnel = Ip::default().packet(outer, 4, 63, &tunneled.packet());
    let about = |body: &[u8], dst| {
        Icmp { dst, kind: (3, 4), rest: 900, body, ..Icmp::default() }.frame(link)
    };
    let control = Tcp { dst: "10.0.0.100:21", ..Tcp::default() };
    let port = Tcp { flags: "PA", payload: b"PORT 10,0,1,2,156,65\r\n", ..control };
    let passive = Tcp { flags: "PA", payload: b"PASV\r\n", ..control };
    let said = Tcp {
        src: "10.0.1.11:21",
        dst: "10.0.1.2:1001",
        flags: "PA",
        payload: b"227 Entering Passive Mode (10,0,1,11,200,10)\r\n",
        ..Tcp::default()
    };
    vec![
        reply.frame(link),
        Udp { checksum: false, ..reply }.frame(link),
        about(&reply.packet(), "10.0.1.11"),
        Udp { ip: more, payload: &[1; 16], ..Udp::default() }.frame(link),
        Udp { ip: later, payload: &[1; 16], ..Udp::default() }.frame(link),
        Sctp { dst: "10.0.0.100:80", ..Sctp::default() }.frame(link),
        tunneled.frame(link),
        Tcp { flags: "A", payload: &large, ..tunneled }.frame(&vlan),
        about(&in_tunnel, "10.0.1.1"),
        control.frame(link),
        Tcp { flags: "A", ..control }.frame(link),
        port.frame(link),
        passive.frame(link),
        said.frame(link),
        Udp { src: "10.0.1.2:500", dst: "10.0.0.100:500", ..Udp::default() }.frame(link),
        link.packet(&Ip::default().packet(ends, 50, 64, &esp)),
        Tcp { dst: "10.0.1.2:80", payload: &large, ..Tcp::default() }.frame(&vlan),
    ]
}

/// The same in IPv6.
fn six(link: &Link) -> Vec<Vec<u8>> {
    let tcp = Tcp { src: "[fd00:1::2]:1001", dst: "[fd00::100]:80", ..Tcp::default() };
    let udp = Udp { src: "[fd00:1::2]:1001", dst: "[fd00::100]:53", ..Udp::default() };
    let reply = Tcp { src: "[fd00:1::11]:8080", dst: "[fd00:1::2]:1001", flags: "SA", ..tcp };
    let header: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];
    let options = [(0, header), (60, header)];
    let chain = Ip6 { extensions: &options, ..Ip6::default() };
    let part = |offset, more| Ip6 { fragment: Some((offset, more, 7)), ..Ip6::default() };
    let ask = Ndp::who_has("fd00::100", "ff02::1:ff00:100", "fd00:1::2", link.source);
    vec![
        tcp.frame(link),
        reply.frame(link),
        udp.frame(link),
        link.packet(&tcp.packet6(&chain)),
        link.packet(&udp.packet6(&Ip6 { fragment: Some((0, false, 7)), ..chain })),
        link.packet(&udp.packet6(&part(0, true))),
        link.packet(&udp.packet6(&part(24, false))),
        Icmp6 { src: "fd00:1::2", dst: "fd00::100", body: &[3; 56], ..Icmp6::default() }
            .frame(link),
        Icmp6 {
            src: "fd00:1::11",
            dst: "fd00:1::2",
            kind: (2, 0),
            rest: 1300,
            body: &Tcp { src: "[fd00:1::2]:1001", dst: "[fd00:1::11]:8080", ..tcp }.packet(),
            ..Icmp6::default()
        }
        .frame(link),
        ask.frame(link),
    ]
}

fn path() -> PacketPath {
    PacketPath::new()
}

/// An input of [`PacketPath::run`], whose checksums are mended.
fn input(frames: &[Vec<u8>]) -> Vec<u8> {
    const MENDED: u16 = 0x800;
    let mut input = Vec::new();
    for frame in frames {
        let length = u16::try_from(frame.len() & 0x7ff).expect("11 bits");
        input.extend((MENDED | length).to_be_bytes());
        input.extend(frame);
    }
    input
}

#[test]
fn every_truncation() {
    let mut path = path();
    for frame in valid() {
        for length in 0..=frame.len() {
            path.run(&input(&[frame[..length].to_vec()]));
        }
    }
}

/// Every bit of every header, alone and with the IP checksum mended, so that the change is not
/// only found there.
#[test]
fn every_bit_flipped() {
    let mut path = path();
    let mut tried = 0;
    for frame in valid() {
        for at in 0..frame.len().min(120) {
            for bit in 0..8 {
                let mut changed = frame.clone();
                changed[at] ^= 1 << bit;
                let mended = mend(changed.clone());
                path.frames(&[&changed, &mended, &frame]);
                tried += 1;
            }
        }
        path.run(&[]);
    }
    assert!(tried > 6000, "{tried}");
}

/// Every byte of every header at its extremes.
#[test]
fn every_byte_at_its_extremes() {
    let mut path = path();
    for frame in valid() {
        for at in 0..frame.len().min(80) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = frame.clone();
                changed[at] = value;
                path.frames(&[&mend(changed)]);
            }
        }
        path.run(&[]);
    }
}

fn mend(mut frame: Vec<u8>) -> Vec<u8> {
    lb_core::fuzz::mend(&mut frame);
    frame
}

/// The inputs that a fuzzer starts from; also replayed here. `REGENERATE=1` writes them.
#[test]
fn the_corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/packet_path");
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::create_dir_all(folder).expect("a folder");
        for (number, frame) in valid().into_iter().enumerate() {
            let name = format!("{folder}/frame-{number:02}");
            std::fs::write(name, input(&[frame])).expect("a file");
        }
        let all = input(&valid());
        std::fs::write(format!("{folder}/all"), all).expect("a file");
    }
    let mut path = path();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        path.run(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        count += 1;
    }
    assert_eq!(count, valid().len() + 1, "inputs: one of each frame, and all of them at once");
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        path().run(&bytes);
    }

    /// Frames in bursts, mostly valid, with bytes changed, added and cut, and time passing.
    #[test]
    fn mutated_frames(
        picks in proptest::collection::vec(
            (0..valid().len(), proptest::collection::vec((0_usize..80, any::<u8>()), 0..4),
             0_usize..200, any::<bool>()),
            1..32,
        ),
    ) {
        let valid = valid();
        let frames: Vec<Vec<u8>> = picks
            .into_iter()
            .map(|(kind, changes, cut, mended)| {
                let mut frame = valid[kind].clone();
                for (at, value) in changes {
                    if let Some(byte) = frame.get_mut(at) {
                        *byte = value;
                    }
                }
                // Half of them whole.
                if cut < 100 {
                    frame.truncate(cut);
                }
                if mended { mend(frame) } else { frame }
            })
            .collect();
        let mut path = path();
        path.frames(&frames.iter().map(Vec::as_slice).collect::<Vec<_>>());
        path.run(&input(&frames));
    }
}
