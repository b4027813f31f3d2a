//! Whole workers, the sweeper and the control thread on one director.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use lb_core::clock::Tick;
use lb_core::control::{Control, Network};
use lb_core::destination::Destination;
use lb_core::director::{Director, Limits};
use lb_core::drops::DropReason;
use lb_core::expiry::Sweeper;
use lb_core::flow::{FlowTable, Storage};
use lb_core::interface::{Interface, InterfaceId};
use lb_core::operations::Operations;
use lb_core::protocol::Protocol;
use lb_core::route::Hop;
use lb_core::service::{Service, ServiceKey};
use lb_core::slots::DestinationId;
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Link, MemoryFrame, Tcp};
use lb_core::worker::{BURST_MAX, Unwatched, Verdict, Worker};

use super::{Random, hasher};

pub(super) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
const SERVICE: ServiceKey = ServiceKey::Address {
    protocol: Protocol::Tcp,
    address: std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)),
    port: 80,
};
const CLIENTS: usize = 400;
const KINDS: [&str; 7] = ["S", "A", "FA", "R", "S", "SA", ""];
const SLOTS: u32 = 16;

fn server(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, last)
}

/// A director with a wlc service, four servers, and fewer flows than there are clients.
pub(super) fn control(persistence_timeout_s: Option<u32>) -> Control {
    let hop = |last| Hop { interface: InterfaceId(0), neighbour: server(last).into() };
    let network = Network {
        interfaces: vec![
            Interface::new("lan0", InterfaceId(0), MAC, 1500).with_address(server(1), 24),
        ],
        permanent_neighbours: (11..15)
            .map(|last| (hop(last), MacAddress([2, 0, 0, 0, 2, last])))
            .collect(),
        ..Network::default()
    };
    let flows = FlowTable::new(300, Storage::leaked(300), hasher());
    let mut control =
        Control::new(flows, Limits::of_destinations(SLOTS as usize), 2, hasher(), network);
    let service = Service { persistence_timeout_s, ..Service::new(SERVICE) };
    control.add_service(service).unwrap();
    for last in 11..15 {
        control.add_destination(&SERVICE, Destination::new(server(last).into(), 80)).unwrap();
    }
    control.publish();
    control
}

/// Segments with different flags from all clients.
pub(super) fn frames() -> Vec<Vec<u8>> {
    let link = Link { destination: MAC, ..Link::default() };
    let all = KINDS.iter().flat_map(|flags| (0..CLIENTS).map(move |client| (flags, client)));
    all.map(|(flags, client)| {
        let src = format!("10.0.1.{}:{}", 2 + client % 8, 1000 + client);
        Tcp { src: &src, flags, ..Tcp::default() }.frame(&link)
    })
    .collect()
}

pub(super) fn work(
    director: &Arc<Director>,
    number: usize,
    ticks: &AtomicU32,
    stop: &AtomicBool,
    frames: &[Vec<u8>],
) {
    let mut worker = Worker::new(Arc::clone(director), number);
    let mut random = Random(number as u64 + 7);
    let mut verdicts = [Verdict::Consumed; BURST_MAX];
    while !stop.load(Ordering::Relaxed) {
        let now = Tick(ticks.load(Ordering::Relaxed));
        // Clients come and go: what was begun may expire.
        let first = now.0 as usize / 4000 * 50;
        let count = 1 + random.below(BURST_MAX);
        let mut burst: Vec<_> = (0..count)
            .map(|_| {
                let (kind, client) = (random.below(KINDS.len()), first + random.below(200));
                MemoryFrame::new(&frames[kind * CLIENTS + client % CLIENTS])
            })
            .collect();
        worker.boundary();
        worker.process(InterfaceId(0), now, &mut burst, &mut verdicts, &mut Unwatched);
    }
}

/// Lets time run, removes servers and brings them back; returns how many connections expired.
fn manage(control: &mut Control, sweeper: &mut Sweeper, ticks: &AtomicU32) -> usize {
    let director = Arc::clone(control.director());
    let mut random = Random(99);
    let mut ended = 0;
    // About two seconds.
    for _ in 0..7000 {
        let now = Tick(ticks.fetch_add(20, Ordering::Relaxed));
        ended += sweeper.step(&director, now);
        control.tick(now);
        let address = server(11 + u8::try_from(random.below(4)).unwrap());
        match random.below(40) {
            // Either may find that it is done already.
            0 => drop(control.delete_destination(&SERVICE, address.into(), 80)),
            1..=3 => drop(control.add_destination(&SERVICE, Destination::new(address.into(), 80))),
            _ => thread::sleep(Duration::from_micros(200)),
        }
    }
    ended
}

/// Two workers get packets of the same flows, so that both begin, move, begin anew and end them.
/// When all have expired, every count is zero.
#[test]
fn counts_return_to_zero() {
    count(control(None));
}

/// The same with templates: both workers make, find, hold and bury those of a few clients.
#[test]
fn counts_of_templates_return_to_zero() {
    count(control(Some(20)));
}

fn count(mut control: Control) {
    let mut sweeper = control.sweeper();
    let director = Arc::clone(control.director());
    let (ticks, stop, frames) = (AtomicU32::new(1000), AtomicBool::new(false), frames());
    let ended = thread::scope(|scope| {
        for number in 0..2 {
            let (director, ticks, stop, frames) = (&director, &ticks, &stop, &frames);
            scope.spawn(move || work(director, number, ticks, stop, frames));
        }
        let ended = manage(&mut control, &mut sweeper, &ticks);
        stop.store(true, Ordering::Relaxed);
        ended
    });
    assert!(ended > 100, "{ended} connections expired while workers ran");
    for worker in &director.counters[..2] {
        let dropped: u64 = DropReason::ALL.iter().map(|&reason| worker.dropped(reason)).sum();
        assert_eq!(worker.received.get(), worker.forwarded.get() + dropped);
        assert!(worker.flows_inserted.get() > 1000 && worker.forwarded.get() > 10_000);
    }
    assert!(director.dropped(DropReason::TableFull) > 0);
    let slots = || (0..SLOTS).map(|id| director.slots.get(DestinationId(id)));
    let live: Vec<_> = director.flows.live(0..usize::MAX).map(|(id, _)| id).collect();
    assert_eq!(live.len() as u64, director.flows_used());
    let counted = slots().map(|slot| slot.active() + slot.inactive() + slot.persistent());
    assert_eq!(counted.sum::<u32>() as usize, live.len(), "what servers count is what is there");
    let templates: Vec<_> =
        live.iter().filter(|&&id| director.flows.entry(id).state().is_template()).collect();
    let held: u32 = templates.iter().map(|&&id| director.flows.cold(id).controlled()).sum();
    assert_eq!(slots().map(|slot| slot.persistent()).sum::<u32>() as usize, templates.len());
    if !templates.is_empty() {
        let connections = live.len() - templates.len();
        assert_eq!(held as usize, connections, "every connection is under a template");
    }

    // Templates end after the connections under them, in steps of a minute.
    let mut end = Tick(ticks.into_inner()).plus_seconds(1000);
    for _ in 0..2 {
        sweeper.step(&director, end);
        end = end.plus_seconds(61);
    }
    assert_eq!(director.flows_used(), 0);
    assert_eq!(director.flows.overflow_used(), 0);
    assert!(slots().all(|slot| slot.is_idle()));
}
