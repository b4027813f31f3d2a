//! Why a packet did not go on: the one list of drop reasons.
//!
//! The enum, its names in counters and listings, and `docs/drops.md` come from this list; a test
//! compares the page with it.

macro_rules! drop_reasons {
    ($($variant:ident $name:literal $meaning:literal $advice:literal;)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $meaning] $variant,)*
        }

        impl DropReason {
            /// All reasons, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The reason's name in listings and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What to do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

drop_reasons! {
    FrameTooShort "frame_too_short"
        "The frame ends inside its Ethernet or VLAN header."
        "Look at the sender or the cable: no real host sends such frames.";
    SegmentedFrame "segmented_frame"
        "The frame came in several buffers, because it is larger than the port's MTU allows."
        "Give the port the MTU that its network has, or switch off offloads that merge frames.";
    OtherHost "other_host"
        "The frame's destination MAC is another host's."
        "Normal on a switch that floods or a port in promiscuous mode.";
    VlanUnknown "vlan_unknown"
        "The frame has an 802.1Q tag of a VLAN that the port has no interface for, or two tags."
        "Name the VLAN under the port's `vlans`, or take it off the switch port.";
    NotIp "not_ip"
        "The frame carries neither IP nor ARP (LLDP, spanning tree, ...)."
        "Normal in small numbers.";
    ArpMalformed "arp_malformed"
        "The ARP packet is cut off or not about Ethernet and IPv4."
        "Look at the sender.";
    NeighbourMalformed "neighbour_malformed"
        "The neighbour solicitation or advertisement is cut off, has a hop limit other than 255, or \
         a wrong checksum."
        "Look at the sender: it may be on another link and hostile.";
    Ipv4Malformed "ipv4_malformed"
        "The IPv4 header is cut off, has an impossible length or version, or the packet is longer \
         than its frame."
        "Look at the sender; offloads on a virtual link can cause it too.";
    Ipv4Checksum "ipv4_checksum"
        "The IPv4 header's checksum is wrong."
        "Look at the link's error counters; on virtual links switch off checksum offload.";
    Ipv6Malformed "ipv6_malformed"
        "The IPv6 header is cut off, or the packet is longer than its frame."
        "Look at the sender; offloads on a virtual link can cause it too.";
    Ipv4Options "ipv4_options"
        "The IPv4 options are malformed, or a security label that means nothing here; the sender \
         was told by ICMP parameter problem, at a limited rate."
        "Look for a hostile sender.";
    SourceRoute "source_route"
        "The IPv4 options name the route that the packet is to take, which nobody follows any more."
        "Look for a hostile sender.";
    Ipv6Options "ipv6_options"
        "IPv6 hop-by-hop options that are malformed, or unknown and not to be ignored; the same in \
         any extension header of an ICMPv6 packet to the director. The sender was told by ICMPv6 \
         parameter problem where it wants to know, at a limited rate."
        "Look for a hostile sender.";
    MartianSource "martian_source"
        "The source address cannot be a client's: 0.0.0.0, loopback, multicast, broadcast, or an \
         address of the director itself."
        "Look for a misconfigured or hostile sender.";
    NotLocal "not_local"
        "The packet's destination is no address of the director, it belongs to no connection, and \
         `ip_forward` is off."
        "A host routes through the director: mend its routes, or switch `ip_forward` on. If the \
         address should be served, add the service or list it under `vips`.";
    NoRoute "no_route"
        "No route leads to where the packet is to go; its sender was told by ICMP, at a limited rate."
        "Name the way under `routes`.";
    ServerUnreachable "server_unreachable"
        "No route leads to the connection's real server; the client was told by ICMP host \
         unreachable, at a limited rate."
        "Name the way under `routes`.";
    Broadcast "broadcast"
        "An IP packet to a broadcast or multicast address, or from or to a link-local one that \
         would have to leave its link, and the port has no kernel interface for it."
        "Normal on every LAN.";
    FragmentMalformed "fragment_malformed"
        "A fragment of impossible length or offset: empty, no multiple of 8 bytes though others \
         follow, or beyond the largest datagram."
        "Look for a hostile sender.";
    FragmentTiny "fragment_tiny"
        "The first fragment of a datagram does not hold the whole transport header."
        "Look for a hostile sender: every link takes packets that hold it.";
    FragmentOverlap "fragment_overlap"
        "The fragment claims bytes that another one has, or another end of the datagram; all \
         further fragments of the datagram are dropped with it."
        "Look for a hostile sender, or one that uses the same identification for two datagrams.";
    FragmentDuplicate "fragment_duplicate"
        "The fragment's bytes had all been seen before."
        "Normal in small numbers; else look for a loop or a mirrored port.";
    FragmentScattered "fragment_scattered"
        "The datagram has more than 255 fragments, or more than 8 gaps between those that have \
         arrived."
        "Look for a hostile sender, or for paths of very different delay.";
    FragmentFlood "fragment_flood"
        "Too many fragmented datagrams were under way at a time, or too many fragments waited for \
         the first one of theirs."
        "Look for a flood; raise the MTU of the senders' path, so that they do not fragment.";
    FragmentOrphan "fragment_orphan"
        "The first fragment of the datagram did not come within 30 seconds (IPv6: 60)."
        "Look for loss on the path, or for a filter that lets only later fragments through.";
    FragmentUntranslatable "fragment_untranslatable"
        "A fragment of SCTP through NAT to another port: the checksum needs the whole datagram."
        "Let the SCTP endpoints find the path MTU; they need not fragment.";
    TransportTruncated "transport_truncated"
        "The packet ends inside its TCP, UDP, SCTP or ICMP header."
        "Look for a hostile sender.";
    FtpMalformed "ftp_malformed"
        "A packet of an FTP control connection under NAT that cannot be read: a wrong checksum or \
         broken TCP options."
        "Look at the link's error counters; on virtual links switch off checksum offload.";
    NoService "no_service"
        "The packet is for an address of the director, but no virtual service matches it; TCP is \
         answered by a reset, UDP by ICMP port unreachable, SCTP by protocol unreachable, at a \
         limited rate."
        "Compare `sluiceadm -Ln` with what clients ask for.";
    NoListener "no_listener"
        "The connection's real server is the director itself, and the packet came by an interface \
         that the host's kernel does not have: nobody listens; answered as with `no_service`."
        "Give the interface `kernel: true`, and the host the service's address.";
    LoopbackServer "loopback_server"
        "The connection's real server is a loopback address of the director, by NAT: nothing from \
         outside may be sent there."
        "Use `-g` with the port of the service, or name another address of the director.";
    NoConnection "no_connection"
        "The packet belongs to no connection and may not begin one (TCP without SYN, SCTP without \
         INIT, or from port 20); answered as with `no_service`."
        "Normal after timeouts; in larger numbers compare `sluiceadm -L --timeout` with the \
         idle times of your clients.";
    Overload "overload"
        "The packet would have begun a connection, but `drop_packet` is on, and drops a share of \
         such packets."
        "Look for a flood of new connections; raise `flows.max` if they are welcome.";
    NoDestination "no_destination"
        "No real server of the service can take the connection; the client was told by ICMP port \
         unreachable, at a limited rate."
        "Look at weights and thresholds: `sluiceadm -Ln`, `sluiceadm -Ln --thresholds`.";
    NoCallId "no_call_id"
        "The service has the persistence engine `sip`, and the packet is no SIP message over UDP: \
         no usable Call-ID."
        "Look at what clients send to that service; other protocols need one without `--pe`.";
    DestinationRemoved "destination_removed"
        "The connection's real server was removed from its service."
        "Normal after `-d`; to let connections finish, set the weight to 0 first.";
    TtlExpired "ttl_expired"
        "The packet's TTL would become 0; the client was told by ICMP time exceeded, at a limited \
         rate."
        "Normal for traceroute, else look for a routing loop.";
    ExceedsMtu "exceeds_mtu"
        "The packet is larger than the MTU of the port it would leave by; the client was told by \
         ICMP (fragmentation needed, packet too big), at a limited rate."
        "Give both ports the same MTU, or let the ICMP errors through to the clients.";
    TunnelMtu "tunnel_mtu"
        "The way to a tunneling server takes so small packets that none fits into the tunnel."
        "Raise the MTU of the way: IPv4 needs 68 bytes inside the tunnel, IPv6 1280.";
    NatServerStray "nat_server_stray"
        "A packet from a NAT server that belongs to no connection, with `nat_icmp_send` on; the \
         server was told by ICMP port unreachable, at a limited rate."
        "Normal after timeouts.";
    TableFull "table_full"
        "A new connection found no room in the flow table."
        "Raise `flows.max`; look for a flood of new connections.";
    NeighbourUnresolved "neighbour_unresolved"
        "The real server or gateway did not answer ARP, and the queue for waiting packets was full \
         or they had waited too long."
        "`sluicectl neigh`: is the server up, is the route right?";
    EchoRefused "echo_refused"
        "An echo request that is broken, or beyond the rate limit."
        "Normal in small numbers.";
    IcmpIgnored "icmp_ignored"
        "An ICMP packet to the director that is no echo request and no error about a connection, and \
         the port has no kernel interface for it."
        "Normal in small numbers.";
    IcmpChecksum "icmp_checksum"
        "An ICMP error about a NAT connection, with a wrong checksum."
        "Look at the sender.";
    ProtocolUnknown "protocol_unknown"
        "A packet to the director of a protocol that has no services, and the port has no kernel \
         interface for it; answered by ICMP protocol unreachable, at a limited rate."
        "Normal in small numbers.";
    KernelRate "kernel_rate"
        "A packet for the host's kernel, beyond `kernel.rate`."
        "Look for a flood to the director's own addresses; raise `kernel.rate`.";
    KernelUnavailable "kernel_unavailable"
        "A packet that was for the host's kernel, whose interface is down or gone, or has no room."
        "`ip link show`: set the interface up, or restart `sluiced` if somebody has deleted it.";
    NoRoom "no_room"
        "The packet could not grow as its rewriting needs: no head room, no buffer, or longer than \
         an IP packet can be."
        "Raise `mbufs` of the port; else look for a hostile sender.";
    TransmitFull "transmit_full"
        "The device did not take the frame for sending."
        "The port is at its limit: look at `sluicectl ports`, raise `tx_descriptors`.";
}

impl DropReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_can_be_metric_labels() {
        let names: HashSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        for name in names {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        }
    }

    #[test]
    fn counters_are_in_the_order_of_the_list() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
