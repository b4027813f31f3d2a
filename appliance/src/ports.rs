//! The ports of the director, from configuration to counters.

use std::collections::BTreeMap;
use std::sync::Mutex;

use lb_core::interface::{Interface, InterfaceAddress, InterfaceId};
use lb_core::wire::MacAddress;

use crate::config::{Config, PortConfig as Settings};
use crate::dpdk::{
    self, Eal, Mempool, MempoolConfig, MempoolError, Port, PortError, PortStats, QueueStats,
    Queues, device, mempool,
};
use crate::frame_ring::FrameRing;
use crate::iproute::{IpError, ip};
use crate::lock::lock;

/// Buffers that each lcore may keep for itself.
const POOL_CACHE: u32 = 256;

/// Why a port cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    #[error("ports: {name}")]
    Pool { name: String, source: MempoolError },
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("ports: {name}: the device cannot have an MTU of {wanted}, only {possible}; {way_out}")]
    Mtu { name: String, wanted: u16, possible: u16, way_out: String },
    #[error("ports: {name}: its interface does not get an MTU of {mtu}: {source}")]
    InterfaceMtu { name: String, mtu: u16, source: IpError },
}

/// All ports, in the order of the configuration: a port's place is its interface's number.
#[derive(Debug)]
pub struct Ports {
    /// Devices; emptied at shut-down, when clients may still ask.
    open: Mutex<Vec<OpenPort>>,
}

#[derive(Debug)]
struct OpenPort {
    port: Port,
    pool: Mempool,
    mbufs: u32,
    device: String,
    mac: MacAddress,
    mtu: u16,
}

/// A port as `sluicectl ports` shows it.
#[derive(Debug)]
pub struct PortRow {
    pub name: String,
    pub device: String,
    pub driver: String,
    pub mac: MacAddress,
    pub mtu: u16,
    pub link: String,
    pub is_up: bool,
    /// Where the device knows.
    pub speed_mbps: Option<u32>,
    pub rx_queues: u16,
    pub tx_queues: u16,
    pub stats: Result<PortStats, PortError>,
    /// Of drivers that count by queue.
    pub queues: BTreeMap<u16, QueueStats>,
    /// Packet buffers, and how many of them are in rings or held by somebody.
    pub mbufs: u32,
    pub mbufs_in_use: u32,
}

impl Ports {
    /// Sets up the devices, each with a queue pair for every worker where it can.
    ///
    /// # Errors
    ///
    /// The first port that cannot be had.
    pub fn configure(eal: &Eal, config: &Config, workers: u16) -> Result<Self, PortsError> {
        let open = config.ports.iter().map(|settings| OpenPort::configure(eal, settings, workers));
        Ok(Self { open: Mutex::new(open.collect::<Result<_, _>>()?) })
    }

    /// The interfaces that the packet path knows the ports as.
    pub fn interfaces(&self, config: &Config) -> Vec<Interface> {
        let open = lock(&self.open);
        let ids = (0..=u8::MAX).map(InterfaceId).collect::<Vec<_>>();
        config
            .interfaces()
            .filter_map(|settings| {
                let addresses = settings.addresses.iter().map(|address| InterfaceAddress {
                    address: address.address,
                    prefix: address.prefix,
                });
                Some(Interface {
                    name: settings.name.to_owned(),
                    port: *ids.get(settings.port)?,
                    vlan: settings.vlan,
                    mac: open.get(settings.port)?.mac,
                    mtu: settings.mtu,
                    addresses: addresses.collect(),
                    has_kernel: settings.kernel,
                })
            })
            .collect()
    }

    /// Whether no port has hardware behind it.
    pub fn are_all_virtual(&self) -> bool {
        lock(&self.open).iter().all(|open| open.port.is_virtual())
    }

    /// Starts the ports and hands out their queues, in order.
    ///
    /// # Errors
    ///
    /// When a device refuses.
    pub fn start(&self) -> Result<Vec<Queues>, PortError> {
        lock(&self.open).iter_mut().map(|open| open.port.start()).collect()
    }

    /// Pools for frames that the director makes itself, one for each port.
    pub fn pools(&self) -> Vec<Mempool> {
        lock(&self.open).iter().map(|open| open.pool.clone()).collect()
    }

    /// Stops the devices and lets them go. All queue handles must be gone.
    ///
    /// # Errors
    ///
    /// When a device refuses; the others are stopped all the same.
    pub fn close(&self) -> Result<(), PortError> {
        let mut open = std::mem::take(&mut *lock(&self.open));
        let stopped: Vec<_> = open.iter_mut().map(|open| open.port.stop()).collect();
        stopped.into_iter().collect()
    }

