//! The implementations of [`Operations`] that the language is tested on.

use lb_core::control::{Acceptance, Control, Network};
use lb_core::director::Limits;
use lb_core::flow::{FlowTable, Storage};
use lb_core::hash::FlowHasher;
use lb_core::operations::{DaemonRole, DaemonRow, OperationError, Operations};
use lb_core::sync::Transport;

use crate::model::Model;

/// A plain table in memory that can do everything IPVS can, sync daemons too.
pub(crate) fn director() -> impl Operations {
    Model::default()
}

/// The real control plane, accepting also what its packet path cannot forward yet.
pub(crate) fn control() -> impl Operations {
    const FLOWS: usize = 16;
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows = FlowTable::new(FLOWS, Storage::leaked(FLOWS), hasher);
    let mut control =
        Control::new(flows, Limits::of_destinations(1024), 0, hasher, Network::default());
    control.set_acceptance(Acceptance::Everything);
    let daemons = control.sync_daemons();
    daemons.lock().unwrap().set_transport(Box::new(Silence));
    control
}

/// A network with the interface `d0` of the captures, where nobody is.
#[derive(Debug)]
struct Silence;

impl Transport for Silence {
    fn mtu(&self, interface: &str) -> Option<u32> {
        (interface == "d0").then_some(1500)
    }

    fn open(&mut self, _: &DaemonRow) -> Result<(), OperationError> {
        Ok(())
    }

    fn close(&mut self, _: DaemonRole) {}

    fn send(&mut self, _: &[u8]) -> bool {
        true
    }

    fn receive(&mut self, _: &mut [u8]) -> Option<usize> {
        None
    }
}
