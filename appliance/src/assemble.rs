//! From a configuration to the parts of a director.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use lb_core::clock::TICKS_PER_SECOND;
use lb_core::control::{Control, Network};
use lb_core::director::Limits;
use lb_core::flow::{Bucket, Cold, Entry, FlowTable, Storage};
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceAddress, InterfaceId};
use lb_core::ipvsadm::{self, Names};
use lb_core::marks::{MarkRules, MarksError, saved};
use lb_core::neighbour::Patience;
use lb_core::punt::{PuntRule, PuntRules};
use lb_core::route::{Hop, Route};
use lb_core::service::Family;
use lb_core::settings::Settings;

use crate::config::{self, Config, ConfigErrors, Environment, MarksConfig, Workers};
use crate::dpdk::memory::HUGEPAGE_BYTES;
use crate::dpdk::{self, MemoryError, Pages, zeroed_region};
use crate::kernel;
use crate::machine::Machine;
use crate::names::SystemNames;
use crate::nic_finder;

/// The CPUs of the workers. By default all but the first, which is left to the kernel and the
/// control plane; the only CPU of a small machine is shared.
pub fn worker_cpus(workers: &Workers, available: &[usize]) -> Vec<usize> {
    match (workers, available) {
        (Workers::Cpus(cpus), _) => cpus.clone(),
        (Workers::Auto, [_, others @ ..]) if !others.is_empty() => others.to_vec(),
        (Workers::Auto, all) => all.to_vec(),
    }
}

/// What the EAL is started with.
pub fn eal_config(config: &Config, worker_cpus: Vec<usize>) -> dpdk::EalConfig {
    let (pci, virtual_devices): (Vec<_>, Vec<_>) =
        config.ports.iter().map(|port| &port.device).partition(|device| device.is_pci());
    let texts = |devices: Vec<&config::Device>| {
        devices.into_iter().map(|device| device.as_str().to_owned()).collect()
    };
    dpdk::EalConfig {
        memory_mib: u32::try_from(config.eal.memory_bytes >> 20).unwrap_or(u32::MAX),
        hugepages: hugepages(config.eal.hugepages),
        attach: match config.eal.attach {
            config::Attach::Off => dpdk::Attach::Off,
            config::Attach::Telemetry => dpdk::Attach::Telemetry,
            config::Attach::Processes => dpdk::Attach::Processes,
        },
        vdevs: [texts(virtual_devices), kernel::devices(config)].concat(),
        pci_devices: texts(pci),
        worker_cpus,
        extra: config.eal.extra.clone(),
    }
}

/// The same choice in DPDK's terms.
pub const fn hugepages(choice: config::Hugepages) -> dpdk::Hugepages {
    match choice {
        config::Hugepages::Auto => dpdk::Hugepages::Auto,
        config::Hugepages::Require => dpdk::Hugepages::Require,
        config::Hugepages::Off => dpdk::Hugepages::Off,
    }
}

/// Memory of the flow table, and in words what it lies on.
///
/// # Errors
///
/// When the machine has not that much memory, or not the hugepages that are required.
pub fn flow_storage(config: &Config) -> Result<(Storage, String), MemoryError> {
    let (buckets, entries) = Storage::needed(config.flows_max as usize);
    let pages = hugepages(config.eal.hugepages);
    let buckets = zeroed_region(buckets, pages)?;
    let hot = zeroed_region(entries, pages)?;
    let cold = zeroed_region(entries, pages)?;
    let bytes = size_of_val(buckets.slots) + size_of_val(hot.slots) + size_of_val(cold.slots);
    let all_huge = [buckets.pages, hot.pages, cold.pages].iter().all(|p| *p == Pages::Huge);
    let kind = if all_huge { "hugepages" } else { "normal pages" };
    let storage = Storage { buckets: buckets.slots, entries: hot.slots, cold: cold.slots };
    Ok((storage, format!("{} MiB on {kind}", bytes.div_ceil(1 << 20))))
}

/// Bytes of each region of the flow table: whole huge pages.
pub fn flow_bytes(flows_max: u32) -> [u64; 3] {
    let (buckets, entries) = Storage::needed(flows_max as usize);
    let bytes = [
        buckets.saturating_mul(size_of::<Bucket>()),
        entries.saturating_mul(size_of::<Entry>()),
        entries.saturating_mul(size_of::<Cold>()),
    ];
    let page = HUGEPAGE_BYTES as u64;
    bytes.map(|bytes| (bytes as u64).div_ceil(page).saturating_mul(page))
}

/// A hasher with secrets of the system's random source.
///
/// # Errors
///
/// When there is no random source.
pub fn random_hasher() -> io::Result<FlowHasher> {
    let mut random = [[0; 8]; 3];
    let mut source = File::open("/dev/urandom")?;
    for word in &mut random {
        source.read_exact(word)?;
    }
    Ok(FlowHasher::new(random.map(u64::from_ne_bytes)))
}

