//! Frames that somebody captured: as hexadecimal digits, or in a file of tcpdump's.

use std::path::{Path, PathBuf};

/// The magic numbers of classic pcap: times in microseconds, and in nanoseconds.
const MAGICS: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
/// The first block of a pcapng file.
const PCAPNG: u32 = 0x0a0d_0d0a;
/// Link type Ethernet.
const ETHERNET: u32 = 1;
const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;

/// The largest frame that fits a request as digits.
const FRAME_MAX: usize = 16_000;

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: this is pcapng; `editcap -F pcap` makes a pcap file of it", path.display())]
    Pcapng { path: PathBuf },
    #[error("{}: this is no pcap file", path.display())]
    NoPcap { path: PathBuf },
    #[error(
        "{}: link type {link_type}, but frames are Ethernet's, link type 1 (`tcpdump -i any` has \
         others: name an interface)",
        path.display()
    )]
    NotEthernet { path: PathBuf, link_type: u32 },
    #[error("{}: there are {count} frames, no number {number}", path.display())]
    NoSuchFrame { path: PathBuf, count: usize, number: usize },
    #[error("{}: frame {number} ends with the file", path.display())]
    CutOff { path: PathBuf, number: usize },
    #[error(
        "{}: frame {number} has {length} bytes, of which {captured} were captured; tcpdump \
         captures all of them with -s 0",
        path.display()
    )]
    Shortened { path: PathBuf, number: usize, length: usize, captured: usize },
    #[error(
        "{}: frame {number} has {length} bytes; up to {FRAME_MAX} can be asked about",
        path.display()
    )]
    TooLong { path: PathBuf, number: usize, length: usize },
}

/// Reads hexadecimal digits, perhaps with colons between the bytes.
///
/// # Errors
///
/// What is wrong with them.
pub fn of_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect();
    bytes.ok_or_else(|| format!("`{text}' is no frame; write two hexadecimal digits for each byte"))
}

/// The same the other way.
pub fn to_hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Frame `number`, from 1, of a pcap file.
///
/// # Errors
///
/// The file cannot be read, is of another format, or has no such frame.
pub fn of_pcap(path: &Path, number: usize) -> Result<Vec<u8>, CaptureError> {
    let bytes = std::fs::read(path)
        .map_err(|source| CaptureError::Unreadable { path: path.to_owned(), source })?;
    frame_of(&bytes, path, number)
}

fn frame_of(bytes: &[u8], path: &Path, number: usize) -> Result<Vec<u8>, CaptureError> {
    let path = || path.to_owned();
    let word = |at: usize| bytes.get(at..at + 4).and_then(|it| <[u8; 4]>::try_from(it).ok());
    let magic = word(0).ok_or_else(|| CaptureError::NoPcap { path: path() })?;
    let is_little = MAGICS.contains(&u32::from_le_bytes(magic));
    if !is_little && !MAGICS.contains(&u32::from_be_bytes(magic)) {
        return Err(match u32::from_le_bytes(magic) {
            PCAPNG => CaptureError::Pcapng { path: path() },
            _ => CaptureError::NoPcap { path: path() },
        });
    }
    let number_at = |at: usize| {
        let word = word(at)?;
        Some(if is_little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) })
    };
    // The upper bits say how long a frame check sequence is.
    let link_type = number_at(20).ok_or_else(|| CaptureError::NoPcap { path: path() })? & 0xffff;
    if link_type != ETHERNET {
        return Err(CaptureError::NotEthernet { path: path(), link_type });
    }
    let mut at = FILE_HEADER_LEN;
    let mut count = 0;
    while let (Some(captured), Some(length)) = (number_at(at + 8), number_at(at + 12)) {
        let (captured, length) = (captured as usize, length as usize);
        let end = (at + RECORD_HEADER_LEN).saturating_add(captured);
        count += 1;
        if count == number {
            let cut_off = || CaptureError::CutOff { path: path(), number };
            let frame = bytes.get(at + RECORD_HEADER_LEN..end).ok_or_else(cut_off)?;
            if captured < length {
                return Err(CaptureError::Shortened { path: path(), number, length, captured });
            }
            if length > FRAME_MAX {
                return Err(CaptureError::TooLong { path: path(), number, length });
            }
            return Ok(frame.to_vec());
        }
        at = end;
    }
    Err(CaptureError::NoSuchFrame { path: path(), count, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these frames; of the last one `missing` bytes are not there.
    fn file(
        magic: u32,
        link_type: u32,
        frames: &[&[u8]],
        missing: u32,
        is_little: bool,
    ) -> Vec<u8> {
        let word = |value: u32| if is_little { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut bytes: Vec<u8> =
            [magic, 0x0004_0002, 0, 0, 65535, link_type].into_iter().flat_map(word).collect();
        for frame in frames {
            let captured = u32::try_from(frame.len()).unwrap();
            bytes.extend([1, 2, captured, captured + missing].into_iter().flat_map(word));
            bytes.extend(*frame);
        }
        bytes
    }

    fn read(bytes: &[u8], number: usize) -> Result<Vec<u8>, String> {
        frame_of(bytes, Path::new("x.pcap"), number).map_err(|error| error.to_string())
    }

    #[test]
    fn frames_of_all_classic_formats_are_found_by_number() {
        let frames: [&[u8]; 3] = [&[1, 2, 3], &[], &[4; 70]];
        for magic in MAGICS {
            for is_little in [true, false] {
                let bytes = file(magic, 0x1000_0001, &frames, 0, is_little);
                for (number, frame) in (1..).zip(frames) {
                    assert_eq!(read(&bytes, number).as_deref(), Ok(frame));
                }
                assert_eq!(read(&bytes, 4), Err("x.pcap: there are 3 frames, no number 4".into()));
                assert!(read(&bytes, 0).is_err());
                assert!(read(&bytes[..bytes.len() - 1], 3).unwrap_err().contains("ends with"));
            }
        }
    }

    #[test]
    fn other_files_are_refused_by_what_they_are() {
        let shortened = file(MAGICS[0], 1, &[&[1, 2]], 5, true);
        assert!(read(&shortened, 1).unwrap_err().contains("has 7 bytes, of which 2 were captured"));
        let any = file(MAGICS[0], 276, &[&[1]], 0, true);
        assert!(read(&any, 1).unwrap_err().contains("link type 276"));
        let next = file(PCAPNG, 1, &[], 0, true);
        assert!(read(&next, 1).unwrap_err().contains("editcap"));
        assert!(read(b"", 1).unwrap_err().contains("no pcap file"));
        assert!(read(b"hello world", 1).unwrap_err().contains("no pcap file"));
        let long = file(MAGICS[0], 1, &[&[0; FRAME_MAX + 1]], 0, true);
        assert!(read(&long, 1).unwrap_err().contains("up to 16000"));
        let lying = [&file(MAGICS[0], 1, &[], 0, true)[..], &[0xff; 16]].concat();
        assert!(read(&lying, 1).is_err() && read(&lying, 2).is_err());
    }

    #[test]
    fn digits_are_bytes() {
        assert_eq!(of_hex("02:0a:FF00").unwrap(), [2, 10, 255, 0]);
        assert_eq!(of_hex(&to_hex(&[0, 171, 255])).unwrap(), [0, 171, 255]);
        assert_eq!(of_hex("").unwrap(), [0_u8; 0]);
        for text in ["0", "0x00", "zz", "éé"] {
            assert!(of_hex(text).unwrap_err().contains("is no frame"), "{text}");
        }
    }
}
