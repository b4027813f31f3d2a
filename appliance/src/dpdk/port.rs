//! Ports: NICs and virtual devices, from configuration to counters.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::device::{reachable_mtu, text};
use super::eal::{Eal, Runtime, find_port};
use super::errno::{Errno, check};
use super::mempool::Mempool;
use super::queue::{RxQueue, TxQueue};

/// Bytes of a frame that the MTU does not count: Ethernet header, two VLAN tags, and the FCS that
/// some devices leave in the buffer.
const FRAME_OVERHEAD: u16 = 14 + 2 * 4 + 4;

/// How a port is to be set up.
#[derive(Debug, Clone)]
pub struct PortConfig<'a> {
    /// The operator's name for it, which messages use.
    pub name: &'a str,
    /// The device, as it was given to the EAL: a PCI address or a virtual device's name, with or
    /// without arguments after a comma.
    pub device: &'a str,
    /// Receive queues wanted; fewer where the device has fewer.
    pub rx_queues: u16,
    /// Transmit queues wanted; fewer where the device has fewer.
    pub tx_queues: u16,
    /// Frames that each receive queue can hold; brought into the device's limits.
    pub rx_descriptors: u16,
    /// Frames that each transmit queue can hold; brought into the device's limits.
    pub tx_descriptors: u16,
    /// The largest IP packet, in bytes; less where the device cannot.
    pub mtu: u16,
    /// Receive all frames, whatever their destination.
    pub promiscuous: bool,
    /// Where received frames go.
    pub pool: Mempool,
}

/// Why a port cannot be used. All name the port as the operator does.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// No such device.
    #[error(
        "port {port}: DPDK has no device {device:?}: it has to be among the virtual or PCI \
         devices that DPDK was started with"
    )]
    NoSuchDevice {
        /// The port.
        port: String,
        /// The device.
        device: String,
    },
    /// Two ports on one device.
    #[error("port {port}: device {device:?} belongs to another port already")]
    DeviceTaken {
        /// The port.
        port: String,
        /// The device.
        device: String,
    },
    /// The device cannot receive or cannot send.
    #[error("port {port}: {driver} has no {direction} queue for it")]
    NoQueue {
        /// The port.
        port: String,
        /// The device's driver.
        driver: String,
        /// `receive` or `transmit`.
        direction: &'static str,
    },
    /// Frames of that size do not fit into the pool's buffers.
    #[error(
        "port {port}: an MTU of {mtu} needs buffers of {needed} bytes, those of pool {pool:?} \
         have {data_room}"
    )]
    BufferTooSmall {
        /// The port.
        port: String,
        /// The MTU asked for.
        mtu: u16,
        /// Bytes that a frame takes then.
        needed: u32,
        /// The pool.
        pool: String,
        /// Bytes that its buffers have.
        data_room: u16,
    },
    /// A queue could not be made.
    #[error("port {port}: {direction} queue {queue} cannot be set up: {errno}")]
    Queue {
        /// The port.
        port: String,
        /// `receive` or `transmit`.
        direction: &'static str,
        /// The queue's index.
        queue: u16,
        /// What DPDK said.
        errno: Errno,
    },
    /// Its queues are handed out.
    #[error("port {port} is started already")]
    AlreadyStarted {
        /// The port.
        port: String,
    },
    /// Queue handles are still about, so that somebody may be using them.
    #[error("port {port} cannot be stopped: {handles} of its queues are still in use")]
    QueuesInUse {
        /// The port.
        port: String,
        /// How many.
        handles: usize,
    },
    /// Anything else that the device refused.
    #[error("port {port}: {action} failed: {errno}")]
    Device {
        /// The port.
        port: String,
        /// What was tried.
        action: &'static str,
        /// What DPDK said.
        errno: Errno,
    },
}

