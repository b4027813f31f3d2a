//! Classic pcap files: what DPDK's `net_pcap` plays and records.

use std::path::Path;

/// Frames have their time in microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
/// The same in nanoseconds, as DPDK writes it.
const MAGIC_NS: u32 = 0xa1b2_3c4d;
const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;

/// Writes frames, one microsecond apart.
pub(crate) fn write(path: &Path, frames: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend([2_u16, 4].map(u16::to_le_bytes).concat());
    bytes.extend([0_u32, 0, 65_535, 1].map(u32::to_le_bytes).concat());
    for (number, frame) in (0_u32..).zip(frames) {
        let length = u32::try_from(frame.len()).expect("a frame is short");
        let time = [number / 1_000_000, number % 1_000_000];
        bytes.extend([time[0], time[1], length, length].map(u32::to_le_bytes).concat());
        bytes.extend(frame);
    }
    std::fs::write(path, bytes).expect("the lab's folder is writable");
}

/// Reads all frames. Panics where the file is no pcap or ends within a frame.
pub(crate) fn read(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let magic = word(&bytes, 0);
    assert!([MAGIC, MAGIC_NS].contains(&magic), "{}: not a pcap of this machine", path.display());
    let mut frames = Vec::new();
    let mut rest = &bytes[FILE_HEADER_LEN..];
    while !rest.is_empty() {
        let length = usize::try_from(word(rest, 8)).expect("32 bits fit");
        let end = RECORD_HEADER_LEN + length;
        frames.push(rest[RECORD_HEADER_LEN..end].to_vec());
        rest = &rest[end..];
    }
    frames
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
