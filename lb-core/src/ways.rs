//! Where packets leave that no destination's slot says it of: replies to clients, what is only
//! routed, and frames that the director makes.

use std::collections::HashMap;

use crate::address::Address;
use crate::hash::FlowHasher;
use crate::interface::InterfaceId;
use crate::next_hop::NextHop;
use crate::route::{Hop, Routes};

/// Number of a known way in its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayId(pub u32);

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Frames for it go there.
    Known(WayId),
    /// The neighbour has to be asked for first.
    Unresolved(Hop),
    /// No route leads there.
    None,
}

/// All ways: an immutable picture, replaced as a whole when a neighbour changes.
#[derive(Debug)]
pub struct Ways {
    routes: Routes,
    neighbours: HashMap<(u32, u128), WayId, FlowHasher>,
    next_hops: Box<[NextHop]>,
    /// Tells pictures from each other, so that a connection can remember its way; never 0.
    generation: u32,
}

impl Ways {
    /// The ways of these routes and neighbours.
    pub fn new(
        hasher: FlowHasher,
        routes: Routes,
        known: impl Iterator<Item = (Hop, NextHop)>,
        generation: u32,
    ) -> Self {
        let mut neighbours = HashMap::with_hasher(hasher);
        let mut next_hops = Vec::new();
        for ((hop, next_hop), id) in known.zip((0..).map(WayId)) {
            neighbours.insert(key(hop.interface, hop.neighbour.into()), id);
            next_hops.push(next_hop);
        }
        let next_hops = next_hops.into();
        Self { routes, neighbours, next_hops, generation: generation.max(1) }
    }

    /// Where frames of a way go; `None` for a number of another picture.
    #[inline]
    pub fn next_hop(&self, id: WayId) -> Option<NextHop> {
        self.next_hops.get(id.0 as usize).copied()
    }

    /// The number of this picture.
    #[inline]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The way to an address.
    pub fn to(&self, address: Address) -> Way {
        self.routes.hop(address.to_ip()).map_or(Way::None, |hop| self.over(hop))
    }

    /// The way over a hop.
    pub fn over(&self, hop: Hop) -> Way {
        let known = self.neighbours.get(&key(hop.interface, hop.neighbour.into()));
        known.map_or(Way::Unresolved(hop), |&id| Way::Known(id))
    }
}

const fn key(interface: InterfaceId, neighbour: Address) -> (u32, u128) {
    (interface.0 as u32, neighbour.bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Interface;
    use crate::wire::MacAddress;

    #[test]
    fn ways_follow_routes_and_neighbours() {
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let lan = Interface::new("lan0", InterfaceId(0), mac, 1500).with_address([10, 0, 1, 1], 24);
        let hop = |last| Hop { interface: InterfaceId(0), neighbour: [10, 0, 1, last].into() };
        let next_hop = NextHop::new(mac, InterfaceId(0));
        let known = [(hop(2), next_hop)].into_iter();
        let ways = Ways::new(FlowHasher::new([1, 2, 3]), Routes::new(&[lan], &[]), known, 0);
        assert_eq!(ways.to(Address::v4(0x0a00_0102)), Way::Known(WayId(0)));
        assert_eq!(ways.next_hop(WayId(0)), Some(next_hop));
        assert_eq!(ways.next_hop(WayId(1)), None);
        assert_eq!(ways.to(Address::v4(0x0a00_0103)), Way::Unresolved(hop(3)));
        assert_eq!(ways.to(Address::v4(0x0a00_0202)), Way::None);
        assert_ne!(ways.generation(), 0);
    }
}
