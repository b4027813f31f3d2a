//! A control plane for the unit tests of the verbs.

use lb_core::control::{Control, Network};
use lb_core::director::Limits;
use lb_core::flow::{FlowTable, Storage};
use lb_core::hash::FlowHasher;
use lb_core::interface::{Interface, InterfaceId};
use lb_core::ipvsadm::{Numeric, execute, restore_words};
use lb_core::wire::MacAddress;

/// Link-layer address of `lan0`.
pub(super) const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// A director at 10.0.0.1/24 on `lan0`, for one worker, after these lines of ipvsadm.
pub(super) fn control(lines: &[&str]) -> Control {
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows = FlowTable::new(1024, Storage::leaked(1024), hasher);
    let lan = Interface::new("lan0", InterfaceId(0), MAC, 1500).with_address([10, 0, 0, 1], 24);
    let network = Network { interfaces: vec![lan], ..Network::default() };
    let mut control = Control::new(flows, Limits::of_destinations(64), 1, hasher, network);
    for line in lines {
        let outcome = execute(&restore_words(line), &[], &mut control, &Numeric);
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
    }
    control.publish();
    control
}
