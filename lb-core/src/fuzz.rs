//! Hostile input for the whole packet path: what fuzzers and property tests call.
//!
//! Input is a run of frames, each behind two bytes: 4 bits of seconds that pass before it, whether
//! its checksums are mended, 11 bits of its length. A frame may be cut off by the end of the input.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::clock::Tick;
use crate::control::{Control, Network};
use crate::director::{Director, Limits};
use crate::drops::DropReason;
use crate::expiry::Sweeper;
use crate::flow::{FlowTable, Storage};
use crate::frame::Frame;
use crate::hash::FlowHasher;
use crate::interface::InterfaceAddress;
use crate::interface::{Interface, InterfaceId};
use crate::ipvsadm::{self, Numeric};
use crate::marks::MarkRules;
use crate::marks::rule::{AddressMatch, Change, InterfaceMatch, Rule, Target};
use crate::neighbour::NeighbourSeen;
use crate::operations::Operations;
use crate::route::{Hop, Route};
use crate::slots::DestinationId;
use crate::wire::MacAddress;
use crate::wire::build::MemoryFrame;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{self, protocol};
use crate::worker::{BURST_MAX, Surroundings, Verdict, Worker};

/// Link-layer address of the interfaces that frames come in by.
pub const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// Room of the flow table: so small that it is often full.
const FLOWS_MAX: usize = 64;
const LIMITS: Limits = Limits { destinations_max: 48, datagrams_max: 64 };
const MTU: u16 = 1500;
/// A second interface, with a smaller MTU and a tag.
const VLAN: u16 = 7;
const VLAN_MTU: u16 = 600;

/// Services of every method, protocol and family; of most of them one server is resolved and one
/// is not.
const SERVICES: &str = "\
-A -t 10.0.0.100:80 -s rr
-a -t 10.0.0.100:80 -r 10.0.1.11 -g
-a -t 10.0.0.100:80 -r 10.0.1.12 -g
-A -u 10.0.0.100:53 -s rr
-a -u 10.0.0.100:53 -r 10.0.1.11:5353 -m
-a -u 10.0.0.100:53 -r 10.0.1.12:5353 -m
-A -t 10.0.0.100:21
-a -t 10.0.0.100:21 -r 10.0.1.11 -m
-A -u 10.0.0.100:500
-a -u 10.0.0.100:500 -r 10.0.1.11 -m
-A --sctp-service 10.0.0.100:80
-a --sctp-service 10.0.0.100:80 -r 10.0.1.11:81 -m
-A -t 10.0.0.101:80 -s rr
-a -t 10.0.0.101:80 -r 10.0.1.11 -i
-a -t 10.0.0.101:80 -r 10.0.2.11 -i --tun-type gue --tun-port 6080 --tun-csum
-A -u 10.0.0.101:53 -s rr
-a -u 10.0.0.101:53 -r 10.0.1.11 -i --tun-type gre --tun-csum
-a -u 10.0.0.101:53 -r fd00:1::11 -i
-A -t [fd00::100]:80 -s rr
-a -t [fd00::100]:80 -r [fd00:1::11]:8080 -m
-a -t [fd00::100]:80 -r [fd00:1::12]:8080 -m
-A -u [fd00::100]:53 -s rr
-a -u [fd00::100]:53 -r fd00:1::11 -g
-a -u [fd00::100]:53 -r 10.0.2.11 -i --tun-type gue --tun-port 6080
-A -t [fd00::100]:21
-a -t [fd00::100]:21 -r [fd00:1::11]:21 -m
-A -t [fd00::101]:80
-a -t [fd00::101]:80 -r fd00:1::11 -i
-A -t 10.0.0.102:80 -s sh -b sh-fallback,sh-port -p 60 -M 255.255.255.0
-a -t 10.0.0.102:80 -r 10.0.1.11 -m -x 2
-a -t 10.0.0.102:80 -r 10.0.1.12 -m
-A -t 10.0.0.102:21 -s mh -p 30
-a -t 10.0.0.102:21 -r 10.0.1.11 -m
-A -t 10.0.0.102:0 -s lc -p 30
-a -t 10.0.0.102:0 -r 10.0.1.11:0 -m
-a -t 10.0.0.102:0 -r 10.0.1.12:0 -g
-A -u 10.0.0.102:5060 -s rr -p 30 --pe sip -M 0.0.0.0
-a -u 10.0.0.102:5060 -r 10.0.1.11:5070 -m
-a -u 10.0.0.102:5060 -r 10.0.1.12:5070 -m
-A -u 10.0.0.102:5061 -s rr -p 30 --pe sip -o
-a -u 10.0.0.102:5061 -r 10.0.1.11:5071 -m
-A -u 10.0.0.102:53 -s wrr -o
-a -u 10.0.0.102:53 -r 10.0.1.11 -g
-A -t [fd00::102]:0 -s sed -p 30 -M 64
-a -t [fd00::102]:0 -r [fd00:1::11]:0 -m
-A -f 7 -s lblcr
-a -f 7 -r 10.0.1.11 -g
-a -f 7 -r 10.0.1.12:8080 -m -x 1
-A -f 7 -6 -s twos -p 30
-a -f 7 -6 -r fd00:1::11 -g
-A -f 8 -s dh -o
";

