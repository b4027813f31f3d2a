//! What holds for every command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_core::destination::{Destination, ForwardingMethod, Tunnel, TunnelChecksum};
use lb_core::ipvsadm::{Numeric, apply, execute, restore};
use lb_core::operations::Operations;
use lb_core::protocol::Protocol;
use lb_core::service::{Family, SchedulerFlags, Service, ServiceKey};
use proptest::prelude::*;

use crate::director::director;
use crate::large::Large;

fn word() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "-A",
        "-E",
        "-D",
        "-C",
        "-R",
        "-S",
        "-a",
        "-e",
        "-d",
        "-L",
        "-Z",
        "--set",
        "-t",
        "-u",
        "--sctp-service",
        "-f",
        "-6",
        "-s",
        "rr",
        "sh",
        "-p",
        "-M",
        "--pe",
        "-b",
        "sh-port",
        "-o",
        "-r",
        "-g",
        "-i",
        "-m",
        "-w",
        "-x",
        "-y",
        "--tun-type",
        "gue",
        "--tun-port",
        "--tun-csum",
        "-n",
        "-c",
        "--stats",
        "--rate",
        "--timeout",
        "--daemon",
        "--start-daemon",
        "master",
        "--mcast-group",
        "ff02::1",
        "--",
        "-",
        "10.0.0.1:80",
        "[::1]:80",
        "1",
        "64",
        "--syncid",
        "-p60",
        "-Ln",
        "--persistent=",
        "ipvsadm",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => ".{0,12}", 1 => "-{1,2}[a-zA-Z0-9=é]{0,6}"]
}

fn address_v4() -> impl Strategy<Value = IpAddr> {
    // Class A to C, which is unicast, wherever the first byte is not 0.
    (1u8..224, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d).into())
}

fn address_v6() -> impl Strategy<Value = IpAddr> {
    any::<u128>().prop_map(|bits| Ipv6Addr::from(bits >> 3 | 1 << 125).into())
}

fn key() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let family = prop::sample::select(vec![Family::V4, Family::V6]);
    prop_oneof![
        (protocol, prop_oneof![address_v4(), address_v6()], 1u16..)
            .prop_map(|(protocol, address, port)| ServiceKey::Address { protocol, address, port }),
        (1u32..=0x7fff_ffff, family).prop_map(|(mark, family)| ServiceKey::Mark { mark, family }),
    ]
}

prop_compose! {
    /// A service with all that the save format keeps.
    fn service()(
        key in key(),
        scheduler in prop::sample::select(vec!["rr", "wlc", "sh", "mh", "none"]),
        flags in 0u8..8,
        timeout_s in prop::option::of(1u32..=2_678_400),
        mask in any::<u32>(),
        one_packet in any::<bool>(),
        sip in any::<bool>(),
    ) -> Service {
        let mut service = Service::new(key);
        scheduler.clone_into(&mut service.scheduler);
        // Flag 3 has no name with sh and mh, so it would be lost.
        let named = if matches!(scheduler, "sh" | "mh") { flags & 3 } else { flags };
        service.scheduler_flags = SchedulerFlags(named);
        service.persistence_timeout_s = timeout_s;
        if timeout_s.is_some() {
            service.netmask = match key.family() {
                Family::V4 => mask,
                Family::V6 => mask % 128 + 1,
            };
        }
        service.persistence_engine = sip.then(|| "sip".to_owned());
        let udp_or_mark =
            !matches!(key, ServiceKey::Address { protocol: Protocol::Tcp | Protocol::Sctp, .. });
        service.one_packet = one_packet && udp_or_mark;
        service
    }
}

fn tunnel() -> impl Strategy<Value = Tunnel> {
    let any_sum = prop::sample::select(vec![
        TunnelChecksum::None,
        TunnelChecksum::Full,
        TunnelChecksum::Remote,
    ]);
    let gre_sum = prop::sample::select(vec![TunnelChecksum::None, TunnelChecksum::Full]);
    prop_oneof![
        Just(Tunnel::Ipip),
        (1u16.., any_sum).prop_map(|(port, checksum)| Tunnel::Gue { port, checksum }),
        gre_sum.prop_map(|checksum| Tunnel::Gre { checksum }),
    ]
}

prop_compose! {
    /// A server with all that the save format keeps, for a service.
    fn server(key: ServiceKey)(
        v4 in address_v4(),
        v6 in address_v6(),
        other_family in any::<bool>(),
        port in any::<u16>(),
        method in prop::sample::select(vec![
            ForwardingMethod::Masquerading,
            ForwardingMethod::DirectRouting,
            ForwardingMethod::Tunneling,
        ]),
        weight in 0i32..,
        tunnel in tunnel(),
    ) -> Destination {
        let tunneling = method == ForwardingMethod::Tunneling;
        let is_v6 = (key.family() == Family::V6) != (tunneling && other_family);
        let fixed_port = method != ForwardingMethod::Masquerading
            && matches!(key, ServiceKey::Address { .. });
        let mut server = Destination::new(
            if is_v6 { v6 } else { v4 },
            if fixed_port { key.port() } else { port },
        );
        server.method = method;
        server.weight = weight;
        server.tunnel = if tunneling { tunnel } else { Tunnel::Ipip };
        server
    }
}

