//! Fragments on the packet path: the course of a first one is remembered, later ones follow it.

use super::{DatagramKey, FragmentError, Later};
use crate::burst::{Burst, Surroundings};
use crate::course::{Course, CourseKind};
use crate::drops::DropReason;
use crate::egress::Errand;
use crate::frame::Frame;
use crate::local;
use crate::outcome::Outcome;
use crate::parse::Packet;
use crate::workbench::Workbench;

impl Packet {
    /// The datagram that a fragment is of.
    fn datagram(&self) -> DatagramKey {
        DatagramKey {
            source: self.source.bits(),
            destination: self.destination.bits(),
            identification: self.part.identification,
            protocol: if self.is_v4() { self.protocol } else { 0 },
            interface: self.interface,
        }
    }

    /// The bytes of the datagram that a fragment has.
    const fn range(&self) -> std::ops::Range<u32> {
        self.part.offset..self.part.offset.saturating_add(self.part.length)
    }
}

impl Burst<'_> {
    /// Remembers what was decided of a first fragment.
    #[cold]
    pub(crate) fn remember_course(
        &self,
        packet: &Packet,
        course: Course,
    ) -> Result<(), FragmentError> {
        let (range, is_last) = (packet.range(), !packet.part.more);
        self.director.fragments.first(&packet.datagram(), range, is_last, course, self.now)
    }

    /// The course of the datagram that a later fragment of the host's belongs to, if somebody
    /// remembers one.
    #[cold]
    pub(crate) fn course_from_host(&self, packet: &Packet) -> Option<Course> {
        let (key, fragments) = (packet.datagram(), &self.director.fragments);
        // Most datagrams of the host are nobody's: they are not to begin a record.
        let Later::Follow(_) = fragments.decision(&key, self.now) else { return None };
        match fragments.later(&key, packet.range(), !packet.part.more, self.now) {
            Later::Follow(course) => Some(course),
            Later::Early { .. } | Later::Refused(_) => None,
        }
    }

    /// What becomes of a later fragment.
    #[cold]
    pub(crate) fn later_fragment<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        let snapshot = self.snapshot;
        if !snapshot.tells_apart && !snapshot.is_local(packet.destination) {
            return self.route(frame, packet, surroundings);
        }
        let key = packet.datagram();
        let fragments = &self.director.fragments;
        let later = if self.is_released {
            fragments.decision(&key, self.now)
        } else {
            fragments.later(&key, packet.range(), !packet.part.more, self.now)
        };
        match later {
            Later::Follow(course) => self.follow(&course, frame, packet, bench, surroundings),
            Later::Early { until } => Outcome::Early(key, until),
            Later::Refused(error) => Outcome::Refused(error.reason()),
        }
    }

    /// Sends a later fragment the way that the first one went.
    fn follow<F: Frame>(
        &self,
        course: &Course,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
        surroundings: &mut impl Surroundings,
    ) -> Outcome {
        packet.hash = course.hash;
        match course.kind {
            CourseKind::Forward { server, method, address } => {
                let tally = self.counters.destination(server);
                tally.packets_in.add(1);
                tally.bytes_in.add(u64::from(packet.length));
                packet.server = server;
                let errand = Errand { server, method, to: (address.to_ip(), 0) };
                self.run(&errand, frame, packet, bench, surroundings)
            }
            CourseKind::Return { virtual_address } => {
                let way = self.next_hop(self.ways.to(packet.destination));
                let from = (virtual_address.to_ip(), 0);
                self.return_as(from, way, frame, packet, surroundings)
            }
            CourseKind::Route => self.route(frame, packet, surroundings),
            CourseKind::Local(reason) => local::punt(self, packet, frame, bench, reason),
            CourseKind::Drop(reason) => Outcome::Refused(match reason {
                // Only the first one is answered.
                DropReason::NoService | DropReason::NoConnection => DropReason::FragmentOrphan,
                DropReason::NoDestination => DropReason::FragmentOrphan,
                reason => reason,
            }),
        }
    }
}
