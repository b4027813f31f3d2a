//! A director with its control plane, one worker and a clock that the test turns.

use std::convert::Infallible;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use lb_core::clock::Tick;
use lb_core::control::{Control, NeighbourOut, Network};
use lb_core::director::{Director, Limits};
use lb_core::drops::DropReason;
use lb_core::expiry::Sweeper;
use lb_core::explain::{Explainer, Explanation};
use lb_core::flow::{FlowTable, Storage};
use lb_core::fragment::Early;
use lb_core::frame::Frame;
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::marks::MarkRules;
use lb_core::neighbour::NeighbourSeen;
use lb_core::route::Hop;
use lb_core::slots::DestinationId;
use lb_core::wire::build::MemoryFrame;
use lb_core::wire::{MacAddress, show};
use lb_core::worker::{BURST_MAX, Surroundings, Verdict, Worker};

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// The drop reason that was counted, also where an answer leaves.
    pub(crate) dropped: Option<DropReason>,
    /// The frame as it leaves or waits.
    pub(crate) frame: Vec<u8>,
    /// All that left, in order: frames made anew, the frame itself, and fragments that waited.
    pub(crate) sent: Vec<(InterfaceId, Vec<u8>)>,
}

/// The test bed.
pub(crate) struct Bed {
    pub(crate) control: Control,
    pub(crate) neighbours_out: Vec<NeighbourOut>,
    director: Arc<Director>,
    worker: Worker,
    sweeper: Sweeper,
    now: Tick,
    /// Frames whose verdict was to wait: the bed lets them.
    waiting: u64,
    early: Early<MemoryFrame>,
    explainer: Explainer,
    explained: usize,
}

/// What a burst brought about besides its frames.
#[derive(Default)]
struct Around {
    sent: Vec<(InterfaceId, Vec<u8>)>,
    seen: Vec<NeighbourSeen>,
    wanted: Vec<Hop>,
    path_mtus: Vec<(DestinationId, u16)>,
}

impl Surroundings for Around {
    fn neighbour_seen(&mut self, seen: NeighbourSeen) {
        self.seen.push(seen);
    }

    fn neighbour_wanted(&mut self, hop: Hop) {
        self.wanted.push(hop);
    }

    fn path_mtu_seen(&mut self, server: DestinationId, mtu: u16) {
        self.path_mtus.push((server, mtu));
    }

    fn send(&mut self, interface: InterfaceId, parts: &[&[u8]]) -> bool {
        self.sent.push((interface, parts.concat()));
        true
    }
}

impl Bed {
    /// A director in this network with room for so many flows and real servers.
    pub(crate) fn new(network: Network, flows_max: usize, destinations_max: usize) -> Self {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(flows_max, Storage::leaked(flows_max), hasher);
        let limits = Limits { destinations_max, datagrams_max: 64 };
        let mut control = Control::new(flows, limits, 1, hasher, network);
        let director = Arc::clone(control.director());
        let worker = Worker::new(Arc::clone(&director), 0);
        let sweeper = control.sweeper();
        // Not 0, so that a time that was never set is not taken for now.
        let now = Tick(1000);
        let neighbours_out = control.tick(now);
        let early = Early::new(16);
        Self {
            control,
            neighbours_out,
            director,
            worker,
            sweeper,
            now,
            waiting: 0,
            early,
            explainer: Explainer::default(),
            explained: 0,
        }
    }

    /// Sets the rules that mark packets.
    pub(crate) fn set_marks(&mut self, marks: MarkRules) {
        let set = self.control.change_marks(|rules, _| -> Result<(), Infallible> {
            *rules = marks;
            Ok(())
        });
        assert_eq!(set, Ok(()));
    }

