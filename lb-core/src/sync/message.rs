//! Datagrams of the synchronisation: versions 1 (written and read) and 0 (read).
//!
//! `struct ip_vs_sync_mesg`, `ip_vs_sync_v4`, `ip_vs_sync_v6` and `ip_vs_sync_conn_v0` of
//! `ip_vs_sync.c`; all numbers are big-endian.

use crate::address::Address;
use crate::flow::FlowKey;

/// Bytes of a datagram's header.
const HEADER: usize = 8;
/// Bytes of a version 0 header.
const HEADER_V0: usize = 4;
/// Bytes of a version 0 connection, and of the sequence numbers behind it.
const CONNECTION_V0: usize = 24;
const SEQUENCES: usize = 24;
/// Bytes of a connection before its addresses.
const FIXED: usize = 24;
const VERSION: u8 = 1;
/// In the type of a connection: its addresses are IPv6.
const IPV6: u8 = 1;
/// The length of a connection in the word that has its version, too.
const LENGTH: u16 = 0x0fff;

/// Options behind a connection.
const OPTION_SEQUENCES: u8 = 1;
const OPTION_ENGINE_DATA: u8 = 2;
const OPTION_ENGINE_NAME: u8 = 3;
/// A receiver that does not know the option may leave it out.
const OPTION_OPTIONAL: u8 = 0x40;
/// Longest engine data and name (`IP_VS_PEDATA_MAXLEN`, `IP_VS_PENAME_MAXLEN`).
const ENGINE_DATA_MAX: usize = 255;
const ENGINE_NAME_MAX: usize = 16;

/// Flags of a connection (`IP_VS_CONN_F_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    pub const NO_OUTPUT: Self = Self(0x80);
    pub const INACTIVE: Self = Self(0x100);
    /// Sequence numbers are translated (FTP).
    pub const SEQUENCES: Self = Self(0x600);
    pub const NO_CLIENT_PORT: Self = Self(0x800);
    pub const TEMPLATE: Self = Self(0x1000);

    /// Whether any flag of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The same, with `other` where `is_so`.
    #[must_use]
    pub const fn with(self, other: Self, is_so: bool) -> Self {
        if is_so { Self(self.0 | other.0) } else { self }
    }
}

/// A connection or template as it is told to another director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: FlowKey,
    pub server: Address,
    pub server_port: u16,
    /// With the forwarding method in the lowest three bits.
    pub flags: Flags,
    /// Number of the protocol's state.
    pub state: u16,
    /// Mark of the first packet.
    pub mark: u32,
    /// 0 is the state's own.
    pub timeout_s: u32,
    /// Name and data of the persistence engine.
    pub engine: Option<(String, Vec<u8>)>,
}

