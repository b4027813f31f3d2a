//! What was decided of a packet, in a form that outlives its burst: the fragments behind a first
//! one follow it, whatever has become of the connection meanwhile.

use crate::address::Address;
use crate::connection::Decision;
use crate::destination::ForwardingMethod;
use crate::director::Director;
use crate::drops::DropReason;
use crate::interface::InterfaceId;
use crate::parse::Packet;
use crate::slots::DestinationId;

/// The course of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// By which interface the datagram comes.
    pub interface: InterfaceId,
    /// The hash of its flow.
    pub hash: u64,
    pub kind: CourseKind,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CourseKind {
    /// To a destination, whose address a NAT connection writes into it.
    Forward {
        server: DestinationId,
        method: ForwardingMethod,
        address: Address,
    },
    /// From a NAT destination back to a client, in the name of this address.
    Return {
        virtual_address: Address,
    },
    Route,
    /// For the director itself.
    Local(DropReason),
    Drop(DropReason),
}

impl Course {
    /// The course that a decision means for the fragments behind.
    pub fn of(director: &Director, packet: &Packet, decision: Decision) -> Self {
        let kind = match decision {
            Decision::Forward => {
                let method = director.flows.entry(packet.flow).state().method();
                let address = director.flows.server(packet.flow);
                match method {
                    ForwardingMethod::Bypass => CourseKind::Route,
                    _ => CourseKind::Forward { server: packet.server, method, address },
                }
            }
            Decision::Return => {
                let virtual_address = director.flows.virtual_end(packet.flow).0;
                CourseKind::Return { virtual_address }
            }
            Decision::Route | Decision::Inspect => CourseKind::Route,
            Decision::Local(reason) => CourseKind::Local(reason),
            Decision::Drop(reason) => CourseKind::Drop(reason),
        };
        Self { interface: packet.interface, hash: packet.hash, kind }
    }
}
