//! The life of `sluiced`: start-up in order, work, and shut-down in the reverse order.
//!
//! 1. the configuration, checked as a whole; nothing is started before it is right
//! 2. the EAL and the devices, which need a root's rights and say the most about what is missing
//! 3. the director: flow table, services, published
//! 4. the control socket, which refuses a second director on it
//! 5. workers on their lcores; the line `sluiced: ready`, and the same for systemd
//! 6. this thread keeps house until a signal ends it

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use lb_core::control::Control;
use lb_core::director::Director;
use lb_core::flow::FlowTable;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::marks::MarksError;

use crate::assemble;
use crate::capture::tap::Taps;
use crate::clock::TickClock;
use crate::config::{Config, IdleMode, MetricsConfig};
use crate::control::audit::{Audit, Door, Who};
use crate::control::budget::Budget;
use crate::control::command::Commands;
use crate::control::listener::{Carries, Listener};
use crate::control::netlink::NetlinkDoor;
use crate::control::permissions::Permissions;
use crate::control::server::ControlDoor;
use crate::control::status::About;
use crate::decisions;
use crate::dpdk::{Eal, EalError, Queues, RxQueue, TxBuffer, lcore, queue};
use crate::housekeeping::{self, Pulse};
use crate::idle::Idle;
use crate::kernel::{self, KernelInterfaces};
use crate::lcore_counters::LcoreCounters;
use crate::live::{Live, signal};
use crate::lock::lock;
use crate::logging;
use crate::metrics::Exporter;
use crate::metrics::door::MetricsDoor;
use crate::metrics::tally::Tally;
use crate::metrics::write::Limits;
use crate::names::SystemNames;
use crate::neighbourhood::Neighbourhood;
use crate::notify;
use crate::ports::Ports;
use crate::relay;
use crate::session_log;
use crate::signals;
use crate::sync_sockets::SyncSockets;
use crate::unplugged::Unplugged;
use crate::version::version;
use crate::worker::{Equipment, PacketWorker};

/// Runs a director until SIGTERM or SIGINT.
///
/// # Errors
///
/// Whatever keeps it from starting; then nothing is left behind.
pub fn run(path: &Path) -> Result<()> {
    let (config, names) = assemble::load(path)?;
    logging::begin(&config.log.levels, config.log.format);
    let is_stopping = Arc::new(AtomicBool::new(false));
    let audit = Arc::new(Audit::to(&config.control.audit));
    let end = signals::watch(&is_stopping, Arc::clone(&audit)).context("no signals are heard")?;
    let hangups = signal::register().context("signals cannot be handled")?;
    let worker_cpus = assemble::worker_cpus(&config.workers, &assemble::available_cpus());
    let workers = u16::try_from(worker_cpus.len()).context("workers: too many CPUs")?;
    kernel::check_names(&config)?;
    let eal = Eal::init(&assemble::eal_config(&config, worker_cpus.clone()))
        .map_err(|problem| name_port(&config, problem))?;
    let unplugged = Unplugged::watch(&eal, &is_stopping);
    let ports = Arc::new(Ports::configure(&eal, &config, workers)?);
    let interfaces = ports.interfaces(&config);
    let kernel = Arc::new(KernelInterfaces::configure(&eal, &config, &interfaces)?);
    let (control, flow_memory) = build_control(&config, &names, interfaces, worker_cpus.len())?;
    let live = Live::new(path, &config, &control, &names).context("marks")?;
    let (doors, clock) = (Doors::open(&config)?, TickClock::start());
    let control = Arc::new(Mutex::new(control));
    let neighbourhood = Arc::new(Neighbourhood::new(thread::current()));
    let director = Arc::clone(lock(&control).director());
    let (pulse, taps) = (Arc::<Pulse>::default(), Arc::<Taps>::default());
    let lcores: Arc<[LcoreCounters]> = worker_cpus.iter().map(|_| Default::default()).collect();
    let crew = Crew {
        config: &config,
        director,
        lcores: &lcores,
        ports: &ports,
        kernel: &kernel,
        neighbourhood: &neighbourhood,
        taps: &taps,
        clock,
        is_stopping: &is_stopping,
    };
    let (sessions, log) = session_log::start(&config.session_log, &control, clock, &is_stopping)
        .context("no session log")?;
    let started = crew.start(&eal, &worker_cpus)?;
    let commands = Arc::new(Commands {
        control: Arc::clone(&control),
        ports: Arc::clone(&ports),
        kernel: Arc::clone(&kernel),
        neighbourhood: Arc::clone(&neighbourhood),
        about: about(&config, &eal, clock, started, flow_memory),
        live,
        names,
        permissions: Arc::clone(&doors.permissions),
        audit: Arc::clone(&audit),
        budget: Budget::default(),
        tally: Tally::new().context("metrics")?,
        pulse: Arc::clone(&pulse),
        explainer: Mutex::default(),
        taps: Arc::clone(&taps),
        lcores,
        sessions,
    });
    signal::serve(hangups, Arc::clone(&commands)).context("SIGHUP has no thread")?;
    let about = commands.about.clone();
    decisions::say(&config, &about, &worker_cpus, &ports.rows());
    doors.serve(commands, &config.metrics)?;
    audit.write_down(Door::Start, &Who::oneself(), &format!("sluiced --config {}", path.display()));
    announce_ready(&config, &about)?;
    housekeeping::run(&control, &neighbourhood, clock, &ports, &pulse, &is_stopping);
    let lost = unplugged.or_signal(end, &config);
    lcore::wait_all(&eal);
    let _ = log.map(JoinHandle::join);
    drop(doors);
    close(&ports, &kernel, lost)
}

