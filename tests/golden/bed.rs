//! A director with its control plane, one worker and a clock that the test turns.

use std::net::Ipv4Addr;
use std::sync::Arc;

use lb_core::clock::Tick;
use lb_core::control::{ArpOut, Control, Network};
use lb_core::director::Director;
use lb_core::drops::DropReason;
use lb_core::expiry::Sweeper;
use lb_core::flow::{FlowTable, Storage};
use lb_core::frame::Frame;
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceAddress, InterfaceId};
use lb_core::neighbour::ArpSeen;
use lb_core::route::Hop;
use lb_core::wire::build::MemoryFrame;
use lb_core::wire::{MacAddress, vlan};
use lb_core::worker::{BURST_MAX, Observer, Verdict, Worker};

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// The drop reason that was counted, also where an answer leaves.
    pub(crate) dropped: Option<DropReason>,
    /// The frame as it leaves or waits.
    pub(crate) frame: Vec<u8>,
}

/// The test bed.
pub(crate) struct Bed {
    pub(crate) control: Control,
    pub(crate) arp_out: Vec<ArpOut>,
    director: Arc<Director>,
    worker: Worker,
    sweeper: Sweeper,
    now: Tick,
    /// Frames whose verdict was to wait: the bed lets them.
    waiting: u64,
}

#[derive(Default)]
struct Seen(Vec<ArpSeen>);

impl Observer for Seen {
    fn arp_seen(&mut self, seen: ArpSeen) {
        self.0.push(seen);
    }
}

impl Bed {
    /// A director in this network with room for so many flows and real servers.
    pub(crate) fn new(network: Network, flows_max: usize, destinations_max: usize) -> Self {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(flows_max, Storage::leaked(flows_max), hasher);
        let mut control = Control::new(flows, destinations_max, 1, hasher, network);
        let director = Arc::clone(control.director());
        let worker = Worker::new(Arc::clone(&director), 0);
        let sweeper = control.sweeper();
        // Not 0, so that a time that was never set is not taken for now.
        let now = Tick(1000);
        let arp_out = control.tick(now);
        Self { control, arp_out, director, worker, sweeper, now, waiting: 0 }
    }

    /// Puts one frame through the packet path.
    pub(crate) fn process(&mut self, from: InterfaceId, frame: &[u8]) -> Outcome {
        self.control.publish();
        let before: Vec<u64> = self.dropped().collect();
        let mut frames = [MemoryFrame::new(frame)];
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        let mut seen = Seen::default();
        self.worker.boundary();
        self.worker.process(from, self.now, &mut frames, &mut verdicts, &mut seen);
        for arp in &seen.0 {
            self.control.arp_seen(arp);
        }
        self.waiting += u64::from(matches!(verdicts[0], Verdict::Wait(_)));
        let mut grown = self.dropped().zip(&before).zip(DropReason::ALL);
        let dropped = grown.find(|((after, before), _)| after > before).map(|(_, &reason)| reason);
        let [frame_out] = frames;
        let outcome = Outcome { verdict: verdicts[0], dropped, frame: frame_out.bytes().to_vec() };
        self.assert_accounted();
        assert_only_link_and_hop_changed(frame, &outcome);
        outcome
    }

    fn dropped(&self) -> impl Iterator<Item = u64> + '_ {
        DropReason::ALL.iter().map(|&reason| self.director.dropped(reason))
    }

    /// Every frame has exactly one fate.
    fn assert_accounted(&self) {
        let counters = &self.director.counters[0];
        let fates = counters.forwarded.get() + counters.answered.get() + counters.consumed.get();
        let dropped: u64 = self.dropped().sum();
        assert_eq!(counters.received.get(), fates + self.waiting + dropped);
    }

    /// Lets seconds pass, with all the regular work that falls into them.
    pub(crate) fn pass(&mut self, seconds: u32) {
        let end = self.now.plus_seconds(seconds);
        while self.now.is_before(end) {
            self.now = Tick(self.now.0 + 1);
            self.arp_out.extend(self.control.tick(self.now));
            self.worker.boundary();
            self.sweeper.step(&self.director, self.now);
        }
    }

    /// Real servers' connections that are counted anywhere, in service or not.
    pub(crate) fn flows_used(&self) -> u64 {
        self.director.flows_used()
    }
}

/// A frame that was forwarded is what it was but for addresses on the link, TTL, IP checksum,
/// priority tags, and what was behind the packet. The checksum is another implementation's.
fn assert_only_link_and_hop_changed(before: &[u8], outcome: &Outcome) {
    if outcome.dropped.is_some() || matches!(outcome.verdict, Verdict::Drop(_) | Verdict::Consumed)
    {
        return;
    }
    let Some((_, offset)) = vlan::network_offset(before) else { return };
    let Ok((mut header, _)) = etherparse::Ipv4Header::from_slice(&before[offset..]) else { return };
    if header.protocol == etherparse::IpNumber::ICMP || outcome.frame[12..14] != [8, 0] {
        return;
    }
    header.time_to_live -= 1;
    header.header_checksum = header.calc_header_checksum();
    let payload = &before[offset + header.header_len()..offset + usize::from(header.total_len)];
    let packet = [&header.to_bytes()[..], payload].concat();
    let after = &outcome.frame[14..];
    assert_eq!(after[..packet.len()], packet, "more than addresses and TTL changed");
    assert!(outcome.frame.len() <= 60.max(14 + packet.len()), "a trailer is left");
}

/// The network of the kernel's captures: clients on `lan0`, servers 10.0.2.11 to 18 on `lan1`.
pub(crate) fn captured_network() -> Network {
    let interface = |number: u8, address: [u8; 4]| Interface {
        name: format!("lan{number}"),
        mac: MacAddress([2, 0, 0, 0, number, 0x61]),
        mtu: 1500,
        addresses: vec![InterfaceAddress { address: address.into(), prefix: 24 }],
    };
    let server = |last: u8| {
        let neighbour = Ipv4Addr::new(10, 0, 2, last);
        (Hop { interface: InterfaceId(1), neighbour }, MacAddress([2, 0, 0, 0, 2, last]))
    };
    Network {
        interfaces: vec![interface(0, [10, 0, 1, 1]), interface(1, [10, 0, 2, 1])],
        permanent_neighbours: (11..=18).map(server).collect(),
        ..Network::default()
    }
}