impl Record {
    /// Appends the bytes of a version 1 connection.
    fn write(&self, to: &mut Vec<u8>) {
        let start = to.len();
        let FlowKey { protocol, client, client_port, virtual_address, virtual_port } = self.key;
        to.extend([if client.is_v4() { 0 } else { IPV6 }, protocol, 0, 0]);
        to.extend(self.flags.0.to_be_bytes());
        for word in [self.state, client_port, virtual_port, self.server_port] {
            to.extend(word.to_be_bytes());
        }
        to.extend(self.mark.to_be_bytes());
        to.extend(self.timeout_s.to_be_bytes());
        for address in [client, virtual_address, self.server] {
            if client.is_v4() {
                to.extend(address.low_32().to_be_bytes());
            } else {
                to.extend(address.bits().to_be_bytes());
            }
        }
        if let Some((name, data)) = &self.engine {
            write_option(to, OPTION_ENGINE_DATA, data);
            write_option(to, OPTION_ENGINE_NAME, name.as_bytes());
        }
        let length = u16::try_from(to.len() - start).unwrap_or(LENGTH) & LENGTH;
        to[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

fn write_option(to: &mut Vec<u8>, kind: u8, data: &[u8]) {
    let length = u8::try_from(data.len()).unwrap_or(u8::MAX);
    to.extend([kind, length]);
    to.extend(&data[..usize::from(length)]);
}

/// A datagram that is being filled.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    connections: u8,
    sync_id: u8,
    length_max: usize,
}

impl Batch {
    /// An empty datagram of at most `length_max` bytes.
    pub fn new(sync_id: u8, length_max: u16) -> Self {
        let length_max = usize::from(length_max);
        Self { bytes: Vec::with_capacity(length_max), connections: 0, sync_id, length_max }
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.connections == 0
    }

    /// Adds a connection. `false`: it does not fit; send the datagram first.
    pub fn push(&mut self, record: &Record) -> bool {
        let before = self.bytes.len();
        if before == 0 {
            self.bytes.resize(HEADER, 0);
        }
        // Each begins at a multiple of 4; nothing is behind the last.
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        record.write(&mut self.bytes);
        if self.bytes.len() > self.length_max || self.connections == u8::MAX {
            self.bytes.truncate(before);
            return false;
        }
        self.connections += 1;
        true
    }

    /// The datagram; then it is empty again.
    pub fn take(&mut self, send: impl FnOnce(&[u8])) {
        if self.is_empty() {
            return;
        }
        let size = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
        let header = [0, self.sync_id, size[0], size[1], self.connections, VERSION, 0, 0];
        self.bytes[..HEADER].copy_from_slice(&header);
        send(&self.bytes);
        self.bytes.clear();
        self.connections = 0;
    }
}

/// What was not taken of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadTally {
    /// Of another director, by its number: none of it was read.
    pub is_foreign: bool,
    /// Connections that were left out.
    pub skipped: u32,
    /// Something was malformed, and the rest was left out.
    pub is_malformed: bool,
}

/// Reads the connections of a datagram into `records`. With a `sync_id` other than 0 only of
/// directors with that number.
pub fn read(datagram: &[u8], sync_id: u8, records: &mut Vec<Record>) -> ReadTally {
    let mut tally = ReadTally::default();
    let Some(&[first, id, size_high, size_low]) = datagram.first_chunk() else {
        tally.is_malformed = true;
        return tally;
    };
    if usize::from(u16::from_be_bytes([size_high, size_low])) != datagram.len() {
        tally.is_malformed = true;
        return tally;
    }
    if sync_id != 0 && id != sync_id {
        tally.is_foreign = true;
        return tally;
    }
    match datagram.get(HEADER_V0..HEADER) {
        Some(&[count, VERSION, 0, 0]) if first == 0 => {
            read_v1(&datagram[HEADER..], count, records, &mut tally);
        }
        _ => read_v0(&datagram[HEADER_V0..], first, records, &mut tally),
    }
    tally
}

fn read_v1(mut rest: &[u8], count: u8, records: &mut Vec<Record>, tally: &mut ReadTally) {
    for _ in 0..count {
        let length = rest.get(2..4).map(|word| u16::from_be_bytes([word[0], word[1]]));
        let bytes = length.and_then(|length| {
            let is_known = length & !LENGTH == 0;
            rest.get(..usize::from(length & LENGTH)).filter(|_| is_known)
        });
        match bytes.map(connection) {
            Some(Connection::Whole(record)) => records.push(record),
            Some(Connection::Unknown) => tally.skipped += 1,
            Some(Connection::Malformed) | None => {
                tally.is_malformed = true;
                return;
            }
        }
        let next = bytes.map_or(0, <[u8]>::len).next_multiple_of(4);
        rest = rest.get(next..).unwrap_or_default();
    }
}

enum Connection {
    Whole(Record),
    /// It has something that has to be known, and is not.
    Unknown,
    Malformed,
}

/// Reads a connection of version 1 with its options.
fn connection(bytes: &[u8]) -> Connection {
    let mut fields = Fields(bytes);
    let Some(mut record) = fields.fixed() else { return Connection::Malformed };
    let (mut seen, mut name, mut data) = ([false; 4], None, None);
    while let Some(&kind) = fields.0.first() {
        let (Some(&length), Some(rest)) = (fields.0.get(1), fields.0.get(2..)) else {
            return Connection::Malformed;
        };
        let length = usize::from(length);
        if length == 0 || length > rest.len() {
            return Connection::Malformed;
        }
        let (value, rest) = rest.split_at(length);
        fields.0 = rest;
        let known = kind & !OPTION_OPTIONAL;
        let before = seen.get_mut(usize::from(known)).filter(|_| known != 0);
        if before.is_some_and(|seen| std::mem::replace(seen, true)) {
            return Connection::Malformed;
        }
        match known {
            OPTION_SEQUENCES if length == SEQUENCES => {}
            OPTION_ENGINE_DATA if length <= ENGINE_DATA_MAX => data = Some(value.to_vec()),
            OPTION_ENGINE_NAME if length <= ENGINE_NAME_MAX => {
                name = Some(String::from_utf8_lossy(value).into_owned());
            }
            OPTION_SEQUENCES | OPTION_ENGINE_DATA | OPTION_ENGINE_NAME => {
                return Connection::Malformed;
            }
            _ if kind & OPTION_OPTIONAL != 0 => {}
            _ => return Connection::Unknown,
        }
    }
    record.engine = name.zip(data);
    Connection::Whole(record)
}

/// Fields of a connection, cut off one by one.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn address(&mut self, is_v4: bool) -> Option<Address> {
        if is_v4 {
            return self.u32().map(Address::v4);
        }
        self.take().map(|bytes| Address::from_bits(u128::from_be_bytes(bytes)))
    }

    /// All but the options.
    fn fixed(&mut self) -> Option<Record> {
        if self.0.len() < FIXED {
            return None;
        }
        let [kind, protocol, _, _] = self.take()?;
        let is_v4 = kind & IPV6 == 0;
        let flags = Flags(self.u32()?);
        let state = self.u16()?;
        let (client_port, virtual_port, server_port) = (self.u16()?, self.u16()?, self.u16()?);
        let (mark, timeout_s) = (self.u32()?, self.u32()?);
        let (client, virtual_address) = (self.address(is_v4)?, self.address(is_v4)?);
        let server = self.address(is_v4)?;
        let key = FlowKey { protocol, client, client_port, virtual_address, virtual_port };
        Some(Record { key, server, server_port, flags, state, mark, timeout_s, engine: None })
    }
}

fn read_v0(mut rest: &[u8], count: u8, records: &mut Vec<Record>, tally: &mut ReadTally) {
    for _ in 0..count {
        let Some(record) = rest.get(..CONNECTION_V0).and_then(connection_v0) else {
            tally.is_malformed = true;
            return;
        };
        let sequences = if record.flags.has(Flags::SEQUENCES) { SEQUENCES } else { 0 };
        let Some(next) = rest.get(CONNECTION_V0 + sequences..) else {
            tally.is_malformed = true;
            return;
        };
        rest = next;
        records.push(record);
    }
}

fn connection_v0(bytes: &[u8]) -> Option<Record> {
    let mut fields = Fields(bytes);
    let [_, protocol] = fields.take()?;
    let (client_port, virtual_port, server_port) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let (client, virtual_address) = (fields.address(true)?, fields.address(true)?);
    let server = fields.address(true)?;
    let flags = Flags(fields.u16()?.into());
    let state = fields.u16()?;
    let key = FlowKey { protocol, client, client_port, virtual_address, virtual_port };
    Some(Record { key, server, server_port, flags, state, mark: 0, timeout_s: 0, engine: None })
}