/// A device that is set up.
///
/// Dropping it closes the device for good, as soon as its queue handles are gone too: for another
/// use of the device DPDK has to be started anew. It may move to another thread; two that want its
/// counters share it behind a mutex, since drivers do not promise more.
#[derive(Debug)]
pub struct Port {
    pub(super) open: Arc<OpenPort>,
    driver: String,
    is_virtual: bool,
    rx_queues: u16,
    tx_queues: u16,
    mtu: u16,
    promiscuous: bool,
    filter: RxFilter,
    is_started: bool,
    _one_thread: PhantomData<Cell<()>>,
}

/// Which frames a port receives, beyond broadcasts and those for its own MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RxFilter {
    /// All multicasts, which neighbour discovery needs.
    AllMulticast,
    /// All frames: asked for, or because the device has nothing in between.
    Promiscuous,
    /// The device has no filter to set: it receives whatever its peer sends.
    Unfiltered,
}

/// The queues of a started port, each handed out once.
#[derive(Debug)]
pub struct Queues {
    /// All receive queues, by index. Each has to be polled, or its share of frames is lost.
    pub rx: Vec<RxQueue>,
    /// All transmit queues, by index.
    pub tx: Vec<TxQueue>,
}

/// A port's counters, since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames that found no free descriptor.
    pub rx_missed: u64,
    /// Frames that arrived broken.
    pub rx_errors: u64,
    /// Frames for which the pool had no buffer.
    pub rx_no_mbuf: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames that the device failed to send.
    pub tx_errors: u64,
}

/// A port's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Frames can pass.
    pub is_up: bool,
    /// Megabits per second, where the device knows.
    pub speed_mbps: Option<u32>,
    /// Both directions at once.
    pub is_full_duplex: bool,
}

impl Port {
    /// Finds a device and sets it up with its queues.
    ///
    /// # Errors
    ///
    /// See [`PortError`].
    pub fn configure(eal: &Eal, config: &PortConfig<'_>) -> Result<Self, PortError> {
        let (port, device) = (config.name.to_owned(), config.device.to_owned());
        let Ok(id) = find_port(config.device) else {
            return Err(PortError::NoSuchDevice { port, device });
        };
        let needed = u32::from(config.mtu) + u32::from(FRAME_OVERHEAD);
        let data_room = config.pool.data_room();
        if needed > u32::from(data_room) {
            let (mtu, pool) = (config.mtu, config.pool.name().to_owned());
            return Err(PortError::BufferTooSmall { port, mtu, needed, pool, data_room });
        }
        let open =
            OpenPort::take(eal, id, config).ok_or(PortError::DeviceTaken { port, device })?;
        let info = open.device_info()?;
        let driver = text(info.driver_name);
        let (rx_queues, tx_queues) = configure_device(&open, &info, &driver, config)?;
        set_up_queues(&open, config, (rx_queues, tx_queues))?;
        let mtu = set_mtu(&open, &info, config.mtu)?;
        Ok(Self {
            open: Arc::new(open),
            driver,
            is_virtual: bus_name(info.device) == "vdev",
            rx_queues,
            tx_queues,
            mtu,
            promiscuous: config.promiscuous,
            filter: RxFilter::Unfiltered,
            is_started: false,
            _one_thread: PhantomData,
        })
    }

    /// Starts the device, and hands out its queues.
    ///
    /// # Errors
    ///
    /// Where the device refuses, or is started already.
    pub fn start(&mut self) -> Result<Queues, PortError> {
        if self.is_started {
            return Err(PortError::AlreadyStarted { port: self.name().to_owned() });
        }
        // SAFETY: the port is set up, with all of its queues.
        let result = unsafe { dpdk_sys::rte_eth_dev_start(self.open.id) };
        check(result).map_err(self.open.failed("starting"))?;
        match set_filter(&self.open, self.promiscuous) {
            Ok(filter) => {
                self.filter = filter;
                let is_promiscuous = filter == RxFilter::Promiscuous;
                self.open.is_promiscuous.store(is_promiscuous, Ordering::Relaxed);
            }
            Err(error) => {
                // SAFETY: the port is started, and its queues were not handed out.
                unsafe { dpdk_sys::rte_eth_dev_stop(self.open.id) };
                return Err(error);
            }
        }
        self.is_started = true;
        let open = || Arc::clone(&self.open);
        Ok(Queues {
            rx: (0..self.rx_queues).map(|queue| RxQueue::new(open(), queue)).collect(),
            tx: (0..self.tx_queues).map(|queue| TxQueue::new(open(), queue)).collect(),
        })
    }