/// Lets all devices go. A device that is lost may well refuse; that it is lost says more.
fn close(ports: &Ports, kernel: &KernelInterfaces, lost: Option<String>) -> Result<()> {
    let closed = ports.close();
    if let Some(lost) = lost {
        return Err(anyhow!(lost));
    }
    closed?;
    Ok(kernel.close()?)
}

/// What does not change while the director runs.
fn about(
    config: &Config,
    eal: &Eal,
    clock: TickClock,
    worker_cpus: Vec<usize>,
    flow_memory: String,
) -> About {
    About {
        version: version().to_owned(),
        dpdk_version: Eal::version(),
        clock,
        worker_cpus,
        packet_memory: packet_memory(config, eal),
        flow_memory,
    }
}

/// How much memory packets have, and what it is made of.
fn packet_memory(config: &Config, eal: &Eal) -> String {
    let pages = if eal.is_on_hugepages() { "hugepages" } else { "normal pages" };
    format!("{} MiB for packets on {pages}", config.eal.memory_bytes >> 20)
}

/// The sockets by which commands come in.
struct Doors {
    control: Listener,
    netlink: Listener,
    metrics: MetricsDoor,
    permissions: Arc<Permissions>,
}

impl Doors {
    fn open(config: &Config) -> Result<Self> {
        let (control, netlink) = (&config.control.socket, &config.control.netlink_socket);
        let (permissions, note) = Permissions::of(&config.control)?;
        let permissions = Arc::new(permissions);
        let open = |key, path, carries| Listener::open(key, path, carries, &permissions);
        let control = open("control.socket", control, Carries::Bytes)?;
        let netlink = open("control.netlink_socket", netlink, Carries::Datagrams)?;
        let socket = config.metrics.socket.as_deref();
        let metrics = MetricsDoor::open(&config.metrics.listen, socket, &permissions)?;
        let notes = [note.as_deref(), control.note(), netlink.note(), metrics.note()];
        for note in notes.into_iter().flatten() {
            log::warn!(target: logging::START, "{note}");
        }
        Ok(Self { control, netlink, metrics, permissions })
    }

    fn serve(&self, commands: Arc<Commands>, config: &MetricsConfig) -> Result<()> {
        let no_thread = "a control socket has no thread";
        let worker_cpus = commands.about.worker_cpus.clone();
        let limits = Limits { servers: config.servers, series: config.series as usize };
        let exporter = Exporter::new(Arc::clone(&commands), limits);
        self.metrics.serve(exporter, &worker_cpus).context("metrics have no thread")?;
        self.control.serve(ControlDoor(Arc::clone(&commands))).context(no_thread)?;
        self.netlink.serve(NetlinkDoor(commands)).context(no_thread)
    }
}

/// A device that cannot be had is a port's or the kernel's: says which.
fn name_port(config: &Config, problem: EalError) -> anyhow::Error {
    let problem = match kernel::explain(config, problem) {
        Ok(explained) => return explained.into(),
        Err(problem) => problem,
    };
    let port = match &problem {
        EalError::Device { device, .. } => {
            config.ports.iter().find(|port| port.device.as_str() == device)
        }
        _ => None,
    };
    let name = port.map(|port| format!("port {}", port.name));
    match name {
        Some(name) => anyhow::Error::new(problem).context(name),
        None => problem.into(),
    }
}

/// The control plane with all services of the configuration, published.
fn build_control(
    config: &Config,
    names: &SystemNames,
    interfaces: Vec<Interface>,
    workers: usize,
) -> Result<(Control, String)> {
    let (storage, flow_memory) = assemble::flow_storage(config)
        .with_context(|| format!("flows.max {}: no memory for so many", config.flows_max))?;
    let hasher = assemble::random_hasher().context("/dev/urandom")?;
    let flows = FlowTable::new(config.flows_max as usize, storage, hasher);
    let network = assemble::network(config, interfaces);
    let limits = assemble::limits(config);
    let mut control = Control::new(flows, limits, workers, hasher, network);
    control.set_settings(assemble::settings(config));
    control
        .change_marks(|rules, interfaces| {
            *rules = assemble::mark_rules(&config.marks, interfaces, names)?;
            Ok::<_, MarksError>(())
        })
        .context("marks")?;
    let lines: Vec<_> = config.services.iter().map(String::as_str).collect();
    let wrong = assemble::run_services(&lines, &mut control, names);
    if let Some((index, problem)) = wrong.first() {
        // The check has tried them all; only a limit such as `destinations.max` is news here.
        return Err(anyhow!("services: `{}': {problem}", lines[*index]));
    }
    lock(control.sync_daemons()).set_transport(Box::<SyncSockets>::default());
    control.publish();
    Ok((control, flow_memory))
}

