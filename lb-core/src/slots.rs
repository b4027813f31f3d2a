//! Run-time data of destinations, in slots with stable ids.
//!
//! A slot belongs to a destination from `-a` until nothing refers to it any more; connections,
//! counters and the configuration snapshot name destinations by slot. One line is written by the
//! control thread and read by every packet, the other is written by workers when a connection
//! begins, ends, or changes between active and inactive.

mod copy;

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering,
};

use crate::address::Address;
use crate::destination::{Tunnel, TunnelChecksum};
use crate::falls::Falls;
use crate::load::Load;
use crate::next_hop::NextHop;
use crate::prefetch;
use crate::settings::Settings;

/// Number of a destination's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DestinationId(pub u32);

/// The run-time data of one destination.
#[derive(Debug, Default)]
#[repr(C)]
pub struct DestinationSlot {
    settings: SettingsLine,
    load: LoadLine,
}

/// Written by the control thread.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct SettingsLine {
    next_hop: AtomicU64,
    /// The last weight that was not 0; 0 if it was added with that.
    last_weight: AtomicU32,
    upper_threshold: AtomicU32,
    lower_threshold: AtomicU32,
    /// Largest packet that the way to it takes; 0 where no way leads to it.
    mtu: AtomicU16,
    /// Part of a service (else removed: its connections are kept, their packets dropped).
    available: AtomicBool,
    /// The director itself: there is no way to it, it is here.
    local: AtomicBool,
    /// Tunneling: kind and checksum of the encapsulation, and its UDP port. See [`pack_tunnel`].
    tunnel: AtomicU32,
    /// Tunneling: the director's address of the outer header, and the real server's.
    outer_source: [AtomicU64; 2],
    outer_destination: [AtomicU64; 2],
}

/// A tunnel in one word: the port, the checksum above it, the kind on top.
const fn pack_tunnel(tunnel: Tunnel) -> u32 {
    match tunnel {
        Tunnel::Ipip => 0,
        Tunnel::Gue { port, checksum } => port as u32 | (checksum as u32) << 16 | 1 << 24,
        Tunnel::Gre { checksum } => (checksum as u32) << 16 | 2 << 24,
    }
}

#[inline]
const fn unpack_tunnel(word: u32) -> Tunnel {
    let checksum = match word >> 16 & 3 {
        0 => TunnelChecksum::None,
        1 => TunnelChecksum::Full,
        _ => TunnelChecksum::Remote,
    };
    match word >> 24 {
        0 => Tunnel::Ipip,
        1 => Tunnel::Gue { port: (word & 0xffff) as u16, checksum },
        _ => Tunnel::Gre { checksum },
    }
}

/// Written by workers, but for the weight; a pick reads nothing else of a destination.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct LoadLine {
    /// Connections. See [`Load`].
    load: AtomicI64,
    weight: AtomicI32,
    overloaded: AtomicBool,
    persistent: AtomicI32,
    /// Where it is in its service's list, at least lately.
    place: AtomicU32,
    /// Memories of schedulers that name it.
    references: AtomicU32,
    /// The destination whose `falls` and `turns` are those of its group, plus 1; 0 for none.
    leader: AtomicU32,
    /// Of a leader: see [`Falls`].
    falls: AtomicU64,
    /// Of a leader: how often the sum of the usable weights of the group changed.
    turns: AtomicU32,
}

const _: () = assert!(size_of::<DestinationSlot>() == 128);

impl DestinationSlot {
    /// Where its frames go; `None` while the neighbour is not resolved.
    #[inline]
    pub fn next_hop(&self) -> Option<NextHop> {
        NextHop::from_word(self.settings.next_hop.load(Ordering::Relaxed))
    }

    /// Publishes where its frames go.
    pub fn set_next_hop(&self, next_hop: Option<NextHop>) {
        self.settings.next_hop.store(next_hop.map_or(0, NextHop::word), Ordering::Relaxed);
    }

