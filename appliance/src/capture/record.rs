//! A captured frame in a ring: what is known of it in four words, then its bytes.

use lb_core::drops::DropReason;
use lb_core::interface::InterfaceId;
use lb_core::parse::{Class, Packet};
use lb_core::slots::DestinationId;
use lb_core::worker::{Pending, Verdict};

use super::ring::{Ring, WORD, Writing};

/// Words in front of the bytes.
const HEAD: usize = 4;
/// Stands for no real server: a slot number that none has.
const NO_SERVER: u32 = u32::MAX;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    ToServer,
    ToClient,
    Routed,
    /// An ICMP error or a later fragment, to whom it concerns.
    PassedOn,
    /// Too large for its way, and cut.
    InPieces,
    /// Until its next hop is resolved.
    Waits,
    /// Until the first fragment of its datagram comes.
    Held,
    ToKernel,
    Consumed,
    Answered,
    Dropped(DropReason),
    /// Dropped, and its sender was told.
    Refused(DropReason),
    /// Sent only: it had waited.
    Released,
    /// Sent only: the director made it.
    Made,
    /// Sent only: the host's kernel had it.
    FromKernel,
}

/// What is known of a captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// Counts what its worker received; a frame that was sent has that of what it came of.
    pub number: u64,
    pub interface: InterfaceId,
    pub is_sent: bool,
    pub fate: Fate,
    pub server: Option<DestinationId>,
    /// Bytes of the frame.
    pub length: u32,
    /// Bytes of it that are here.
    pub captured: u32,
}

impl Fate {
    /// What a verdict says about a packet of which the stages know so much.
    pub const fn of(verdict: &Verdict, class: Class) -> Self {
        let is_moved = matches!(class, Class::Forward | Class::Return | Class::Route);
        match (verdict, class) {
            (Verdict::Send(_), Class::Forward) => Self::ToServer,
            (Verdict::Send(_), Class::Return) => Self::ToClient,
            (Verdict::Send(_), Class::Route) => Self::Routed,
            (Verdict::Send(_), _) => Self::PassedOn,
            (Verdict::Answer(_, None), _) => Self::Answered,
            (Verdict::Answer(_, Some(reason)), _) => Self::Refused(*reason),
            (Verdict::Wait(_), _) => Self::Waits,
            (Verdict::Hold(..), _) => Self::Held,
            (Verdict::Punt(_), _) => Self::ToKernel,
            (Verdict::Consumed, _) if is_moved => Self::InPieces,
            (Verdict::Consumed, _) => Self::Consumed,
            (Verdict::Drop(reason), _) => Self::Dropped(*reason),
        }
    }

    /// All that have no reason, in the order of their numbers; those that have come behind.
    const PLAIN: [Self; 13] = [
        Self::ToServer,
        Self::ToClient,
        Self::Routed,
        Self::PassedOn,
        Self::InPieces,
        Self::Waits,
        Self::Held,
        Self::ToKernel,
        Self::Consumed,
        Self::Answered,
        Self::Released,
        Self::Made,
        Self::FromKernel,
    ];
    const DROPPED: u8 = 13;
    const REFUSED: u8 = 14;

    const fn pack(self) -> (u8, u8) {
        match self {
            Self::ToServer => (0, 0),
            Self::ToClient => (1, 0),
            Self::Routed => (2, 0),
            Self::PassedOn => (3, 0),
            Self::InPieces => (4, 0),
            Self::Waits => (5, 0),
            Self::Held => (6, 0),
            Self::ToKernel => (7, 0),
            Self::Consumed => (8, 0),
            Self::Answered => (9, 0),
            Self::Released => (10, 0),
            Self::Made => (11, 0),
            Self::FromKernel => (12, 0),
            Self::Dropped(reason) => (Self::DROPPED, reason as u8),
            Self::Refused(reason) => (Self::REFUSED, reason as u8),
        }
    }

