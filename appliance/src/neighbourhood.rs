//! ARP and neighbour discovery between the workers, who see and send frames, and the control plane,
//! who knows neighbours.

use std::net::IpAddr;
use std::thread::Thread;

use crossbeam::queue::ArrayQueue;
use lb_core::control::{Control, NeighbourOut};
use lb_core::interface::{Interface, InterfaceId};
use lb_core::neighbour::NeighbourSeen;
use lb_core::reply::{arp, neighbour};
use lb_core::route::Hop;
use lb_core::slots::DestinationId;
use lb_core::wire::MacAddress;

/// What workers have seen that waits for the control plane at most. A flood loses its own tail:
/// what matters is asked for again.
const SEEN_MAX: usize = 1024;
/// What workers want to know that waits at most. Apart from what they have seen: packets to hosts
/// that are not there must not keep answers of those that are from being heard.
const WANTED_MAX: usize = 256;
/// Frames of the control plane that wait for a worker at most.
const OUT_MAX: usize = 1024;

/// Ethernet's shortest frame without FCS; shorter ones are padded.
const FRAME_MIN: usize = 60;
/// The longest frame that the control plane makes.
const FRAME_MAX: usize = 96;
const _: () = assert!(arp::REQUEST_LEN_MAX <= FRAME_MIN);
const _: () = assert!(neighbour::SOLICITATION_LEN_MAX <= FRAME_MAX);

/// A frame that the control plane made.
#[derive(Clone, Copy, Debug)]
pub struct ControlFrame {
    pub interface: InterfaceId,
    bytes: [u8; FRAME_MAX],
    length: usize,
}

impl ControlFrame {
    /// The frame, padded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What a worker's packet is in need of.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Neighbour(Hop),
    PathMtu(DestinationId, u16),
}

/// The queues. Nobody ever waits at them.
#[derive(Debug)]
pub struct Neighbourhood {
    seen: ArrayQueue<NeighbourSeen>,
    wanted: ArrayQueue<Wanted>,
    out: ArrayQueue<ControlFrame>,
    /// The thread that works off what was seen.
    housekeeper: Thread,
}

impl Neighbourhood {
    /// Empty queues; `housekeeper` is woken when something was seen.
    pub fn new(housekeeper: Thread) -> Self {
        Self {
            seen: ArrayQueue::new(SEEN_MAX),
            wanted: ArrayQueue::new(WANTED_MAX),
            out: ArrayQueue::new(OUT_MAX),
            housekeeper,
        }
    }

    /// Hands over what workers have seen and want.
    pub fn learn(&self, control: &mut Control) {
        while let Some(seen) = self.seen.pop() {
            control.neighbour_seen(&seen);
        }
        while let Some(wanted) = self.wanted.pop() {
            match wanted {
                Wanted::Neighbour(hop) => control.neighbour_wanted(hop),
                Wanted::PathMtu(server, mtu) => control.path_mtu_seen(server, mtu),
            }
        }
    }

    /// Whether workers have seen or want something.
    pub fn has_news(&self) -> bool {
        !self.seen.is_empty() || !self.wanted.is_empty()
    }

    /// Queues frames for what the control plane wants to have sent.
    pub fn send(&self, control: &Control, wanted: &[NeighbourOut]) {
        for out in wanted {
            if let Some(frame) = frame_for(control, out) {
                // A full queue means that no worker runs; all of this is said again later.
                let _ = self.out.push(frame);
            }
        }
    }

    /// The next frame to send, for the worker that sends them.
    #[inline]
    pub fn next_frame(&self) -> Option<ControlFrame> {
        if self.out.is_empty() { None } else { self.out.pop() }
    }

    /// Wakes the housekeeper: there is work that should not wait for its next round.
    pub fn wake(&self) {
        self.housekeeper.unpark();
    }

    /// A worker has seen a neighbour.
    pub fn neighbour_seen(&self, seen: NeighbourSeen) {
        self.tell(&self.seen, seen);
    }

    /// A worker's packet waits for a neighbour.
    pub fn neighbour_wanted(&self, hop: Hop) {
        self.tell(&self.wanted, Wanted::Neighbour(hop));
    }

    /// A worker was told of a narrow way.
    pub fn path_mtu_seen(&self, server: DestinationId, mtu: u16) {
        self.tell(&self.wanted, Wanted::PathMtu(server, mtu));
    }

    fn tell<T>(&self, queue: &ArrayQueue<T>, news: T) {
        // Only the first of several wakes the housekeeper: a flood costs no system calls.
        let first = queue.is_empty();
        if queue.push(news).is_ok() && first {
            self.wake();
        }
    }
}

