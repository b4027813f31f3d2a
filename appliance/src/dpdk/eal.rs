//! The environment abstraction layer: DPDK's memory, its devices and its lcores.
//!
//! What is chosen here, and why:
//!
//! - **Memory stays with the process.** With hugepages `--in-memory`, without them
//!   `--no-huge --no-shconf` (DPDK refuses both together). Neither leaves a file behind, so several
//!   directors run side by side, and a killed one leaks no hugepage.
//! - **The main lcore floats** over all CPUs that the process may use, since it sleeps nearly all
//!   the time; worker *i* is lcore *i* + 1, pinned. EAL's default would pin the main thread, and
//!   every later thread would inherit that.
//! - **`net_memif` works with either memory**, as server and as client, because the client shares
//!   a memory file of its own with its peer. Only a client with `zero-copy=yes` shares DPDK's own
//!   memory: that works with hugepages, which are in few files (`--single-file-segments`), and is
//!   refused by the driver without. (DPDK 22.11's driver crashes at times when the peer goes away
//!   while frames pass: it takes the rings away under the worker.)
//! - **Without PCI devices, addresses for DMA are virtual ones** (`--iova-mode=va`): no device
//!   needs others, and it works without the right to read physical addresses.

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io, path, ptr};

use super::attach::Attach;
use super::errno::{Errno, check};
use crate::logging;

/// Whether memory has to be on hugepages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hugepages {
    /// On hugepages where enough are free, else on normal pages.
    #[default]
    Auto,
    /// On hugepages, or not at all.
    Require,
    /// On normal pages.
    Off,
}

/// What DPDK is to be started with.
#[derive(Debug, Clone, Default)]
pub struct EalConfig {
    /// Memory for all buffers and drivers, in MiB.
    pub memory_mib: u32,
    /// What pages it is on.
    pub hugepages: Hugepages,
    /// Who may look at it.
    pub attach: Attach,
    /// Virtual devices with their arguments, such as `net_af_packet0,iface=lan0`.
    pub vdevs: Vec<String>,
    /// PCI devices to take, such as `0000:03:00.0`; no other is touched.
    pub pci_devices: Vec<String>,
    /// The CPU of each worker. Two workers may share one.
    pub worker_cpus: Vec<usize>,
    /// Further EAL arguments, word by word.
    pub extra: Vec<String>,
}

/// Why DPDK could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EalError {
    /// One process, one EAL.
    #[error("DPDK was started before in this process, and can only be once")]
    AlreadyStarted,
    /// No buffers can be made of no memory.
    #[error("memory of 0 MiB is not enough for DPDK: give at least 64")]
    NoMemory,
    /// More workers than libdpdk was built for.
    #[error("{workers} workers are more than this DPDK can have ({workers_max})")]
    TooManyWorkers {
        /// Workers asked for.
        workers: usize,
        /// The most that there can be.
        workers_max: usize,
    },
    /// A CPU that this process may not use.
    #[error("worker {worker} cannot run on CPU {cpu}: this process may use CPUs {allowed}")]
    Cpu {
        /// The worker's index.
        worker: usize,
        /// The CPU asked for.
        cpu: usize,
        /// Those that may be used, as ranges.
        allowed: String,
    },
    /// The process's CPUs are unknown.
    #[error("the CPUs of this process cannot be read: {0}")]
    Affinity(io::Error),
    /// `Hugepages::Require` and too few are free.
    #[error(
        "{wanted_mib} MiB of hugepages are required, {free_mib} MiB are free: reserve more with \
         `sysctl -w vm.nr_hugepages={pages_needed}`, or allow normal pages"
    )]
    Hugepages {
        /// Asked for.
        wanted_mib: u64,
        /// Free now, over all page sizes.
        free_mib: u64,
        /// How many 2 MiB pages the machine has to have.
        pages_needed: u64,
    },
    /// What another process is to map has to be a file.
    #[error(
        "eal.attach: `processes` needs memory on hugepages, of which {wanted_mib} MiB are not \
         free: reserve more with `sysctl -w vm.nr_hugepages=N`, or write `telemetry`"
    )]
    AttachNeedsHugepages {
        /// Asked for.
        wanted_mib: u32,
    },
    /// An argument that no C string can hold.
    #[error("EAL argument {0:?} has a zero byte in it")]
    Argument(String),
    /// `rte_eal_init` failed.
    #[error("DPDK cannot be started: {errno}{}", quoted(.log))]
    Init {
        /// The reason as a number.
        errno: Errno,
        /// What DPDK logged.
        log: Vec<String>,
    },
    /// A device was named that DPDK has no driver for, or that its driver refused.
    #[error("device {device:?} cannot be used{}", quoted(.log))]
    Device {
        /// The device as it was configured.
        device: String,
        /// What DPDK logged while it looked at all devices.
        log: Vec<String>,
    },
}

