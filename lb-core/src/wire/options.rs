//! IPv4 options (RFC 791 section 3.1) as a host or router on the way reads and fills them.
//!
//! ```text
//! 0      1        2         3                                    of RR: addresses from 3 on
//! | kind | length | pointer | overflow:4 flag:4 | addresses, times ...        of timestamps
//! ```
//!
//! The pointer counts from 1, and from the option's own start. Options of one byte are the end of
//! the list and "no operation".

use std::net::Ipv4Addr;

use super::ipv4::HEADER_LEN;

/// Bytes of options that a header has room for.
pub const LEN_MAX: usize = 40;

mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const NO_OPERATION: u8 = 1;
    pub(super) const RECORD_ROUTE: u8 = 7;
    pub(super) const TIMESTAMP: u8 = 68;
    pub(super) const LOOSE_ROUTE: u8 = 131;
    /// Commercial IP security option (FIPS 188).
    pub(super) const CIPSO: u8 = 134;
    pub(super) const STRICT_ROUTE: u8 = 137;
    pub(super) const ROUTER_ALERT: u8 = 148;
}

/// What a timestamp option asks for: its low four bits of byte 3.
mod flag {
    pub(super) const TIMES: u8 = 0;
    pub(super) const ADDRESSES: u8 = 1;
    pub(super) const PRESPECIFIED: u8 = 3;
}

/// What is written into options that ask for it.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<F> {
    /// The address that the director has to the sender.
    pub address: Ipv4Addr,
    /// Milliseconds since midnight UTC, or [`own_time`].
    pub time: u32,
    /// Whether an address that a timestamp option names stands for the director.
    pub is_ours: F,
}

/// A time of a clock that does not count from midnight: the highest bit says so (RFC 791 section
/// 3.1).
pub const fn own_time(milliseconds: u32) -> u32 {
    milliseconds | 0x8000_0000
}

/// An option that answers repeat.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    needs_address: bool,
    needs_time: bool,
}

/// The options of a packet, read and filled (`ip_options_compile`).
#[derive(Clone, Copy, Debug)]
pub struct Options {
    bytes: [u8; LEN_MAX],
    length: usize,
    record_route: Option<Place>,
    timestamp: Option<Place>,
    cipso: Option<usize>,
    /// Whether the sender names a route.
    pub has_source_route: bool,
    /// Where the first byte is that is wrong, from the start of the IP header.
    pub fault: Option<u8>,
}

/// The options of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Echoed {
    bytes: [u8; LEN_MAX],
    length: usize,
}

impl Echoed {
    /// A multiple of 4 bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Options {
    /// Reads what stands behind the fixed header, and fills in what it asks of everybody on the
    /// way. What is found before a fault stays found. More than 40 bytes there cannot be.
    pub fn read<F: Fn(Ipv4Addr) -> bool>(options: &[u8], stamp: &Stamp<F>) -> Self {
        let mut read = Self {
            bytes: [0; LEN_MAX],
            length: options.len().min(LEN_MAX),
            record_route: None,
            timestamp: None,
            cipso: None,
            has_source_route: false,
            fault: None,
        };
        for (to, from) in read.bytes.iter_mut().zip(options) {
            *to = *from;
        }
        // At most 20 + 40 + 3.
        let fault = |at: usize| u8::try_from(HEADER_LEN + at).unwrap_or(u8::MAX);
        read.fault = read.walk(stamp).err().map(fault);
        read
    }

    /// Whether the options are well formed and name no route.
    pub fn judge(options: &[u8]) -> Self {
        Self::read(options, &Stamp { address: Ipv4Addr::UNSPECIFIED, time: 0, is_ours: |_| false })
    }

