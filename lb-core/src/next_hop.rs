//! The link-layer end of a way.

use std::fmt;
use std::num::NonZeroU64;

use crate::interface::InterfaceId;
use crate::wire::MacAddress;

/// Where frames for a destination go on the link layer. One word, so that a worker never sees half
/// of a change: the MAC address in the order of the wire, and the interface above it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NextHop(NonZeroU64);

/// Set in every next hop.
const RESOLVED: u64 = 1 << 63;

impl NextHop {
    /// The station with this address, by this interface.
    pub const fn new(mac: MacAddress, interface: InterfaceId) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        let word = u64::from_le_bytes([a, b, c, d, e, f, interface.0, 0]);
        match NonZeroU64::new(word | RESOLVED) {
            Some(word) => Self(word),
            None => unreachable!(),
        }
    }

    /// The next hop of a word that [`NextHop::word`] made; 0 is none.
    #[inline]
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        match NonZeroU64::new(word) {
            Some(word) => Some(Self(word)),
            None => None,
        }
    }

    /// The word of it, never 0.
    #[inline]
    pub(crate) const fn word(self) -> u64 {
        self.0.get()
    }

    /// The link-layer address.
    #[inline]
    pub const fn mac(self) -> MacAddress {
        let [a, b, c, d, e, f, _, _] = self.0.get().to_le_bytes();
        MacAddress([a, b, c, d, e, f])
    }

    /// By which interface it is reached.
    #[inline]
    pub const fn interface(self) -> InterfaceId {
        let [_, _, _, _, _, _, interface, _] = self.0.get().to_le_bytes();
        InterfaceId(interface)
    }
}

impl fmt::Debug for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {:?}", self.mac(), self.interface())
    }
}