/// DPDK, started. It stays until the last port and pool that were made from it are gone too.
///
/// Stays on the thread that made it, which is DPDK's main lcore.
#[derive(Debug)]
pub struct Eal {
    pub(super) runtime: Arc<Runtime>,
    worker_count: usize,
    on_hugepages: bool,
    _main_thread: PhantomData<*const ()>,
}

/// What ports and pools hold on to, so that DPDK's memory outlives them.
#[derive(Debug)]
pub(super) struct Runtime {
    /// Ports that somebody configured: each can be had once.
    pub(super) ports_taken: Mutex<Vec<u16>>,
    /// Set by a pool that was let go while buffers of it were in use: then DPDK's memory has to
    /// stay mapped for good.
    pub(super) is_pinned: AtomicBool,
}

impl Eal {
    /// Starts DPDK; the calling thread becomes its main lcore.
    ///
    /// # Errors
    ///
    /// See [`EalError`]. After [`EalError::Init`] and [`EalError::Device`] the process cannot try
    /// again.
    pub fn init(config: &EalConfig) -> Result<Self, EalError> {
        let (arguments, on_hugepages) = arguments(config)?;
        let arguments = arguments
            .into_iter()
            .map(|word| CString::new(word.clone()).map_err(|_| EalError::Argument(word)))
            .collect::<Result<Vec<_>, _>>()?;
        static STARTED: AtomicBool = AtomicBool::new(false);
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        let (started, log) = capture_log(|| rte_eal_init(&arguments));
        if config.attach == Attach::Off {
            remove_runtime_dir();
        }
        started.map_err(|errno| EalError::Init { errno, log: log.clone() })?;
        let eal = Self {
            runtime: Arc::new(Runtime {
                ports_taken: Mutex::new(Vec::new()),
                is_pinned: AtomicBool::new(false),
            }),
            worker_count: config.worker_cpus.len(),
            on_hugepages,
            _main_thread: PhantomData,
        };
        // DPDK starts even where a device cannot; a director does not start without its ports.
        for device in config.vdevs.iter().chain(&config.pci_devices) {
            if find_port(device).is_err() {
                return Err(EalError::Device { device: device.clone(), log });
            }
        }
        for line in log {
            log::warn!(target: logging::DPDK, "{line}");
        }
        config.attach.serve();
        Ok(eal)
    }

    /// How many workers there are lcores for.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.worker_count
    }

    /// True where DPDK's memory is on hugepages.
    #[must_use]
    pub fn is_on_hugepages(&self) -> bool {
        self.on_hugepages
    }

    /// The version of the libdpdk that runs, such as `DPDK 22.11.11`.
    #[must_use]
    pub fn version() -> String {
        // SAFETY: needs nothing.
        let version = unsafe { dpdk_sys::rte_version() };
        // SAFETY: a static C string.
        unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned()
    }
}

impl Drop for Eal {
    /// Waits for the workers to return: tell them to, before.
    fn drop(&mut self) {
        super::lcore::wait_all(self);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if *self.is_pinned.get_mut() {
            // Some drivers (net_ring, net_af_xdp) keep buffers when they are closed. The kernel
            // takes the memory back with the process.
            return;
        }
        // SAFETY: the EAL is set up, and no port, queue or pool is left, nor a buffer of one.
        unsafe { dpdk_sys::rte_eal_cleanup() };
        remove_runtime_dir();
    }
}

/// A device's name: its configuration up to the first comma.
pub(super) fn device_name(device: &str) -> &str {
    device.split(',').next().unwrap_or(device)
}

/// The port of a device, named as in [`EalConfig::vdevs`] or [`EalConfig::pci_devices`].
pub(super) fn find_port(device: &str) -> Result<u16, Errno> {
    let name = device_name(device);
    // PCI addresses are mostly written without the domain, which is mostly 0.
    let is_short_pci = name.len() == 7 && name.as_bytes()[2] == b':';
    let name = if is_short_pci { format!("0000:{name}") } else { name.to_owned() };
    let name = CString::new(name).map_err(|_| Errno::from_return(libc::EINVAL))?;
    let mut port_id = 0;
    // SAFETY: a C string and a place for the answer.
    check(unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut port_id) })?;
    Ok(port_id)
}

