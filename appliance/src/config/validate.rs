//! What the values of a configuration say of each other, and the [`Config`] that they make.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::Environment;
use super::addresses::Addresses;
use super::error::{ConfigErrors, Position, shown};
use super::raw::{At, Raw, RawConfig, RawNeighbour, RawPort, RawRoute, RawServices, RawWorkers};
use super::services::commands;
use super::settings::{
    ArpConfig, Config, ControlConfig, Device, EalConfig, IdleConfig, PortConfig, Route,
    StaticNeighbour, Workers,
};

/// Ports that DPDK is built for, `RTE_MAX_ETHPORTS`.
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
    if let Some(socket) = &raw.control_socket {
        check_socket(socket, errors);
    }
    let workers = raw.workers.as_ref().and_then(|raw| workers(raw, environment, errors));
    limit_ports(&mut raw, errors);
    check_ports(&raw.ports, errors);
    let addresses = Addresses::collect(&raw, errors);
    let routes = routes(&raw.routes, &addresses, errors);
    let neighbours = neighbours(&raw.neighbours, &raw.ports, &addresses, errors);
    let services = raw.services.map(|raw| services(&raw, source, environment, errors));
    Some(Config {
        control: ControlConfig { socket: raw.control_socket?.value.into() },
        eal: EalConfig {
            memory_bytes: raw.eal_memory_bytes?.value,
            hugepages: raw.eal_hugepages?.value,
            extra: raw.eal_extra.into_iter().map(|argument| argument.value).collect(),
        },
        workers: workers?,
        idle: IdleConfig { mode: raw.idle_mode?.value, sleep: raw.idle_sleep?.value },
        flows_max: raw.flows_max?.value,
        destinations_max: raw.destinations_max?.value,
        arp: ArpConfig {
            queue: raw.arp.queue?.value,
            retry: raw.arp.retry?.value,
            attempts: raw.arp.attempts?.value,
            reachable: raw.arp.reachable?.value,
            announce: raw.arp.announce?.value,
            announcements: raw.arp.announcements?.value,
        },
        ports: raw.ports.into_iter().map(port).collect::<Option<_>>()?,
        vips: raw.vips.into_iter().map(|vip| vip.value).collect(),
        routes,
        neighbours,
        services: services?,
    })
}