    /// All ports, and whether they have a link.
    pub fn links(&self) -> Vec<(String, bool)> {
        let is_up = |open: &OpenPort| open.port.link().is_ok_and(|link| link.is_up);
        lock(&self.open).iter().map(|open| (open.port.name().to_owned(), is_up(open))).collect()
    }

    /// All ports with their counters.
    pub fn rows(&self) -> Vec<PortRow> {
        lock(&self.open).iter().map(OpenPort::row).collect()
    }
}

impl OpenPort {
    fn configure(eal: &Eal, settings: &Settings, workers: u16) -> Result<Self, PortsError> {
        let name = &settings.name;
        let known = device::abilities(eal, settings.device.as_str());
        // A device with one queue needs no buffers for those that it does not have.
        let queues = known.as_ref().map_or(workers, |device| {
            workers.min(device.rx_queues_max.max(device.tx_queues_max)).max(1)
        });
        let driver = known.map_or_else(String::new, |device| device.driver);
        let mbufs = settings.mbufs_for(queues);
        // The driver wants buffers for whatever its ring can hold.
        let ring_frame = FrameRing::of(&settings.device).map_or(0, |ring| ring.frame_bytes);
        let pool = Mempool::new(
            eal,
            &MempoolConfig {
                name,
                mbufs,
                cache: POOL_CACHE.min(mbufs / 4),
                data_room: device::buffer_bytes(&driver, data_room(settings.mtu)).max(ring_frame),
                socket: None,
            },
        )
        .map_err(|source| PortsError::Pool { name: name.clone(), source })?;
        let port = Port::configure(
            eal,
            &dpdk::PortConfig {
                name,
                device: settings.device.as_str(),
                rx_queues: workers,
                tx_queues: workers,
                rx_descriptors: settings.rx_descriptors,
                tx_descriptors: settings.tx_descriptors,
                mtu: settings.mtu,
                // A device with an address of its own does not let frames for another one in.
                promiscuous: settings.mac.is_some(),
                pool: pool.clone(),
            },
        )?;
        if port.mtu() < settings.mtu {
            raise_mtu(settings, port.mtu())?;
        }
        let mac = match settings.mac {
            Some(mac) => mac,
            None => MacAddress(port.mac()?),
        };
        let (device, mtu) = (settings.device.as_str().to_owned(), settings.mtu);
        Ok(Self { port, pool, mbufs, device, mac, mtu })
    }

    fn row(&self) -> PortRow {
        let found = self.port.link();
        let is_up = found.as_ref().is_ok_and(|link| link.is_up);
        let speed_mbps = found.as_ref().ok().and_then(|link| link.speed_mbps);
        let link = match found {
            Ok(link) if !link.is_up => "down".to_owned(),
            Ok(link) => link
                .speed_mbps
                .map_or_else(|| "up".to_owned(), |speed| format!("up {speed} Mbit/s")),
            Err(problem) => problem.to_string(),
        };
        PortRow {
            name: self.port.name().to_owned(),
            device: self.device.clone(),
            driver: self.port.driver_name().to_owned(),
            mac: self.mac,
            mtu: self.mtu,
            link,
            is_up,
            speed_mbps,
            rx_queues: self.port.rx_queues(),
            tx_queues: self.port.tx_queues(),
            stats: self.port.stats(),
            queues: self.port.queue_stats(),
            mbufs: self.mbufs,
            mbufs_in_use: self.pool.in_use(),
        }
    }
}

/// Gives a device the MTU that its driver says it cannot have, where that is not the last word.
fn raise_mtu(settings: &Settings, claimed: u16) -> Result<(), PortsError> {
    let (name, wanted) = (settings.name.clone(), settings.mtu);
    let Some(ring) = FrameRing::of(&settings.device) else {
        let way_out = "lower `mtu`".to_owned();
        return Err(PortsError::Mtu { name, wanted, possible: claimed, way_out });
    };
    if ring.mtu_max() < wanted {
        let way_out =
            format!("lower `mtu`, or give the device `{}`", FrameRing::arguments_for(wanted));
        return Err(PortsError::Mtu { name, wanted, possible: ring.mtu_max(), way_out });
    }
    ip(&[format!("link set dev {} mtu {wanted}", ring.interface)])
        .map_err(|source| PortsError::InterfaceMtu { name, mtu: wanted, source })
}

/// Bytes that a buffer needs for the largest frame in one piece.
pub fn data_room(mtu: u16) -> u16 {
    /// Ethernet header, VLAN tags, FCS and slack for drivers that round up.
    const LINK_BYTES: u16 = 128;
    mempool::DATA_ROOM.max(mtu.saturating_add(LINK_BYTES))
}