/// The words of EAL's command line, and whether they ask for hugepages.
fn arguments(config: &EalConfig) -> Result<(Vec<String>, bool), EalError> {
    if config.memory_mib == 0 {
        return Err(EalError::NoMemory);
    }
    let on_hugepages = choose_hugepages(config.hugepages, config.memory_mib)?;
    let attach = config.attach;
    if attach == Attach::Processes && !on_hugepages {
        return Err(EalError::AttachNeedsHugepages { wanted_mib: config.memory_mib });
    }
    let mut words: Vec<String> = ["sluiced", "--log-level=warning"].map(str::to_owned).to_vec();
    words.extend(["-m".to_owned(), config.memory_mib.to_string()]);
    words.extend(attach.arguments());
    words.extend(["--main-lcore=0".to_owned(), "--lcores".to_owned(), lcore_map(config)?]);
    if attach == Attach::Processes {
        words.push("--single-file-segments".to_owned());
    } else if on_hugepages {
        // One file for each list of pages rather than one for each page, of which a large pool
        // has more than a process may have open.
        words.extend(["--in-memory", "--single-file-segments"].map(str::to_owned));
    } else {
        words.extend(["--no-huge", "--no-shconf"].map(str::to_owned));
    }
    if config.pci_devices.is_empty() {
        words.extend(["--no-pci", "--iova-mode=va"].map(str::to_owned));
    }
    for device in &config.pci_devices {
        words.extend(["-a".to_owned(), device.clone()]);
    }
    words.extend(config.vdevs.iter().map(|device| format!("--vdev={device}")));
    words.extend(config.extra.iter().cloned());
    Ok((words, on_hugepages))
}

/// EAL's map of lcores to CPUs: `0@(0-3),1@2,2@3`.
fn lcore_map(config: &EalConfig) -> Result<String, EalError> {
    let workers_max = dpdk_sys::SHIM_MAX_LCORE as usize - 1;
    let workers = config.worker_cpus.len();
    if workers > workers_max {
        return Err(EalError::TooManyWorkers { workers, workers_max });
    }
    let allowed = allowed_cpus().map_err(EalError::Affinity)?;
    let mut map = format!("0@({})", ranges(&allowed));
    for (worker, &cpu) in config.worker_cpus.iter().enumerate() {
        if !allowed.contains(&cpu) {
            return Err(EalError::Cpu { worker, cpu, allowed: ranges(&allowed) });
        }
        map.push_str(&format!(",{}@{cpu}", worker + 1));
    }
    Ok(map)
}

/// The CPUs that this process may run on, ascending.
///
/// # Errors
///
/// When the kernel has more CPUs than a set can hold.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is a bit array; zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours and as long as stated.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every index is below the set's length in bits.
    let has = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    Ok((0..size_of_val(&set) * 8).filter(has).collect())
}

/// Ascending numbers as `0-3,6`.
fn ranges(numbers: &[usize]) -> String {
    numbers
        .chunk_by(|low, high| low + 1 == *high)
        .map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            _ => run.iter().map(usize::to_string).collect(),
        })
        .collect::<Vec<_>>()
        .join(",")
}

/// Whether DPDK shall use hugepages.
fn choose_hugepages(hugepages: Hugepages, memory_mib: u32) -> Result<bool, EalError> {
    if hugepages == Hugepages::Off {
        return Ok(false);
    }
    let wanted_mib = u64::from(memory_mib);
    let reserve = HugepageReserve::read(path::Path::new("/sys/kernel/mm/hugepages"));
    if reserve.free_mib >= wanted_mib {
        return Ok(true);
    }
    if hugepages == Hugepages::Auto {
        return Ok(false);
    }
    let missing = (wanted_mib - reserve.free_mib).div_ceil(2);
    Err(EalError::Hugepages {
        wanted_mib,
        free_mib: reserve.free_mib,
        pages_needed: reserve.pages_2mib + missing,
    })
}