/// What surrounds the director.
pub fn network(config: &Config, interfaces: Vec<Interface>) -> Network {
    let id = |index: usize| u8::try_from(index).ok().map(InterfaceId);
    let routes = config.routes.iter().map(|route| Route {
        to: InterfaceAddress { address: route.to.network, prefix: route.to.prefix },
        via: route.via,
        interface: id(route.interface),
    });
    let permanent_neighbours = config.neighbours.iter().filter_map(|neighbour| {
        let interface = id(neighbour.interface)?;
        Some((Hop { interface, neighbour: neighbour.address }, neighbour.mac))
    });
    let rules = config
        .kernel
        .take
        .iter()
        .map(|taken| PuntRule { protocol: taken.protocol, port: taken.port.unwrap_or(0) });
    Network {
        interfaces,
        vips: config.vips.clone(),
        own_service_addresses: config.own_service_addresses,
        routes: routes.collect(),
        permanent_neighbours: permanent_neighbours.collect(),
        patience: patience(&config.arp),
        neighbours_max: config.arp.max as usize,
        punt_rules: PuntRules::new(rules),
        announcements: config.arp.announcements,
        announce_interval_ticks: ticks(config.arp.announce),
    }
}

/// The switches and limits, wherever they stand in the file.
pub fn settings(config: &Config) -> Settings {
    Settings {
        ip_forward: config.ip_forward,
        tunnel_source_spread: config.tunnel.source_spread,
        kernel_rate: config.kernel.rate,
        ..config.settings
    }
}

/// The rules that mark packets.
///
/// # Errors
///
/// The first line that is wrong; none of a configuration that was checked.
pub fn mark_rules(
    config: &MarksConfig,
    interfaces: &[Interface],
    names: &dyn Names,
) -> Result<MarkRules, MarksError> {
    let chain = |lines: &[String], family| {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let (rules, wrong) = saved::configured(&lines, family, interfaces, names);
        match wrong.into_iter().next() {
            None => Ok(Arc::new(rules)),
            Some((_, problem)) => Err(problem),
        }
    };
    Ok(MarkRules {
        v4: chain(&config.rules, Family::V4)?,
        v6: chain(&config.rules6, Family::V6)?,
        intercepted: config.intercept.clone(),
    })
}

/// What is fixed at start besides the flow table.
pub const fn limits(config: &Config) -> Limits {
    Limits {
        destinations_max: config.destinations_max as usize,
        datagrams_max: config.fragments.max as usize,
    }
}

fn patience(arp: &config::ArpConfig) -> Patience {
    Patience {
        retry_ticks: ticks(arp.retry),
        attempts: arp.attempts,
        reachable_ticks: ticks(arp.reachable),
    }
}