/// What comes with the tag has a mark, and a mark of its own what is for one network: both are
/// intercepted.
fn mark_rules() -> MarkRules {
    let mark = |value| Some(Target::Mark(Change { value, mask: u32::MAX }));
    let tagged = InterfaceMatch { pattern: "lan0.7".to_owned(), negated: false };
    let by_tag = Rule { interface: Some(tagged), target: mark(7), ..Rule::default() };
    let network = AddressMatch::new([10, 9, 0, 0].into(), 0xffff_0000, false);
    let by_network = Rule { destination: Some(network), target: mark(8), ..Rule::default() };
    MarkRules {
        v4: Arc::new(vec![by_tag.clone(), by_network]),
        v6: Arc::new(vec![by_tag]),
        intercepted: vec![7, 8],
    }
}

/// A director of [`SERVICES`] with two interfaces, one of which has the kernel behind it.
#[derive(Debug)]
pub struct PacketPath {
    control: Control,
    director: Arc<Director>,
    worker: Worker,
    sweeper: Sweeper,
    now: Tick,
}

/// What a burst brought about besides its frames.
#[derive(Default)]
struct Around {
    lengths: Vec<(InterfaceId, usize)>,
    wanted: Vec<Hop>,
    seen: Vec<NeighbourSeen>,
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
        self.lengths.push((interface, parts.iter().map(|part| part.len()).sum()));
        true
    }
}

impl Default for PacketPath {
    fn default() -> Self {
        Self::new()
    }
}