    fn unpack(number: u8, reason: u8) -> Option<Self> {
        let reason = || DropReason::ALL.get(usize::from(reason)).copied();
        match number {
            Self::DROPPED => reason().map(Self::Dropped),
            Self::REFUSED => reason().map(Self::Refused),
            _ => Self::PLAIN.get(usize::from(number)).copied(),
        }
    }
}

/// The real server that a packet is for, or of.
pub const fn server_of(verdict: &Verdict, packet: &Packet) -> Option<DestinationId> {
    match (packet.class, verdict) {
        (Class::Forward | Class::Return, _) => Some(packet.server),
        (_, Verdict::Wait(Pending::Server(server))) => Some(*server),
        _ => None,
    }
}

impl Record {
    /// Writes the record, with the bytes that it says are here; `false` where there is no room.
    pub fn write(&self, bytes: &[u8], ring: &Ring) -> bool {
        debug_assert_eq!(bytes.len(), self.captured as usize);
        let Some(mut writing) = ring.begin(HEAD + bytes.len().div_ceil(WORD)) else { return false };
        self.write_head(&mut writing);
        writing.bytes(bytes);
        writing.publish();
        true
    }

    fn write_head(&self, writing: &mut Writing<'_>) {
        let (fate, reason) = self.fate.pack();
        let server = self.server.map_or(NO_SERVER, |server| server.0);
        writing.word(u64::from(self.captured) | u64::from(self.length) << 32);
        writing.word(self.time_ns);
        writing.word(self.number);
        writing.word(
            u64::from(server)
                | u64::from(self.interface.0) << 32
                | u64::from(fate) << 40
                | u64::from(reason) << 48
                | u64::from(self.is_sent) << 56,
        );
    }

    /// The next record's time, if there is one.
    pub fn next_time(ring: &Ring) -> Option<u64> {
        (ring.filled() >= HEAD).then(|| ring.peek(1))
    }

    /// Takes the next record out; its bytes become `bytes`.
    pub fn read(ring: &Ring, bytes: &mut Vec<u8>) -> Option<Self> {
        if ring.filled() < HEAD {
            return None;
        }
        let [lengths, time_ns, number, rest] = [0, 1, 2, 3].map(|place| ring.peek(place));
        let (captured, length) = (low_32(lengths), low_32(lengths >> 32));
        bytes.clear();
        let words = (captured as usize).div_ceil(WORD);
        ring.copy(HEAD, words, bytes);
        bytes.truncate(captured as usize);
        ring.skip(HEAD + words);
        let [.., interface, fate, reason, is_sent] = rest.to_le_bytes();
        Some(Self {
            time_ns,
            number,
            interface: InterfaceId(interface),
            is_sent: is_sent != 0,
            fate: Fate::unpack(fate, reason)?,
            server: Some(low_32(rest)).filter(|&it| it != NO_SERVER).map(DestinationId),
            length,
            captured,
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn low_32(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let reasons = DropReason::ALL.iter();
        let fates = Fate::PLAIN
            .into_iter()
            .chain(reasons.flat_map(|&reason| [Fate::Dropped(reason), Fate::Refused(reason)]));
        let ring = Ring::new(1 << 12);
        let mut bytes = Vec::new();
        for (number, fate) in (0_u32..).zip(fates) {
            let frame = vec![7; number as usize % 40];
            let record = Record {
                time_ns: u64::from(number) << 33,
                number: u64::from(number),
                interface: InterfaceId(u8::try_from(number % 256).unwrap()),
                is_sent: number % 3 == 0,
                fate,
                server: (number % 2 == 0).then_some(DestinationId(number)),
                length: 9000,
                captured: number % 40,
            };
            assert!(record.write(&frame, &ring));
            assert_eq!(Record::next_time(&ring), Some(record.time_ns));
            assert_eq!(Record::read(&ring, &mut bytes), Some(record));
            assert_eq!(bytes, frame);
        }
        assert_eq!(Record::read(&ring, &mut bytes), None);
    }
}