/// What workers are made from.
struct Crew<'a> {
    config: &'a Config,
    director: Arc<Director>,
    lcores: &'a Arc<[LcoreCounters]>,
    ports: &'a Ports,
    kernel: &'a KernelInterfaces,
    neighbourhood: &'a Arc<Neighbourhood>,
    taps: &'a Arc<Taps>,
    clock: TickClock,
    is_stopping: &'a Arc<AtomicBool>,
}

impl Crew<'_> {
    /// Starts the ports, and a worker for every receive queue that the devices have; the first
    /// worker always runs, as it sends for the control plane. Returns the CPUs of those started.
    fn start(&self, eal: &Eal, worker_cpus: &[usize]) -> Result<Vec<usize>> {
        let queues = self.ports.start()?;
        let kernel_queues = self.kernel.start(eal)?;
        let with_queues = queues.iter().map(|queues| queues.rx.len()).max().unwrap_or(0);
        let workers = with_queues.clamp(1, worker_cpus.len());
        let interfaces = Arc::clone(&self.director.snapshot.load().interfaces);
        let (from_kernel, to_kernel) = relay::share_out(kernel_queues, &interfaces, workers);
        let mut from_kernel = Some(from_kernel);
        let ports: Arc<[usize]> =
            self.config.interfaces().map(|interface| interface.port).collect();
        let shares = share_out(queues, workers).into_iter().zip(to_kernel).enumerate();
        for (number, ((receive, send), to_kernel)) in shares {
            let equipment = Equipment {
                director: Arc::clone(&self.director),
                lcores: Arc::clone(self.lcores),
                number,
                receive,
                send,
                ports: Arc::clone(&ports),
                pools: self.ports.pools(),
                waiting_max: (self.config.arp.queue as usize).div_ceil(workers),
                early_max: (self.config.fragments.queue as usize).div_ceil(workers),
                neighbourhood: Arc::clone(self.neighbourhood),
                to_kernel,
                // The first worker takes it.
                from_kernel: from_kernel.take(),
                taps: Arc::clone(self.taps),
                clock: self.clock,
                idle: self.idle(),
                is_stopping: Arc::clone(self.is_stopping),
            };
            let work = Box::new(move || PacketWorker::new(equipment).run());
            if let Err(problem) = lcore::launch(eal, number, work) {
                // The others would run on and keep the EAL from being cleaned up.
                self.is_stopping.store(true, Ordering::Relaxed);
                lcore::wait_all(eal);
                return Err(problem.into());
            }
        }
        Ok(worker_cpus[..workers].to_vec())
    }

    fn idle(&self) -> Idle {
        let sleeps = match self.config.idle.mode {
            IdleMode::Poll => false,
            IdleMode::Sleep => true,
            IdleMode::Auto => self.ports.are_all_virtual(),
        };
        if sleeps { Idle::sleep_up_to(self.config.idle.sleep) } else { Idle::poll() }
    }
}

/// What one worker receives from, and how it sends by each port.
type Share = (Vec<(InterfaceId, RxQueue)>, Vec<TxBuffer>);

/// Queue `n` of each port goes to worker `n`; every worker gets a way out of every port.
fn share_out(queues: Vec<Queues>, workers: usize) -> Vec<Share> {
    let mut shares: Vec<Share> = (0..workers).map(|_| Share::default()).collect();
    for (queues, interface) in queues.into_iter().zip((0..=u8::MAX).map(InterfaceId)) {
        for (queue, share) in queues.rx.into_iter().zip(&mut shares) {
            share.0.push((interface, queue));
        }
        for (path, share) in queue::tx_paths(queues.tx, workers).into_iter().zip(&mut shares) {
            share.1.push(TxBuffer::new(path));
        }
    }
    shares
}

fn announce_ready(config: &Config, about: &About) -> Result<()> {
    let About { worker_cpus, packet_memory, .. } = about;
    let mut out = io::stdout().lock();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    writeln!(
        out,
        "sluiced: ready: {} port{}, {} worker{} on CPU {worker_cpus:?}, {packet_memory}, control \
         socket {}",
        config.ports.len(),
        plural(config.ports.len()),
        worker_cpus.len(),
        plural(worker_cpus.len()),
        config.control.socket.display(),
    )?;
    out.flush().context("standard output")?;
    notify::announce("READY=1\nSTATUS=Forwards");
    Ok(())
}
