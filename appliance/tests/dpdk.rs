//! The wrappers of DPDK on virtual devices: no NIC, no hugepages and no privileges are needed.
//!
//! DPDK can be started once in a process, so each test runs in a process of its own: the test
//! binary starts itself again with the test's name.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::{env, fs, thread};

use appliance::dpdk::{
    Burst, DropList, Eal, EalConfig, EalError, Hugepages, Mbuf, Mempool, MempoolConfig, Port,
    PortConfig, PortError, Queues, RxFilter, TxBuffer, TxCounts, clock, lcore, queue,
};
use appliance::relay;
use lb_core::frame::Frame;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::wire::MacAddress;

/// In the child: runs `case`. In the parent: starts the child and shows what it said if it failed.
fn in_own_process(name: &str, case: fn()) {
    if env::var("SLUICE_TEST_CASE").as_deref() == Ok(name) {
        return case();
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("SLUICE_TEST_CASE", name)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{stdout}\n{stderr}", output.status);
    // A name that matches no test would run none, successfully.
    assert!(stdout.contains("1 passed"), "{name} did not run:\n{stdout}");
}

fn config(vdevs: &[&str], workers: usize) -> EalConfig {
    EalConfig {
        memory_mib: 64,
        hugepages: Hugepages::Off,
        vdevs: vdevs.iter().map(|&device| device.to_owned()).collect(),
        worker_cpus: vec![first_cpu(); workers],
        ..EalConfig::default()
    }
}

/// A CPU that this process may use: not always the first one of the machine.
fn first_cpu() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split(['-', ',']).next().unwrap().parse().unwrap()
}

fn pool(eal: &Eal, mbufs: u32) -> Mempool {
    let config = MempoolConfig { name: "frames", mbufs, cache: 64, data_room: 2048, socket: None };
    Mempool::new(eal, &config).unwrap()
}

fn port_config<'a>(device: &'a str, queues: u16, pool: &Mempool) -> PortConfig<'a> {
    PortConfig {
        name: "lan",
        device,
        rx_queues: queues,
        tx_queues: queues,
        rx_descriptors: 512,
        tx_descriptors: 512,
        mtu: 1500,
        promiscuous: false,
        pool: pool.clone(),
    }
}

fn started(eal: &Eal, device: &str, pool: &Mempool) -> (Port, Queues) {
    let mut port = Port::configure(eal, &port_config(device, 1, pool)).unwrap();
    let queues = port.start().unwrap();
    (port, queues)
}

/// 60 bytes with `number` in front and its complement at the end, so that mixed-up bytes show.
fn write_number(mbuf: &mut Mbuf, number: u32) {
    let mut bytes = [0x5a; 60];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[56..].copy_from_slice(&(!number).to_be_bytes());
    assert!(mbuf.copy_parts(&[&bytes]));
}

fn numbered(pool: &Mempool, number: u32) -> Mbuf {
    let mut mbuf = Mbuf::alloc(pool).expect("the pool is large enough for the test");
    write_number(&mut mbuf, number);
    mbuf
}

fn number_of(mbuf: &Mbuf) -> u32 {
    let bytes = mbuf.bytes();
    assert_eq!((bytes.len(), mbuf.segments()), (60, 1));
    assert!(bytes[4..56].iter().all(|byte| *byte == 0x5a), "{bytes:02x?}");
    let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(u32::from_be_bytes(bytes[56..].try_into().unwrap()), !number);
    number
}

