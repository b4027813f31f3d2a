//! Real servers that were removed since workers saw the table last. Their connections go on until
//! workers are to see that they are gone; who returns before that was never away.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::Control;
use super::record::DestinationRecord;
use crate::counters::sum_destination;
use crate::route::Hop;
use crate::service::ServiceKey;
use crate::slots::DestinationId;

/// The slots of those, each with the way that led to it.
#[derive(Debug, Default)]
pub(super) struct Departures(HashMap<DestinationId, Option<Hop>>);

impl Control {
    /// Takes a destination out of its service, which has that number.
    pub(super) fn retire(&mut self, (key, number): (ServiceKey, u64), record: &DestinationRecord) {
        self.departures.0.insert(record.id, record.hop);
        self.totals.remove(sum_destination(&self.director.counters, record.id));
        self.trash.put(key, number, record);
    }

    /// A destination was added: the way to it is looked after, and its connections go on.
    pub(super) fn welcome(&mut self, id: DestinationId, way: Option<Hop>) {
        let before = self.departures.0.remove(&id).flatten();
        if before != way {
            if let Some(hop) = before {
                self.neighbours.remove_user(hop, id);
            }
            if let Some(hop) = way {
                self.neighbours.add_user(hop, id, &self.director.slots);
            }
        }
        self.director.slots.get(id).set_available(true);
    }

    /// Who was removed is gone from now on. Says whether anybody was.
    pub(super) fn settle_departures(&mut self) -> bool {
        let was_any = !self.departures.0.is_empty();
        for (id, way) in self.departures.0.drain() {
            self.director.slots.get(id).set_available(false);
            if let Some(hop) = way {
                self.neighbours.remove_user(hop, id);
            }
            if self.settings.expire_nodest_conn {
                self.director.has_orphans.store(true, Ordering::Release);
            }
        }
        was_any
    }
}

#[cfg(test)]
mod tests {
    use crate::control::{Control, Network};
    use crate::director::Limits;
    use crate::flow::{FlowTable, Storage};
    use crate::hash::FlowHasher;
    use crate::interface::{Interface, InterfaceId};
    use crate::ipvsadm::{Numeric, execute};
    use crate::neighbour::NeighbourSeen;
    use crate::slots::DestinationId;
    use crate::wire::MacAddress;

    const SERVER: [u8; 4] = [10, 0, 1, 11];

    /// One real server, whose neighbour answered.
    fn control() -> Control {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(64, Storage::leaked(64), hasher);
        let mac = MacAddress([2, 0, 0, 0, 0, 0x61]);
        let lan = Interface::new("lan0", InterfaceId(0), mac, 1500).with_address([10, 0, 1, 1], 24);
        let network = Network { interfaces: vec![lan], ..Network::default() };
        let limits = Limits { destinations_max: 2, datagrams_max: 64 };
        let mut control = Control::new(flows, limits, 1, hasher, network);
        restore(&mut control, RULES);
        control.publish();
        control.neighbour_seen(&NeighbourSeen {
            interface: InterfaceId(0),
            address: SERVER.into(),
            mac: MacAddress([2, 0, 0, 0, 0, 0x11]),
        });
        control
    }

    const RULES: &str = "-A -t 10.0.0.100:80\n-a -t 10.0.0.100:80 -r 10.0.1.11 -g\n";

    fn restore(control: &mut Control, lines: &str) {
        let outcome = execute(&["-R"], lines.as_bytes(), control, &Numeric);
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""));
    }

    /// Whether packets of its connections reach the server.
    fn is_reached(control: &Control) -> bool {
        let slot = control.director.slots.get(DestinationId(0));
        slot.is_available() && slot.next_hop().is_some()
    }

    #[test]
    fn a_table_that_is_replaced_at_once_interrupts_nobody() {
        let mut control = control();
        assert!(is_reached(&control));
        restore(&mut control, "-C\n");
        assert!(is_reached(&control), "nobody knows yet");
        restore(&mut control, RULES);
        assert!(is_reached(&control));
        control.publish();
        assert!(is_reached(&control));
        assert_eq!(control.neighbours().map(|row| row.users).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn who_was_removed_is_gone_when_that_is_published() {
        let mut control = control();
        restore(&mut control, "-d -t 10.0.0.100:80 -r 10.0.1.11\n");
        control.publish();
        assert!(!control.director.slots.get(DestinationId(0)).is_available());
        assert_eq!(control.neighbours().count(), 0);
        restore(&mut control, "-a -t 10.0.0.100:80 -r 10.0.1.11 -g\n");
        assert!(control.director.slots.get(DestinationId(0)).is_available());
        assert!(!is_reached(&control), "its neighbour is to be asked again");
    }
}
