//! What was decided at the start, and why: a short table in the log, for whoever wonders later.

use std::fs;

use crate::assemble;
use crate::config::{Config, Hugepages, IdleMode, NicName, Workers};
use crate::control::status::About;
use crate::logging;
use crate::ports::PortRow;

/// Says it. `wanted` are the workers' CPUs before it was known how many queues there are.
pub fn say(config: &Config, about: &About, wanted: &[usize], ports: &[PortRow]) {
    for (what, decision) in table(config, about, wanted, ports) {
        log::info!(target: logging::START, "{what:<8}{decision}");
    }
}

fn table(
    config: &Config,
    about: &About,
    wanted: &[usize],
    ports: &[PortRow],
) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("version", format!("{} on {}", about.version, about.dpdk_version)),
        ("workers", workers(config, about, wanted)),
        ("idle", idle(config, ports)),
        ("memory", memory(config, about)),
    ];
    for port in ports {
        let chosen_by = config.ports.iter().find(|it| it.name == port.name);
        let chosen_by = chosen_by.and_then(|it| it.device.chosen_by());
        rows.push(("port", self::port(port, chosen_by, &about.worker_cpus)));
    }
    rows
}

fn workers(config: &Config, about: &About, wanted: &[usize]) -> String {
    let cpus = &about.worker_cpus;
    let on = |cpu: &usize| match node_of_cpu(*cpu) {
        Some(node) => format!("{cpu} (NUMA node {node})"),
        None => cpu.to_string(),
    };
    let list = cpus.iter().map(on).collect::<Vec<_>>().join(", ");
    let why = match &config.workers {
        Workers::Cpus(_) => "as configured".to_owned(),
        Workers::Auto if assemble::available_cpus().len() == 1 => {
            "the only one there is".to_owned()
        }
        Workers::Auto => "all but the first, which is the control plane's".to_owned(),
    };
    let idle = wanted.len() - cpus.len();
    let rest = match idle {
        0 => String::new(),
        _ => format!("; {idle} more had no work, as no port has more than {} queues", cpus.len()),
    };
    format!("{} on CPU {list}: {why}{rest}", cpus.len())
}

fn idle(config: &Config, ports: &[PortRow]) -> String {
    let sleep = humantime::format_duration(config.idle.sleep);
    match config.idle.mode {
        IdleMode::Poll => "workers poll: as configured".to_owned(),
        IdleMode::Sleep => format!("workers sleep up to {sleep}: as configured"),
        IdleMode::Auto if config.ports.iter().any(|port| port.device.is_pci()) => {
            "workers poll: there are PCI devices".to_owned()
        }
        IdleMode::Auto => {
            let all = if ports.len() == 1 { "the port is" } else { "all ports are" };
            format!("workers sleep up to {sleep}: {all} virtual")
        }
    }
}

fn memory(config: &Config, about: &About) -> String {
    let why = match config.eal.hugepages {
        Hugepages::Auto => "huge pages where the machine has them",
        Hugepages::Require => "huge pages are required",
        Hugepages::Off => "huge pages are off",
    };
    let flows = config.flows_max;
    format!("{}; {} for {flows} flows: {why}", about.packet_memory, about.flow_memory)
}

fn port(row: &PortRow, chosen_by: Option<&NicName>, cpus: &[usize]) -> String {
    let PortRow { name, device, driver, link, rx_queues, tx_queues, mbufs, .. } = row;
    let device = device.split(',').next().unwrap_or_default();
    let queues = format!("{rx_queues} receive and {tx_queues} transmit queues");
    let mut text = format!("{name}: {device} ({driver}), {queues}, {mbufs} buffers, link {link}");
    if let Some(name) = chosen_by {
        text.push_str(&format!(", the NIC with the {name}"));
    }
    if let Some(node) = node_of_device(device) {
        let far = cpus.iter().filter(|&&cpu| node_of_cpu(cpu).is_some_and(|it| it != node));
        let far: Vec<_> = far.map(usize::to_string).collect();
        text.push_str(&format!(", NUMA node {node}"));
        if !far.is_empty() {
            text.push_str(&format!("; CPU {} is far from it, which costs time", far.join(", ")));
        }
    }
    text
}

/// The NUMA node of a CPU, where the kernel says so.
fn node_of_cpu(cpu: usize) -> Option<usize> {
    let entries = fs::read_dir(format!("/sys/devices/system/cpu/cpu{cpu}")).ok()?;
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find_map(|name| name.strip_prefix("node")?.parse().ok())
}

/// The NUMA node of a PCI device, if there is more than one to be near to.
fn node_of_device(device: &str) -> Option<usize> {
    let address = if device.len() == 7 { format!("0000:{device}") } else { device.to_owned() };
    let text = fs::read_to_string(format!("/sys/bus/pci/devices/{address}/numa_node")).ok()?;
    text.trim().parse().ok()
}
