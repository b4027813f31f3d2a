//! ARP between the workers, who see and send frames, and the control plane, who knows neighbours.

use std::net::Ipv4Addr;
use std::thread::Thread;

use crossbeam::queue::ArrayQueue;
use lb_core::control::{ArpOut, Control};
use lb_core::interface::InterfaceId;
use lb_core::neighbour::ArpSeen;
use lb_core::reply::arp::{REQUEST_LEN_MAX, announce, request};
use lb_core::wire::MacAddress;
use lb_core::worker::Observer;

/// ARP packets that wait for the control plane at most. A flood loses its own tail: what matters
/// is asked for again.
const SEEN_MAX: usize = 1024;
/// Frames of the control plane that wait for a worker at most.
const OUT_MAX: usize = 1024;

/// Ethernet's shortest frame without FCS; shorter ones are padded.
const FRAME_MIN: usize = 60;
const _: () = assert!(REQUEST_LEN_MAX <= FRAME_MIN);

/// A frame that the control plane made.
#[derive(Clone, Copy, Debug)]
pub struct ControlFrame {
    pub interface: InterfaceId,
    pub bytes: [u8; FRAME_MIN],
}

/// The two queues. Nobody ever waits at them.
#[derive(Debug)]
pub struct ArpChannel {
    seen: ArrayQueue<ArpSeen>,
    out: ArrayQueue<ControlFrame>,
    /// The thread that works off what was seen.
    housekeeper: Thread,
}

impl ArpChannel {
    /// Empty queues; `housekeeper` is woken when something was seen.
    pub fn new(housekeeper: Thread) -> Self {
        Self { seen: ArrayQueue::new(SEEN_MAX), out: ArrayQueue::new(OUT_MAX), housekeeper }
    }

    /// Hands over what workers have seen.
    pub fn learn(&self, control: &mut Control) {
        while let Some(seen) = self.seen.pop() {
            control.arp_seen(&seen);
        }
    }

    /// Whether workers have seen something.
    pub fn has_news(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Queues frames for what the control plane wants to have sent.
    pub fn send(&self, control: &Control, wanted: &[ArpOut]) {
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
}

impl Observer for &ArpChannel {
    fn arp_seen(&mut self, seen: ArpSeen) {
        // Only the first of several wakes the housekeeper: a flood costs no system calls.
        let first = self.seen.is_empty();
        if self.seen.push(seen).is_ok() && first {
            self.wake();
        }
    }
}

fn frame_for(control: &Control, out: &ArpOut) -> Option<ControlFrame> {
    let mut bytes = [0; FRAME_MIN];
    let interface = match *out {
        ArpOut::Ask(question) => {
            let interface = question.hop.interface;
            let target = question.hop.neighbour;
            let to = question.last_known.unwrap_or(MacAddress::BROADCAST);
            request(&mut bytes, None, sender(control, interface, target)?, target, to)?;
            interface
        }
        ArpOut::Announce { interface, address } => {
            let mac = control.interfaces().get(usize::from(interface.0))?.mac;
            announce(&mut bytes, None, (mac, address))?;
            interface
        }
    };
    Some(ControlFrame { interface, bytes })
}

fn sender(
    control: &Control,
    interface: InterfaceId,
    target: Ipv4Addr,
) -> Option<(MacAddress, Ipv4Addr)> {
    let mac = control.interfaces().get(usize::from(interface.0))?.mac;
    Some((mac, control.source_address(interface, target)?))
}