    /// Stops the device. It can be started again.
    ///
    /// # Errors
    ///
    /// As long as somebody holds a queue of it, and might be using it.
    pub fn stop(&mut self) -> Result<(), PortError> {
        let handles = Arc::strong_count(&self.open) - 1;
        let Some(open) = Arc::get_mut(&mut self.open) else {
            return Err(PortError::QueuesInUse { port: self.open.name.clone(), handles });
        };
        // SAFETY: the port is set up, and nobody uses its queues.
        let result = unsafe { dpdk_sys::rte_eth_dev_stop(open.id) };
        check(result).map_err(open.failed("stopping"))?;
        self.is_started = false;
        Ok(())
    }

    /// The operator's name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.open.name
    }

    /// How many receive queues it has been given.
    #[must_use]
    pub fn rx_queues(&self) -> u16 {
        self.rx_queues
    }

    /// How many transmit queues it has been given.
    #[must_use]
    pub fn tx_queues(&self) -> u16 {
        self.tx_queues
    }

    /// The largest IP packet that it can send, in bytes.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The driver, such as `net_ixgbe`.
    #[must_use]
    pub fn driver_name(&self) -> &str {
        &self.driver
    }

    /// True where no hardware is behind it that DPDK knows of.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        self.is_virtual
    }

    /// Which frames it receives, once started.
    #[must_use]
    pub fn filter(&self) -> RxFilter {
        self.filter
    }

    /// Its MAC address.
    ///
    /// # Errors
    ///
    /// Where the device was unplugged.
    pub fn mac(&self) -> Result<[u8; 6], PortError> {
        let mut address = dpdk_sys::rte_ether_addr { addr_bytes: [0; 6] };
        // SAFETY: the port is set up, and there is a place for the answer.
        let result = unsafe { dpdk_sys::rte_eth_macaddr_get(self.open.id, &raw mut address) };
        check(result).map_err(self.open.failed("reading the MAC address"))?;
        Ok(address.addr_bytes)
    }

    /// Its counters.
    ///
    /// # Errors
    ///
    /// Where the device was unplugged.
    pub fn stats(&self) -> Result<PortStats, PortError> {
        // SAFETY: a structure of integers.
        let mut stats: dpdk_sys::rte_eth_stats = unsafe { mem::zeroed() };
        // SAFETY: the port is set up, and there is a place for the answer.
        let result = unsafe { dpdk_sys::rte_eth_stats_get(self.open.id, &raw mut stats) };
        check(result).map_err(self.open.failed("reading the counters"))?;
        Ok(PortStats {
            rx_packets: stats.ipackets,
            rx_bytes: stats.ibytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            rx_no_mbuf: stats.rx_nombuf,
            tx_packets: stats.opackets,
            tx_bytes: stats.obytes,
            tx_errors: stats.oerrors,
        })
    }

    /// Its link, as the driver last saw it.
    ///
    /// # Errors
    ///
    /// Where the device was unplugged.
    pub fn link(&self) -> Result<Link, PortError> {
        let mut link = dpdk_sys::shim_link { speed_mbps: 0, is_up: 0, is_full_duplex: 0 };
        // SAFETY: the port is set up, and there is a place for the answer.
        let result = unsafe { dpdk_sys::shim_link(self.open.id, &raw mut link) };
        check(result).map_err(self.open.failed("reading the link"))?;
        Ok(Link {
            is_up: link.is_up != 0,
            speed_mbps: Some(link.speed_mbps).filter(|speed| !matches!(*speed, 0 | u32::MAX)),
            is_full_duplex: link.is_full_duplex != 0,
        })
    }
}