#[test]
fn worker_moves_frames_through_two_devices_and_leaks_none() {
    in_own_process("worker_moves_frames_through_two_devices_and_leaks_none", || {
        let eal = Eal::init(&config(&["net_null0,size=64", "net_ring0"], 1)).unwrap();
        assert!(!eal.is_on_hugepages());
        let pool = pool(&eal, 4095);
        let (mut null, null_queues) = started(&eal, "net_null0,size=64", &pool);
        let (mut ring, mut ring_queues) = started(&eal, "net_ring0", &pool);
        assert_eq!((null.driver_name(), ring.driver_name()), ("net_null", "net_ring"));
        assert!(null.is_virtual() && ring.is_virtual());
        assert_eq!((null.rx_queues(), null.tx_queues(), null.mtu()), (1, 1, 1500));
        assert!(ring.link().unwrap().is_up);

        let (report, reports) = mpsc::channel();
        let (null_rx, ring_rx) = (null_queues.rx, ring_queues.rx.remove(0));
        let ring_tx = ring_queues.tx.remove(0);
        let work = move || {
            let mut received = Burst::new();
            let mut tx = TxBuffer::new(ring_tx);
            let mut dropped = DropList::new();
            let (mut number, mut sent, mut seen, mut freed) = (0_u32, 0, Vec::new(), 0);
            while number < 10_000 {
                assert_eq!(received.rx(&null_rx[0]), 64);
                for mut mbuf in received.drain() {
                    assert_eq!(mbuf.bytes().len(), 64);
                    // Every tenth goes nowhere.
                    if number % 10 == 9 {
                        dropped.push(mbuf);
                    } else {
                        write_number(&mut mbuf, number);
                        tx.push(mbuf);
                    }
                    number += 1;
                }
                let counts = tx.flush();
                assert_eq!(counts.failed, 0);
                sent += counts.sent;
                freed += dropped.flush();
                while received.rx(&ring_rx) > 0 {
                    seen.extend(received.frames().iter().map(number_of));
                }
            }
            report.send((number, sent, seen, freed, thread_name())).unwrap();
        };
        lcore::launch(&eal, 0, Box::new(work)).unwrap();
        let (number, sent, seen, freed, name) = reports.recv().unwrap();
        lcore::wait_all(&eal);

        let expected: Vec<u32> = (0..number).filter(|number| number % 10 != 9).collect();
        assert_eq!(seen, expected);
        assert_eq!(sent, expected.len() as u64);
        assert_eq!(freed, number as usize - expected.len());
        assert_eq!(name, "worker-0");
        assert_eq!(null.stats().unwrap().rx_packets, u64::from(number));
        assert_eq!(ring.stats().unwrap().tx_packets, sent);
        assert_eq!(ring.stats().unwrap().rx_packets, sent);
        assert_eq!(pool.in_use(), 0);

        // The other handles went with the worker's closure.
        drop((null_queues.tx, ring_queues));
        null.stop().unwrap();
        ring.stop().unwrap();
        drop((null, ring, pool, eal));
        let runtime = format!("/var/run/dpdk/sluice-{}", std::process::id());
        assert!(!Path::new(&runtime).exists(), "{runtime} was left behind");
    });
}

fn thread_name() -> String {
    fs::read_to_string("/proc/thread-self/comm").unwrap().trim().to_owned()
}

