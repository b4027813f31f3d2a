//! Datagrams that kernel IPVS sent, and hostile ones.

use std::fs;
use std::path::Path;

use lb_core::address::Address;
use lb_core::flow::FlowKey;
use lb_core::sync::{Batch, Flags, ReadTally, Record, read};
use proptest::prelude::*;

use super::record;

/// What was sent for, and the datagram.
fn captured() -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures/kernel/sync.txt");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let all: Vec<_> = lines
        .map(|line| {
            let (title, hex) = line.split_once('\t').unwrap();
            let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            let bytes = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap());
            (title.to_owned(), bytes.collect())
        })
        .collect();
    assert!(all.len() >= 10, "{} datagrams", all.len());
    all
}

fn written(records: &[Record], sync_id: u8) -> Vec<u8> {
    let mut batch = Batch::new(sync_id, 65_507);
    for record in records {
        assert!(batch.push(record));
    }
    let mut datagram = Vec::new();
    batch.take(|bytes| datagram.extend(bytes));
    assert!(batch.is_empty());
    datagram
}

#[test]
fn the_kernels_datagrams_are_understood_and_written_byte_for_byte() {
    for (title, datagram) in captured() {
        let mut records = Vec::new();
        assert_eq!(read(&datagram, 17, &mut records), ReadTally::default(), "{title}");
        assert!(!records.is_empty(), "{title}");
        if title.starts_with("sync_version=0") {
            let expected = Record { timeout_s: 0, ..record(9, 0, 1) };
            assert_eq!(records, [expected]);
            continue;
        }
        assert_eq!(written(&records, 17), datagram, "{title}");
    }
}

#[test]
fn what_a_datagram_says_is_what_the_kernel_meant() {
    let find = |title: &str| {
        let all = captured();
        let (_, datagram) = all.iter().find(|(it, _)| it.starts_with(title)).unwrap();
        let mut records = Vec::new();
        read(datagram, 0, &mut records);
        records
    };
    let fin = find("DR TCP").pop().unwrap();
    assert_eq!((fin.flags, fin.state, fin.timeout_s), (Flags(0x183), 4, 120));
    let six = find("IPv6").remove(0);
    assert_eq!(six.server.to_ip().to_string(), "fd00:2::11");
    assert_eq!(six.key.client.to_ip().to_string(), "fd00:1::2");
    let sip = find("SIP").remove(0);
    assert_eq!(sip.engine, Some(("sip".to_owned(), b"abc@x".to_vec())));
    assert!(sip.flags.has(Flags::TEMPLATE));
}

#[test]
fn datagrams_of_others_and_broken_ones_are_told_apart() {
    let whole = written(&[record(1, 0, 1), record(2, 0, 1)], 17);
    let tally = |datagram: &[u8], sync_id| {
        let mut records = Vec::new();
        (read(datagram, sync_id, &mut records), records.len())
    };
    let foreign = ReadTally { is_foreign: true, ..ReadTally::default() };
    let malformed = ReadTally { is_malformed: true, ..ReadTally::default() };
    assert_eq!(tally(&whole, 18), (foreign, 0));
    assert_eq!(tally(&whole, 0), (ReadTally::default(), 2));
    let mut wrong = whole.clone();
    wrong[3] += 1;
    assert_eq!(tally(&wrong, 17), (malformed, 0), "its size is another");
    let mut wrong = whole.clone();
    wrong[8 + 36 + 2] |= 0x10;
    assert_eq!(tally(&wrong, 17), (malformed, 1), "the version of the second connection");
    let with_option = |option: &[u8]| {
        let mut datagram = written(&[record(1, 0, 1)], 17);
        datagram.extend(option);
        datagram[11] += u8::try_from(option.len()).unwrap();
        datagram.extend(&whole[8 + 36..]);
        datagram[4] = 2;
        let size = u16::try_from(datagram.len()).unwrap();
        datagram[2..4].copy_from_slice(&size.to_be_bytes());
        tally(&datagram, 17)
    };
    let skipped = ReadTally { skipped: 1, ..ReadTally::default() };
    assert_eq!(with_option(&[9, 2, 0, 0]), (skipped, 1), "it has to be known");
    assert_eq!(with_option(&[0x49, 2, 0, 0]), (ReadTally::default(), 2), "it has not");
    assert_eq!(with_option(&[9, 0, 0, 0]), (malformed, 0), "an option without length");
    assert_eq!(with_option(&[3, 1, b'x', 3, 1, b'y', 0x49, 0]).0, malformed, "twice the same");
}

fn any_record() -> impl Strategy<Value = Record> {
    let address = any::<bool>().prop_flat_map(|is_v4| {
        let one = move || {
            any::<u128>().prop_map(move |bits| {
                #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
                if is_v4 { Address::v4(bits as u32) } else { Address::from_bits(bits | 1 << 127) }
            })
        };
        (one(), one(), one())
    });
    let engine =
        proptest::option::of(("[a-z]{1,16}", proptest::collection::vec(any::<u8>(), 1..255)));
    let numbers = (any::<u8>(), any::<[u16; 4]>(), any::<u32>(), any::<u32>(), any::<u32>());
    (address, numbers, engine).prop_map(
        |(ends, (protocol, ports, flags, mark, timeout_s), engine)| {
            let (client, virtual_address, server) = ends;
            let [client_port, virtual_port, server_port, state] = ports;
            let key = FlowKey { protocol, client, client_port, virtual_address, virtual_port };
            let flags = Flags(flags);
            Record { key, server, server_port, flags, state, mark, timeout_s, engine }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in proptest::collection::vec(any_record(), 1..50), id: u8) {
        let mut got = Vec::new();
        prop_assert_eq!(read(&written(&records, id), id, &mut got), ReadTally::default());
        prop_assert_eq!(got, records);
    }

    #[test]
    fn no_datagram_does_harm(
        mut datagram in proptest::collection::vec(any::<u8>(), 0..300),
        is_sized: bool,
        version in 0..3_u8,
    ) {
        if is_sized && datagram.len() >= 8 {
            let size = u16::try_from(datagram.len()).unwrap();
            datagram[2..4].copy_from_slice(&size.to_be_bytes());
            datagram[0] = 0;
            datagram[5..8].copy_from_slice(&[version, 0, 0]);
        }
        let mut records = Vec::new();
        read(&datagram, 0, &mut records);
        prop_assert!(records.len() <= 255);
    }

    #[test]
    fn a_changed_byte_does_no_harm(
        records in proptest::collection::vec(any_record(), 1..9),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut datagram = written(&records, 1);
        for (place, byte) in changes {
            let place = place.index(datagram.len());
            datagram[place] = byte;
        }
        read(&datagram, 0, &mut Vec::new());
    }

    #[test]
    fn a_datagram_is_never_longer_than_allowed(
        records in proptest::collection::vec(any_record(), 1..60),
        length_max in 400..2000_u16,
    ) {
        let mut batch = Batch::new(1, length_max);
        let mut sent = 0;
        for record in &records {
            if !batch.push(record) {
                batch.take(|bytes| {
                    assert!(bytes.len() <= usize::from(length_max));
                    sent += 1;
                });
                prop_assert!(batch.push(record));
            }
        }
        batch.take(|bytes| assert!(bytes.len() <= usize::from(length_max)));
        prop_assert!(sent < records.len());
    }
}