    /// The options as they are now: as long as they were.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn byte(&self, at: usize) -> usize {
        usize::from(self.bytes.get(at).copied().unwrap_or_default())
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        put(&mut self.bytes, at, value);
    }

    /// Goes from option to option. The error is where the fault is.
    fn walk<F: Fn(Ipv4Addr) -> bool>(&mut self, stamp: &Stamp<F>) -> Result<(), usize> {
        let mut at = 0;
        while at < self.length {
            let kind = self.bytes.get(at).copied().unwrap_or_default();
            match kind {
                kind::END => {
                    // What is behind the end says nothing, and nobody gets it.
                    self.bytes.get_mut(at..).unwrap_or_default().fill(kind::END);
                    return Ok(());
                }
                kind::NO_OPERATION => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let (rest, length) = (self.length - at, self.byte(at + 1));
            if rest < 2 || length < 2 || length > rest {
                return Err(at);
            }
            match kind {
                kind::LOOSE_ROUTE | kind::STRICT_ROUTE => self.source_route(at, length)?,
                kind::RECORD_ROUTE => self.record_route(at, length, stamp)?,
                kind::TIMESTAMP => self.timestamp(at, length, stamp)?,
                kind::ROUTER_ALERT if length < 4 => return Err(at + 1),
                kind::CIPSO => self.cipso(at, length)?,
                _ => {}
            }
            at += length;
        }
        Ok(())
    }

    fn source_route(&mut self, at: usize, length: usize) -> Result<(), usize> {
        if length < 3 {
            return Err(at + 1);
        }
        if self.byte(at + 2) < 4 {
            return Err(at + 2);
        }
        if std::mem::replace(&mut self.has_source_route, true) {
            return Err(at);
        }
        Ok(())
    }

    fn record_route<F>(&mut self, at: usize, length: usize, stamp: &Stamp<F>) -> Result<(), usize> {
        if self.record_route.is_some() {
            return Err(at);
        }
        if length < 3 {
            return Err(at + 1);
        }
        let pointer = self.byte(at + 2);
        if pointer < 4 {
            return Err(at + 2);
        }
        let has_room = pointer <= length;
        if has_room {
            if pointer + 3 > length {
                return Err(at + 2);
            }
            self.put(at + pointer - 1, &stamp.address.octets());
            self.advance(at, 4);
        }
        self.record_route = Some(Place { at, needs_address: has_room, needs_time: false });
        Ok(())
    }

    fn timestamp<F: Fn(Ipv4Addr) -> bool>(
        &mut self,
        at: usize,
        length: usize,
        stamp: &Stamp<F>,
    ) -> Result<(), usize> {
        if self.timestamp.is_some() {
            return Err(at);
        }
        if length < 4 {
            return Err(at + 1);
        }
        let pointer = self.byte(at + 2);
        if pointer < 5 {
            return Err(at + 2);
        }
        let [_, _, _, asked] = self.four(at);
        let flag = asked & 0x0f;
        let mut place = Place { at, needs_address: false, needs_time: false };
        if pointer > length {
            if flag != flag::PRESPECIFIED {
                // Nobody counts further than 15 who found no room.
                if asked >> 4 == 15 {
                    return Err(at + 3);
                }
                self.put(at + 3, &[asked + 0x10]);
            }
            self.timestamp = Some(place);
            return Ok(());
        }
        let has_addresses = matches!(flag, flag::ADDRESSES | flag::PRESPECIFIED);
        if pointer + if has_addresses { 7 } else { 3 } > length {
            return Err(at + 2);
        }
        let (start, time) = (at + pointer - 1, stamp.time.to_be_bytes());
        match flag {
            flag::TIMES => {
                self.put(start, &time);
                place.needs_time = true;
                self.advance(at, 4);
            }
            flag::ADDRESSES => {
                self.put(start, &stamp.address.octets());
                self.put(start + 4, &time);
                (place.needs_address, place.needs_time) = (true, true);
                self.advance(at, 8);
            }
            flag::PRESPECIFIED if (stamp.is_ours)(self.four(start).into()) => {
                self.put(start + 4, &time);
                place.needs_time = true;
                self.advance(at, 8);
            }
            _ => {}
        }
        self.timestamp = Some(place);
        Ok(())
    }

    /// Labels belong to domains that both ends know, and the director knows none
    /// (`cipso_v4_validate`).
    fn cipso(&mut self, at: usize, length: usize) -> Result<(), usize> {
        if self.cipso.replace(at).is_some() {
            return Err(at);
        }
        Err(at + if length < 8 { 1 } else { 2 })
    }

    fn four(&self, at: usize) -> [u8; 4] {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default()
    }

    /// Moves an option's pointer.
    fn advance(&mut self, at: usize, bytes: u8) {
        if let Some(pointer) = self.bytes.get_mut(at + 2) {
            *pointer = pointer.saturating_add(bytes);
        }
    }

    /// What an answer to the packet repeats of them (`__ip_options_echo`, `ip_options_build`): a
    /// recorded route, times and labels, in this order, filled in once more by the director as
    /// the sender of the answer. A source route is never followed. `None` where the answer has no
    /// room for what it would have to say: there is none then.
    pub fn echo<F: Fn(Ipv4Addr) -> bool>(&self, stamp: &Stamp<F>) -> Option<Echoed> {
        let mut echoed = Echoed { bytes: [0; LEN_MAX], length: 0 };
        if let Some(route) = self.record_route {
            let start = echoed.append(self.option(route.at));
            let (length, pointer) = (self.byte(route.at + 1), self.byte(route.at + 2));
            if route.needs_address && pointer <= length {
                if pointer + 3 > length {
                    return None;
                }
                echoed.fill(start, pointer, &stamp.address.octets());
            }
        }
        if let Some(times) = self.timestamp {
            let start = echoed.append(self.option(times.at));
            self.echo_times(&mut echoed, start, times, stamp)?;
        }
        if let Some(at) = self.cipso {
            echoed.append(self.option(at));
        }
        // Ends of the list are 0, as the bytes behind are.
        echoed.length = echoed.length.next_multiple_of(4).min(LEN_MAX);
        Some(echoed)
    }

    fn echo_times<F: Fn(Ipv4Addr) -> bool>(
        &self,
        echoed: &mut Echoed,
        start: usize,
        times: Place,
        stamp: &Stamp<F>,
    ) -> Option<()> {
        let (length, mut pointer) = (self.byte(times.at + 1), self.byte(times.at + 2));
        if pointer > length {
            return Some(());
        }
        if times.needs_address {
            if pointer + 3 > length {
                return None;
            }
            pointer = echoed.fill(start, pointer, &stamp.address.octets());
        }
        if !times.needs_time {
            return Some(());
        }
        if pointer + 3 > length {
            return None;
        }
        let time = stamp.time.to_be_bytes();
        if self.byte(times.at + 3) & 0x0f != usize::from(flag::PRESPECIFIED) {
            echoed.fill(start, pointer, &time);
        } else if pointer + 7 <= length && (stamp.is_ours)(self.four(times.at + pointer - 1).into())
        {
            echoed.fill(start, pointer + 4, &time);
        }
        Some(())
    }

    /// An option that was found whole.
    fn option(&self, at: usize) -> &[u8] {
        self.bytes.get(at..at + self.byte(at + 1)).unwrap_or_default()
    }
}

