//! The texts of `/proc/net` against recorded ones.

use std::net::{IpAddr, SocketAddr};

use lb_core::ipvsadm::{Numeric, execute};
use lb_core::operations::*;
use lb_core::proc_files::text;
use lb_core::service::{Service, ServiceKey};

use crate::director::control;

const RECORDED: &str = include_str!("../../../tests/captures/kernel/netlink.txt");
const RICH: &str = include_str!("../../../tests/captures/ipvsadm/058-rich-proc-ip_vs.txt");

const COUNTED: Stats =
    Stats { connections: 3, packets_in: 3, packets_out: 0, bytes_in: 0xb6, bytes_out: 0 };

/// A table whose connections are given, and what was counted.
struct Connected<O>(O, Vec<ConnectionRow>);

impl<O: Operations> Operations for Connected<O> {
    fn connections(&self) -> Vec<ConnectionRow> {
        self.1.clone()
    }
    fn services(&self) -> Vec<ServiceRow> {
        self.0.services()
    }
    fn table_size(&self) -> usize {
        self.0.table_size()
    }
    fn totals(&self) -> Totals {
        Totals { since_start: COUNTED, stats: COUNTED, rates: Rates::default() }
    }

    fn service(&self, key: &ServiceKey) -> Option<ServiceRow> {
        self.0.service(key)
    }
    fn timeouts(&self) -> TimeoutSettings {
        self.0.timeouts()
    }
    fn add_service(&mut self, _: Service) -> Result<(), OperationError> {
        unreachable!("only read")
    }
    fn edit_service(&mut self, _: Service) -> Result<(), OperationError> {
        unreachable!("only read")
    }
    fn delete_service(&mut self, _: &ServiceKey) -> Result<(), OperationError> {
        unreachable!("only read")
    }
    fn clear(&mut self) {}
    fn add_destination(
        &mut self,
        _: &ServiceKey,
        _: lb_core::destination::Destination,
    ) -> Result<(), OperationError> {
        unreachable!("only read")
    }
    fn edit_destination(
        &mut self,
        _: &ServiceKey,
        _: lb_core::destination::Destination,
    ) -> Result<(), OperationError> {
        unreachable!("only read")
    }
    fn delete_destination(
        &mut self,
        _: &ServiceKey,
        _: IpAddr,
        _: u16,
    ) -> Result<(), OperationError> {
        unreachable!("only read")
    }
    fn zero(&mut self, _: Option<&ServiceKey>) -> Result<(), OperationError> {
        unreachable!("only read")
    }
    fn set_timeouts(&mut self, _: TimeoutSettings) {}
}

/// The recorded text of a file.
fn recorded(name: &str) -> String {
    let section = RECORDED.split(&format!("= {name}\n")).nth(1).unwrap();
    let lines = section.lines().take_while(|line| line.starts_with('|'));
    lines.map(|line| format!("{}\n", line.strip_prefix("| ").unwrap())).collect()
}

fn row(
    protocol: u8,
    state: &'static str,
    expires_s: u32,
    ends: [&str; 3],
    engine: Option<(&str, &str)>,
) -> ConnectionRow {
    let end = |text: &str| {
        let end: SocketAddr = text.parse().unwrap();
        (end.ip(), end.port())
    };
    let [client, virtual_end, destination] = ends.map(end);
    let engine = engine.map(|(name, data)| (name.to_owned(), data.to_owned()));
    ConnectionRow {
        protocol,
        expires_s,
        state,
        client,
        virtual_end,
        destination,
        is_synced: false,
        engine,
    }
}

#[test]
fn connections_look_as_recorded() {
    let web = "10.0.0.100:80";
    let (sip, sip_server) = ("10.0.0.100:5060", "10.9.0.2:5060");
    let six = ["[fd00::100]:40053", "[fd00::100]:53", "[fd00:9::2]:5353"];
    let rows = vec![
        row(6, "NONE", 359, ["10.0.0.100:0", web, "10.9.0.2:80"], None),
        row(17, "UDP", 300, ["10.0.0.100:45060", sip, sip_server], None),
        row(6, "SYN_RECV", 59, ["10.0.0.100:40080", web, "10.9.0.2:80"], None),
        row(17, "NONE", 60, ["10.0.0.100:0", sip, sip_server], Some(("sip", "abc@x"))),
        row(17, "UDP", 300, six, None),
    ];
    let table = Connected(control(), rows);
    // The kernel's order is that of its hash table.
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines[1..].sort();
        lines
    };
    for name in ["ip_vs_conn", "ip_vs_conn_sync"] {
        let got = text(name, &table).unwrap();
        assert_eq!(sorted(&got), sorted(&recorded(name)), "{name}");
    }
    let helpers = text("ip_vs_app", &table).unwrap();
    assert_eq!(helpers, "prot port    usecnt name\nTCP  21      0      ftp              \n");
    let control = ["10.0.0.1:4000", "10.0.0.100:21", "10.9.0.2:21"];
    let data = ["10.0.0.1:4001", "10.0.0.100:20", "10.9.0.2:20"];
    let template = ["10.0.0.1:0", "10.0.0.100:21", "10.9.0.2:21"];
    let rows = [control, data, template].map(|ends| row(6, "ESTABLISHED", 1, ends, None));
    let helpers = text("ip_vs_app", &Connected(table.0, rows.to_vec())).unwrap();
    assert!(helpers.ends_with("TCP  21      1      ftp              \n"), "{helpers}");
}

/// The kernel's order is that of its hash table: each service with its servers is compared.
#[test]
fn services_look_as_recorded() {
    let mut table = control();
    let between = |from: &str, to: &str| {
        let rest = RICH.split_once(from).unwrap().1;
        rest.split_once(to).unwrap().0.to_owned()
    };
    for line in between("### setup\n", "### command").lines() {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        let outcome = execute(&words, b"", &mut table, &Numeric);
        assert_eq!(outcome.exit, 0, "{line}: {}", outcome.stderr);
    }
    let services = |text: &str| {
        let mut found: Vec<String> = Vec::new();
        for line in text.lines() {
            match found.last_mut().filter(|_| line.starts_with("  ->")) {
                Some(service) => service.push_str(&format!("\n{line}")),
                None => found.push(line.to_owned()),
            }
        }
        found.sort();
        found
    };
    let expected = between("### stdout\n", "### stderr");
    let got = text("ip_vs", &table).unwrap();
    assert_eq!(services(&got), services(&expected));
    assert_eq!(text("ip_vs_nothing", &table), None);
}

/// The kernel's CPU had three packets, which its totals did not know yet.
#[test]
fn totals_are_in_hexadecimal() {
    let mut inner = control();
    execute(&["-A", "-t", "10.0.0.1:80"], b"", &mut inner, &Numeric);
    let table = Connected(inner, Vec::new());
    let (none, some) = (
        "       0        0        0                0                0\n",
        "       3        3        0               B6                0\n",
    );
    for name in ["ip_vs_stats", "ip_vs_stats_percpu"] {
        let expected = recorded(name).replacen(none, some, 1);
        assert_eq!(text(name, &table).unwrap(), expected, "{name}");
    }
}
