//! A packet's fate in words: the comment that a capture has about it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lb_core::control::{Control, SlotOwner};
use lb_core::slots::DestinationId;

use super::record::{Fate, Record};
use crate::lock::lock;

/// How long names of real servers are believed, and how often an unknown one is asked for.
const FRESH: Duration = Duration::from_secs(2);

/// Who tells fates in words: knows the real servers by their slots.
#[derive(Debug)]
pub struct Teller<'a> {
    control: &'a Mutex<Control>,
    owners: HashMap<DestinationId, SlotOwner>,
    asked: Instant,
}

impl<'a> Teller<'a> {
    /// Knows the real servers as they are now.
    pub fn new(control: &'a Mutex<Control>) -> Self {
        let owners = lock(control).owners_of_slots();
        Self { control, owners, asked: Instant::now() }
    }

    /// What became of a packet on a worker.
    pub fn tell(&mut self, record: &Record, worker: usize) -> String {
        let server = record.server.map(|slot| self.server(slot));
        let said = said(record, server.as_deref());
        if record.number == 0 {
            return format!("{said}; worker {worker}");
        }
        let which = if record.is_sent { "of packet" } else { "packet" };
        format!("{said}; worker {worker}, {which} {}", record.number)
    }

    fn server(&mut self, slot: DestinationId) -> String {
        if self.asked.elapsed() > FRESH {
            self.owners = lock(self.control).owners_of_slots();
            self.asked = Instant::now();
        }
        match self.owners.get(&slot) {
            Some(SlotOwner { service, address, port }) => {
                format!("server {} of {service}", std::net::SocketAddr::new(*address, *port))
            }
            // Nobody's slot, of connections that bypass; or one whose owner has gone since.
            None => "no server".to_owned(),
        }
    }
}

fn said(record: &Record, server: Option<&str>) -> String {
    let is_sent = record.is_sent;
    let of_server = server.map(|server| format!(" {server}")).unwrap_or_default();
    match record.fate {
        Fate::ToServer if is_sent => format!("sent to{of_server}"),
        Fate::ToServer => format!("to{of_server}"),
        Fate::ToClient if is_sent => format!("sent to its client, from{of_server}"),
        Fate::ToClient => format!("to its client, from{of_server}"),
        Fate::Routed if is_sent => "sent on its route".to_owned(),
        Fate::Routed => "routed, of no connection".to_owned(),
        Fate::PassedOn if is_sent => "sent to whom it concerns".to_owned(),
        Fate::PassedOn => "passed on to whom it concerns".to_owned(),
        Fate::InPieces => format!("cut in pieces, as its way takes no larger packets{of_server}"),
        Fate::Waits => match server {
            Some(server) => format!("waits for the link-layer address of {server}"),
            None => "waits for the link-layer address of its next hop".to_owned(),
        },
        Fate::Held => "waits for the first fragment of its datagram".to_owned(),
        Fate::ToKernel => "to the host's kernel".to_owned(),
        Fate::Consumed => "taken in, nothing leaves".to_owned(),
        Fate::Answered if is_sent => "answer".to_owned(),
        Fate::Answered => "answered".to_owned(),
        Fate::Dropped(reason) => format!("dropped: {}", reason.name()),
        Fate::Refused(reason) if is_sent => format!("answer, dropped: {}", reason.name()),
        Fate::Refused(reason) => format!("dropped: {}, its sender is told", reason.name()),
        Fate::Released => "sent after it had waited".to_owned(),
        Fate::Made => "sent, made by the director".to_owned(),
        Fate::FromKernel => "sent for the host's kernel".to_owned(),
    }
}