impl Echoed {
    /// Puts an option behind the others. Returns where.
    fn append(&mut self, option: &[u8]) -> usize {
        let start = self.length;
        put(&mut self.bytes, start, option);
        self.length = (start + option.len()).min(LEN_MAX);
        start
    }

    /// Fills in a value where `pointer` says and moves the pointer behind it.
    fn fill(&mut self, start: usize, pointer: usize, value: &[u8; 4]) -> usize {
        put(&mut self.bytes, start + pointer - 1, value);
        let behind = pointer + 4;
        put(&mut self.bytes, start + 2, &[u8::try_from(behind).unwrap_or(u8::MAX)]);
        behind
    }
}

fn put(bytes: &mut [u8; LEN_MAX], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
    const TIME: u32 = 0x02ef_3423;

    fn stamp() -> Stamp<impl Fn(Ipv4Addr) -> bool> {
        Stamp { address: VIP, time: TIME, is_ours: |address| address == VIP }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect()
    }

    fn filled(text: &str) -> Vec<u8> {
        let options = Options::read(&hex(text), &stamp());
        assert_eq!(options.fault, None, "{text}");
        options.bytes().to_vec()
    }

    #[test]
    fn routes_and_times_are_filled_in_as_the_kernel_fills() {
        assert_eq!(filled("070b04000000000000000000"), hex("070b080a0000640000000000"));
        assert_eq!(filled("940400000707040000000000"), hex("940400000707080a00006400"));
        assert_eq!(filled("440c05000000000000000000"), hex("440c090002ef342300000000"));
        assert_eq!(filled("440c05010000000000000000"), hex("440c0d010a00006402ef3423"));
        // Only who is named gives a time.
        assert_eq!(filled("440c05030a00006400000000"), hex("440c0d030a00006402ef3423"));
        assert_eq!(filled("440c05030a00010200000000"), hex("440c05030a00010200000000"));
        // No room any more: counted, but not by those who were not asked.
        assert_eq!(filled("440c0d300000000000000000"), hex("440c0d400000000000000000"));
        assert_eq!(filled("440c0d030000000000000000"), hex("440c0d030000000000000000"));
        assert_eq!(filled("070708ffffffff00"), hex("070708ffffffff00"));
        // What is behind the end goes; what nobody knows stays.
        assert_eq!(filled("0100aabb"), hex("01000000"));
        assert_eq!(filled("9e0400001e040000"), hex("9e0400001e040000"));
        assert_eq!(filled("94040000"), hex("94040000"));
    }

    #[test]
    fn faults_are_where_the_kernel_finds_them() {
        for (options, pointer) in [
            ("07280400", 20),
            ("07050400", 20),
            ("07020400", 21),
            ("070b03000000000000000000", 22),
            ("07010000", 20),
            ("01010107", 23),
            ("440c0df00000000000000000", 23),
            ("86040000", 21),
            ("8608000000010000", 22),
            ("0703040703040101", 23),
            ("4404050044040500", 24),
            ("44030500", 21),
            ("4408040000000000", 22),
            ("4408050100000000", 22),
            ("0707050000000000", 22),
            ("94030000", 21),
            ("83020000", 21),
            ("83030300", 22),
            ("8303048903040000", 23),
        ] {
            let found = Options::read(&hex(options), &stamp()).fault;
            assert_eq!(found, Some(pointer), "{options}");
        }
        assert!(Options::judge(&hex("8307080a00026300")).has_source_route);
        assert!(Options::judge(&hex("8907040a00026300")).has_source_route);
        assert!(!Options::judge(&hex("0783040000000000")).has_source_route);
    }

    #[test]
    fn answers_repeat_what_was_asked_as_the_kernel_repeats() {
        let echoed = |text: &str| {
            let options = Options::read(&hex(text), &stamp());
            options.echo(&stamp()).map(|echoed| echoed.bytes().to_vec())
        };
        assert_eq!(echoed("01010100"), Some(vec![]));
        assert_eq!(echoed("94040000"), Some(vec![]));
        let answer = "070b0c0a0000640a00006400";
        assert_eq!(echoed("070b04000000000000000000"), Some(hex(answer)));
        assert_eq!(echoed("070b080a0001630000000000"), Some(hex("070b0c0a0001630a00006400")));
        assert_eq!(echoed("86040000"), Some(hex("86040000")));
        assert_eq!(echoed("440c05000000000000000000"), Some(hex("440c0d0002ef342302ef3423")));
        // Room for the director, and none for it again.
        assert_eq!(echoed("440c05010000000000000000"), Some(hex("440c0d010a00006402ef3423")));
        assert_eq!(echoed("44100501000000000000000000000000"), None);
    }

    /// Whether a list has room for a part of an entry, at its pointer or at its end: whoever fills
    /// what is whole leaves what the next one finds at fault, as the kernel does.
    fn has_part_of_an_entry(options: &Options) -> bool {
        let has_part = |place: Place, head: usize, entry: usize| {
            let (length, pointer) = (options.byte(place.at + 1), options.byte(place.at + 2));
            !(pointer - head).is_multiple_of(entry) || !(length + 1 - head).is_multiple_of(entry)
        };
        let is_with_addresses = |place: Place| {
            let flag = options.bytes[place.at + 3] & 0x0f;
            matches!(flag, flag::ADDRESSES | flag::PRESPECIFIED)
        };
        options.record_route.is_some_and(|place| has_part(place, 4, 4))
            || options.timestamp.is_some_and(|place| {
                has_part(place, 5, if is_with_addresses(place) { 8 } else { 4 })
            })
    }

    proptest! {
        #[test]
        fn any_bytes_are_options(
            bytes in proptest::collection::vec(
                prop_oneof![
                    Just(7_u8), Just(68), Just(131), Just(137), Just(134), Just(148),
                    0_u8..16, any::<u8>(),
                ],
                0..=50,
            ),
        ) {
            let options = Options::read(&bytes, &stamp());
            prop_assert_eq!(options.bytes().len(), bytes.len().min(LEN_MAX));
            if let Some(fault) = options.fault {
                prop_assert!((20..=62).contains(&fault));
            }
            if let Some(echoed) = options.echo(&stamp()) {
                prop_assert!(echoed.bytes().len() <= LEN_MAX);
                prop_assert_eq!(echoed.bytes().len() % 4, 0);
                let fault = Options::judge(echoed.bytes()).fault;
                let is_broken = options.cipso.is_some() || has_part_of_an_entry(&options);
                prop_assert!(fault.is_none() || is_broken, "{fault:?}");
            }
            // Reading says the same of the same, whoever stamps.
            let judged = Options::judge(&bytes);
            prop_assert_eq!(judged.fault, options.fault);
            prop_assert_eq!(judged.has_source_route, options.has_source_route);
        }

        #[test]
        fn every_host_is_recorded_once_until_there_is_no_room(
            slots in 1_usize..9, hosts in 0_usize..12,
        ) {
            let length = 3 + slots * 4;
            let mut bytes = vec![0; length.next_multiple_of(4)];
            bytes[..3].copy_from_slice(&[7, u8::try_from(length).unwrap(), 4]);
            for host in 0..hosts {
                let address = Ipv4Addr::from_bits(u32::try_from(host).unwrap() + 1);
                let stamp = Stamp { address, time: 0, is_ours: |_| false };
                let options = Options::read(&bytes, &stamp);
                prop_assert_eq!(options.fault, None);
                bytes = options.bytes().to_vec();
            }
            let seen: Vec<u32> = bytes[3..length].chunks(4)
                .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
                .collect();
            let expected: Vec<u32> = (0..slots)
                .map(|slot| if slot < hosts { u32::try_from(slot).unwrap() + 1 } else { 0 })
                .collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