impl PacketPath {
    /// The director; its flow table is never freed.
    ///
    /// # Panics
    ///
    /// When one of its services is refused.
    #[must_use]
    pub fn new() -> Self {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(FLOWS_MAX, Storage::leaked(FLOWS_MAX), hasher);
        let six = |group: u16, last| Ipv6Addr::new(0xfd00, group, 0, 0, 0, 0, 0, last);
        let mut tagged = Interface::new("lan0.7", InterfaceId(0), MAC, VLAN_MTU)
            .with_address([10, 0, 2, 1], 24)
            .with_address(six(2, 1), 64);
        (tagged.vlan, tagged.has_kernel) = (Some(VLAN), true);
        let hop =
            |interface, neighbour: IpAddr| Hop { interface: InterfaceId(interface), neighbour };
        let mac = MacAddress([2, 0, 0, 0, 2, 11]);
        let known = [
            hop(0, [10, 0, 1, 11].into()),
            hop(0, six(1, 0x11).into()),
            hop(0, [10, 0, 1, 2].into()),
            hop(0, six(1, 2).into()),
            hop(1, [10, 0, 2, 11].into()),
        ];
        let default = InterfaceAddress { address: [0, 0, 0, 0].into(), prefix: 0 };
        let network = Network {
            interfaces: vec![
                Interface::new("lan0", InterfaceId(0), MAC, MTU)
                    .with_address([10, 0, 1, 1], 24)
                    .with_address(six(1, 1), 64),
                tagged,
            ],
            routes: vec![Route::new(default, [10, 0, 1, 2].into())],
            permanent_neighbours: known.map(|hop| (hop, mac)).into(),
            ..Network::default()
        };
        let mut control = Control::new(flows, LIMITS, 1, hasher, network);
        for line in SERVICES.lines() {
            let words = ipvsadm::restore_words(line);
            let outcome = ipvsadm::execute(&words, &[], &mut control, &Numeric);
            assert_eq!(outcome.exit, 0, "{line}: {}", outcome.stderr);
        }
        let set = control.change_marks(|rules, _| -> Result<(), Infallible> {
            *rules = mark_rules();
            Ok(())
        });
        assert_eq!(set, Ok(()));
        let mut settings = *control.settings();
        (settings.schedule_icmp, settings.cache_bypass) = (true, true);
        control.set_settings(settings);
        control.publish();
        let director = Arc::clone(control.director());
        let worker = Worker::new(Arc::clone(&director), 0);
        let sweeper = control.sweeper();
        Self { control, director, worker, sweeper, now: Tick(1000) }
    }

    /// Takes an input's frames through the packet path, and lets everything expire.
    ///
    /// # Panics
    ///
    /// When a frame has no fate, or more than one, or something is left in the end.
    pub fn run(&mut self, mut input: &[u8]) {
        while let Some((head, rest)) = input.split_first_chunk::<2>() {
            let head = u16::from_be_bytes(*head);
            self.now = self.now.plus_seconds(u32::from(head >> 12));
            let (frame, rest) = rest.split_at(usize::from(head & 0x7ff).min(rest.len()));
            let mut frame = frame.to_vec();
            if head & 0x800 != 0 {
                mend(&mut frame);
            }
            self.frames(&[&frame]);
            input = rest;
        }
        self.expire_all();
    }

    /// Takes no packet on the fast path from now on.
    pub fn set_thorough(&mut self) {
        self.worker.set_thorough(true);
    }

    /// Lets time pass.
    pub fn wait(&mut self, seconds: u32) {
        self.now = self.now.plus_seconds(seconds);
    }

    /// All that was counted, and the connections that there are: equal texts, equal accounts.
    pub fn account(&self) -> String {
        let counters = &self.director.counters[0];
        let dropped = DropReason::ALL.iter().map(|&reason| (reason, counters.dropped(reason)));
        let dropped: Vec<_> = dropped.filter(|(_, count)| *count > 0).collect();
        let flows = &self.director.flows;
        let live = flows.live(1..FLOWS_MAX + 1).map(|(id, _)| flows.entry(id));
        let connections: Vec<_> = live.collect();
        format!("{dropped:?}\n{connections:?}\n{:?}", self.control.services())
    }

