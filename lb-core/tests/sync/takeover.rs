//! What a backup takes over, and that it is what its master has.

use std::collections::BTreeSet;

use lb_core::address::Address;
use lb_core::clock::Tick;
use lb_core::control::Control;
use lb_core::operations::Operations;
use lb_core::sync::{Batch, ReadTally, Record, read};

use super::{Wire, director, record, run};

/// Ticks of a second.
const SECOND: u32 = lb_core::clock::TICKS_PER_SECOND;

fn step(control: &mut Control, tick: u32) {
    control.tick(Tick(tick));
    let director = control.director().clone();
    control.sync_daemons().lock().unwrap().step(&director, Tick(tick));
}

/// A director with a backup daemon of that number.
fn backup(wire: &Wire) -> Control {
    let mut control = director(wire);
    run(&mut control, "--start-daemon backup --mcast-interface d0 --syncid 17");
    control
}

fn tell(wire: &Wire, control: &mut Control, records: &[Record]) {
    let mut batch = Batch::new(17, 1472);
    for record in records {
        assert!(batch.push(record));
    }
    batch.take(|datagram| wire.deliver(datagram));
    step(control, 1);
}

/// `CLIENT STATE SERVER EXPIRES` of each connection, sorted.
fn listed(control: &Control) -> Vec<String> {
    let rows = control.connections().into_iter();
    let mut lines: Vec<_> = rows
        .map(|row| {
            assert!(row.is_synced);
            let (client, server) = (row.client.1, row.destination.0);
            format!("{client} {} {server} {}", row.state, row.expires_s)
        })
        .collect();
    lines.sort();
    lines
}

/// Active, inactive and persistent of the real servers of a service, newest first.
fn counts(control: &Control, service: usize) -> Vec<(u32, u32, u32)> {
    let services = control.services();
    let rows = services[service].destinations.iter();
    rows.map(|row| (row.active, row.inactive, row.persistent)).collect()
}

/// The steps that were recorded on the kernel, in their order.
#[test]
fn messages_are_taken_over_as_by_the_kernel() {
    let wire = Wire::default();
    let mut control = backup(&wire);
    tell(&wire, &mut control, &[record(1001, 0, 1)]);
    assert_eq!(listed(&control), ["1001 ESTABLISHED 10.0.2.11 900"]);
    assert_eq!(counts(&control, 0), [(0, 0, 0), (1, 0, 0)]);

    tell(&wire, &mut control, &[Record { timeout_s: 120, ..record(1002, 0x100, 4) }]);
    assert_eq!(counts(&control, 0), [(0, 0, 0), (1, 1, 0)]);
    tell(&wire, &mut control, &[Record { timeout_s: 0, ..record(1003, 0, 1) }]);
    assert_eq!(listed(&control)[2], "1003 ESTABLISHED 10.0.2.11 900", "the state's own timeout");

    let template = record(0, 0x1000, 1);
    tell(&wire, &mut control, &[Record { timeout_s: 300, ..template }]);
    assert_eq!(listed(&control)[0], "0 ASSURED 10.0.2.11 300");
    assert_eq!(counts(&control, 0), [(0, 0, 0), (2, 1, 1)]);

    tell(&wire, &mut control, &[Record { timeout_s: 10, ..record(1001, 0x100, 6) }]);
    assert_eq!(listed(&control)[1], "1001 CLOSE 10.0.2.11 10", "an update");
    assert_eq!(counts(&control, 0), [(0, 0, 0), (1, 2, 1)]);

    let other = Address::v4(0x0a00_020c);
    tell(&wire, &mut control, &[Record { server: other, ..record(1003, 0x100, 4) }]);
    assert_eq!(listed(&control)[3], "1003 ESTABLISHED 10.0.2.11 900", "ended says nothing");
    tell(&wire, &mut control, &[Record { server: other, ..record(1002, 0, 1) }]);
    assert_eq!(listed(&control)[2], "1002 ESTABLISHED 10.0.2.12 900", "running is right");
    assert_eq!(counts(&control, 0), [(1, 0, 0), (1, 1, 1)]);

    let before = listed(&control);
    tell(&wire, &mut control, &[record(1007, 0, 11)]);
    assert_eq!(listed(&control), before, "there is no such state");
    tell(&wire, &mut control, &[record(1008, 0x1000, 2)]);
    assert_eq!(listed(&control), before, "nor such a state of templates");
    let unknown = Record { server: Address::v4(0x0a00_0263), ..record(1009, 0, 1) };
    tell(&wire, &mut control, &[unknown, record(1010, 0, 1)]);
    assert_eq!(listed(&control).len(), before.len() + 1, "no such server, and one that is");

    let tally = control.sync_daemons().lock().unwrap().tally();
    assert_eq!((tally.taken_records, tally.ignored_records, tally.malformed_datagrams), (7, 4, 0));
}