/// What the kernel has reserved.
#[derive(Debug, Default, PartialEq, Eq)]
struct HugepageReserve {
    /// Neither used nor promised, over all sizes.
    free_mib: u64,
    /// Pages of 2 MiB, used or not.
    pages_2mib: u64,
}

impl HugepageReserve {
    /// Adds up the folders `hugepages-2048kB` and so on; what cannot be read counts for nothing.
    fn read(folder: &path::Path) -> Self {
        let mut reserve = Self::default();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let size_kib = name.strip_prefix("hugepages-").and_then(|rest| rest.strip_suffix("kB"));
            let Some(size_kib) = size_kib.and_then(|size| size.parse::<u64>().ok()) else {
                continue;
            };
            let pages = |file: &str| -> u64 {
                let text = fs::read_to_string(entry.path().join(file)).unwrap_or_default();
                text.trim().parse().unwrap_or(0)
            };
            let free = pages("free_hugepages").saturating_sub(pages("resv_hugepages"));
            reserve.free_mib += free * size_kib / 1024;
            if size_kib == 2048 {
                reserve.pages_2mib = pages("nr_hugepages");
            }
        }
        reserve
    }
}

/// Calls `rte_eal_init`, which permutes the array of pointers it is given but not the strings.
fn rte_eal_init(arguments: &[CString]) -> Result<(), Errno> {
    let mut pointers: Vec<*mut c_char> =
        arguments.iter().map(|word| word.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(pointers.len()).map_err(|_| Errno::from_return(libc::E2BIG))?;
    pointers.push(ptr::null_mut());
    // SAFETY: `count` C strings and a closing null pointer, which outlive the call; DPDK copies
    // what it keeps.
    let result = unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// Runs `action`, and prints what DPDK logged meanwhile except noise. For times at which no worker
/// runs.
pub fn quietly<R>(_eal: &Eal, action: impl FnOnce() -> R) -> R {
    let (result, log) = capture_log(action);
    for line in log {
        log::warn!(target: logging::DPDK, "{line}");
    }
    result
}

/// Runs `action` while DPDK's log goes to a string, and returns its lines. (A DPDK that panics
/// meanwhile takes the text with it; its last words still go to stderr.)
fn capture_log<R>(action: impl FnOnce() -> R) -> (R, Vec<String>) {
    let mut text = ptr::null_mut();
    let mut text_bytes = 0;
    // SAFETY: two places for the answer, which outlive the stream.
    let stream = unsafe { libc::open_memstream(&raw mut text, &raw mut text_bytes) };
    if stream.is_null() {
        return (action(), Vec::new());
    }
    // SAFETY: a stream that is open for writing.
    unsafe { dpdk_sys::rte_openlog_stream(stream.cast()) };
    let result = action();
    // SAFETY: null goes back to DPDK's own choice. No lcore works yet that could be logging.
    unsafe { dpdk_sys::rte_openlog_stream(ptr::null_mut()) };
    // SAFETY: the stream is open and nobody writes to it any more; closing it completes the text.
    unsafe { libc::fclose(stream) };
    if text.is_null() {
        return (result, Vec::new());
    }
    // SAFETY: open_memstream closed its text with a zero.
    let captured = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: open_memstream leaves the text to its caller, to be freed.
    unsafe { libc::free(text.cast()) };
    (result, captured.lines().filter(|line| !is_noise(line)).map(str::to_owned).collect())
}

/// What DPDK warns of though it is as wanted: a size of hugepage that the machine has none of,
/// that no secondary process can attach itself, as nothing is shared, and that `net_tap` cannot
/// filter flows without the kernel's multiq, which nobody asks it to.
fn is_noise(line: &str) -> bool {
    let of_tap = ["multiq", "Specified qdisc kind is unknown", "Disabling rte flow support"];
    line.trim().is_empty()
        || of_tap.iter().any(|part| line.contains(part))
        || line.contains("tap_mp_req_on_rxtx")
        || (line.contains("No free") && line.contains("hugepages reported"))
        || line.contains("Failed to register mp action callback")
}

/// The lines of DPDK's log as the end of a message.
fn quoted(log: &[String]) -> String {
    if log.is_empty() { String::new() } else { format!(". DPDK says: {}", log.join("; ")) }
}

/// The runtime folder is made in any case, and stays empty where there is nothing to share.
fn remove_runtime_dir() {
    // SAFETY: returns a static buffer, which is written while the EAL starts.
    let folder = unsafe { dpdk_sys::rte_eal_get_runtime_dir() };
    if folder.is_null() {
        return;
    }
    // SAFETY: a C string, see above.
    let folder = unsafe { CStr::from_ptr(folder) }.to_string_lossy();
    if folder.contains("sluice-") {
        // DPDK itself would remove it when the process has ended, and the folder never.
        let _ = fs::remove_file(path::Path::new(&*folder).join("dpdk_telemetry.v2"));
        // Fails where something was put there after all, and then it is not ours to remove.
        let _ = fs::remove_dir(&*folder);
    }
}

impl Runtime {
    /// Marks a port as configured; `false` where it was already.
    pub(super) fn take_port(&self, port_id: u16) -> bool {
        let mut taken = self.ports_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = !taken.contains(&port_id);
        if is_free {
            taken.push(port_id);
        }
        is_free
    }

    /// Undoes [`Runtime::take_port`].
    pub(super) fn release_port(&self, port_id: u16) {
        let mut taken = self.ports_taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|taken| *taken != port_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> EalConfig {
        EalConfig { memory_mib: 64, hugepages: Hugepages::Off, ..EalConfig::default() }
    }

    #[test]
    fn cpus_are_written_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[3]), "3");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn virtual_devices_keep_pci_alone() {
        let vdevs = vec!["net_null0,size=60".to_owned()];
        let (words, on_hugepages) = arguments(&EalConfig { vdevs, ..config() }).unwrap();
        assert!(!on_hugepages);
        for word in ["--no-huge", "--no-shconf", "--no-pci", "--vdev=net_null0,size=60"] {
            assert!(words.iter().any(|given| given == word), "{word} is not in {words:?}");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_shared() {
        let words = |attach| arguments(&EalConfig { attach, ..config() }).map(|(words, _)| words);
        assert!(words(Attach::Off).unwrap().contains(&"--no-telemetry".to_owned()));
        let telemetry = words(Attach::Telemetry).unwrap();
        assert!(!telemetry.contains(&"--no-telemetry".to_owned()));
        assert!(telemetry.contains(&"--no-shconf".to_owned()), "{telemetry:?}");
        let problem = words(Attach::Processes).unwrap_err().to_string();
        assert!(problem.starts_with("eal.attach: `processes` needs"), "{problem}");
    }

    #[test]
    fn pci_devices_are_the_only_ones_allowed() {
        let pci_devices = vec!["0000:03:00.0".to_owned()];
        let (words, _) = arguments(&EalConfig { pci_devices, ..config() }).unwrap();
        assert!(words.windows(2).any(|pair| pair == ["-a", "0000:03:00.0"]), "{words:?}");
        assert!(!words.iter().any(|word| word == "--no-pci"), "{words:?}");
    }

    #[test]
    fn two_workers_may_share_a_cpu_but_not_one_that_is_not_ours() {
        let cpu = allowed_cpus().unwrap()[0];
        let map = lcore_map(&EalConfig { worker_cpus: vec![cpu, cpu], ..config() }).unwrap();
        assert!(map.ends_with(&format!(",1@{cpu},2@{cpu}")), "{map}");
        let error = lcore_map(&EalConfig { worker_cpus: vec![9999], ..config() }).unwrap_err();
        assert!(error.to_string().contains("worker 0 cannot run on CPU 9999"), "{error}");
    }

    #[test]
    fn hugepages_that_are_promised_are_not_free() {
        let folder = std::env::temp_dir().join(format!("sluice-hugepages-{}", std::process::id()));
        for (size, nr, free, promised) in [("2048", "100", "70", "20"), ("1048576", "1", "1", "0")]
        {
            let folder = folder.join(format!("hugepages-{size}kB"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("nr_hugepages"), nr).unwrap();
            fs::write(folder.join("free_hugepages"), free).unwrap();
            fs::write(folder.join("resv_hugepages"), promised).unwrap();
        }
        let reserve = HugepageReserve::read(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(reserve, HugepageReserve { free_mib: 100 + 1024, pages_2mib: 100 });
    }

    #[test]
    fn required_hugepages_that_are_missing_are_counted() {
        let error = choose_hugepages(Hugepages::Require, u32::MAX).unwrap_err();
        assert!(error.to_string().contains("sysctl -w vm.nr_hugepages="), "{error}");
        assert!(!choose_hugepages(Hugepages::Auto, u32::MAX).unwrap());
    }
}