fn frame_for(control: &Control, out: &NeighbourOut) -> Option<ControlFrame> {
    let mut bytes = [0; FRAME_MAX];
    let (interface, length) = match *out {
        NeighbourOut::Ask(question) => {
            let hop = question.hop;
            let interface = control.interfaces().get(usize::from(hop.interface.0))?;
            let source = control.source_address(hop.interface, hop.neighbour)?;
            let length = ask(&mut bytes, interface, source, hop.neighbour, question.last_known)?;
            (hop.interface, length)
        }
        NeighbourOut::Announce { interface: id, address } => {
            let interface = control.interfaces().get(usize::from(id.0))?;
            let is_router = control.settings().ip_forward;
            (id, announce(&mut bytes, interface, address, is_router)?)
        }
    };
    Some(ControlFrame { interface, bytes, length: length.max(FRAME_MIN) })
}

fn ask(
    buffer: &mut [u8],
    interface: &Interface,
    source: IpAddr,
    target: IpAddr,
    last_known: Option<MacAddress>,
) -> Option<usize> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let to = last_known.unwrap_or(MacAddress::BROADCAST);
            arp::request(buffer, interface.vlan, (interface.mac, source), target, to)
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let sender = (interface.mac, source);
            neighbour::solicit(buffer, interface.vlan, sender, target, last_known)
        }
        _ => None,
    }
}

fn announce(
    buffer: &mut [u8],
    interface: &Interface,
    address: IpAddr,
    is_router: bool,
) -> Option<usize> {
    match address {
        IpAddr::V4(address) => arp::announce(buffer, interface.vlan, (interface.mac, address)),
        IpAddr::V6(address) => {
            neighbour::announce(buffer, interface.vlan, (interface.mac, address), is_router)
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_core::control::Network;
    use lb_core::director::Limits;
    use lb_core::flow::{FlowTable, Storage};
    use lb_core::hash::FlowHasher;
    use lb_core::neighbour::Question;
    use lb_core::wire::show;

    use super::*;

    fn neighbourhood() -> Neighbourhood {
        Neighbourhood::new(std::thread::current())
    }

    /// A control plane with a port and a VLAN on it.
    fn control() -> Control {
        let mac = MacAddress([2, 0, 0, 0, 0, 0x61]);
        let lan = Interface::new("lan0", InterfaceId(0), mac, 1500)
            .with_address([10, 0, 10, 61], 24)
            .with_address("fd00::61".parse::<IpAddr>().unwrap(), 64);
        let vlan = Interface { vlan: Some(7), addresses: Vec::new(), ..lan.clone() };
        let hasher = FlowHasher::new([0; 3]);
        let flows = FlowTable::new(1, Storage::leaked(1), hasher);
        let network = Network { interfaces: vec![lan, vlan], ..Network::default() };
        Control::new(flows, Limits::of_destinations(1), 0, hasher, network)
    }

    fn shown(out: NeighbourOut) -> String {
        let (neighbourhood, control) = (neighbourhood(), control());
        neighbourhood.send(&control, &[out]);
        let frame = neighbourhood.next_frame().unwrap();
        assert!(frame.bytes().len() >= FRAME_MIN);
        show(frame.bytes())
    }

    #[test]
    fn neighbours_are_asked_for_in_their_own_family() {
        let ask = |interface, neighbour: &str, last_known| {
            let neighbour = neighbour.parse().unwrap();
            let hop = Hop { interface: InterfaceId(interface), neighbour };
            shown(NeighbourOut::Ask(Question { hop, last_known }))
        };
        let text = ask(0, "10.0.10.83", None);
        assert!(text.contains("arp who-has 10.0.10.83 tell 10.0.10.61"), "{text}");
        let text = ask(0, "fd00::83", None);
        assert!(text.contains("33:33:ff:00:00:83") && text.contains("fd00::83"), "{text}");
        let text = ask(1, "fe80::1", Some(MacAddress([2, 0, 0, 0, 0, 1])));
        assert!(text.contains("02:00:00:00:00:01") && text.contains("vlan 7"), "{text}");
    }

    #[test]
    fn addresses_are_announced_in_their_own_family() {
        let announce = |interface, address: &str| {
            let address = address.parse().unwrap();
            shown(NeighbourOut::Announce { interface: InterfaceId(interface), address })
        };
        let text = announce(1, "10.0.10.100");
        assert!(text.contains("vlan 7 arp who-has 10.0.10.100 tell 10.0.10.100"), "{text}");
        let text = announce(0, "fd00::100");
        assert!(text.contains("33:33:00:00:00:01") && text.contains("fd00::100"), "{text}");
    }

    #[test]
    fn a_flood_loses_its_tail() {
        let neighbourhood = neighbourhood();
        for last in 0..=u16::MAX {
            neighbourhood.path_mtu_seen(DestinationId(0), last);
        }
        assert!(neighbourhood.has_news());
        neighbourhood.learn(&mut control());
        assert!(!neighbourhood.has_news());
    }
}