    /// Takes a burst of at most [`BURST_MAX`] frames through the packet path; what became of each.
    pub fn frames(&mut self, frames: &[&[u8]]) -> Vec<(Verdict, Vec<u8>)> {
        let before = self.fates();
        let mut buffers: Vec<_> = frames.iter().map(|bytes| MemoryFrame::new(bytes)).collect();
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        self.worker.boundary();
        let from = InterfaceId(0);
        let mut around = Around::default();
        self.worker.process(from, self.now, &mut buffers, &mut verdicts, &mut around);
        let after = self.fates();
        let count = frames.len() as u64;
        assert_eq!(after.0 - before.0, count, "frames that were received");
        let is_kept = |verdict: &&Verdict| matches!(verdict, Verdict::Wait(_) | Verdict::Hold(..));
        let kept = verdicts.iter().filter(is_kept).count() as u64;
        assert_eq!(after.1 - before.1 + kept, count, "frames that have a fate");
        for (verdict, buffer) in verdicts.iter().zip(&buffers) {
            let leaves =
                matches!(verdict, Verdict::Send(_) | Verdict::Answer(..) | Verdict::Wait(_));
            let length = buffer.bytes().len();
            // Tags stay on answers, and ARP is never larger than what asked.
            assert!(
                !leaves || (14..=14 + 8 + usize::from(MTU)).contains(&length),
                "{length} bytes"
            );
        }
        for (interface, length) in around.lengths {
            let mtu = if interface.0 == 0 { MTU } else { VLAN_MTU };
            assert!(length <= 14 + 4 + usize::from(mtu), "a piece of {length} bytes");
        }
        self.tell(&around.seen, &around.wanted, &around.path_mtus);
        verdicts.into_iter().zip(buffers.iter().map(|buffer| buffer.bytes().to_vec())).collect()
    }

    /// What the control plane would hear.
    fn tell(&mut self, seen: &[NeighbourSeen], wanted: &[Hop], mtus: &[(DestinationId, u16)]) {
        seen.iter().for_each(|seen| self.control.neighbour_seen(seen));
        wanted.iter().for_each(|&hop| self.control.neighbour_wanted(hop));
        mtus.iter().for_each(|&(server, mtu)| self.control.path_mtu_seen(server, mtu));
        let _asked_and_announced = self.control.tick(self.now);
    }

    /// Frames received, and the sum of all that can become of a frame.
    fn fates(&self) -> (u64, u64) {
        let counters = &self.director.counters[0];
        let dropped: u64 = DropReason::ALL.iter().map(|&reason| counters.dropped(reason)).sum();
        let others =
            [&counters.forwarded, &counters.answered, &counters.consumed, &counters.punted];
        (counters.received.get(), dropped + others.iter().map(|counter| counter.get()).sum::<u64>())
    }

    /// Lets time pass until no connection can be left.
    fn expire_all(&mut self) {
        self.now = self.now.plus_seconds(1000);
        // What controls others outlives them by a minute: FTP data, its control connection, the
        // template of that.
        for _ in 0..3 {
            self.worker.boundary();
            self.sweeper.step(&self.director, self.now);
            self.worker.boundary();
            self.sweeper.step(&self.director, self.now);
            self.now = self.now.plus_seconds(100);
        }
        assert_eq!(self.director.flows_used(), 0, "connections are left");
        let servers = self.control.services().into_iter().flat_map(|row| row.destinations);
        for row in servers {
            assert_eq!((row.active, row.inactive), (0, 0), "{:?}", row.destination);
        }
        for id in (0..).map(DestinationId).take(LIMITS.destinations_max) {
            let slot = self.director.slots.get(id);
            let counts = (slot.active(), slot.inactive(), slot.persistent());
            assert_eq!(counts, (0, 0, 0), "{id:?}");
        }
    }
}

/// Mends the checksums of IPv4 and ICMP, where there are headers of the lengths that they say:
/// nothing that changes bytes at random would come past them.
pub fn mend(frame: &mut [u8]) {
    let offset = if frame.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 };
    let Some(packet) = frame.get_mut(offset..) else { return };
    let is_v4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
    let length = packet.first().map_or(0, |byte| usize::from(byte & 15) * 4);
    if !is_v4 || length < ipv4::HEADER_LEN || packet.len() < length {
        return;
    }
    let (header, payload) = packet.split_at_mut(length);
    header[10..12].fill(0);
    let sum = Sum::default().add_bytes(header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let end = total.saturating_sub(length).min(payload.len());
    if header[9] == protocol::ICMP && end >= 4 {
        payload[2..4].fill(0);
        let sum = Sum::default().add_bytes(&payload[..end]).checksum();
        payload[2..4].copy_from_slice(&sum.to_be_bytes());
    }
}
