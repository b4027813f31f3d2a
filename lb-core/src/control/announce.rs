//! When to announce which address: several times, so that one lost frame is no lost minute.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::clock::Tick;

/// The addresses of the director, with what is left to announce of each.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    /// Announcements of a new address (RFC 5227 section 2.3 asks for two), and ticks between.
    times: u32,
    interval_ticks: u32,
    addresses: BTreeMap<IpAddr, Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    left: u32,
    next: Tick,
}

impl Announcements {
    /// Every address is announced `times` times.
    pub(super) const fn new(times: u32, interval_ticks: u32) -> Self {
        Self { times, interval_ticks, addresses: BTreeMap::new() }
    }

    /// From now on new addresses are announced so often, and all at this interval.
    pub(super) const fn set_pace(&mut self, times: u32, interval_ticks: u32) {
        self.times = times;
        self.interval_ticks = interval_ticks;
    }

    /// The addresses that the director has from now on; new ones become due.
    pub(super) fn set_addresses(&mut self, addresses: impl Iterator<Item = IpAddr>, now: Tick) {
        let known = std::mem::take(&mut self.addresses);
        self.addresses = addresses
            .map(|address| {
                let due = known.get(&address).copied();
                (address, due.unwrap_or(Due { left: self.times, next: now }))
            })
            .collect();
    }

    /// All addresses are as good as new: whoever is to know them may not have heard of them.
    pub(super) fn begin_again(&mut self, now: Tick) {
        for due in self.addresses.values_mut() {
            *due = Due { left: self.times, next: now };
        }
    }

    /// The addresses to announce now.
    pub(super) fn due(&mut self, now: Tick) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for (&address, due) in &mut self.addresses {
            if due.left > 0 && !now.is_before(due.next) {
                due.left -= 1;
                due.next = Tick(now.0.wrapping_add(self.interval_ticks));
                addresses.push(address);
            }
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_address_is_announced_three_times() {
        let vip = IpAddr::from([10, 0, 10, 100]);
        let mut announcements = Announcements::new(3, 16);
        announcements.set_addresses([vip].into_iter(), Tick(0));
        let at = |announcements: &mut Announcements, tick| announcements.due(Tick(tick)).len();
        assert_eq!(at(&mut announcements, 0), 1);
        assert_eq!(at(&mut announcements, 15), 0);
        assert_eq!(at(&mut announcements, 16), 1);
        announcements.set_addresses([vip].into_iter(), Tick(20));
        assert_eq!(at(&mut announcements, 32), 1);
        assert_eq!(at(&mut announcements, 1000), 0);
        announcements.set_addresses([].into_iter(), Tick(1000));
        announcements.set_addresses([vip].into_iter(), Tick(1001));
        assert_eq!(at(&mut announcements, 1001), 1, "it came back");
        for tick in [1017, 1033] {
            assert_eq!(at(&mut announcements, tick), 1);
        }
        assert_eq!(at(&mut announcements, 2000), 0);
        announcements.begin_again(Tick(2001));
        for (tick, count) in [(2001, 1), (2002, 0), (2017, 1), (2033, 1), (2049, 0)] {
            assert_eq!(at(&mut announcements, tick), count, "{tick}");
        }
    }
}
