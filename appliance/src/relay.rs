//! Frames between the interfaces of the host's kernel and the ports, on a worker.
//!
//! What the kernel sends goes out as it is, with the tag of its VLAN, once the core has heard it:
//! it may be a reply of a real server on the host. One worker does that for all interfaces. What
//! the director gives to the kernel any worker does, through a queue that they share.

use lb_core::forward::insert_tag;
use lb_core::frame::Frame;
use lb_core::interface::{Interface, InterfaceId};

use crate::dpdk::{Burst, DropList, Mbuf, Queues, RxQueue, TxBuffer, queue};

/// Bytes of a frame that the MTU does not count; a tag that the kernel put in itself comes on top.
const HEADER_BYTES: usize = 14;

/// The kernel's ways out, for the worker that goes them.
#[derive(Debug, Default)]
pub struct FromKernel {
    links: Vec<Link>,
    burst: Burst,
}

/// One interface of the kernel and where its frames leave.
#[derive(Debug)]
struct Link {
    queue: RxQueue,
    /// The kernel's interface.
    interface: InterfaceId,
    /// The interface of the port's untagged frames.
    port: InterfaceId,
    vlan: Option<u16>,
    frame_max: usize,
}

/// The ways into the kernel of one worker, by interface.
#[derive(Debug, Default)]
pub struct ToKernel(Vec<Option<TxBuffer>>);

/// Shares out the queues of the kernel's interfaces: all that receive to one worker, and a way in
/// for each of `workers`.
pub fn share_out(
    queues: Vec<(InterfaceId, Queues)>,
    interfaces: &[Interface],
    workers: usize,
) -> (FromKernel, Vec<ToKernel>) {
    let mut from = FromKernel::default();
    let mut to: Vec<ToKernel> = (0..workers).map(|_| ToKernel::default()).collect();
    for (id, queues) in queues {
        let Some(interface) = interfaces.get(usize::from(id.0)) else { continue };
        from.links.extend(queues.rx.into_iter().map(|queue| Link {
            queue,
            interface: id,
            port: interface.port,
            vlan: interface.vlan,
            frame_max: usize::from(interface.mtu) + HEADER_BYTES,
        }));
        for (path, ToKernel(ways)) in queue::tx_paths(queues.tx, workers).into_iter().zip(&mut to) {
            ways.resize_with(interfaces.len(), || None);
            ways[usize::from(id.0)] = Some(TxBuffer::new(path));
        }
    }
    (from, to)
}

impl FromKernel {
    /// Hands every frame that the kernel has sent to `hear`, with its interface, and to `send`,
    /// with the port to leave by. Frames that are not to leave by what `hear` says, or that the
    /// link cannot take, as a NIC would not, are dropped. Returns how many came.
    pub fn relay(
        &mut self,
        mut hear: impl FnMut(InterfaceId, &mut Mbuf) -> bool,
        mut send: impl FnMut(InterfaceId, Mbuf),
        dropped: &mut DropList,
    ) -> usize {
        let mut frames = 0;
        for link in &self.links {
            frames += self.burst.rx(&link.queue);
            for mut mbuf in self.burst.drain() {
                let fits = mbuf.is_whole()
                    && hear(link.interface, &mut mbuf)
                    && mbuf.bytes().len() <= link.frame_max;
                if fits && link.vlan.is_none_or(|id| insert_tag(&mut mbuf, id).is_some()) {
                    send(link.port, mbuf);
                } else {
                    dropped.push(mbuf);
                }
            }
        }
        frames
    }
}

impl ToKernel {
    /// Gives a frame to the kernel; back comes one for which it has no interface.
    #[inline]
    pub fn push(&mut self, interface: InterfaceId, mbuf: Mbuf) -> Option<Mbuf> {
        match self.0.get_mut(usize::from(interface.0)) {
            Some(Some(way)) => {
                way.push(mbuf);
                None
            }
            _ => Some(mbuf),
        }
    }

    /// Sends what waits; returns how many frames the kernel did not take.
    pub fn flush(&mut self) -> u64 {
        self.0.iter_mut().flatten().map(|way| way.flush().failed).sum()
    }
}
