//! Path MTUs that routers told of: what the way to a tunneling server takes, for a while.

use std::collections::HashMap;

use crate::clock::Tick;
use crate::forward::tunnel_error::PATH_MTU_MIN;
use crate::slots::{DestinationId, DestinationSlots};

/// Seconds for which an MTU is believed that was told (the kernel's `mtu_expires`).
const EXPIRES_S: u32 = 600;

/// Destinations whose way is narrower than the link that it begins with.
#[derive(Debug, Default)]
pub(super) struct PathMtus(HashMap<DestinationId, Told>);

#[derive(Clone, Copy, Debug)]
struct Told {
    /// What the link takes.
    link: u16,
    until: Tick,
}

impl PathMtus {
    /// The way to a destination takes no more than `mtu`. What is larger than what is known says
    /// nothing.
    pub(super) fn learn(
        &mut self,
        server: DestinationId,
        mtu: u16,
        now: Tick,
        slots: &DestinationSlots,
    ) {
        let Some(known) = slots.get(server).mtu() else { return };
        let mtu = mtu.max(PATH_MTU_MIN);
        if mtu >= known {
            return;
        }
        let link = self.0.get(&server).map_or(known, |told| told.link);
        self.0.insert(server, Told { link, until: now.plus_seconds(EXPIRES_S) });
        slots.get(server).set_mtu(Some(mtu));
    }

    /// Forgets what was told long ago.
    pub(super) fn expire(&mut self, now: Tick, slots: &DestinationSlots) {
        self.0.retain(|&server, told| {
            let is_over = !now.is_before(told.until);
            if is_over {
                slots.get(server).set_mtu(Some(told.link));
            }
            !is_over
        });
    }

    /// The destination's slot is to be used anew.
    pub(super) fn forget(&mut self, server: DestinationId) {
        self.0.remove(&server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_mtu_is_believed_for_ten_minutes() {
        let slots = DestinationSlots::new(1);
        let id = DestinationId(0);
        let mut mtus = PathMtus::default();
        mtus.learn(id, 900, Tick(0), &slots);
        assert_eq!(slots.get(id).mtu(), None, "no way leads there");
        slots.get(id).set_mtu(Some(1500));
        mtus.learn(id, 1600, Tick(0), &slots);
        assert_eq!(slots.get(id).mtu(), Some(1500));
        mtus.learn(id, 900, Tick(0), &slots);
        mtus.learn(id, 100, Tick(8), &slots);
        assert_eq!(slots.get(id).mtu(), Some(PATH_MTU_MIN));
        mtus.expire(Tick(8).plus_seconds(599), &slots);
        assert_eq!(slots.get(id).mtu(), Some(PATH_MTU_MIN));
        mtus.expire(Tick(8).plus_seconds(600), &slots);
        assert_eq!(slots.get(id).mtu(), Some(1500));
    }
}
