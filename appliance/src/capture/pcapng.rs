//! pcapng, as far as captures need it (draft-ietf-opsawg-pcapng): a section, its interfaces, its
//! packets with a direction and a comment, and what was lost. Written by the director, and read
//! again by `sluicectl`, which makes lines of it.

use std::io::{self, Read};

/// Block types.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
/// Options.
const END: u16 = 0;
const COMMENT: u16 = 1;
const SECTION_USER_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_MAC: u16 = 6;
const INTERFACE_TIME_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const STATISTICS_RECEIVED: u16 = 4;
const STATISTICS_DROPPED: u16 = 5;
/// `LINKTYPE_ETHERNET`
const ETHERNET: u16 = 1;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Nanoseconds, as a power of ten.
const RESOLUTION: u8 = 9;
/// Longest block that is read.
const BLOCK_MAX: u32 = 1 << 20;

/// A packet as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketBlock {
    pub interface: u32,
    pub time_ns: u64,
    pub is_sent: bool,
    /// Bytes of the frame; `bytes` may be fewer.
    pub length: u32,
    pub bytes: Vec<u8>,
    pub comment: String,
}

/// What a block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    Section,
    /// The next interface, by number from 0.
    Interface {
        name: String,
    },
    Packet(PacketBlock),
    /// What the capture saw of an interface, and what of it was lost.
    Statistics {
        interface: u32,
        received: u64,
        lost: u64,
    },
    Other,
}

/// Appends the head of a file.
pub fn section(out: &mut Vec<u8>, program: &str) {
    block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        // Of unknown length.
        out.extend((-1_i64).to_le_bytes());
        option(out, SECTION_USER_APPLICATION, program.as_bytes());
        option(out, END, &[]);
    });
}

/// Appends the next interface.
pub fn interface(out: &mut Vec<u8>, name: &str, mac: [u8; 6], snaplen: u32) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend(ETHERNET.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend(snaplen.to_le_bytes());
        option(out, INTERFACE_NAME, name.as_bytes());
        option(out, INTERFACE_MAC, &mac);
        option(out, INTERFACE_TIME_RESOLUTION, &[RESOLUTION]);
        option(out, END, &[]);
    });
}

/// Appends a packet.
pub fn packet(out: &mut Vec<u8>, packet: &PacketBlock) {
    block(out, ENHANCED_PACKET, |out| {
        out.extend(packet.interface.to_le_bytes());
        time(out, packet.time_ns);
        out.extend(length_of(&packet.bytes).to_le_bytes());
        out.extend(packet.length.to_le_bytes());
        padded(out, &packet.bytes);
        option(out, COMMENT, packet.comment.as_bytes());
        // Inbound is 1, outbound is 2.
        let flags = 1 + u32::from(packet.is_sent);
        option(out, PACKET_FLAGS, &flags.to_le_bytes());
        option(out, END, &[]);
    });
}

/// Appends what was seen of an interface, and what of it was lost, as of a time.
pub fn statistics(out: &mut Vec<u8>, interface: u32, time_ns: u64, received: u64, lost: u64) {
    block(out, INTERFACE_STATISTICS, |out| {
        out.extend(interface.to_le_bytes());
        time(out, time_ns);
        option(out, STATISTICS_RECEIVED, &received.to_le_bytes());
        option(out, STATISTICS_DROPPED, &lost.to_le_bytes());
        option(out, END, &[]);
    });
}

fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let length = length_of(&out[begin..]) + 4;
    out[begin + 4..begin + 8].copy_from_slice(&length.to_le_bytes());
    out.extend(length.to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    padded(out, value);
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes);
    out.extend(std::iter::repeat_n(0, bytes.len().next_multiple_of(4) - bytes.len()));
}

fn time(out: &mut Vec<u8>, time_ns: u64) {
    let [a, b, c, d, e, f, g, h] = time_ns.to_le_bytes();
    // The high half stands first.
    out.extend([e, f, g, h, a, b, c, d]);
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Reads the next block as it is; `None` at the end of the file.
///
/// # Errors
///
/// When the file ends inside of it, or has no block there.
pub fn read_block(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 8];
    let first = from.read(&mut head)?;
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[first..])?;
    let length = word(&head, 4).filter(|it| (12..=BLOCK_MAX).contains(it) && it % 4 == 0);
    let Some(length) = length else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a block of pcapng"));
    };
    let mut bytes = head.to_vec();
    bytes.resize(length as usize, 0);
    from.read_exact(&mut bytes[head.len()..])?;
    Ok(Some(bytes))
}

