//! What follows an IP header of either version.

use std::net::{IpAddr, SocketAddr};

use super::{DEPTH_MAX, append, show_ip, v6};
use crate::wire::checksum::{verify_transport_v4, verify_transport_v6};
use crate::wire::ipv6::protocol;
use crate::wire::ports::Ports;
use crate::wire::{field, gre, gue, icmp, ipv4, sctp, tcp, udp};

/// Where GUE is expected: its port in the registry, which tunnels have unless told otherwise.
const GUE_PORT: u16 = 6080;

/// What an IP header hands on.
#[derive(Clone, Copy)]
pub(super) struct Inside<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) bytes: &'a [u8],
    /// Whether all of the datagram is there, so that its checksum can be told.
    pub(super) whole: bool,
    pub(super) depth: usize,
}

impl Inside<'_> {
    /// Of a fragment that has no transport header.
    pub(super) fn show_later_fragment(&self, line: &mut String) {
        self.addresses(line, &format!("frag proto={}", self.protocol));
    }

    /// Describes it; whether its checksum is right, or cannot be told.
    pub(super) fn show(&self, line: &mut String) -> bool {
        match self.protocol {
            protocol::TCP => self.show_tcp(line),
            protocol::UDP => self.show_udp(line),
            protocol::SCTP => self.show_sctp(line),
            ipv4::protocol::ICMP => {
                self.addresses(line, "icmp");
                self.show_icmp(line)
            }
            protocol::ICMPV6 => {
                self.addresses(line, "icmp6");
                v6::show_icmp(line, self)
            }
            protocol::IPIP | protocol::IPV6 => {
                self.addresses(line, "ipip");
                show_inner(line, self.bytes, self.depth);
                true
            }
            protocol::GRE => self.show_gre(line),
            number => {
                self.addresses(line, &format!("proto={number}"));
                true
            }
        }
    }

    fn show_tcp(&self, line: &mut String) -> bool {
        self.ends(line, "tcp");
        match tcp::Segment::check(self.bytes) {
            Ok(segment) => {
                append(line, format_args!(" [{}]", segment.header.flags()));
                self.verify()
            }
            Err(error) => self.malformed(line, "TCP", error),
        }
    }

    fn show_udp(&self, line: &mut String) -> bool {
        self.ends(line, "udp");
        let datagram = match udp::Datagram::check(self.bytes) {
            Ok(datagram) => datagram,
            Err(error) => return self.malformed(line, "UDP", error),
        };
        if datagram.header.destination_port() == GUE_PORT
            && let Ok(packet) = gue::Packet::check(datagram.payload)
        {
            line.push_str(" gue");
            show_inner(line, packet.payload, self.depth);
        }
        datagram.header.checksum() == 0 || self.verify()
    }

    fn show_sctp(&self, line: &mut String) -> bool {
        self.ends(line, "sctp");
        match sctp::Packet::check(self.bytes) {
            Ok(packet) => {
                if let Some(chunk) = packet.deciding_chunk() {
                    append(line, format_args!(" [{chunk}]"));
                }
                !self.whole || sctp::verify_checksum(self.bytes)
            }
            Err(error) => self.malformed(line, "SCTP", error),
        }
    }

    fn show_gre(&self, line: &mut String) -> bool {
        self.addresses(line, "gre");
        match gre::Packet::check(self.bytes) {
            Ok(packet) => {
                show_inner(line, packet.payload, self.depth);
                !self.whole || packet.verify_checksum()
            }
            Err(error) => self.malformed(line, "GRE", error),
        }
    }

    fn show_icmp(&self, line: &mut String) -> bool {
        let message = match icmp::Message::check(self.bytes) {
            Ok(message) => message,
            Err(error) => {
                append(line, format_args!(" malformed ICMP: {error}"));
                return true;
            }
        };
        let header = message.header;
        append(line, format_args!(" type={} code={}", header.message_type().0, header.code()));
        match header.message_type() {
            icmp::Type::ECHO_REQUEST | icmp::Type::ECHO_REPLY => {
                append(line, format_args!(" id={} seq={}", header.identifier(), header.sequence()));
            }
            icmp::Type::UNREACHABLE if header.code() == 4 => {
                append(line, format_args!(" mtu={}", header.next_hop_mtu()));
            }
            _ => {}
        }
        if header.message_type().is_error() {
            show_inner(line, message.body, self.depth);
        }
        !self.whole || message.verify_checksum()
    }

    /// Whether the transport's checksum is right, or cannot be told.
    pub(super) fn verify(&self) -> bool {
        let (protocol, bytes) = (self.protocol, self.bytes);
        !self.whole
            || match (self.source, self.destination) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    verify_transport_v4(from, to, protocol, bytes)
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    verify_transport_v6(from, to, protocol, bytes)
                }
                _ => true,
            }
    }

    /// Says what is wrong, unless it is only that the rest is not there.
    fn malformed(&self, line: &mut String, what: &str, error: crate::wire::Malformed) -> bool {
        if self.whole {
            append(line, format_args!(" malformed {what}: {error}"));
        }
        true
    }

    fn addresses(&self, line: &mut String, what: &str) {
        append(line, format_args!("{what} {} > {}", self.source, self.destination));
    }

    /// Addresses with ports, where these are there.
    fn ends(&self, line: &mut String, what: &str) {
        let Some(window) = field::window(self.bytes, 0) else { return self.addresses(line, what) };
        let ports = Ports::over(window);
        let from = SocketAddr::new(self.source, ports.source());
        let to = SocketAddr::new(self.destination, ports.destination());
        append(line, format_args!("{what} {from} > {to}"));
    }
}

/// A packet in a packet, in braces.
pub(super) fn show_inner(line: &mut String, bytes: &[u8], depth: usize) {
    if depth + 1 >= DEPTH_MAX {
        line.push_str(" {...}");
        return;
    }
    line.push_str(" {");
    show_ip(line, bytes, depth + 1);
    line.push('}');
}
