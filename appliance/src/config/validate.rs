//! What the values of a configuration say of each other, and the [`Config`] that they make.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::path::PathBuf;

use super::Environment;
use super::error::{ConfigErrors, Position, shown};
use super::interfaces;
use super::links::Links;
use super::marks;
use super::raw::{At, Raw, RawArp, RawConfig, RawPort, RawVlan, RawWorkers};
use super::services;
use super::session_log::SessionLogConfig;
use super::settings::{
    ArpConfig, Config, ControlConfig, EalConfig, FragmentsConfig, IdleConfig, KernelConfig,
    LogConfig, MetricsConfig, PortConfig, TunnelConfig, VlanConfig, Workers,
};

/// Ports that DPDK is built for, `RTE_MAX_ETHPORTS`; each kernel interface is one, too.
const PORTS_MAX: usize = 32;

/// Bytes of a socket's path: `sun_path` of unix(7) without the final zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Checks the values against each other. `None` only where a mistake is reported.
pub(super) fn validate(
    mut raw: RawConfig,
    source: &str,
    environment: &Environment<'_>,
    errors: &mut ConfigErrors,
) -> Option<Config> {
    check_sockets(&raw, errors);
    let workers = raw.workers.as_ref().and_then(|raw| workers(raw, environment, errors));
    limit_ports(&mut raw, errors);
    find_devices(&mut raw.ports, environment, errors);
    check_devices(&raw.ports, errors);
    interfaces::check(&raw.ports, errors);
    let links = Links::of(&raw, errors);
    let routes = links.routes(&raw.routes, errors);
    let neighbours = links.neighbours(&raw.neighbours, errors);
    let marks = marks::check(&raw, source, environment, errors);
    let services = services::check(&raw, source, environment, errors);
    Some(Config {
        control: ControlConfig {
            socket: raw.control.socket?.value.into(),
            netlink_socket: raw.control.netlink_socket?.value.into(),
            group: value(raw.control.group)?,
            read_group: value(raw.control.read_group)?,
            audit: value(raw.control.audit)?,
        },
        metrics: MetricsConfig {
            listen: raw.metrics.listen.into_iter().map(|listen| listen.value).collect(),
            socket: value(raw.metrics.socket)?.map(PathBuf::from),
            servers: value(raw.metrics.servers)?,
            series: value(raw.metrics.series)?,
        },
        log: LogConfig { levels: value(raw.log_levels)?, format: value(raw.log_format)? },
        eal: EalConfig {
            memory_bytes: raw.eal_memory_bytes?.value,
            hugepages: raw.eal_hugepages?.value,
            attach: raw.eal_attach?.value,
            extra: raw.eal_extra.into_iter().map(|argument| argument.value).collect(),
        },
        session_log: SessionLogConfig {
            to: value(raw.session_log.to)?,
            sample: raw.session_log.sample?.value,
            rate: raw.session_log.rate?.value,
        },
        workers: workers?,
        idle: IdleConfig { mode: raw.idle_mode?.value, sleep: raw.idle_sleep?.value },
        flows_max: raw.flows_max?.value,
        destinations_max: raw.destinations_max?.value,
        fragments: FragmentsConfig {
            max: value(raw.fragments_max)?,
            queue: value(raw.fragments_queue)?,
        },
        ip_forward: value(raw.ip_forward)?,
        own_service_addresses: value(raw.own_service_addresses)?,
        settings: raw.settings?,
        tunnel: TunnelConfig { source_spread: value(raw.tunnel_source_spread)? },
        kernel: KernelConfig {
            rate: value(raw.kernel_rate)?,
            take: raw.kernel_take.into_iter().map(|taken| taken.value).collect(),
        },
        marks: marks?,
        arp: arp(raw.arp)?,
        ports: raw.ports.into_iter().map(port).collect::<Option<_>>()?,
        vips: raw.vips.into_iter().map(|vip| vip.value).collect(),
        routes,
        neighbours,
        services: services?,
        services_file: value(raw.services_file)?.map(PathBuf::from),
    })
}

fn arp(raw: RawArp) -> Option<ArpConfig> {
    Some(ArpConfig {
        max: raw.max?.value,
        queue: raw.queue?.value,
        retry: raw.retry?.value,
        attempts: raw.attempts?.value,
        reachable: raw.reachable?.value,
        announce: raw.announce?.value,
        announcements: raw.announcements?.value,
    })
}

/// Each socket has a path of its own, short enough for a socket.
fn check_sockets(raw: &RawConfig, errors: &mut ConfigErrors) {
    let metrics = raw.metrics.socket.as_ref().and_then(|socket| {
        socket.value.as_ref().map(|value| At { position: socket.position, value: value.clone() })
    });
    let sockets = [
        ("control.socket", raw.control.socket.as_ref()),
        ("control.netlink_socket", raw.control.netlink_socket.as_ref()),
        ("metrics.socket", metrics.as_ref()),
    ];
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (key, socket) in sockets {
        let Some(socket) = socket else { continue };
        check_socket(key, socket, errors);
        if let Some(other) = seen.get(socket.value.as_str()) {
            let path = shown(&socket.value);
            let problem = format!("{key}: {path} is {other}, too; give each a path of its own");
            errors.at(socket.position, problem);
        }
        seen.insert(&socket.value, key);
    }
    let mut listens = HashMap::new();
    for (index, listen) in raw.metrics.listen.iter().enumerate() {
        if let Some(line) = earlier(&mut listens, listen.value, listen.position) {
            let address = shown(&listen.value.to_string());
            let problem = format!("{address} stands on line {line} already; remove one");
            errors.at(listen.position, format!("metrics.listen[{index}]: {problem}"));
        }
    }
}