    /// Bytes of the largest packet that the way to it takes; `None` where no route leads.
    #[inline]
    pub fn mtu(&self) -> Option<u16> {
        let mtu = self.settings.mtu.load(Ordering::Relaxed);
        if mtu == 0 { None } else { Some(mtu) }
    }

    /// Publishes what the way to it takes.
    pub fn set_mtu(&self, mtu: Option<u16>) {
        self.settings.mtu.store(mtu.unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether it is the director itself. To be asked where no way leads: then it has no MTU.
    #[cold]
    pub fn is_local(&self) -> bool {
        self.settings.local.load(Ordering::Relaxed)
    }

    /// It is the director itself from now on, or is it no more; it has no way then.
    pub fn set_local(&self, local: bool) {
        self.settings.local.store(local, Ordering::Relaxed);
        if local {
            self.set_next_hop(None);
            self.set_mtu(None);
        }
    }

    /// How packets for it are encapsulated.
    #[inline]
    pub fn tunnel(&self) -> Tunnel {
        unpack_tunnel(self.settings.tunnel.load(Ordering::Relaxed))
    }

    /// The outer header's source and destination.
    #[inline]
    pub fn outer_ends(&self) -> (Address, Address) {
        let read = |halves: &[AtomicU64; 2]| {
            Address::from_halves([
                halves[0].load(Ordering::Relaxed),
                halves[1].load(Ordering::Relaxed),
            ])
        };
        (read(&self.settings.outer_source), read(&self.settings.outer_destination))
    }

    /// Publishes how packets for it are encapsulated; the ends before the destination is available.
    pub fn set_tunnel(&self, tunnel: Tunnel, source: Address, destination: Address) {
        self.settings.tunnel.store(pack_tunnel(tunnel), Ordering::Relaxed);
        let write = |halves: &[AtomicU64; 2], address: Address| {
            for (half, value) in halves.iter().zip(address.halves()) {
                half.store(value, Ordering::Relaxed);
            }
        };
        write(&self.settings.outer_source, source);
        write(&self.settings.outer_destination, destination);
    }

    /// The weight, at this moment: `-e` takes effect at the next pick.
    #[inline]
    pub fn weight(&self) -> i32 {
        self.load.weight.load(Ordering::Relaxed)
    }

    /// The last weight that was not 0, which mh goes by; 0 if there never was one
    /// (`last_weight` of `struct ip_vs_dest`).
    pub fn last_weight(&self) -> u32 {
        self.settings.last_weight.load(Ordering::Relaxed)
    }

    /// The destination is added, perhaps again: its last weight was of its former life.
    pub fn forget_last_weight(&self) {
        self.settings.last_weight.store(0, Ordering::Relaxed);
    }

    /// Takes over weight and thresholds of `-a` or `-e`.
    fn configure(&self, weight: i32, upper_threshold: u32, lower_threshold: u32) {
        self.load.weight.store(weight, Ordering::Relaxed);
        if weight > 0 {
            self.settings.last_weight.store(weight.unsigned_abs(), Ordering::Relaxed);
        }
        let before = self.settings.upper_threshold.swap(upper_threshold, Ordering::Relaxed);
        self.settings.lower_threshold.store(lower_threshold, Ordering::Relaxed);
        // As `__ip_vs_update_dest`: a raised limit is forgiven at once, a lowered one is looked at
        // when the next connection begins.
        if upper_threshold == 0 || upper_threshold > before {
            self.load.overloaded.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the destination belongs to a service.
    #[inline]
    pub fn is_available(&self) -> bool {
        self.settings.available.load(Ordering::Relaxed)
    }

    /// The destination was added to its service, or removed from it.
    pub fn set_available(&self, available: bool) {
        self.settings.available.store(available, Ordering::Relaxed);
    }

    /// Connections in an active state.
    #[inline]
    pub fn active(&self) -> u32 {
        self.connections().active()
    }

    /// Connections in any other state.
    #[inline]
    pub fn inactive(&self) -> u32 {
        self.connections().inactive()
    }

    #[inline]
    fn connections(&self) -> Load {
        Load(self.load.load.load(Ordering::Relaxed))
    }

    /// Persistence templates.
    pub fn persistent(&self) -> u32 {
        self.load.persistent.load(Ordering::Relaxed).max(0).unsigned_abs()
    }

    /// Whether nothing refers to the destination.
    pub fn is_idle(&self) -> bool {
        !self.has_connections() && self.load.references.load(Ordering::Relaxed) == 0
    }

    /// Whether connections or templates refer to the destination.
    pub fn has_connections(&self) -> bool {
        self.active() != 0 || self.inactive() != 0 || self.persistent() != 0
    }

    /// A scheduler remembers the destination from now on, or does no more: the slot stays its own
    /// for so long.
    pub fn refer(&self, begins: bool) {
        let change = if begins { 1 } else { u32::MAX };
        self.load.references.fetch_add(change, Ordering::Relaxed);
    }

    /// Where it was in its service's list when that was made last: to be checked.
    #[inline]
    pub fn place(&self) -> usize {
        self.load.place.load(Ordering::Relaxed) as usize
    }

    /// Its service's list is made: where it is there, and who leads its group, if there are any.
    pub fn set_place(&self, place: u32, leader: Option<DestinationId>) {
        self.load.place.store(place, Ordering::Relaxed);
        self.load.leader.store(leader.map_or(0, |id| id.0 + 1), Ordering::Relaxed);
    }

    /// Of a leader: what made destinations of its group more eligible.
    #[inline]
    pub(crate) fn falls(&self) -> Falls {
        // Pairs with the release in `DestinationSlots::tell`: who sees the fall sees the load.
        Falls(self.load.falls.load(Ordering::Acquire))
    }

    /// Of a leader: a number that changes after the sum of the usable weights of its group has.
    #[inline]
    pub fn turns(&self) -> u32 {
        self.load.turns.load(Ordering::Acquire)
    }

    /// Whether the upper threshold was reached and the lower one not yet left behind.
    #[inline]
    pub fn is_overloaded(&self) -> bool {
        self.load.overloaded.load(Ordering::Relaxed)
    }

    /// Whether it may get a new connection: weight above 0, not overloaded.
    #[inline]
    pub fn is_usable(&self) -> bool {
        self.weight() > 0 && !self.is_overloaded()
    }

    /// Load figure of lc, wlc, lblc, lblcr and twos: `256 * active + inactive`, or with
    /// [`Settings::load_counts_all`] `256 * active + all` (`ip_vs_dest_conn_overhead`).
    #[inline]
    pub fn overhead(&self, settings: &Settings) -> i64 {
        let load = self.connections();
        let (active, inactive) = (i64::from(load.active()), i64::from(load.inactive()));
        let all = if settings.load_counts_all { active } else { 0 };
        (active << 8) + inactive + all
    }

    /// A connection is bound. Says whether that overloaded the destination.
    fn bind(&self, active: bool) -> bool {
        let load = self.add(Load::of(active));
        let upper = self.settings.upper_threshold.load(Ordering::Relaxed);
        upper != 0
            && load.total() >= u64::from(upper)
            && !self.load.overloaded.swap(true, Ordering::Relaxed)
    }

    /// A connection ends. Says whether the destination is overloaded no more.
    fn unbind(&self, active: bool) -> bool {
        let total = self.add(-Load::of(active)).total();
        if !self.is_overloaded() {
            return false;
        }
        let upper = u64::from(self.settings.upper_threshold.load(Ordering::Relaxed));
        let lower = u64::from(self.settings.lower_threshold.load(Ordering::Relaxed));
        let is_over = if lower != 0 { total < lower } else { total * 4 < upper * 3 };
        is_over && self.load.overloaded.swap(false, Ordering::Relaxed)
    }

    /// A persistence template is bound to the destination.
    pub fn bind_template(&self) {
        self.load.persistent.fetch_add(1, Ordering::Relaxed);
    }

    /// A persistence template ends.
    pub fn unbind_template(&self) {
        self.load.persistent.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns what there is then.
    #[inline]
    fn add(&self, change: i64) -> Load {
        Load(self.load.load.fetch_add(change, Ordering::Relaxed).wrapping_add(change))
    }

    /// Makes a slot as new, before another destination gets it.
    pub fn reset(&self) {
        self.set_next_hop(None);
        self.set_mtu(None);
        self.set_local(false);
        self.set_available(false);
        self.forget_last_weight();
        self.configure(0, 0, 0);
        self.load.load.store(0, Ordering::Relaxed);
        self.load.persistent.store(0, Ordering::Relaxed);
        self.set_place(0, None);
    }
}

/// The slots of all destinations, fixed at start, and one of nobody: of connections that bypass
/// all real servers.
#[derive(Debug)]
pub struct DestinationSlots {
    slots: Box<[DestinationSlot]>,
    /// See [`DestinationSlots::copy`].
    is_copy: bool,
}

impl DestinationSlots {
    /// Slots for `destinations_max` destinations.
    pub fn new(destinations_max: usize) -> Self {
        let slots: Box<[_]> = (0..=destinations_max).map(|_| DestinationSlot::default()).collect();
        slots[destinations_max].set_available(true);
        Self { slots, is_copy: false }
    }

    /// Whether they are for a rehearsal.
    #[inline]
    pub(crate) const fn are_a_copy(&self) -> bool {
        self.is_copy
    }

    /// Number of slots, nobody's aside.
    pub const fn len(&self) -> usize {
        self.slots.len() - 1
    }

    /// Whether there are no slots at all.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The destination that is no real server.
    #[expect(clippy::cast_possible_truncation, reason = "ids are 32 bits")]
    pub const fn nobody(&self) -> DestinationId {
        DestinationId(self.len() as u32)
    }

    /// The slot of a destination.
    #[inline]
    pub fn get(&self, id: DestinationId) -> &DestinationSlot {
        &self.slots[id.0 as usize]
    }

    /// Takes over weight and thresholds of `-a` or `-e`.
    pub fn configure(&self, id: DestinationId, weight: i32, upper: u32, lower: u32) {
        let slot = self.get(id);
        slot.configure(weight, upper, lower);
        self.tell(slot, true, true);
    }

    /// A connection is bound to a destination, which is overloaded from the upper threshold on
    /// (`ip_vs_bind_dest` of Linux 6.1).
    #[inline]
    pub fn bind(&self, id: DestinationId, active: bool) {
        let slot = self.get(id);
        if slot.bind(active) {
            self.tell(slot, false, true);
        }
    }

    /// A connection ends. The destination is usable again below the lower threshold, or below 3/4
    /// of the upper one where that is not set (`ip_vs_unbind_dest` of Linux 6.1).
    #[inline]
    pub fn unbind(&self, id: DestinationId, active: bool) {
        let slot = self.get(id);
        let is_usable_again = slot.unbind(active);
        self.tell(slot, true, is_usable_again);
    }

    /// A connection changes between active and inactive.
    #[inline]
    pub fn set_active(&self, id: DestinationId, active: bool) {
        let slot = self.get(id);
        slot.add(Load::of(active) - Load::of(!active));
        if !active {
            self.tell(slot, true, false);
        }
    }

    /// Tells the group of a destination, if it has one, that a figure of the destination changed.
    #[inline]
    fn tell(&self, slot: &DestinationSlot, fell: bool, turned: bool) {
        let leader = slot.load.leader.load(Ordering::Relaxed);
        let Some(leader) = leader.checked_sub(1) else { return };
        let leader = &self.get(DestinationId(leader)).load;
        if fell {
            let place = slot.load.place.load(Ordering::Relaxed);
            let mut falls = leader.falls.load(Ordering::Relaxed);
            while let Err(now) = leader.falls.compare_exchange_weak(
                falls,
                Falls(falls).and(place).0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                falls = now;
            }
        }
        if turned {
            leader.turns.fetch_add(1, Ordering::Release);
        }
    }

    /// Asks for the line that a packet of this destination reads.
    #[inline]
    pub fn prefetch(&self, id: DestinationId) {
        prefetch::line(&self.get(id).settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::InterfaceId;
    use crate::wire::MacAddress;

    #[test]
    fn a_next_hop_survives_its_word() {
        let slot = DestinationSlot::default();
        assert_eq!(slot.next_hop(), None);
        let mac = MacAddress([0xfe, 1, 2, 3, 4, 0xff]);
        let next_hop = NextHop::new(mac, InterfaceId(255));
        slot.set_next_hop(Some(next_hop));
        assert_eq!(slot.next_hop(), Some(next_hop));
        assert_eq!((next_hop.mac(), next_hop.interface()), (mac, InterfaceId(255)));
        slot.set_next_hop(None);
        assert_eq!(slot.next_hop(), None);
    }

    #[test]
    fn a_tunnel_survives_its_word() {
        use TunnelChecksum::{Full, None, Remote};
        let slot = DestinationSlot::default();
        let ends = (Address::v4(0x0a00_0201), Address::from_bits(0xfd00 << 112 | 0x15));
        let gue = |checksum| Tunnel::Gue { port: 65535, checksum };
        let gre = |checksum| Tunnel::Gre { checksum };
        for tunnel in [Tunnel::Ipip, gue(None), gue(Full), gue(Remote), gre(None), gre(Full)] {
            slot.set_tunnel(tunnel, ends.0, ends.1);
            assert_eq!(slot.tunnel(), tunnel);
        }
        assert_eq!(slot.outer_ends(), ends);
    }

    /// Overloaded at `-x`, usable again below `-y`.
    #[test]
    fn thresholds_have_hysteresis() {
        let slot = DestinationSlot::default();
        slot.configure(1, 4, 2);
        for _ in 0..3 {
            slot.bind(false);
        }
        assert!(!slot.is_overloaded());
        slot.bind(true);
        assert!(slot.is_overloaded());
        slot.unbind(true);
        slot.unbind(false);
        assert!(slot.is_overloaded(), "2 is not below the lower threshold");
        slot.unbind(false);
        assert!(!slot.is_overloaded());
    }

    #[test]
    fn without_a_lower_threshold_three_quarters_count() {
        let slot = DestinationSlot::default();
        slot.configure(1, 2, 0);
        slot.bind(false);
        slot.bind(false);
        assert!(slot.is_overloaded());
        slot.unbind(false);
        assert!(!slot.is_overloaded(), "1 * 4 < 2 * 3");
    }

    /// As the kernel: only a new connection finds that a limit was reached, only an end that it
    /// is left behind, and a raised limit is believed at once.
    #[test]
    fn edited_thresholds_wait_for_the_next_connection() {
        let slot = DestinationSlot::default();
        slot.configure(1, 0, 0);
        for _ in 0..5 {
            slot.bind(true);
        }
        slot.configure(1, 3, 0);
        assert!(!slot.is_overloaded(), "nobody has looked yet");
        slot.unbind(true);
        assert!(!slot.is_overloaded(), "4 of 3, but an end never overloads");
        slot.bind(true);
        assert!(slot.is_overloaded());
        slot.configure(1, 2, 0);
        assert!(slot.is_overloaded(), "lowered");
        slot.configure(1, 4, 0);
        assert!(!slot.is_overloaded(), "raised, although there are 5");
    }
}