impl Block {
    /// What a whole block says.
    pub fn of(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or(Self::Other)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let body = bytes.get(8..bytes.len().checked_sub(4)?)?;
        Some(match word(bytes, 0)? {
            SECTION_HEADER => Self::Section,
            INTERFACE_DESCRIPTION => {
                let name = find(body.get(8..)?, INTERFACE_NAME).unwrap_or_default();
                Self::Interface { name: String::from_utf8_lossy(name).into_owned() }
            }
            ENHANCED_PACKET => {
                let captured = word(body, 12)? as usize;
                let frame = body.get(20..)?.get(..captured)?;
                let options = body.get(20 + captured.next_multiple_of(4)..)?;
                let comment = find(options, COMMENT).unwrap_or_default();
                let flags = find(options, PACKET_FLAGS).and_then(|value| word(value, 0));
                Self::Packet(PacketBlock {
                    interface: word(body, 0)?,
                    time_ns: u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?),
                    is_sent: flags.is_some_and(|flags| flags & 3 == 2),
                    length: word(body, 16)?,
                    bytes: frame.to_vec(),
                    comment: String::from_utf8_lossy(comment).into_owned(),
                })
            }
            INTERFACE_STATISTICS => {
                let options = body.get(12..)?;
                let number = |code| {
                    let value = find(options, code)?.first_chunk()?;
                    Some(u64::from_le_bytes(*value))
                };
                Self::Statistics {
                    interface: word(body, 0)?,
                    received: number(STATISTICS_RECEIVED)?,
                    lost: number(STATISTICS_DROPPED)?,
                }
            }
            _ => Self::Other,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

/// The value of the first option of that code.
fn find(mut options: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let [a, b, c, d] = *options.first_chunk()?;
        let (code, length) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
        let value = options.get(4..4 + length)?;
        if code == wanted {
            return Some(value);
        }
        if code == END {
            return None;
        }
        options = options.get(4 + length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet_of(length: usize) -> PacketBlock {
        PacketBlock {
            interface: 1,
            time_ns: 0x1234_5678_9abc_def0,
            is_sent: length % 2 == 1,
            length: 1500,
            bytes: (0..=u8::MAX).cycle().take(length).collect(),
            comment: "dropped: no_service".to_owned(),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut file = Vec::new();
        section(&mut file, "sluiced");
        interface(&mut file, "lan0", [2, 0, 0, 0, 0, 1], 65535);
        let packets = [14, 15, 16, 17, 1514].map(packet_of);
        packets.iter().for_each(|it| packet(&mut file, it));
        statistics(&mut file, 0, 1, 10, 3);
        let mut from = file.as_slice();
        let mut blocks = Vec::new();
        while let Some(bytes) = read_block(&mut from).unwrap() {
            assert_eq!(bytes.len() % 4, 0);
            blocks.push(Block::of(&bytes));
        }
        assert_eq!(blocks.len(), 8);
        assert_eq!(blocks[0], Block::Section);
        assert_eq!(blocks[1], Block::Interface { name: "lan0".to_owned() });
        for (block, packet) in blocks[2..].iter().zip(packets) {
            assert_eq!(*block, Block::Packet(packet));
        }
        assert_eq!(blocks[7], Block::Statistics { interface: 0, received: 10, lost: 3 });
    }

    /// libpcap reads the file: only what it knows, which is the frames.
    #[test]
    fn libpcap_reads_what_was_written() {
        let mut file = Vec::new();
        section(&mut file, "sluiced");
        interface(&mut file, "lan0", [2, 0, 0, 0, 0, 1], 65535);
        let packets = [60, 61].map(|length| PacketBlock { interface: 0, ..packet_of(length) });
        packets.iter().for_each(|it| packet(&mut file, it));
        statistics(&mut file, 0, 1, 10, 3);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture.pcapng");
        std::fs::write(&path, &file).unwrap();
        let mut read = pcap::Capture::from_file(&path).unwrap();
        for wanted in &packets {
            let got = read.next_packet().unwrap();
            assert_eq!(got.data, wanted.bytes);
            assert_eq!(got.header.len, 1500);
            assert_eq!(got.header.ts.tv_sec, 0x1234_5678_9abc_def0 / 1_000_000_000);
        }
        assert!(read.next_packet().is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut from = bytes.as_slice();
            while let Ok(Some(block)) = read_block(&mut from) {
                Block::of(&block);
            }
            for kind in [INTERFACE_DESCRIPTION, ENHANCED_PACKET, INTERFACE_STATISTICS] {
                Block::of(&[&kind.to_le_bytes()[..], &bytes].concat());
            }
        }
    }
}
