//! Real threads that pick, and change the loads that they pick by.

use std::thread;

use lb_core::address::Address;
use lb_core::clock::Tick;
use lb_core::destination::ForwardingMethod;
use lb_core::sched::{Candidates, NAMES, Request, Scheduler};
use lb_core::service::SchedulerFlags;
use lb_core::settings::Settings;
use lb_core::slots::{DestinationId, DestinationSlot, DestinationSlots};
use lb_core::virtual_service::RealServer;

use super::{Random, hasher};

const THREADS: u64 = 4;
const SERVERS: u32 = 200;
const TURNS: u32 = 20_000;

struct Service {
    slots: DestinationSlots,
    ids: Vec<DestinationId>,
    servers: Vec<RealServer>,
    settings: Settings,
}

impl Service {
    fn new() -> Self {
        let slots = DestinationSlots::new(SERVERS as usize);
        let ids: Vec<_> = (0..SERVERS).map(DestinationId).collect();
        for &id in &ids {
            let upper = if id.0 % 5 == 0 { 20 } else { 0 };
            slots.configure(id, 1 + i32::try_from(id.0 % 7).unwrap(), upper, 0);
            slots.get(id).set_available(true);
        }
        let server = |number| RealServer {
            address: Address::v4(0x0a00_0200 + number),
            port: 80,
            method: ForwardingMethod::DirectRouting,
        };
        let servers = (0..SERVERS).map(server).collect();
        Self { slots, ids, servers, settings: Settings::default() }
    }

    fn candidates(&self) -> Candidates<'_> {
        Candidates { ids: &self.ids, servers: &self.servers, slots: &self.slots }
    }

    fn pick(&self, scheduler: &Scheduler, number: u32) -> Option<DestinationId> {
        let request = Request {
            client: Address::v4(0x0a01_0000 + number),
            client_port: 40000,
            destination: Address::v4(0x0a32_0000 + number % 300),
            flags: SchedulerFlags::default(),
            now: Tick(1000 + number / 1000),
            settings: &self.settings,
        };
        Some(self.ids[scheduler.pick(&request, self.candidates())?])
    }

    /// Connections begin, change and end; all of them are over at last.
    fn run(&self, scheduler: &Scheduler, seed: u64) {
        let mut random = Random(seed);
        let mut connections = Vec::new();
        for number in 0..TURNS {
            if let Some(id) = self.pick(scheduler, number) {
                self.slots.bind(id, true);
                connections.push((id, true));
            }
            if connections.len() > 500 || number % 3 == 0 && !connections.is_empty() {
                let place = random.below(connections.len());
                let (id, active) = &mut connections[place];
                *active ^= true;
                self.slots.set_active(*id, *active);
                let (id, active) = connections.swap_remove(random.below(connections.len()));
                self.slots.unbind(id, active);
            }
        }
        for (id, active) in connections {
            self.slots.unbind(id, active);
        }
    }

    /// The first of the destinations with the least `load` for its weight.
    fn least(&self, load: fn(&DestinationSlot, &Settings) -> i64) -> Option<DestinationId> {
        let usable = self.ids.iter().copied().filter(|&id| self.slots.get(id).is_usable());
        usable.min_by(|&a, &b| {
            let (a, b) = (self.slots.get(a), self.slots.get(b));
            let crossed = |load_of, weight_of: &DestinationSlot| {
                load(load_of, &self.settings) * i64::from(weight_of.weight())
            };
            crossed(a, b).cmp(&crossed(b, a))
        })
    }
}

/// After any number of lcores were at it, what is remembered of the loads is right again.
#[test]
fn picks_are_exact_when_the_others_have_stopped() {
    for name in NAMES.iter().filter(|&&name| name != "none") {
        let service = Service::new();
        let scheduler = Scheduler::start(name, service.candidates(), hasher()).unwrap();
        service.candidates().arrange(scheduler.is_indexed());
        thread::scope(|scope| {
            for seed in 1..=THREADS {
                let (service, scheduler) = (&service, &scheduler);
                scope.spawn(move || service.run(scheduler, seed));
            }
        });
        let load: fn(&DestinationSlot, &Settings) -> i64 = match *name {
            "wlc" => DestinationSlot::overhead,
            "sed" => |slot, _| i64::from(slot.active()) + 1,
            _ => |_, _| 0,
        };
        for number in 0..2000 {
            let picked = service.pick(&scheduler, number);
            if ["wlc", "sed"].contains(name) {
                assert_eq!(picked, service.least(load), "{name}, pick {number}");
            }
            let Some(id) = picked else {
                let may_find_nobody = ["dh", "sh", "mh", "ovf"].contains(name);
                assert!(may_find_nobody, "{name} finds nobody");
                continue;
            };
            service.slots.bind(id, true);
            if number % 2 == 0 {
                service.slots.unbind(id, true);
            }
        }
        for &id in &service.ids {
            (0..service.slots.get(id).active()).for_each(|_| service.slots.unbind(id, true));
        }
        scheduler.close(&service.slots);
        assert!(service.ids.iter().all(|&id| service.slots.get(id).is_idle()), "{name}");
    }
}