    /// Puts one frame through the packet path.
    pub(crate) fn process(&mut self, from: InterfaceId, frame: &[u8]) -> Outcome {
        self.control.publish();
        let explanation = self.explain(from, frame);
        let before: Vec<u64> = self.dropped().collect();
        let mut frames = [MemoryFrame::new(frame)];
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        let mut around = Around::default();
        self.worker.boundary();
        self.worker.process(from, self.now, &mut frames, &mut verdicts, &mut around);
        let dropped_at_once = self.newly_dropped(&before);
        let [frame_out] = frames;
        let verdict = verdicts[0];
        self.waiting += u64::from(matches!(verdict, Verdict::Wait(_)));
        let bytes = frame_out.bytes().to_vec();
        match verdict {
            Verdict::Send(interface) | Verdict::Answer(interface, _) => {
                around.sent.push((interface, bytes.clone()))
            }
            Verdict::Hold(key, until) => {
                let counters = &self.director.counters[0];
                let _pushed_out = self.early.push(frame_out, key, until, counters);
            }
            _ => {}
        }
        let sent_at_once = around.sent.len();
        self.release_early(&mut around);
        around.seen.iter().for_each(|seen| self.control.neighbour_seen(seen));
        around.wanted.iter().for_each(|&hop| self.control.neighbour_wanted(hop));
        for &(server, mtu) in &around.path_mtus {
            self.control.path_mtu_seen(server, mtu);
        }
        let dropped = self.newly_dropped(&before);
        let outcome = Outcome { verdict, dropped, frame: bytes, sent: around.sent };
        self.assert_accounted();
        let sent = outcome.sent[..sent_at_once].to_vec();
        let at_once = Outcome { dropped: dropped_at_once, sent, ..outcome.clone() };
        assert_explained(&explanation, &at_once);
        outcome
    }

    /// What `sluicectl explain` says of a frame. At the first ones and now and then every bit of
    /// the director is looked at: none may have changed.
    fn explain(&mut self, from: InterfaceId, frame: &[u8]) -> Explanation {
        const EVERY: usize = 128;
        let is_looked_at = self.explained < 2 || self.explained.is_multiple_of(EVERY);
        self.explained += 1;
        let before = is_looked_at.then(|| digest(&self.director));
        let rules = self.control.mark_rules();
        let explanation = self.explainer.explain(&self.director, rules, (from, frame), self.now);
        let after = is_looked_at.then(|| digest(&self.director));
        assert_eq!(before, after, "an explanation changed something: {}", show(frame));
        explanation
    }

    /// Puts a frame that the host sends by an interface past the director, or says why it is
    /// not to leave.
    pub(crate) fn hear(&mut self, from: InterfaceId, frame: &[u8]) -> Result<Vec<u8>, DropReason> {
        self.control.publish();
        self.worker.boundary();
        let mut frame = MemoryFrame::new(frame);
        self.worker.hear(from, self.now, &mut frame)?;
        Ok(frame.bytes().to_vec())
    }

    /// Lets fragments follow whose datagram's course is known.
    fn release_early(&mut self, around: &mut Around) {
        let (mut known, counters) = (Vec::new(), &self.director.counters[0]);
        let follow = |frame, course| known.push((frame, course));
        self.early.release(&self.director.fragments, self.now, counters, follow, |_| {});
        for (mut frame, course) in known {
            let verdict = self.worker.follow(&course, self.now, &mut frame, around);
            self.waiting += u64::from(matches!(verdict, Verdict::Wait(_)));
            if let Verdict::Send(interface) | Verdict::Answer(interface, _) = verdict {
                around.sent.push((interface, frame.bytes().to_vec()));
            }
        }
    }

    /// The reason of which there are more drops than before.
    fn newly_dropped(&self, before: &[u64]) -> Option<DropReason> {
        let mut grown = self.dropped().zip(before).zip(DropReason::ALL);
        grown.find(|((after, before), _)| after > before).map(|(_, &reason)| reason)
    }

