//! Slots that say what others say, and may be changed without them.

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering,
};

use super::{DestinationSlot, DestinationSlots, LoadLine, SettingsLine};

/// Something atomic that can say the same as another one.
trait Twin {
    /// Another one that has its value.
    fn twin(&self) -> Self;
}

macro_rules! twins {
    ($($atomic:ty),*) => {$(
        impl Twin for $atomic {
            fn twin(&self) -> Self {
                Self::new(self.load(Ordering::Relaxed))
            }
        }
    )*};
}

twins!(AtomicBool, AtomicI32, AtomicI64, AtomicU16, AtomicU32, AtomicU64);

impl SettingsLine {
    fn twin(&self) -> Self {
        Self {
            next_hop: self.next_hop.twin(),
            last_weight: self.last_weight.twin(),
            upper_threshold: self.upper_threshold.twin(),
            lower_threshold: self.lower_threshold.twin(),
            mtu: self.mtu.twin(),
            available: self.available.twin(),
            local: self.local.twin(),
            tunnel: self.tunnel.twin(),
            outer_source: self.outer_source.each_ref().map(Twin::twin),
            outer_destination: self.outer_destination.each_ref().map(Twin::twin),
        }
    }
}

impl LoadLine {
    fn twin(&self) -> Self {
        Self {
            load: self.load.twin(),
            weight: self.weight.twin(),
            overloaded: self.overloaded.twin(),
            persistent: self.persistent.twin(),
            place: self.place.twin(),
            references: self.references.twin(),
            leader: self.leader.twin(),
            falls: self.falls.twin(),
            turns: self.turns.twin(),
        }
    }
}

impl DestinationSlots {
    /// The same slots for a rehearsal: with them a scheduler picks from a copy of its memory.
    pub(crate) fn copy(&self) -> Self {
        let twin = |slot: &DestinationSlot| DestinationSlot {
            settings: slot.settings.twin(),
            load: slot.load.twin(),
        };
        Self { slots: self.slots.iter().map(twin).collect(), is_copy: true }
    }
}