/// What a port and its queue handles share. The last of them stops and closes the device.
#[derive(Debug)]
pub(super) struct OpenPort {
    pub(super) id: u16,
    name: String,
    /// The device was made to receive all frames, which some keep when the process is gone.
    is_promiscuous: AtomicBool,
    runtime: Arc<Runtime>,
    /// The device's rings hold buffers of it.
    _pool: Mempool,
}

impl OpenPort {
    /// `None` where somebody has the port already.
    fn take(eal: &Eal, id: u16, config: &PortConfig<'_>) -> Option<Self> {
        let runtime = Arc::clone(&eal.runtime);
        if !runtime.take_port(id) {
            return None;
        }
        let (name, is_promiscuous) = (config.name.to_owned(), AtomicBool::new(false));
        Some(Self { id, name, is_promiscuous, runtime, _pool: config.pool.clone() })
    }

    #[inline]
    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn device_info(&self) -> Result<dpdk_sys::rte_eth_dev_info, PortError> {
        // SAFETY: a structure of integers and pointers, for which zero is a value.
        let mut info: dpdk_sys::rte_eth_dev_info = unsafe { mem::zeroed() };
        // SAFETY: the port exists, and there is a place for the answer.
        let result = unsafe { dpdk_sys::rte_eth_dev_info_get(self.id, &raw mut info) };
        check(result).map_err(self.failed("reading the device's abilities"))?;
        Ok(info)
    }

    /// Turns an errno into an error that names the port.
    fn failed(&self, action: &'static str) -> impl FnOnce(Errno) -> PortError + use<> {
        let port = self.name.clone();
        move |errno| PortError::Device { port, action, errno }
    }
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        if *self.is_promiscuous.get_mut() {
            // SAFETY: the port exists. A refusal changes nothing.
            unsafe { dpdk_sys::rte_eth_promiscuous_disable(self.id) };
        }
        // SAFETY: the port exists and nobody uses it any more. A port that was never started is
        // stopped already, which DPDK does not mind.
        unsafe { dpdk_sys::rte_eth_dev_stop(self.id) };
        // SAFETY: as above; this frees the device's buffers before the pool goes.
        unsafe { dpdk_sys::rte_eth_dev_close(self.id) };
        self.runtime.release_port(self.id);
    }
}

/// Sets the number of queues, RSS and the MTU; returns the queues to receive and to transmit with.
fn configure_device(
    open: &OpenPort,
    info: &dpdk_sys::rte_eth_dev_info,
    driver: &str,
    config: &PortConfig<'_>,
) -> Result<(u16, u16), PortError> {
    let none = |direction| {
        let (port, driver) = (open.name.clone(), driver.to_owned());
        PortError::NoQueue { port, driver, direction }
    };
    let queues = (
        config.rx_queues.max(1).min(info.max_rx_queues),
        config.tx_queues.max(1).min(info.max_tx_queues),
    );
    match queues {
        (0, _) => return Err(none("receive")),
        (_, 0) => return Err(none("transmit")),
        _ => {}
    }
    // Some devices (net_tap) have their queues in pairs only.
    let paired = (queues.0.min(queues.1), queues.0.min(queues.1));
    let mut result = try_configure(open.id, info, queues, config.mtu);
    let mut taken = queues;
    if result.is_err() && paired != queues {
        result = try_configure(open.id, info, paired, config.mtu);
        taken = paired;
    }
    result.map_err(open.failed("configuring the device"))?;
    Ok(taken)
}

fn try_configure(
    id: u16,
    info: &dpdk_sys::rte_eth_dev_info,
    (rx_queues, tx_queues): (u16, u16),
    mtu: u16,
) -> Result<(), Errno> {
    // SAFETY: a structure of integers and a pointer, for which zero is a value and the default.
    let mut conf: dpdk_sys::rte_eth_conf = unsafe { mem::zeroed() };
    conf.rxmode.mtu = u32::from(reachable_mtu(info, mtu));
    let rss = info.flow_type_rss_offloads & dpdk_sys::SHIM_RSS_IP_L4;
    if rx_queues > 1 && rss != 0 {
        conf.rxmode.mq_mode = dpdk_sys::rte_eth_rx_mq_mode_RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = rss;
    }
    // SAFETY: the port exists and is not started; the configuration is copied.
    check(unsafe { dpdk_sys::rte_eth_dev_configure(id, rx_queues, tx_queues, &raw const conf) })
}