fn check_socket(key: &str, socket: &At<String>, errors: &mut ConfigErrors) {
    let bytes = socket.value.len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        errors.at(
            socket.position,
            format!(
                "{key}: {} is {bytes} bytes long, but the path of a socket has at most \
                 {SOCKET_PATH_BYTES_MAX}; choose a shorter one",
                shown(&socket.value)
            ),
        );
    }
}

fn workers(
    raw: &At<RawWorkers>,
    environment: &Environment<'_>,
    errors: &mut ConfigErrors,
) -> Option<Workers> {
    let RawWorkers::Cpus(cpus) = &raw.value else {
        return Some(Workers::Auto);
    };
    if cpus.is_empty() {
        errors.at(raw.position, "workers: no CPU is left to forward packets; name one, or `auto`");
        return None;
    }
    let mut seen = HashMap::new();
    for (index, cpu) in cpus.iter().enumerate() {
        let label = format!("workers[{index}]");
        if !environment.cpus.contains(&cpu.value) {
            errors.at(
                cpu.position,
                format!(
                    "{label}: CPU {} does not exist or may not be used; there are {}",
                    cpu.value,
                    ranges(&environment.cpus)
                ),
            );
        }
        if let Some(line) = earlier(&mut seen, cpu.value, cpu.position) {
            errors.at(
                cpu.position,
                format!("{label}: CPU {} has a worker from line {line}; remove one", cpu.value),
            );
        }
    }
    Some(Workers::Cpus(cpus.iter().map(|cpu| cpu.value).collect()))
}

/// CPU numbers as people write them: `0-3, 8`.
fn ranges(cpus: &[usize]) -> String {
    let mut cpus = cpus.to_vec();
    cpus.sort_unstable();
    cpus.dedup();
    let runs: Vec<String> = cpus
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [only] => only.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    if runs.is_empty() { "none".to_owned() } else { runs.join(", ") }
}

/// Leaves out the ports that are too many: nothing that follows needs to be quick for thousands.
fn limit_ports(raw: &mut RawConfig, errors: &mut ConfigErrors) {
    let count = raw.ports.len();
    if let Some(surplus) = raw.ports.get(PORTS_MAX) {
        errors.at(
            surplus.position,
            format!(
                "ports: there are {count}, but DPDK is built for {PORTS_MAX}; remove this and the \
                 rest"
            ),
        );
        raw.ports.truncate(PORTS_MAX);
        raw.ports_whole = false;
        return;
    }
    let of_kernel = interfaces::interfaces(&raw.ports).iter().filter(|i| i.kernel).count();
    if let Some(first) = raw.ports.first()
        && count + of_kernel > PORTS_MAX
    {
        errors.at(
            first.position,
            format!(
                "ports: {count} ports and {of_kernel} kernel interfaces are too many: DPDK is \
                 built for {PORTS_MAX} together; set `kernel: false` on some"
            ),
        );
    }
}

/// Finds NICs that are named otherwise than by their addresses.
fn find_devices(ports: &mut [RawPort], environment: &Environment<'_>, errors: &mut ConfigErrors) {
    for (index, port) in ports.iter_mut().enumerate() {
        let Some(device) = &mut port.device else { continue };
        let Some(name) = device.value.chosen_by() else { continue };
        match (environment.find_nic)(name) {
            Ok(address) => device.value = device.value.at(address),
            Err(problem) => {
                let message = format!("ports[{index}].device: {problem}");
                errors.missing_at(device.position, message);
                port.device = None;
            }
        }
    }
}

fn check_devices(ports: &[RawPort], errors: &mut ConfigErrors) {
    let mut devices = HashMap::new();
    for (index, port) in ports.iter().enumerate() {
        let Some(device) = &port.device else { continue };
        let name = device.value.name();
        if let Some(line) = earlier(&mut devices, name, device.position) {
            errors.at(
                device.position,
                format!(
                    "ports[{index}].device: {} is the device of the port on line {line}; each \
                     port needs its own",
                    shown(name)
                ),
            );
        }
    }
}

/// The line of an earlier use of a value; the first use is remembered.
pub(super) fn earlier<K: Eq + Hash>(
    seen: &mut HashMap<K, Position>,
    key: K,
    position: Position,
) -> Option<usize> {
    match seen.entry(key) {
        Entry::Occupied(first) => Some(first.get().line),
        Entry::Vacant(vacant) => {
            vacant.insert(position);
            None
        }
    }
}

fn port(mut raw: RawPort) -> Option<PortConfig> {
    let vlans = std::mem::take(&mut raw.vlans);
    Some(PortConfig {
        vlans: vlans.into_iter().map(|vlan| self::vlan(&raw, vlan)).collect::<Option<_>>()?,
        name: raw.name?.value,
        device: raw.device?.value,
        addresses: raw.addresses.into_iter().map(|address| address.value).collect(),
        mtu: value(raw.mtu)?,
        rx_descriptors: value(raw.rx_descriptors)?,
        tx_descriptors: value(raw.tx_descriptors)?,
        mac: value(raw.mac)?,
        mbufs: value(raw.mbufs)?,
        kernel: value(raw.kernel)?,
    })
}

fn vlan(port: &RawPort, raw: RawVlan) -> Option<VlanConfig> {
    Some(VlanConfig {
        name: interfaces::vlan_name(port, &raw)?.value,
        mtu: interfaces::vlan_mtu(port, &raw)?,
        id: value(raw.id)?,
        addresses: raw.addresses.into_iter().map(|address| address.value).collect(),
        kernel: value(raw.kernel)?,
    })
}

fn value<T>(raw: Raw<T>) -> Option<T> {
    raw.map(|at| at.value)
}