/// A duration in ticks, at least one.
fn ticks(duration: std::time::Duration) -> u32 {
    let ticks = duration.as_millis() * u128::from(TICKS_PER_SECOND) / 1000;
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

/// Reads and checks a configuration file; with it the names that its lines were read with.
///
/// # Errors
///
/// All mistakes of the file, each with its line and column.
pub fn load(path: &Path) -> Result<(Config, SystemNames), ConfigErrors> {
    load_for(path, &Machine::under(Path::new("/")), available_cpus())
}

/// The same for another machine, with those CPUs.
///
/// # Errors
///
/// As [`load`].
pub fn load_for(
    path: &Path,
    machine: &Machine,
    cpus: Vec<usize>,
) -> Result<(Config, SystemNames), ConfigErrors> {
    let names = SystemNames::load();
    let environment = Environment {
        cpus,
        check_services: &|lines| check_services(lines, &names),
        names: &names,
        find_nic: &|name| nic_finder::find(machine, name),
    };
    let config = config::load(path, &environment)?;
    Ok((config, names))
}

/// CPUs that this process may run on.
pub fn available_cpus() -> Vec<usize> {
    dpdk::eal::allowed_cpus().unwrap_or_else(|_| vec![0])
}

/// Tries service lines on a director that forwards nothing: (index of the line, what is wrong
/// with it) for each that is refused.
pub fn check_services(lines: &[&str], names: &dyn Names) -> Vec<(usize, String)> {
    const FLOWS: usize = 1;
    let hasher = FlowHasher::new([0; 3]);
    let flows = FlowTable::new(FLOWS, Storage::leaked(FLOWS), hasher);
    let mut control = Control::new(
        flows,
        Limits { destinations_max: lines.len() + 1, datagrams_max: 1 },
        0,
        hasher,
        Network::default(),
    );
    run_services(lines, &mut control, names)
}

/// Runs service lines one by one, as `ipvsadm -R` would, but goes on to the end: (index of the
/// line, what is wrong with it) for each that is refused.
pub fn run_services(
    lines: &[&str],
    control: &mut Control,
    names: &dyn Names,
) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let words = ipvsadm::restore_words(line);
        let changes =
            matches!(words.first(), Some(&("-A" | "-a" | "--add-service" | "--add-server")));
        if !changes {
            let message = "only -A (--add-service) and -a (--add-server) stand here";
            wrong.push((index, message.to_owned()));
            continue;
        }
        let outcome = ipvsadm::execute(&words, &[], control, names);
        if outcome.exit != 0 {
            wrong.push((index, outcome.stderr.trim_end().to_owned()));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::ipvsadm::Numeric;

    #[test]
    fn workers_leave_the_first_cpu_alone_where_there_are_more() {
        assert_eq!(worker_cpus(&Workers::Auto, &[0]), [0]);
        assert_eq!(worker_cpus(&Workers::Auto, &[0, 1]), [1]);
        assert_eq!(worker_cpus(&Workers::Auto, &[2, 5, 7]), [5, 7]);
        assert_eq!(worker_cpus(&Workers::Cpus(vec![0, 1]), &[0, 1, 2]), [0, 1]);
    }

    #[test]
    fn the_bytes_of_a_flow_table_are_those_that_it_takes() {
        let text = "{ ports: [ { name: lan0, device: net_null0 } ], flows: { max: 65536 } }";
        let environment = Environment {
            cpus: vec![0],
            check_services: &|_| Vec::new(),
            names: &Numeric,
            find_nic: &config::no_nics,
        };
        let config = config::parse("t", text, &environment).unwrap();
        let (storage, _) = flow_storage(&config).unwrap();
        let taken =
            [size_of_val(storage.buckets), size_of_val(storage.entries), size_of_val(storage.cold)];
        for (bytes, taken) in flow_bytes(65536).into_iter().zip(taken) {
            let more = bytes - taken as u64;
            assert!(bytes.is_multiple_of(HUGEPAGE_BYTES as u64) && more < HUGEPAGE_BYTES as u64);
        }
    }

    #[test]
    fn what_is_configured_reaches_the_core() {
        let text = "\
ports:
- { name: lan0, device: net_null0, addresses: [10.0.10.61/24, \"fd00::61/64\"], kernel: true }
- { name: wan0, device: net_null1, vlans: [ { id: 7, addresses: [10.0.7.61/24] } ] }
vips: [\"fd00::99\"]
own_service_addresses: false
ip_forward: false
settings: { pmtu_disc: 0, sloppy_tcp: 1 }
tunnel: { source_spread: true }
kernel: { rate: 5, take: [tcp 22, proto 112] }
fragments: { max: 7 }
arp: { max: 9 }
routes: [ { to: \"::/0\", via: \"fe80::1\", port: wan0.7 } ]
neighbours: [ { port: wan0.7, address: 10.0.7.2, mac: \"02:00:00:00:00:02\" } ]
";
        let environment = Environment {
            cpus: vec![0],
            check_services: &|_| Vec::new(),
            names: &Numeric,
            find_nic: &config::no_nics,
        };
        let config = config::parse("t", text, &environment).unwrap();
        let vdevs = eal_config(&config, vec![0]).vdevs;
        assert_eq!(vdevs, ["net_null0", "net_null1", "net_tapK0,iface=lan0"]);
        let limits = limits(&config);
        assert_eq!((limits.destinations_max, limits.datagrams_max), (65_536, 7));
        let settings = settings(&config);
        assert!(!settings.pmtu_disc && !settings.ip_forward && settings.sloppy_tcp);
        assert!(settings.tunnel_source_spread && !settings.sloppy_sctp);
        assert_eq!((settings.kernel_rate, settings.conn_reuse_mode), (5, 1));
        let network = network(&config, Vec::new());
        assert!(!network.own_service_addresses && !network.punt_rules.is_empty());
        assert_eq!((network.neighbours_max, network.vips.len()), (9, 1));
        assert_eq!(network.routes[0].interface, Some(InterfaceId(2)));
        assert_eq!(network.permanent_neighbours[0].0.interface, InterfaceId(2));
    }

    /// With the language and the director as they are, unlike in the configuration's own tests.
    #[test]
    fn the_services_of_every_example_are_accepted() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let examples: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
        assert!(examples.len() >= 7, "{examples:?}");
        for path in examples {
            let check_services = &|lines: &[&str]| check_services(lines, &Numeric);
            let environment = Environment {
                cpus: vec![0],
                check_services,
                names: &Numeric,
                find_nic: &config::no_nics,
            };
            if let Err(errors) = config::load(&path, &environment) {
                panic!("{errors}");
            }
        }
    }

    #[test]
    fn every_wrong_service_line_is_named() {
        let wrong = check_services(
            &[
                "-A -t 10.0.10.100:80 -s rr",
                "-a -t 10.0.10.100:80 -r 10.0.10.83 -g",
                "-a -t 10.0.10.100:81 -r 10.0.10.83 -g",
                "-A -t 10.0.10.100:80 -s rr",
                "-A -t 10.0.10.100:99999",
                "-C",
                "-A -t 10.0.10.100:82 -s nonsense",
                "-a -t 10.0.10.100:80 -r 127.0.0.1:80",
            ],
            &Numeric,
        );
        let indices: Vec<_> = wrong.iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [2, 3, 4, 5, 6], "a server on the director itself is right");
        assert_eq!(wrong[0].1, "Service not defined");
    }
}