fn service_with_servers() -> impl Strategy<Value = (Service, Vec<Destination>)> {
    service().prop_flat_map(|service| {
        let servers = prop::collection::vec(server(service.key), 0..6);
        (Just(service), servers)
    })
}

/// The table in an order that does not depend on that of its rows.
fn content(operations: &impl Operations) -> Vec<(String, Vec<String>)> {
    let mut table: Vec<_> = operations
        .services()
        .into_iter()
        .map(|row| {
            let mut servers: Vec<_> =
                row.destinations.iter().map(|d| format!("{:?}", d.destination)).collect();
            servers.sort();
            (format!("{:?}", row.service), servers)
        })
        .collect();
    table.sort();
    table
}

proptest! {
    #[test]
    fn any_words_are_answered(words in prop::collection::vec(word(), 0..9), input in ".*") {
        let outcome = execute(&words, input.as_bytes(), &mut director(), &Numeric);
        prop_assert!(matches!(outcome.exit, 0 | 1 | 2 | 255));
        // A refused command says why; only a restore can fail in one line and go on.
        prop_assert!(outcome.exit == 0 || !outcome.stderr.is_empty());
    }

    #[test]
    fn any_bytes_can_be_restored(input in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut director = director();
        restore(&input, |command| apply(command, &mut director), &Numeric);
    }

    #[test]
    fn what_is_saved_restores_to_the_same(
        table in prop::collection::vec(service_with_servers(), 0..5)
    ) {
        let mut original = director();
        for (service, servers) in table {
            let key = service.key;
            // The same service or server twice is refused, which is no matter here.
            if original.add_service(service).is_ok() {
                for server in servers {
                    let _ = original.add_destination(&key, server);
                }
            }
        }
        let saved = execute(&["-Sn"], b"", &mut original, &Numeric);
        let mut copy = director();
        let applied = |command: &_| apply(command, &mut copy);
        let restored = restore(saved.stdout.as_bytes(), applied, &Numeric);
        prop_assert_eq!((restored.exit, restored.stderr), (0, String::new()));
        prop_assert_eq!(content(&copy), content(&original));
        let again = execute(&["-Sn"], b"", &mut copy, &Numeric);
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        prop_assert_eq!(sorted(&again.stdout), sorted(&saved.stdout));
    }

    /// `--full` keeps also what `-S` loses: thresholds, netmasks of no use, the highest marks, and
    /// the order of services and servers.
    #[test]
    fn what_is_saved_in_full_restores_to_the_very_same(
        table in prop::collection::vec(service_with_servers(), 0..5),
        mask in any::<u32>(),
        thresholds in (0_u32..1 << 30, 0_u32..1 << 30),
        high_mark in any::<bool>(),
    ) {
        let mut original = director();
        for (mut service, servers) in table {
            if let (ServiceKey::Mark { mark, .. }, true) = (&mut service.key, high_mark) {
                *mark |= 1 << 31;
            }
            if service.key.family() == Family::V4 {
                service.netmask = mask;
            }
            let key = service.key;
            let _ = original.add_service(service);
            for server in servers {
                let (lower_threshold, more) = thresholds;
                let more = if server.weight % 2 == 0 { more } else { 0 };
                let upper_threshold = lower_threshold + more;
                let server = Destination { upper_threshold, lower_threshold, ..server };
                let _ = original.add_destination(&key, server);
            }
        }
        let saved = execute(&["-S", "-n", "--full"], b"", &mut original, &Numeric);
        let mut copy = director();
        let applied = |command: &_| apply(command, &mut copy);
        let restored = restore(saved.stdout.as_bytes(), applied, &Numeric);
        prop_assert_eq!((restored.exit, restored.stderr), (0, String::new()));
        prop_assert_eq!(copy.services(), original.services());
    }
}

/// A table as large as a director can meet is listed, saved and read in one go. A step that grew
/// with the square of the size would take minutes here.
#[test]
fn large_tables_are_listed_and_read() {
    const SERVERS: u32 = 100_000;
    let key = ServiceKey::Mark { mark: 1, family: Family::V4 };
    let servers = (0..SERVERS).map(|index| {
        // 7 has no common factor with 2^24, so every server is there once, and out of order.
        let host = index.wrapping_mul(7) % (1 << 24);
        Destination::new(Ipv4Addr::from(0x0a00_0000 | host).into(), 80)
    });
    let mut director = Large { service: Service::new(key), servers: servers.collect() };
    let listed = execute(&["-Ln"], b"", &mut director, &Numeric);
    assert_eq!(listed.stdout.lines().count(), 4 + SERVERS as usize);
    let saved = execute(&["-Sn"], b"", &mut director, &Numeric);
    let mut copy = Large { service: Service::new(key), servers: Vec::new() };
    assert_eq!(
        restore(saved.stdout.as_bytes(), |command| apply(command, &mut copy), &Numeric).exit,
        0
    );
    assert_eq!(copy.servers.len(), SERVERS as usize);
}