#[test]
fn what_a_full_device_does_not_take_is_counted_and_freed() {
    in_own_process("what_a_full_device_does_not_take_is_counted_and_freed", || {
        let eal = Eal::init(&config(&["net_ring0"], 0)).unwrap();
        let pool = pool(&eal, 4095);
        let (_port, mut queues) = started(&eal, "net_ring0", &pool);
        let mut tx = TxBuffer::new(queues.tx.remove(0));
        for number in 0..3000 {
            tx.push(numbered(&pool, number));
        }
        let TxCounts { sent, failed } = tx.flush();
        assert_eq!(sent + failed, 3000);
        assert!(sent > 0 && failed > 0, "sent {sent}, failed {failed}");
        assert_eq!(u64::from(pool.in_use()), sent);
        assert_eq!(tx.flush(), TxCounts::default());

        // What was taken is the first frames, whole.
        let mut burst = Burst::new();
        let mut seen = Vec::new();
        while burst.rx(&queues.rx[0]) > 0 {
            seen.extend(burst.drain().map(|mbuf| number_of(&mbuf)));
        }
        let taken = u32::try_from(sent).unwrap();
        assert_eq!(seen, (0..taken).collect::<Vec<_>>());
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn a_burst_frees_what_nobody_takes() {
    in_own_process("a_burst_frees_what_nobody_takes", || {
        let eal = Eal::init(&config(&["net_null0"], 0)).unwrap();
        let pool = pool(&eal, 1023);
        let (_port, queues) = started(&eal, "net_null0", &pool);
        let mut burst = Burst::new();
        // Far more than the pool has: every frame of a burst comes back before the next.
        for _ in 0..100 {
            assert_eq!(burst.rx(&queues.rx[0]), 64);
        }
        let taken: Vec<Mbuf> = burst.drain().take(10).collect();
        assert_eq!((burst.frames().len(), pool.in_use()), (0, 10));
        drop(taken);
        burst.rx(&queues.rx[0]);
        burst.clear();
        assert_eq!(pool.in_use(), 0);
        burst.rx(&queues.rx[0]);
        drop(burst);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn a_frame_stays_within_its_buffer() {
    in_own_process("a_frame_stays_within_its_buffer", || {
        let eal = Eal::init(&config(&[], 0)).unwrap();
        let pool = pool(&eal, 255);
        let mut mbuf = numbered(&pool, 7);
        assert_eq!(mbuf.head_room(), 128);
        mbuf.prepend(20).unwrap().fill(0xee);
        assert_eq!(mbuf.bytes().len(), 80);
        assert_eq!(mbuf.bytes()[..20], [0xee; 20]);
        assert_eq!(mbuf.bytes()[20..24], [0, 0, 0, 7]);
        assert!(mbuf.prepend(109).is_none());
        assert!(mbuf.prepend(usize::MAX).is_none());
        assert_eq!((mbuf.bytes().len(), mbuf.head_room()), (80, 108));
        assert!(mbuf.prepend(108).is_some());
        assert!(mbuf.prepend(1).is_none());
        // The buffer has 128 + 2048 bytes, and the frame starts at its front now.
        assert!(!mbuf.resize(128 + 2048 + 1));
        assert!(!mbuf.resize(usize::MAX));
        assert!(mbuf.resize(128 + 2048));
        mbuf.bytes_mut().fill(1);
        assert!(mbuf.resize(0));
        assert!(mbuf.bytes().is_empty());

        let all: Vec<Mbuf> = std::iter::from_fn(|| Mbuf::alloc(&pool)).collect();
        assert_eq!((all.len(), pool.in_use()), (254, 255));
        assert!(Mbuf::alloc(&pool).is_none());
        let mut dropped = DropList::new();
        all.into_iter().for_each(|mbuf| dropped.push(mbuf));
        drop(dropped);
        drop(mbuf);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn two_workers_share_one_transmit_queue() {
    in_own_process("two_workers_share_one_transmit_queue", || {
        let eal = Eal::init(&config(&["net_null0"], 2)).unwrap();
        let pool = pool(&eal, 4095);
        let (port, queues) = started(&eal, "net_null0", &pool);
        for (worker, path) in queue::tx_paths(queues.tx, 2).into_iter().enumerate() {
            let pool = pool.clone();
            let work = move || {
                let mut tx = TxBuffer::new(path);
                for number in 0..20_000 {
                    tx.push(numbered(&pool, number));
                }
                assert_eq!(tx.flush(), TxCounts { sent: 20_000, failed: 0 });
            };
            lcore::launch(&eal, worker, Box::new(work)).unwrap();
        }
        let error = lcore::launch(&eal, 2, Box::new(|| {})).unwrap_err();
        assert_eq!(error.to_string(), "there is no worker 2: DPDK was started with 2");
        lcore::wait_all(&eal);
        assert_eq!(port.stats().unwrap().tx_packets, 40_000);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn each_device_and_each_queue_has_one_user() {
    in_own_process("each_device_and_each_queue_has_one_user", || {
        let eal = Eal::init(&config(&["net_ring0"], 0)).unwrap();
        assert!(matches!(Eal::init(&config(&[], 0)), Err(EalError::AlreadyStarted)));
        assert!(clock::hz() > 1_000_000);
        let pool = pool(&eal, 1023);
        let mut port = Port::configure(&eal, &port_config("net_ring0", 4, &pool)).unwrap();
        let error = Port::configure(&eal, &port_config("net_ring0", 1, &pool)).unwrap_err();
        assert!(matches!(error, PortError::DeviceTaken { .. }), "{error}");
        let queues = port.start().unwrap();
        assert_eq!((queues.rx.len(), queues.tx.len()), (4, 4));
        assert_ne!(port.filter(), RxFilter::Unfiltered);
        assert!(matches!(port.start(), Err(PortError::AlreadyStarted { .. })));
        let error = port.stop().unwrap_err();
        assert!(matches!(error, PortError::QueuesInUse { handles: 8, .. }), "{error}");
        drop(queues);
        port.stop().unwrap();
        assert_eq!(port.start().unwrap().rx.len(), 4);
    });
}

#[test]
fn buffers_that_outlive_dpdk_stay_mapped() {
    in_own_process("buffers_that_outlive_dpdk_stay_mapped", || {
        let eal = Eal::init(&config(&[], 0)).unwrap();
        let pool = pool(&eal, 255);
        let mbuf = numbered(&pool, 42);
        drop((pool, eal));
        let number = thread::spawn(move || number_of(&mbuf)).join().unwrap();
        assert_eq!(number, 42);
    });
}

#[test]
fn unknown_drivers_are_named() {
    in_own_process("unknown_drivers_are_named", || {
        let error = Eal::init(&config(&["net_null0", "net_nonsense0"], 0)).unwrap_err();
        println!("{error}");
        assert!(error.to_string().contains("net_nonsense0"), "{error}");
    });
}

#[test]
fn missing_interfaces_are_named() {
    in_own_process("missing_interfaces_are_named", || {
        let device = "net_af_packet0,iface=none-such";
        let error = Eal::init(&config(&["net_null0", device], 0)).unwrap_err();
        println!("{error}");
        let EalError::Device { device: named, log } = &error else { panic!("{error}") };
        assert_eq!(named, device);
        assert!(!log.is_empty(), "{error}");
    });
}

#[test]
fn impossible_ports_and_pools_are_refused_in_words() {
    in_own_process("impossible_ports_and_pools_are_refused_in_words", || {
        let eal = Eal::init(&config(&["net_null0"], 0)).unwrap();
        let small =
            MempoolConfig { name: "small", mbufs: 255, cache: 0, data_room: 1024, socket: None };
        let large = MempoolConfig { mbufs: 1 << 24, ..small.clone() };
        let error = Mempool::new(&eal, &large).unwrap_err();
        assert!(error.to_string().contains("\"small\" of 16777216 buffers"), "{error}");
        let small = Mempool::new(&eal, &small).unwrap();
        let error = Port::configure(&eal, &port_config("net_null0", 1, &small)).unwrap_err();
        assert!(error.to_string().contains("an MTU of 1500 needs buffers of 1526"), "{error}");
        let error = Port::configure(&eal, &port_config("net_null7", 1, &small)).unwrap_err();
        assert!(
            error.to_string().contains("port lan: DPDK has no device \"net_null7\""),
            "{error}"
        );
    });
}

#[test]
fn nonsense_arguments_are_quoted_back() {
    in_own_process("nonsense_arguments_are_quoted_back", || {
        let extra = vec!["--no-such-option".to_owned()];
        let error = Eal::init(&EalConfig { extra, ..config(&[], 0) }).unwrap_err();
        println!("{error}");
        assert!(error.to_string().starts_with("DPDK cannot be started: "), "{error}");
    });
}

/// Rings stand in for interfaces of the kernel: what is given to one comes back from it.
#[test]
fn frames_of_the_kernel_leave_by_their_port_with_their_tag() {
    in_own_process("frames_of_the_kernel_leave_by_their_port_with_their_tag", || {
        let eal = Eal::init(&config(&["net_ring0", "net_ring1"], 1)).unwrap();
        let pool = pool(&eal, 1023);
        let mac = MacAddress([2, 0, 0, 0, 0, 0x61]);
        let lan = Interface::new("lan0", InterfaceId(0), mac, 100);
        let wan = Interface::new("wan0", InterfaceId(1), mac, 100);
        let vlan = Interface { vlan: Some(7), ..wan.clone() };
        let (_ring0, of_lan) = started(&eal, "net_ring0", &pool);
        let (_ring1, of_vlan) = started(&eal, "net_ring1", &pool);
        let queues = vec![(InterfaceId(0), of_lan), (InterfaceId(2), of_vlan)];
        let (mut from, mut to) = relay::share_out(queues, &[lan, wan, vlan], 2);
        assert_eq!(to.len(), 2, "every worker has a way in");

        // 100 bytes of packet fit the link behind 14 of header, 101 do not.
        let frame = |length: usize| {
            let mut mbuf = Mbuf::alloc(&pool).unwrap();
            assert!(mbuf.copy_parts(&[&[0x11; 12], &[8, 0], &vec![0x5a; length]]));
            mbuf
        };
        for length in [100, 101] {
            assert!(to[0].push(InterfaceId(0), frame(length)).is_none());
            assert!(to[1].push(InterfaceId(2), frame(length)).is_none());
        }
        assert!(to[0].push(InterfaceId(1), frame(1)).is_some(), "the kernel has no such interface");
        assert!(to[0].push(InterfaceId(9), frame(1)).is_some());
        assert_eq!((to[0].flush(), to[1].flush()), (0, 0), "the rings take them all");

        let (mut sent, mut dropped) = (Vec::new(), DropList::new());
        let received = from.relay(
            |_, _| true,
            |port, mbuf| sent.push((port, mbuf.bytes()[12..20].to_vec(), mbuf.bytes().len())),
            &mut dropped,
        );
        assert_eq!((received, dropped.flush()), (4, 2));
        let untagged = (InterfaceId(0), vec![8, 0, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a], 114);
        let tagged = (InterfaceId(1), vec![0x81, 0, 0, 7, 8, 0, 0x5a, 0x5a], 118);
        assert_eq!(sent, [untagged, tagged]);
    });
}