fn set_up_queues(
    open: &OpenPort,
    config: &PortConfig<'_>,
    (rx_queues, tx_queues): (u16, u16),
) -> Result<(), PortError> {
    let (mut rx_slots, mut tx_slots) = (config.rx_descriptors, config.tx_descriptors);
    // SAFETY: the port is configured, and the numbers are ours.
    let result = unsafe {
        dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(open.id, &raw mut rx_slots, &raw mut tx_slots)
    };
    check(result).map_err(open.failed("choosing the queues' lengths"))?;
    // -1 is any node.
    // SAFETY: the port exists.
    let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(open.id) }.cast_unsigned();
    let failed = |direction, queue| {
        let port = open.name.clone();
        move |errno| PortError::Queue { port, direction, queue, errno }
    };
    for queue in 0..rx_queues {
        let (defaults, pool) = (std::ptr::null(), config.pool.as_ptr());
        // SAFETY: the queue is within the configured number; the pool lives as long as the port.
        let result = unsafe {
            dpdk_sys::rte_eth_rx_queue_setup(open.id, queue, rx_slots, socket, defaults, pool)
        };
        check(result).map_err(failed("receive", queue))?;
    }
    for queue in 0..tx_queues {
        let defaults = std::ptr::null();
        // SAFETY: the queue is within the configured number.
        let result =
            unsafe { dpdk_sys::rte_eth_tx_queue_setup(open.id, queue, tx_slots, socket, defaults) };
        check(result).map_err(failed("transmit", queue))?;
    }
    Ok(())
}

/// Tells the device its MTU, and returns the one to go by.
fn set_mtu(
    open: &OpenPort,
    info: &dpdk_sys::rte_eth_dev_info,
    wanted: u16,
) -> Result<u16, PortError> {
    let mtu = reachable_mtu(info, wanted);
    // SAFETY: the port is configured and not started.
    match check(unsafe { dpdk_sys::rte_eth_dev_set_mtu(open.id, mtu) }) {
        // A device that knows no MTU passes on whatever fits into a buffer.
        Err(errno) if !errno.is_unsupported() => Err(open.failed("setting the MTU")(errno)),
        _ => Ok(mtu.min(wanted)),
    }
}

/// Has the device receive all that the director needs, and as little else as it can.
fn set_filter(open: &OpenPort, promiscuous: bool) -> Result<RxFilter, PortError> {
    if !promiscuous {
        // SAFETY: the port is started.
        match check(unsafe { dpdk_sys::rte_eth_allmulticast_enable(open.id) }) {
            Ok(()) => return Ok(RxFilter::AllMulticast),
            Err(errno) if errno.is_unsupported() => {}
            Err(errno) => return Err(open.failed("receiving multicasts")(errno)),
        }
    }
    // SAFETY: the port is started.
    match check(unsafe { dpdk_sys::rte_eth_promiscuous_enable(open.id) }) {
        Ok(()) => Ok(RxFilter::Promiscuous),
        Err(errno) if errno.is_unsupported() => Ok(RxFilter::Unfiltered),
        Err(errno) => Err(open.failed("receiving all frames")(errno)),
    }
}

/// The bus that a device is on: `pci`, `vdev` and so on.
fn bus_name(device: *const dpdk_sys::rte_device) -> String {
    if device.is_null() {
        return String::new();
    }
    // SAFETY: DPDK's own description of a device that exists.
    let bus = unsafe { dpdk_sys::rte_dev_bus(device) };
    // SAFETY: every device is on a bus.
    text(unsafe { dpdk_sys::rte_bus_name(bus) })
}