fn check_socket(socket: &At<String>, errors: &mut ConfigErrors) {
    let bytes = socket.value.len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        errors.at(
            socket.position,
            format!(
                "control.socket: {} is {bytes} bytes long, but the path of a socket has at most \
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
    let Some(surplus) = raw.ports.get(PORTS_MAX) else {
        return;
    };
    errors.at(
        surplus.position,
        format!(
            "ports: there are {count}, but DPDK is built for {PORTS_MAX}; remove this and the rest"
        ),
    );
    raw.ports.truncate(PORTS_MAX);
    raw.ports_whole = false;
}

fn check_ports(ports: &[RawPort], errors: &mut ConfigErrors) {
    let (mut names, mut devices) = (HashMap::new(), HashMap::new());
    for (index, port) in ports.iter().enumerate() {
        if let Some(name) = &port.name
            && let Some(line) = earlier(&mut names, name.value.as_str(), name.position)
        {
            errors.at(
                name.position,
                format!(
                    "ports[{index}].name: {} is the name of the port on line {line}; choose another",
                    shown(&name.value)
                ),
            );
        }
        let Some(device) = &port.device else { continue };
        let name = device.value.split(',').next().unwrap_or_default();
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
fn earlier<K: Eq + Hash>(
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

fn routes(raw: &[RawRoute], addresses: &Addresses, errors: &mut ConfigErrors) -> Vec<Route> {
    let mut seen = HashMap::new();
    let mut routes = Vec::new();
    for (index, route) in raw.iter().enumerate() {
        if let Some(to) = &route.to
            && let Some(line) = earlier(&mut seen, to.value, to.position)
        {
            errors.at(
                to.position,
                format!("routes[{index}].to: {} has a route from line {line}; keep one", to.value),
            );
        }
        let Some(via) = &route.via else { continue };
        if let Some(problem) = addresses.own_problem(via.value) {
            errors.at(via.position, format!("routes[{index}].via: {problem}"));
        }
        let Some(port) = addresses.port_to(via.value) else {
            if let Some(problem) = addresses.unreachable_problem(via.value) {
                errors.at(via.position, format!("routes[{index}].via: {problem}"));
            }
            continue;
        };
        if let Some(to) = &route.to {
            routes.push(Route { to: to.value, via: via.value, port });
        }
    }
    routes
}

fn neighbours(
    raw: &[RawNeighbour],
    ports: &[RawPort],
    addresses: &Addresses,
    errors: &mut ConfigErrors,
) -> Vec<StaticNeighbour> {
    let mut seen = HashMap::new();
    let mut neighbours = Vec::new();
    for (index, neighbour) in raw.iter().enumerate() {
        let label = format!("neighbours[{index}]");
        let port = neighbour
            .port
            .as_ref()
            .and_then(|name| port_named(name, ports, addresses, &label, errors));
        let Some(address) = &neighbour.address else {
            continue;
        };
        if let Some(line) = earlier(&mut seen, address.value, address.position) {
            errors.at(
                address.position,
                format!(
                    "{label}.address: {} is given on line {line} already; keep one",
                    address.value
                ),
            );
        }
        if let Some(problem) = addresses.own_problem(address.value) {
            errors.at(address.position, format!("{label}.address: {problem}"));
        }
        let Some(port) = port else { continue };
        if let Some(problem) = addresses.not_reached(address.value, port) {
            errors.at(address.position, format!("{label}.address: {problem}"));
        }
        if let Some(mac) = &neighbour.mac {
            neighbours.push(StaticNeighbour { port, address: address.value, mac: mac.value });
        }
    }
    neighbours
}

fn port_named(
    name: &At<String>,
    ports: &[RawPort],
    addresses: &Addresses,
    label: &str,
    errors: &mut ConfigErrors,
) -> Option<usize> {
    let named = |port: &RawPort| port.name.as_ref().is_some_and(|n| n.value == name.value);
    let found = ports.iter().position(named);
    // A port whose own name is wrong may be the one that is meant.
    if found.is_none() && addresses.is_whole() && ports.iter().all(|port| port.name.is_some()) {
        let names = ports.iter().filter_map(|port| port.name.as_ref());
        let names: Vec<&str> = names.map(|name| name.value.as_str()).collect();
        errors.at(
            name.position,
            format!(
                "{label}.port: there is no port {}; the ports are: {}",
                shown(&name.value),
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            ),
        );
    }
    found
}

fn services(
    raw: &At<RawServices>,
    source: &str,
    environment: &Environment<'_>,
    errors: &mut ConfigErrors,
) -> Vec<String> {
    let commands = commands(raw, source);
    let lines: Vec<&str> = commands.iter().map(|command| command.text).collect();
    if !lines.is_empty() {
        for (index, problem) in (environment.check_services)(&lines) {
            // An index beyond the slice would be a mistake of the check, not of the file: the
            // mistake that it found is told all the same.
            let command = commands.get(index);
            let position = command.map_or(raw.position, |command| command.position);
            let line = command.map_or_else(String::new, |c| format!("{}: ", shown(c.text)));
            errors.at(position, format!("services: {line}{problem}"));
        }
    }
    lines.into_iter().map(str::to_owned).collect()
}

fn port(raw: RawPort) -> Option<PortConfig> {
    Some(PortConfig {
        name: raw.name?.value,
        device: Device(raw.device?.value),
        addresses: raw.addresses.into_iter().map(|address| address.value).collect(),
        mtu: value(raw.mtu)?,
        rx_descriptors: value(raw.rx_descriptors)?,
        tx_descriptors: value(raw.tx_descriptors)?,
        mac: value(raw.mac)?,
        mbufs: value(raw.mbufs)?,
    })
}

fn value<T>(raw: Raw<T>) -> Option<T> {
    raw.map(|at| at.value)
}