#[test]
fn what_was_taken_over_expires() {
    let wire = Wire::default();
    let mut control = backup(&wire);
    tell(&wire, &mut control, &[Record { timeout_s: 10, ..record(1001, 0x100, 6) }]);
    assert_eq!(counts(&control, 0), [(0, 0, 0), (0, 1, 0)]);
    let mut sweeper = control.sweeper();
    let director = control.director().clone();
    assert_eq!(sweeper.step(&director, Tick(9 * SECOND)), 0);
    assert_eq!(sweeper.step(&director, Tick(12 * SECOND)), 1);
    assert_eq!(counts(&control, 0), [(0, 0, 0), (0, 0, 0)]);
    assert_eq!(director.flows_used(), 0);
}

/// One of each kind.
fn all_kinds() -> Vec<Record> {
    let six = |low: u128| Address::from_bits(0xfd00 << 112 | low);
    let mut udp = Record { timeout_s: 300, ..record(4, 0x100, 0) };
    (udp.key.protocol, udp.key.virtual_port, udp.server_port) = (17, 53, 53);
    let mut template = Record { timeout_s: 300, ..record(0, 0x1100, 1) };
    (template.key.protocol, template.key.virtual_port, template.server_port) = (17, 53, 53);
    let mut call = Record { timeout_s: 60, ..record(0, 0x1100, 0) };
    (call.key.protocol, call.key.virtual_port, call.server_port) = (17, 5060, 5060);
    call.engine = Some(("sip".to_owned(), b"abc@x".to_vec()));
    let mut dr = record(8, 0x83, 1);
    (dr.key.client, dr.key.virtual_address) = (six(2), six(0x100));
    (dr.server, dr.server_port) = (six(2 << 96 | 0x11), 80);
    let mut marked = Record { timeout_s: 300, mark: 7, ..record(0, 0x1103, 0) };
    (marked.key.protocol, marked.key.virtual_address) = (0, Address::v4(7));
    (marked.key.virtual_port, marked.server, marked.server_port) = (0, Address::v4(0x0a00_020c), 0);
    let ended = Record { timeout_s: 120, ..record(3, 0x100, 4) };
    vec![record(1, 0, 1), ended, udp, template, call, dr, marked]
}

fn told(wire: &Wire) -> Vec<Record> {
    let mut records = Vec::new();
    for datagram in wire.take_sent() {
        assert!(datagram.len() <= 1472);
        assert_eq!(read(&datagram, 17, &mut records), ReadTally::default());
    }
    records
}

/// What a backup took over, it tells as a master: the same, in the kernel's words.
#[test]
fn a_backup_that_becomes_master_tells_the_same() {
    let wire = Wire::default();
    let mut control = backup(&wire);
    tell(&wire, &mut control, &all_kinds());
    assert_eq!(control.connections().len(), all_kinds().len());
    run(&mut control, "--stop-daemon backup");
    run(&mut control, "--start-daemon master --mcast-interface d0 --syncid 17");
    for tick in 2..2 + 3 * SECOND {
        step(&mut control, tick);
    }
    let shown = |records: Vec<Record>| -> BTreeSet<String> {
        records.into_iter().map(|record| format!("{record:?}")).collect()
    };
    assert_eq!(shown(told(&wire)), shown(all_kinds()));
    for tick in 0..5 * SECOND {
        step(&mut control, 100 + tick);
    }
    assert_eq!(told(&wire), [], "nothing changed");
}

/// A connection that lives on is told again before it is forgotten.
#[test]
fn what_lives_on_is_told_again() {
    let wire = Wire::default();
    let mut control = backup(&wire);
    tell(&wire, &mut control, &[record(1, 0, 1)]);
    run(&mut control, "--start-daemon master --mcast-interface d0 --syncid 17");
    let mut count = 0;
    // Its deadline is moved each minute, as packets do.
    for minute in 0..30_u32 {
        for tick in 0..2 * SECOND {
            step(&mut control, minute * 60 * SECOND + tick);
        }
        let director = control.director().clone();
        for (id, _) in director.flows.live(0..director.flows.high_water()) {
            director.flows.entry(id).set_deadline(Tick(minute * 60 * SECOND).plus_seconds(900));
        }
        count += told(&wire).len();
    }
    assert!((4..=5).contains(&count), "{count} times in half an hour, of 450 s each");
}

#[test]
fn a_state_that_ends_is_told_at_once_and_a_beginning_one_not() {
    let wire = Wire::default();
    let mut control = backup(&wire);
    tell(&wire, &mut control, &[record(1, 0, 3), record(2, 0, 1)]);
    run(&mut control, "--start-daemon master --mcast-interface d0 --syncid 17");
    for tick in 0..3 * SECOND {
        step(&mut control, 10 + tick);
    }
    assert_eq!(told(&wire), [record(2, 0, 1)], "SYN_RECV is not told");
    tell(&wire, &mut control, &[Record { timeout_s: 10, ..record(2, 0x100, 6) }]);
    for tick in 0..3 * SECOND {
        step(&mut control, 100 + tick);
    }
    assert_eq!(told(&wire), [Record { timeout_s: 10, ..record(2, 0x100, 6) }]);
}
