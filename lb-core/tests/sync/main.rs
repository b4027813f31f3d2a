//! The connection synchronisation: the kernel's datagrams, and directors that tell each other.

mod daemons;
mod messages;
mod takeover;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use lb_core::address::Address;
use lb_core::control::{Control, Network};
use lb_core::director::Limits;
use lb_core::flow::{FlowKey, FlowTable, Storage};
use lb_core::hash::FlowHasher;
use lb_core::ipvsadm::{self, Numeric};
use lb_core::operations::{DaemonRole, DaemonRow, OperationError};
use lb_core::sync::{Flags, Record, Transport};

/// A network of one interface, `d0`: what is sent, and what is to be received.
#[derive(Clone, Debug, Default)]
struct Wire {
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    waiting: Arc<Mutex<VecDeque<Vec<u8>>>>,
    open: Arc<Mutex<Vec<DaemonRole>>>,
}

impl Wire {
    fn take_sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    fn deliver(&self, datagram: &[u8]) {
        self.waiting.lock().unwrap().push_back(datagram.to_vec());
    }
}

impl Transport for Wire {
    fn mtu(&self, interface: &str) -> Option<u32> {
        (interface == "d0").then_some(1500)
    }

    fn open(&mut self, daemon: &DaemonRow) -> Result<(), OperationError> {
        self.open.lock().unwrap().push(daemon.role);
        Ok(())
    }

    fn close(&mut self, role: DaemonRole) {
        self.open.lock().unwrap().retain(|open| *open != role);
    }

    fn send(&mut self, datagram: &[u8]) -> bool {
        self.sent.lock().unwrap().push(datagram.to_vec());
        true
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let datagram = self.waiting.lock().unwrap().pop_front()?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Some(datagram.len())
    }
}

/// A director with the services of the captures, on a wire.
fn director(wire: &Wire) -> Control {
    let hasher = FlowHasher::new([1, 2, 3]);
    let flows = FlowTable::new(256, Storage::leaked(256), hasher);
    let limits = Limits { destinations_max: 16, datagrams_max: 1 };
    let mut control = Control::new(flows, limits, 0, hasher, Network::default());
    for line in [
        "-A -t 10.0.0.100:80 -s rr",
        "-a -t 10.0.0.100:80 -r 10.0.2.11:8080 -m",
        "-a -t 10.0.0.100:80 -r 10.0.2.12:8080 -m",
        "-A -u 10.0.0.100:53 -s rr -p 300",
        "-a -u 10.0.0.100:53 -r 10.0.2.11:53 -m",
        "-A -u 10.0.0.100:5060 -s rr -p 60 --pe sip",
        "-a -u 10.0.0.100:5060 -r 10.0.2.11:5060 -m",
        "-A -t [fd00::100]:80 -s rr",
        "-a -t [fd00::100]:80 -r [fd00:2::11]:80 -g",
        "-A -f 7 -s rr -p 300",
        "-a -f 7 -r 10.0.2.12 -g",
    ] {
        run(&mut control, line);
    }
    control.publish();
    let daemons = control.sync_daemons();
    daemons.lock().unwrap().set_transport(Box::new(wire.clone()));
    control
}

/// An ipvsadm command line that must work; what it prints.
fn run(control: &mut Control, line: &str) -> String {
    let outcome = ipvsadm::execute(&ipvsadm::restore_words(line), &[], control, &Numeric);
    assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
    outcome.stdout
}

/// A connection of 10.0.1.2 by NAT, as the captures have them.
fn record(client_port: u16, flags: u32, state: u16) -> Record {
    Record {
        key: FlowKey {
            protocol: 6,
            client: Address::v4(0x0a00_0102),
            client_port,
            virtual_address: Address::v4(0x0a00_0064),
            virtual_port: 80,
        },
        server: Address::v4(0x0a00_020b),
        server_port: 8080,
        flags: Flags(flags),
        state,
        mark: 0,
        timeout_s: 900,
        engine: None,
    }
}
