//! Real servers that are to lose their connections: weight 0 wherever they serve, and back.
//!
//! The weight that a server had is not remembered here: its slot knows the last one that was not 0
//! ([`DestinationSlot::last_weight`](crate::slots::DestinationSlot::last_weight)).

use std::net::IpAddr;

use super::{Control, ServerEnd};
use crate::destination::Destination;
use crate::operations::{OperationError, Operations};
use crate::service::ServiceKey;

/// A real server of one service, as far as draining goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainRow {
    pub service: ServiceKey,
    pub address: IpAddr,
    pub port: u16,
    pub weight: i32,
    /// The last weight that was not 0; 0 where there never was one.
    pub last_weight: u32,
    /// It was removed from the service; its connections are kept for its return.
    pub is_removed: bool,
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
}

/// Why there is nothing to drain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    #[error("{0} is a real server of no service")]
    NoServer(String),
    #[error("{0} is no real server of {1}")]
    NotOfService(String, ServiceKey),
    #[error(transparent)]
    Refused(#[from] OperationError),
}

impl Control {
    /// Gives a real server weight 0, at all services that have it or at one.
    ///
    /// # Errors
    ///
    /// No service has it.
    pub fn drain(
        &mut self,
        server: &ServerEnd,
        service: Option<&ServiceKey>,
    ) -> Result<Vec<DrainRow>, DrainError> {
        self.set_weights(server, service, |_, weight| (weight != 0).then_some(0))
    }

    /// Gives a real server of weight 0 the last one that was not 0, if it had any.
    ///
    /// # Errors
    ///
    /// No service has it.
    pub fn undrain(
        &mut self,
        server: &ServerEnd,
        service: Option<&ServiceKey>,
    ) -> Result<Vec<DrainRow>, DrainError> {
        self.set_weights(server, service, |last, weight| {
            let last = i32::try_from(last).ok()?;
            (weight == 0 && last != 0).then_some(last)
        })
    }

    /// What is left of a real server.
    ///
    /// # Errors
    ///
    /// No service has it, nor is it a removed one that has connections.
    pub fn draining(
        &self,
        server: &ServerEnd,
        service: Option<&ServiceKey>,
    ) -> Result<Vec<DrainRow>, DrainError> {
        let is_meant = |address: IpAddr, port| {
            address == server.address && server.port.is_none_or(|wanted| wanted == port)
        };
        let slots = &self.director.slots;
        let mut rows = Vec::new();
        for record in self.services.values().filter(|it| service.is_none_or(|key| key == it.key()))
        {
            let servers = record.servers().filter(|(it, ..)| is_meant(it.address, it.port));
            rows.extend(servers.map(|(&Destination { address, port, weight, .. }, id, _)| {
                let slot = slots.get(id);
                DrainRow {
                    service: *record.key(),
                    address,
                    port,
                    weight,
                    last_weight: slot.last_weight(),
                    is_removed: false,
                    active: slot.active(),
                    inactive: slot.inactive(),
                    persistent: slot.persistent(),
                }
            }));
        }
        let removed = self.removed_servers().into_iter();
        let removed = removed.filter(|it| {
            is_meant(it.address, it.port) && service.is_none_or(|key| *key == it.service)
        });
        rows.extend(removed.map(|it| DrainRow {
            service: it.service,
            address: it.address,
            port: it.port,
            weight: 0,
            last_weight: 0,
            is_removed: true,
            active: it.active,
            inactive: it.inactive,
            persistent: it.persistent,
        }));
        if rows.is_empty() {
            return Err(match service {
                Some(service) => DrainError::NotOfService(server.to_string(), *service),
                None => DrainError::NoServer(server.to_string()),
            });
        }
        Ok(rows)
    }

