//! Several commands that change everything they say, or nothing.
//!
//! They are rehearsed on a plain model of the table, with the checks of the table itself
//! ([`checks`]), and carried out when none of them was refused. What workers do meanwhile takes
//! nothing away that the rehearsal found: connections of removed real servers only end.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::Control;
use super::checks::{self, TableView};
use super::support::Acceptance;
use crate::ipvsadm::{self, Command, Reply};
use crate::operations::{OperationError, Refused};
use crate::service::ServiceKey;

impl Control {
    /// Whether these commands can be done one after the other. Changes nothing.
    ///
    /// # Errors
    ///
    /// The first command that is refused, and why. Listings, restores and sync daemons cannot be
    /// part of it.
    pub fn rehearse(&self, commands: &[Command]) -> Result<(), Refused> {
        let mut rehearsal = Rehearsal::of(self);
        for (index, command) in commands.iter().enumerate() {
            rehearsal.play(command).map_err(|error| Refused { index, error })?;
        }
        Ok(())
    }

    /// Does all of these commands, or nothing. Workers see the changes at the next
    /// [`Control::publish`], all at once.
    ///
    /// # Errors
    ///
    /// Those of [`Control::rehearse`]; nothing has changed then.
    pub fn apply_all(&mut self, commands: &[Command]) -> Result<(), Refused> {
        self.rehearse(commands)?;
        for (index, command) in commands.iter().enumerate() {
            if let Reply::Refused(error) = ipvsadm::apply(command, self) {
                debug_assert!(false, "{command:?} was rehearsed: {error}");
                return Err(Refused { index, error });
            }
        }
        Ok(())
    }
}

/// Where a real server is: its service, its address and port.
pub(super) type Place = (ServiceKey, IpAddr, u16);

/// The table as far as checks go by it.
struct Rehearsal {
    acceptance: Acceptance,
    is_synchronised: bool,
    destinations_max: usize,
    services: HashMap<ServiceKey, Planned>,
    /// Slots that a new real server can have: free ones, and those of removed real servers that
    /// nothing needs any more. Which one it gets does not matter: a removed one that returns has
    /// its own, or another one if that is gone, so each takes one of them.
    slots: usize,
    /// Removed real servers that need their slots: only they themselves can have those.
    removed: HashSet<Place>,
}

/// A service of it.
struct Planned {
    scheduler: String,
    destinations: HashSet<(IpAddr, u16)>,
}

impl TableView for Rehearsal {
    fn acceptance(&self) -> Acceptance {
        self.acceptance
    }

    fn service(&self, key: &ServiceKey) -> Option<(&str, usize)> {
        let planned = self.services.get(key)?;
        Some((&planned.scheduler, planned.destinations.len()))
    }

    fn has_destination(&self, key: &ServiceKey, address: IpAddr, port: u16) -> bool {
        let planned = self.services.get(key);
        planned.is_some_and(|planned| planned.destinations.contains(&(address, port)))
    }

    fn is_synchronised(&self) -> bool {
        self.is_synchronised
    }
}

impl Rehearsal {
    fn of(control: &Control) -> Self {
        let services = control.services.iter().map(|(&key, record)| {
            let ends = record.destinations().iter().map(|(&end, _)| end);
            let scheduler = record.service.scheduler.clone();
            (key, Planned { scheduler, destinations: ends.collect() })
        });
        let (slots, removed) = control.trash.supply(&control.director);
        Self {
            acceptance: control.acceptance,
            is_synchronised: control.is_synchronised(),
            destinations_max: control.director.slots.len(),
            services: services.collect(),
            slots,
            removed,
        }
    }

    /// Does to the model what a command does to the table.
    fn play(&mut self, command: &Command) -> Result<(), OperationError> {
        match command {
            Command::AddService(service) => {
                checks::add_service(self, service)?;
                let scheduler = service.scheduler.clone();
                let planned = Planned { scheduler, destinations: HashSet::new() };
                self.services.insert(service.key, planned);
            }
            Command::EditService(service) => {
                checks::edit_service(self, service)?;
                if let Some(planned) = self.services.get_mut(&service.key) {
                    planned.scheduler.clone_from(&service.scheduler);
                }
            }
            Command::DeleteService(key) => {
                checks::has_service(self, key)?;
                let planned = self.services.remove_entry(key);
                self.retire(planned.into_iter());
            }
            Command::Clear => {
                let services = std::mem::take(&mut self.services);
                self.retire(services.into_iter());
            }
            Command::AddDestination { service, destination } => {
                checks::add_destination(self, service, destination)?;
                self.take_slot(&(*service, destination.address, destination.port))?;
                if let Some(planned) = self.services.get_mut(service) {
                    planned.destinations.insert((destination.address, destination.port));
                }
            }
            Command::EditDestination { service, destination } => {
                checks::edit_destination(self, service, destination)?;
            }
            &Command::DeleteDestination { service, address, port } => {
                checks::delete_destination(self, &service, address, port)?;
                if let Some(planned) = self.services.get_mut(&service) {
                    planned.destinations.remove(&(address, port));
                }
                self.removed.insert((service, address, port));
            }
            Command::Zero(Some(key)) => checks::has_service(self, key)?,
            Command::Zero(None) | Command::SetTimeouts(_) => {}
            other => {
                return Err(OperationError::NotSupported(format!(
                    "{} cannot be done together with other commands or not at all; give it alone",
                    other.name()
                )));
            }
        }
        Ok(())
    }

