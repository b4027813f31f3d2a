//! Interfaces of the host's kernel, so that its daemons live beside the director: for each
//! interface with `kernel: true` a tap device of DPDK's driver `net_tap`, with the interface's
//! name, MAC address, MTU (as far as the driver can) and addresses. It is gone when the process is.

use std::fs;
use std::sync::Mutex;

use lb_core::interface::{Interface, InterfaceId};
use lb_core::wire::MacAddress;

use crate::config::{Config, InterfaceConfig};
use crate::dpdk::{
    Eal, EalError, Errno, Mempool, MempoolConfig, MempoolError, Port, PortConfig, PortError,
    PortStats, Queues, device, eal, mempool,
};
use crate::iproute::{IpError, ip};
use crate::lock::lock;
use crate::ports::data_room;

/// Buffers that the driver holds for frames to come: it reads them one by one.
const RX_DESCRIPTORS: u16 = 64;
/// Buffers for frames of one interface that wait in the ring of a port.
const IN_FLIGHT: u32 = 960;
/// No port can have this name, so no other pool has it.
const POOL_NAME: &str = "(kernel)";

/// Why the kernel cannot have an interface.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error(
        "ports: {name}: `kernel: true`, but the host's kernel has an interface {name} already; \
         choose another name, or remove that interface"
    )]
    NameTaken { name: String },
    #[error(
        "ports: {name}: the host's kernel does not give us an interface; `kernel: true` needs \
         /dev/net/tun and the capability CAP_NET_ADMIN: {source}"
    )]
    Create { name: String, source: EalError },
    #[error("ports: {name}: the kernel's interface cannot have the MAC address {mac}: {errno}")]
    Mac { name: String, mac: MacAddress, errno: Errno },
    #[error("the kernel's interfaces")]
    Pool(#[from] MempoolError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("the kernel's interfaces: {0}")]
    Ip(#[from] IpError),
}

/// All interfaces that the kernel has from us.
#[derive(Debug)]
pub struct KernelInterfaces {
    /// Emptied at shut-down, when clients may still ask.
    open: Mutex<Vec<OpenInterface>>,
}

#[derive(Debug)]
struct OpenInterface {
    interface: InterfaceId,
    port: Port,
}

/// An interface of the kernel as `sluicectl ports` shows it.
#[derive(Debug)]
pub struct KernelRow {
    pub interface: InterfaceId,
    pub stats: Result<PortStats, PortError>,
}

/// The interfaces that the kernel is to have, with their numbers.
fn wanted(config: &Config) -> impl Iterator<Item = (InterfaceId, InterfaceConfig<'_>)> {
    let numbered = (0..=u8::MAX).map(InterfaceId).zip(config.interfaces());
    numbered.filter(|(_, interface)| interface.kernel)
}

/// The device of an interface. Names of configured devices are in lower case, so this is none.
fn device_of(interface: InterfaceId, name: &str) -> String {
    format!("net_tapK{},iface={name}", interface.0)
}

/// The virtual devices that DPDK has to be started with.
pub fn devices(config: &Config) -> Vec<String> {
    wanted(config).map(|(id, interface)| device_of(id, interface.name)).collect()
}

/// Checks that the names are free, before a driver takes over an interface of somebody else.
///
/// # Errors
///
/// The first name that is taken.
pub fn check_names(config: &Config) -> Result<(), KernelError> {
    let taken = names(&fs::read_to_string("/proc/self/net/dev").unwrap_or_default());
    match wanted(config).find(|(_, interface)| taken.iter().any(|name| name == interface.name)) {
        Some((_, interface)) => Err(KernelError::NameTaken { name: interface.name.to_owned() }),
        None => Ok(()),
    }
}

/// The interfaces in `/proc/net/dev`: two lines of headings, then `NAME: counters`.
fn names(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Says what it means that a device of ours could not be made.
///
/// # Errors
///
/// The problem itself, where it is another one.
pub fn explain(config: &Config, problem: EalError) -> Result<KernelError, EalError> {
    let is_device =
        |name: &str| matches!(&problem, EalError::Device { device, .. } if device == name);
    let ours = wanted(config).find(|(id, interface)| is_device(&device_of(*id, interface.name)));
    match ours {
        Some((_, interface)) => {
            Ok(KernelError::Create { name: interface.name.to_owned(), source: problem })
        }
        None => Err(problem),
    }
}

impl KernelInterfaces {
    /// Sets up the devices and gives them the MAC addresses of `interfaces`, and addresses.
    ///
    /// # Errors
    ///
    /// The first interface that cannot be had as it is configured.
    pub fn configure(
        eal: &Eal,
        config: &Config,
        interfaces: &[Interface],
    ) -> Result<Self, KernelError> {
        let wanted: Vec<_> = wanted(config).collect();
        let Some(mtu_max) = wanted.iter().map(|(_, interface)| interface.mtu).max() else {
            return Ok(Self { open: Mutex::default() });
        };
        let pool = pool(eal, wanted.len(), mtu_max)?;
        let mut open = Vec::new();
        for (id, interface) in &wanted {
            let twin = interfaces.get(usize::from(id.0));
            let mac = twin.map(|twin| twin.mac).unwrap_or_default();
            let port = open_port(eal, *id, interface, mac, &pool)?;
            open.push(OpenInterface { interface: *id, port });
        }
        ip(&address_commands(wanted.iter().map(|(_, interface)| interface)))?;
        Ok(Self { open: Mutex::new(open) })
    }

    /// Brings the interfaces up and hands out their queues.
    ///
    /// # Errors
    ///
    /// When a device refuses.
    pub fn start(&self, eal: &Eal) -> Result<Vec<(InterfaceId, Queues)>, PortError> {
        let mut open = lock(&self.open);
        // The driver's word on secondary processes, of which there are none, is no news.
        eal::quietly(eal, || {
            open.iter_mut().map(|open| Ok((open.interface, open.port.start()?))).collect()
        })
    }

    /// Removes the interfaces. All queue handles must be gone, and the ports, as their rings may
    /// hold buffers of ours.
    ///
    /// # Errors
    ///
    /// When a device refuses; the others are removed all the same.
    pub fn close(&self) -> Result<(), PortError> {
        let mut open = std::mem::take(&mut *lock(&self.open));
        let stopped: Vec<_> = open.iter_mut().map(|open| open.port.stop()).collect();
        stopped.into_iter().collect()
    }

    /// All of them with their counters: received is what the kernel sent.
    pub fn rows(&self) -> Vec<KernelRow> {
        let open = lock(&self.open);
        let row = |open: &OpenInterface| KernelRow {
            interface: open.interface,
            stats: open.port.stats(),
        };
        open.iter().map(row).collect()
    }
}

fn pool(eal: &Eal, interfaces: usize, mtu_max: u16) -> Result<Mempool, MempoolError> {
    let each = u32::from(RX_DESCRIPTORS) + IN_FLIGHT;
    let mbufs = u32::try_from(interfaces).unwrap_or(u32::MAX).saturating_mul(each);
    Mempool::new(
        eal,
        &MempoolConfig {
            name: POOL_NAME,
            mbufs: mbufs.next_power_of_two() - 1,
            cache: 0,
            data_room: data_room(mtu_max).max(mempool::DATA_ROOM),
            socket: None,
        },
    )
}

fn open_port(
    eal: &Eal,
    id: InterfaceId,
    interface: &InterfaceConfig<'_>,
    mac: MacAddress,
    pool: &Mempool,
) -> Result<Port, KernelError> {
    let (name, device) = (interface.name, device_of(id, interface.name));
    device::set_mac(eal, &device, mac.0).map_err(|errno| {
        let name = name.to_owned();
        KernelError::Mac { name, mac, errno }
    })?;
    // Of a larger MTU the driver of DPDK 22.11 takes what it can: 1504 bytes.
    let port = Port::configure(
        eal,
        &PortConfig {
            name,
            device: &device,
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: RX_DESCRIPTORS,
            tx_descriptors: RX_DESCRIPTORS,
            mtu: interface.mtu,
            promiscuous: false,
            pool: pool.clone(),
        },
    )?;
    Ok(port)
}

/// Lines for `ip -batch`. The director speaks for the addresses, so nobody else can have them:
/// duplicates are not looked for.
fn address_commands<'a>(interfaces: impl Iterator<Item = &'a InterfaceConfig<'a>>) -> Vec<String> {
    let commands = |interface: &'a InterfaceConfig<'a>| {
        interface.addresses.iter().map(|address| {
            let unasked = if address.address.is_ipv6() { " nodad" } else { "" };
            format!("address add {address} dev {}{unasked}", interface.name)
        })
    };
    interfaces.flat_map(commands).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, parse};

    fn config(ports: &str) -> Config {
        let environment = Environment {
            cpus: vec![0],
            check_services: &|_| Vec::new(),
            names: &lb_core::ipvsadm::Numeric,
            find_nic: &crate::config::no_nics,
        };
        parse("t", &format!("ports: [ {ports} ]"), &environment).unwrap()
    }

    const PORTS: &str = "{ name: lan0, device: net_null0, kernel: true, \
         addresses: [10.0.10.61/24, \"fd00::61/64\"], vlans: [ { id: 7 }, \
         { id: 8, kernel: true, addresses: [10.0.8.61/24] } ] }, \
         { name: lo, device: net_null1, kernel: true }";

    #[test]
    fn each_interface_of_the_kernel_is_a_device_with_its_addresses() {
        let config = config(PORTS);
        assert_eq!(
            devices(&config),
            ["net_tapK0,iface=lan0", "net_tapK1,iface=lo", "net_tapK3,iface=lan0.8"]
        );
        let wanted: Vec<_> = wanted(&config).collect();
        assert_eq!(
            address_commands(wanted.iter().map(|(_, interface)| interface)),
            [
                "address add 10.0.10.61/24 dev lan0",
                "address add fd00::61/64 dev lan0 nodad",
                "address add 10.0.8.61/24 dev lan0.8",
            ]
        );
    }

    /// Every machine has `lo`.
    #[test]
    fn a_name_that_the_kernel_uses_is_refused() {
        let error = check_names(&config(PORTS)).unwrap_err().to_string();
        assert!(error.contains("has an interface lo already; choose another name"), "{error}");
        let free = config("{ name: lan0, device: net_null0 }");
        assert!(check_names(&free).is_ok(), "without `kernel: true` names do not matter");
        let text = "Inter-|   Receive\n face |bytes\n    lo: 0 0\n eth0.7:1 2\n";
        assert_eq!(names(text), ["lo", "eth0.7"]);
    }

    #[test]
    fn a_device_that_cannot_be_made_is_explained() {
        let config = config("{ name: lan0, device: net_null0, kernel: true }");
        let device = |name: &str| EalError::Device { device: name.to_owned(), log: Vec::new() };
        let error = explain(&config, device("net_tapK0,iface=lan0")).unwrap().to_string();
        assert!(error.contains("ports: lan0:") && error.contains("CAP_NET_ADMIN"), "{error}");
        assert!(explain(&config, device("net_null0")).is_err());
    }
}