    /// Changes the weights of a real server: `change` gets the last weight that was not 0 and the
    /// one that it has.
    fn set_weights(
        &mut self,
        server: &ServerEnd,
        service: Option<&ServiceKey>,
        change: impl Fn(u32, i32) -> Option<i32>,
    ) -> Result<Vec<DrainRow>, DrainError> {
        for row in self.draining(server, service)?.iter().filter(|row| !row.is_removed) {
            let Some(weight) = change(row.last_weight, row.weight) else { continue };
            let record = self.services.values().find(|record| *record.key() == row.service);
            let mut servers = record.into_iter().flat_map(|record| record.servers());
            let found = servers.find(|(it, ..)| it.address == row.address && it.port == row.port);
            if let Some((&destination, ..)) = found {
                drop(servers);
                self.edit_destination(&row.service, Destination { weight, ..destination })?;
            }
        }
        self.draining(server, service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Network;
    use crate::director::Limits;
    use crate::flow::{FlowTable, Storage};
    use crate::hash::FlowHasher;
    use crate::ipvsadm::{Numeric, execute, restore_words};

    fn run(control: &mut Control, line: &str) {
        let outcome = execute(&restore_words(line), &[], control, &Numeric);
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
    }

    fn control() -> Control {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(64, Storage::leaked(64), hasher);
        let mut control =
            Control::new(flows, Limits::of_destinations(16), 1, hasher, Network::default());
        for line in [
            "-A -t 10.0.0.100:80",
            "-a -t 10.0.0.100:80 -r 10.0.2.11:80 -m -w 3 -x 10 -y 5",
            "-a -t 10.0.0.100:80 -r 10.0.2.11:81 -m -w 4",
            "-a -t 10.0.0.100:80 -r 10.0.2.12:80 -m",
            "-A -f 7",
            "-a -f 7 -r 10.0.2.11:80 -g -w 0",
        ] {
            run(&mut control, line);
        }
        control
    }

    fn weights(rows: &[DrainRow]) -> Vec<(String, u16, i32)> {
        rows.iter().map(|row| (row.service.to_string(), row.port, row.weight)).collect()
    }

    fn server(text: &str) -> ServerEnd {
        text.parse().unwrap()
    }

    #[test]
    fn weights_go_to_zero_everywhere_and_come_back() {
        let mut control = control();
        let tcp = || "tcp:10.0.0.100:80".to_owned();
        let rows = control.drain(&server("10.0.2.11"), None).unwrap();
        assert_eq!(weights(&rows), [(tcp(), 81, 0), (tcp(), 80, 0), ("fwm:7".to_owned(), 80, 0)]);
        // Once more changes nothing, and forgets nothing.
        control.drain(&server("10.0.2.11"), None).unwrap();
        let service = &control.services()[0];
        let others: Vec<_> = service.destinations.iter().map(|it| it.destination.weight).collect();
        assert_eq!(others, [1, 0, 0], "the other server keeps its weight");
        let edited = service.destinations[2].destination;
        assert_eq!((edited.upper_threshold, edited.lower_threshold), (10, 5));
        let rows = control.undrain(&server("10.0.2.11"), None).unwrap();
        assert_eq!(
            weights(&rows),
            [(tcp(), 81, 4), (tcp(), 80, 3), ("fwm:7".to_owned(), 80, 0)],
            "who never had a weight gets none"
        );
    }

    #[test]
    fn a_port_and_a_service_narrow_it_down() {
        let mut control = control();
        let rows = control.drain(&server("10.0.2.11:81"), None).unwrap();
        assert_eq!(weights(&rows), [("tcp:10.0.0.100:80".to_owned(), 81, 0)]);
        let key = "fwm:7".parse().unwrap();
        let rows = control.drain(&server("10.0.2.11"), Some(&key)).unwrap();
        assert_eq!(rows.len(), 1);
        let refusal = control.drain(&server("10.0.2.12"), Some(&key)).unwrap_err();
        assert_eq!(refusal.to_string(), "10.0.2.12 is no real server of fwm:7");
        let refusal = control.drain(&server("10.0.2.12:81"), None).unwrap_err();
        assert_eq!(refusal.to_string(), "10.0.2.12:81 is a real server of no service");
    }
}