    /// The slots of removed services' real servers are their own for now.
    fn retire(&mut self, services: impl Iterator<Item = (ServiceKey, Planned)>) {
        self.removed.extend(services.flat_map(|(key, planned)| {
            planned.destinations.into_iter().map(move |(address, port)| (key, address, port))
        }));
    }

    fn take_slot(&mut self, place: &Place) -> Result<(), OperationError> {
        if !self.removed.remove(place) {
            let left = self.slots.checked_sub(1);
            self.slots = left.ok_or_else(|| checks::no_slot(self.destinations_max))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::Address;
    use crate::clock::Tick;
    use crate::control::Network;
    use crate::destination::{Destination, ForwardingMethod};
    use crate::director::Limits;
    use crate::flow::{FlowTable, Storage};
    use crate::hash::FlowHasher;
    use crate::ipvsadm::{Numeric, execute, parse, restore_words};
    use crate::operations::{Operations, TimeoutSettings};
    use crate::protocol::Protocol;
    use crate::sched::{Candidates, Request};
    use crate::service::{Family, Service};
    use crate::slots::DestinationId;

    const DESTINATIONS_MAX: u32 = 3;

    fn control() -> Control {
        let hasher = FlowHasher::new([1, 2, 3]);
        let flows = FlowTable::new(64, Storage::leaked(64), hasher);
        let limits = Limits { destinations_max: DESTINATIONS_MAX as usize, datagrams_max: 64 };
        Control::new(flows, limits, 1, hasher, Network::default())
    }

    fn commands(lines: &[&str]) -> Vec<Command> {
        lines.iter().map(|line| parse(&restore_words(line), &Numeric).unwrap()).collect()
    }

    /// All that an operator sees, and the room that is left.
    fn picture(control: &Control) -> String {
        let (slots, removed) = control.trash.supply(&control.director);
        let mut removed: Vec<_> = removed.into_iter().map(|place| format!("{place:?}")).collect();
        removed.sort();
        let Control { timeouts, changed, .. } = control;
        let (services, totals) = (control.services(), control.totals());
        format!("{services:?} {totals:?} {timeouts:?} {changed} {slots} {removed:?}")
    }

    /// What happens before the commands.
    #[derive(Clone, Debug)]
    enum Step {
        Command(Command),
        /// Workers see what was changed, and let go of what was before.
        Tick,
        /// A connection begins, a packet is counted.
        Begin(u32),
        /// A connection ends.
        End(u32),
    }

    fn play(control: &mut Control, steps: &[Step]) {
        let mut connections = [0; DESTINATIONS_MAX as usize];
        for (step, now) in steps.iter().zip((1..).map(|second| Tick(second * 8))) {
            match step {
                Step::Command(command) => _ = ipvsadm::apply(command, control),
                Step::Tick => _ = control.tick(now),
                &Step::Begin(slot) => {
                    control.director.slots.bind(DestinationId(slot), true);
                    let tally = control.director.counters[0].destination(DestinationId(slot));
                    tally.packets_in.add(1);
                    connections[slot as usize] += 1;
                }
                &Step::End(slot) if connections[slot as usize] > 0 => {
                    control.director.slots.unbind(DestinationId(slot), true);
                    connections[slot as usize] -= 1;
                }
                Step::End(_) => {}
            }
        }
    }

    fn key() -> impl Strategy<Value = ServiceKey> {
        let address = |protocol, address: &str, port| ServiceKey::Address {
            protocol,
            address: address.parse().unwrap(),
            port,
        };
        prop::sample::select(vec![
            address(Protocol::Tcp, "10.0.0.100", 80),
            address(Protocol::Udp, "fd00::100", 53),
            ServiceKey::Mark { mark: 7, family: Family::V4 },
        ])
    }

    fn service() -> impl Strategy<Value = Service> {
        let schedulers = prop::sample::select(vec!["wlc", "rr", "mh", "lblc", "unknown"]);
        let engines = prop::sample::select(vec![None, None, Some("sip"), Some("unknown")]);
        (key(), schedulers, engines).prop_map(|(key, scheduler, engine)| Service {
            scheduler: scheduler.to_owned(),
            persistence_engine: engine.map(str::to_owned),
            ..Service::new(key)
        })
    }

    fn end() -> impl Strategy<Value = IpAddr> {
        let addresses =
            ["10.0.2.11", "10.0.2.12", "10.0.2.13", "10.0.2.14", "224.0.0.1", "fd00::11"];
        prop::sample::select(addresses.map(|address| address.parse().unwrap()).to_vec())
    }

    fn destination() -> impl Strategy<Value = Destination> {
        use ForwardingMethod::{Bypass, DirectRouting, Masquerading, Tunneling};
        let methods = vec![DirectRouting, Masquerading, Tunneling, Tunneling, Bypass];
        let weights = prop::sample::select(vec![-1, 0, 1, 1, 5]);
        let thresholds = prop::sample::select(vec![(0, 0), (0, 0), (5, 2), (2, 5)]);
        (end(), prop::sample::select(methods), weights, thresholds).prop_map(
            |(address, method, weight, (upper_threshold, lower_threshold))| Destination {
                method,
                weight,
                upper_threshold,
                lower_threshold,
                ..Destination::new(address, 80)
            },
        )
    }

    fn command() -> impl Strategy<Value = Command> {
        let timeouts = TimeoutSettings { tcp_s: 77, tcp_fin_s: 0, udp_s: 0 };
        let with_service = |make: fn(ServiceKey, Destination) -> Command| {
            (key(), destination()).prop_map(move |(key, destination)| make(key, destination))
        };
        prop_oneof![
            6 => service().prop_map(Command::AddService),
            2 => service().prop_map(Command::EditService),
            1 => key().prop_map(Command::DeleteService),
            1 => Just(Command::Clear),
            16 => with_service(|service, destination| {
                Command::AddDestination { service, destination }
            }),
            3 => with_service(|service, destination| {
                Command::EditDestination { service, destination }
            }),
            6 => with_service(|service, Destination { address, port, .. }| {
                Command::DeleteDestination { service, address, port }
            }),
            1 => prop::option::of(key()).prop_map(Command::Zero),
            1 => Just(Command::SetTimeouts(timeouts)),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => command().prop_map(Step::Command),
            2 => Just(Step::Tick),
            1 => (0..DESTINATIONS_MAX).prop_map(Step::Begin),
            1 => (0..DESTINATIONS_MAX).prop_map(Step::End),
        ]
    }

    /// Commands most of which go through: those that do not are left out.
    fn fitting(mut control: Control, commands: Vec<Command>, all_but: usize) -> Vec<Command> {
        let mut refused = 0;
        let goes_through = |command: &Command| {
            let is_refused = matches!(ipvsadm::apply(command, &mut control), Reply::Refused(_));
            refused += usize::from(is_refused);
            !is_refused || refused > all_but
        };
        commands.into_iter().filter(goes_through).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The rehearsal says what carrying the commands out says, and a batch that is refused
        /// changes nothing that anybody could see.
        #[test]
        fn a_rehearsal_foretells_what_happens(
            steps in prop::collection::vec(step(), 0..25),
            batch in prop::collection::vec(command(), 0..30),
            refused in prop::sample::select(vec![3_usize, usize::MAX]),
        ) {
            let mut controls = [control(), control(), control()];
            controls.iter_mut().for_each(|control| play(control, &steps));
            let [mut atomic, mut one_by_one, trial] = controls;
            let batch = fitting(trial, batch, refused);
            let first_refused = batch.iter().enumerate().find_map(|(index, command)| {
                match ipvsadm::apply(command, &mut one_by_one) {
                    Reply::Refused(error) => Some(Refused { index, error }),
                    _ => None,
                }
            });
            let before = picture(&atomic);
            prop_assert_eq!(&atomic.rehearse(&batch).err(), &first_refused);
            prop_assert_eq!(&picture(&atomic), &before);
            prop_assert_eq!(&atomic.apply_all(&batch).err(), &first_refused);
            let after = if first_refused.is_some() { before } else { picture(&one_by_one) };
            prop_assert_eq!(picture(&atomic), after);
        }
    }

    /// lblc remembers the only server, which is removed: its slot counts as free, and is.
    #[test]
    fn what_a_scheduler_remembers_gives_way() {
        let mut control = control();
        let setup = "-A -u 10.0.0.100:53 -s lblc\n-a -u 10.0.0.100:53 -r 10.0.2.11\n\
                     -A -u 10.0.0.101:53\n-a -u 10.0.0.101:53 -r 10.0.2.12\n\
                     -a -u 10.0.0.101:53 -r 10.0.2.13";
        assert_eq!(execute(&["-R"], setup.as_bytes(), &mut control, &Numeric).exit, 0);
        control.publish();
        let snapshot = control.director.snapshot.load_full();
        let service = snapshot.services.find(0, 17, Address::v4(0x0a00_0064), 53).unwrap();
        let request = Request {
            client: Address::v4(0x0a00_0101),
            client_port: 40000,
            destination: Address::v4(0x0a00_0064),
            flags: service.scheduler_flags,
            now: Tick(8),
            settings: &snapshot.settings,
        };
        let (ids, servers) = (&service.destinations, &service.servers);
        let candidates = Candidates { ids, servers, slots: &control.director.slots };
        assert_eq!(service.scheduler.pick(&request, candidates), Some(0));
        control.apply_all(&commands(&["-d -u 10.0.0.100:53 -r 10.0.2.11"])).unwrap();
        let other = commands(&["-a -u 10.0.0.100:53 -r 10.0.2.14"]);
        assert!(control.rehearse(&other).is_err(), "workers may know it yet");
        control.tick(Tick(16));
        assert!(!control.director.slots.get(DestinationId(0)).is_idle(), "it is remembered");
        control.apply_all(&other).unwrap();
        assert!(control.rehearse(&commands(&["-a -u 10.0.0.100:53 -r 10.0.2.15"])).is_err());
    }

    #[test]
    fn workers_see_a_batch_at_once_and_a_refused_one_never() {
        let mut control = control();
        let is_known = |control: &Control| {
            let snapshot = control.director.snapshot.load();
            snapshot.services.find(0, 6, Address::v4(0x0a00_0064), 80).is_some()
        };
        let good = commands(&["-A -t 10.0.0.100:80", "-a -t 10.0.0.100:80 -r 10.0.2.11"]);
        let mut bad = good.clone();
        bad.extend(commands(&["-D -t 10.0.0.100:80", "-a -t 10.0.0.100:80 -r 10.0.2.12"]));
        let refused = control.apply_all(&bad).unwrap_err();
        assert_eq!(refused.to_string(), "command 4: Service not defined");
        control.publish();
        assert!(!is_known(&control));
        control.apply_all(&good).unwrap();
        assert!(!is_known(&control));
        control.publish();
        assert!(is_known(&control));
    }

    #[test]
    fn what_cannot_be_undone_or_says_something_is_no_part() {
        let refused = [
            "-Ln",
            "-S",
            "-R",
            "-R --atomic",
            "-h",
            "-v",
            "--start-daemon master",
            "--stop-daemon backup",
        ];
        for line in refused {
            let all = commands(&["-A -t 10.0.0.100:80", line]);
            let Refused { index, error } = control().rehearse(&all).unwrap_err();
            let name = line.trim_end_matches('n').split(' ').next().unwrap();
            assert!(index == 1 && error.to_string().starts_with(name), "{line}: {error}");
        }
    }

    #[test]
    fn an_atomic_restore_names_every_wrong_line_and_the_first_refused_one() {
        let mut control = control();
        let mut restore =
            |input: &str| execute(&["-R", "--atomic"], input.as_bytes(), &mut control, &Numeric);
        let wrong = "# the web\n\n-A -t 10.0.0.100:80\n-A -t nobody\n-a --nonsense\n";
        let outcome = restore(wrong);
        assert_eq!((outcome.exit, outcome.stdout.as_str()), (2, ""));
        assert_eq!(
            outcome.stderr,
            "line 4: illegal virtual server address[:port] specified\n\
             line 5: --nonsense: unknown option\nNothing was changed.\n"
        );
        let refused = "-A -t 10.0.0.100:80\n# again\n  -A -t 10.0.0.100:80\n-C\n";
        let outcome = restore(refused);
        assert_eq!(outcome.exit, 255);
        assert_eq!(outcome.stderr, "line 3: Service already exists\nNothing was changed.\n");
        let outcome = restore("-A -t 10.0.0.100:80\n-Ln\n");
        assert!(outcome.exit == 255 && outcome.stderr.starts_with("line 2: -L cannot be done"));
        let outcome = restore("# twice\n-A -t 10.0.0.100:80\n-C\n-A -t 10.0.0.100:80");
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""));
        assert_eq!(control.services_count(), 1);
    }
}