    fn dropped(&self) -> impl Iterator<Item = u64> + '_ {
        DropReason::ALL.iter().map(|&reason| self.director.dropped(reason))
    }

    /// Every frame has exactly one fate.
    fn assert_accounted(&self) {
        let counters = &self.director.counters[0];
        let fates = counters.forwarded.get()
            + counters.answered.get()
            + counters.consumed.get()
            + counters.punted.get();
        let dropped: u64 = self.dropped().sum();
        let held = self.early.len() as u64;
        assert_eq!(counters.received.get(), fates + self.waiting + held + dropped);
    }

    /// Lets a moment pass, less than a second, with the regular work that falls into it.
    pub(crate) fn pass_moment(&mut self) {
        self.now = Tick(self.now.0 + 1);
        self.neighbours_out.extend(self.control.tick(self.now));
        self.worker.boundary();
        self.sweeper.step(&self.director, self.now);
    }

    /// Lets seconds pass.
    pub(crate) fn pass(&mut self, seconds: u32) {
        let end = self.now.plus_seconds(seconds);
        while self.now.is_before(end) {
            self.pass_moment();
        }
    }

    /// Real servers' connections that are counted anywhere, in service or not.
    pub(crate) fn flows_used(&self) -> u64 {
        self.director.flows_used()
    }
}

/// A hash of all that a director and what it consists of show of themselves.
fn digest(director: &Director) -> u64 {
    struct Sum(DefaultHasher);
    impl Write for Sum {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut sum = Sum(DefaultHasher::new());
    write!(sum, "{director:?}").expect("a sum takes everything");
    sum.0.finish()
}

/// What was explained is what happened, but for what a worker has in its own memory: how many
/// answers and packets to the kernel it may still send, and which packets `drop_packet` takes.
fn assert_explained(explanation: &Explanation, outcome: &Outcome) {
    let shown = |sent: &[(InterfaceId, Vec<u8>)]| -> Vec<_> {
        sent.iter().map(|(interface, frame)| (*interface, show(frame))).collect()
    };
    let happened = (outcome.verdict, outcome.dropped, shown(&outcome.sent));
    let said = (explanation.verdict, explanation.dropped, shown(&explanation.sent));
    let is_rationed = match outcome.dropped {
        Some(DropReason::Overload) => explanation.drop_rate != 0,
        Some(DropReason::KernelRate) => matches!(explanation.verdict, Verdict::Punt(_)),
        Some(DropReason::EchoRefused) => outcome.sent.is_empty(),
        Some(reason) => said.1 == Some(reason) && outcome.verdict == Verdict::Drop(reason),
        None => false,
    };
    if said != happened && !is_rationed {
        panic!("explained {explanation:?}\nhappened {outcome:?}");
    }
}

/// The network of the kernel's captures: clients 10.0.1.2 and so on on `lan0`, servers 10.0.2.11 to
/// 18 on `lan1`, and the same in IPv6.
pub(crate) fn captured_network() -> Network {
    let interface = |number: u8| {
        let mac = MacAddress([2, 0, 0, 0, number, 0x61]);
        Interface::new(&format!("lan{number}"), InterfaceId(number), mac, 1500)
            .with_address([10, 0, number + 1, 1], 24)
            .with_address(six(number + 1, 1), 64)
    };
    let known = |interface: u8, last: u8| {
        let mac = MacAddress([2, 0, 0, 0, interface + 1, last]);
        let hop = |neighbour| Hop { interface: InterfaceId(interface), neighbour };
        [(hop([10, 0, interface + 1, last].into()), mac), (hop(six(interface + 1, last)), mac)]
    };
    let all = || (2..=30).chain([77, 99, 254]);
    let clients = all().flat_map(|last| known(0, last));
    let servers = all().flat_map(|last| known(1, last));
    Network {
        interfaces: vec![interface(0), interface(1)],
        permanent_neighbours: clients.chain(servers).collect(),
        ..Network::default()
    }
}

/// `fd00:GROUP::LAST`.
fn six(group: u8, last: u8) -> IpAddr {
    format!("fd00:{group}::{last:x}").parse().expect("an address")
}
