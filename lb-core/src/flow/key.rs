//! What identifies a connection, and how an entry stores it.

use crate::address::Address;

/// What identifies a connection, as in IPVS: protocol, client end, virtual end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// IP protocol number.
    pub protocol: u8,
    pub client: Address,
    pub client_port: u16,
    pub virtual_address: Address,
    pub virtual_port: u16,
}

/// What identifies the connection of a packet from a real server that NAT leads to: protocol,
/// client end, real server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyKey {
    /// IP protocol number.
    pub protocol: u8,
    pub client: Address,
    pub client_port: u16,
    pub server: Address,
    pub server_port: u16,
}

/// What an entry is, in the top byte of the first key word. All zero is "nothing": free memory, or
/// an entry that was removed in this burst.
pub(super) mod kind {
    pub(in super::super) const SHIFT: u32 = 56;
    /// Set in every entry that is something.
    pub(in super::super) const USED: u64 = 1 << SHIFT;
    /// The addresses are in the cold line.
    pub(in super::super) const IPV6: u64 = 2 << SHIFT;
    /// A persistence template: packets never find it.
    pub(in super::super) const TEMPLATE: u64 = 4 << SHIFT;
    /// Of a single packet: not in the table, nobody finds it.
    pub(in super::super) const LONE: u64 = 8 << SHIFT;
}

/// Where the first word of an IPv6 key does not depend on the virtual end.
pub(super) const CLIENT_PART: u64 = 0xffff_ffff_0000_0000;

impl FlowKey {
    /// The key as the two words that are stored and compared. Of an IPv6 key they are a first
    /// sieve: its addresses are compared in the cold line.
    #[inline]
    pub const fn words(&self) -> [u64; 2] {
        let first = first_word(self.protocol, self.client, self.client_port);
        if self.client.is_v4() {
            return [
                client_word_v4(self.protocol, self.client.low_32(), self.client_port),
                end_word_v4(self.virtual_address.low_32(), self.virtual_port),
            ];
        }
        let [client_high, client_low] = self.client.halves();
        let [virtual_high, virtual_low] = self.virtual_address.halves();
        [
            first | self.virtual_port as u64,
            client_low ^ client_high.rotate_left(16) ^ virtual_low.rotate_left(32) ^ virtual_high,
        ]
    }
}

/// Kind, protocol and client port.
#[inline]
pub(super) const fn first_word(protocol: u8, client: Address, client_port: u16) -> u64 {
    if client.is_v4() {
        end_word_v4(0, client_port) | (protocol as u64) << 48 | kind::USED
    } else {
        client_word_v6(protocol, client_port)
    }
}

/// The first word of an IPv4 key: protocol and client's end.
#[inline]
pub(crate) const fn client_word_v4(protocol: u8, address: u32, port: u16) -> u64 {
    end_word_v4(address, port) | (protocol as u64) << 48 | kind::USED
}

/// The first word of an IPv6 key, but for the virtual port, which is its low end.
#[inline]
pub(crate) const fn client_word_v6(protocol: u8, port: u16) -> u64 {
    (port as u64) << 32 | (protocol as u64) << 48 | kind::USED | kind::IPV6
}

/// The second word of an IPv4 key, the virtual end; and how a real server's end is compared.
#[inline]
pub(crate) const fn end_word_v4(address: u32, port: u16) -> u64 {
    address as u64 | (port as u64) << 32
}
