//! `sluicectl ports`: devices, links, addresses, counters.

use lb_core::interface::{Interface, InterfaceId};
use serde::Serialize;

use super::command::Commands;
use super::report::{Report, Text, Tone};
use crate::dpdk::{PortError, PortStats};
use crate::kernel::KernelRow;
use crate::line;
use crate::lock::lock;
use crate::ports::PortRow;

/// The ports of a director.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct PortTable(Vec<PortLine>);

#[derive(Debug, Serialize)]
struct PortLine {
    name: String,
    device: String,
    driver: String,
    mac: String,
    mtu: u16,
    link: String,
    rx_queues: u16,
    tx_queues: u16,
    /// Of the device; null with `problem` saying why.
    counters: Option<Traffic>,
    problem: Option<String>,
    /// The untagged one, and the port's VLANs.
    interfaces: Vec<InterfaceLine>,
}

#[derive(Debug, Serialize)]
struct InterfaceLine {
    name: String,
    vlan: Option<u16>,
    mtu: u16,
    addresses: Vec<String>,
    /// What the interface of the kernel got and said, in its own terms; null where it has none.
    kernel: Option<Traffic>,
    kernel_problem: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Traffic {
    rx_packets: u64,
    rx_bytes: u64,
    rx_missed: u64,
    rx_errors: u64,
    rx_no_mbuf: u64,
    tx_packets: u64,
    tx_bytes: u64,
    tx_errors: u64,
}

impl From<&PortStats> for Traffic {
    fn from(stats: &PortStats) -> Self {
        let &PortStats { rx_packets, rx_bytes, rx_missed, rx_errors, rx_no_mbuf, .. } = stats;
        let &PortStats { tx_packets, tx_bytes, tx_errors, .. } = stats;
        Self {
            rx_packets,
            rx_bytes,
            rx_missed,
            rx_errors,
            rx_no_mbuf,
            tx_packets,
            tx_bytes,
            tx_errors,
        }
    }
}

impl Traffic {
    /// Seen from the other end of a device: what it sends the kernel receives.
    const fn turned(self) -> Self {
        Self {
            rx_packets: self.tx_packets,
            rx_bytes: self.tx_bytes,
            tx_packets: self.rx_packets,
            tx_bytes: self.rx_bytes,
            ..self
        }
    }
}

/// What a device counted, or why that is not known.
fn counted(stats: &Result<PortStats, PortError>) -> (Option<Traffic>, Option<String>) {
    match stats {
        Ok(stats) => (Some(stats.into()), None),
        Err(problem) => (None, Some(problem.to_string())),
    }
}

impl PortTable {
    /// As they are now.
    pub fn of(commands: &Commands) -> Self {
        let interfaces = lock(&commands.control).interfaces().to_vec();
        let kernel = commands.kernel.rows();
        let rows = commands.ports.rows();
        let numbered = rows.iter().zip((0..=u8::MAX).map(InterfaceId));
        Self(numbered.map(|(row, id)| PortLine::of(row, id, &interfaces, &kernel)).collect())
    }
}

impl PortLine {
    fn of(row: &PortRow, id: InterfaceId, all: &[Interface], kernel: &[KernelRow]) -> Self {
        let (counters, problem) = counted(&row.stats);
        let numbered = all.iter().zip((0..=u8::MAX).map(InterfaceId));
        let interfaces =
            numbered.filter(|(interface, _)| interface.port == id).map(|(interface, number)| {
                let kernel = kernel.iter().find(|row| row.interface == number);
                InterfaceLine::of(interface, kernel)
            });
        Self {
            name: row.name.clone(),
            device: row.device.clone(),
            driver: row.driver.clone(),
            mac: row.mac.to_string(),
            mtu: row.mtu,
            link: row.link.clone(),
            rx_queues: row.rx_queues,
            tx_queues: row.tx_queues,
            counters,
            problem,
            interfaces: interfaces.collect(),
        }
    }
}

impl InterfaceLine {
    fn of(interface: &Interface, kernel: Option<&KernelRow>) -> Self {
        let (kernel, kernel_problem) = kernel.map_or((None, None), |row| counted(&row.stats));
        let addresses = interface.addresses.iter();
        Self {
            name: interface.name.clone(),
            vlan: interface.vlan,
            mtu: interface.mtu,
            addresses: addresses.map(|own| format!("{}/{}", own.address, own.prefix)).collect(),
            kernel: kernel.map(Traffic::turned),
            kernel_problem,
        }
    }

    fn text(&self, out: &mut Text) {
        if let Some(vlan) = self.vlan {
            line!(out, "    vlan {vlan}: {} mtu {}", self.name, self.mtu);
        }
        let indent = if self.vlan.is_some() { "        " } else { "    " };
        for own in &self.addresses {
            line!(out, "{indent}address {own}");
        }
        if let Some(Traffic { rx_packets, rx_bytes, tx_packets, tx_bytes, .. }) = self.kernel {
            line!(
                out,
                "{indent}kernel {} rx packets {rx_packets} bytes {rx_bytes} tx packets \
                 {tx_packets} bytes {tx_bytes}",
                self.name
            );
        }
        if let Some(problem) = &self.kernel_problem {
            line!(out, "{indent}kernel {} {problem}", self.name);
        }
    }
}

impl Report for PortTable {
    fn text(&self, out: &mut Text) {
        for row in &self.0 {
            line!(out, "{}: {}", row.name, row.device);
            let tone = if row.link.starts_with("up") { Tone::Good } else { Tone::Bad };
            let link = out.toned(tone, &row.link);
            line!(
                out,
                "    driver {} mac {} mtu {} link {link} queues rx {} tx {}",
                row.driver,
                row.mac,
                row.mtu,
                row.rx_queues,
                row.tx_queues
            );
            if let Some(problem) = &row.problem {
                line!(out, "    {problem}");
            }
            if let Some(traffic) = &row.counters {
                device_counters(out, traffic);
            }
            for interface in &row.interfaces {
                interface.text(out);
            }
        }
    }
}

fn device_counters(out: &mut Text, traffic: &Traffic) {
    line!(
        out,
        "    rx packets {} bytes {} missed {} errors {} no-mbuf {}",
        traffic.rx_packets,
        traffic.rx_bytes,
        traffic.rx_missed,
        traffic.rx_errors,
        traffic.rx_no_mbuf
    );
    line!(
        out,
        "    tx packets {} bytes {} errors {}",
        traffic.tx_packets,
        traffic.tx_bytes,
        traffic.tx_errors
    );
}
