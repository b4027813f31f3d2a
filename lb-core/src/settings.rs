//! Switches of the connection handling, under the names and with the defaults of the kernel's
//! sysctls (`net.ipv4.vs.*`, `Documentation/networking/ipvs-sysctl.rst`).

/// The switches that the packet path reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `conn_reuse_mode`: not 0 lets a SYN begin a new connection on one that is in TIME_WAIT or
    /// CLOSE.
    pub conn_reuse_mode: i32,
    /// `expire_nodest_conn`: connections of a removed server end at their next packet, instead of
    /// dropping it.
    pub expire_nodest_conn: bool,
    /// `expire_quiescent_template`: a template of a real server with weight 0 is given up when the
    /// client's next connection asks for it, instead of leading there for ever.
    pub expire_quiescent_template: bool,
    /// `cache_bypass`: where a mark service has no real server, packets for other hosts go on to
    /// them.
    pub cache_bypass: bool,
    /// `pmtu_disc`: tunnels carry DF as the packet in them has it; off, they never set it.
    pub pmtu_disc: bool,
    /// `nat_icmp_send`: a packet from a NAT server that belongs to no connection is answered by
    /// ICMP port unreachable, instead of being routed with its private source.
    pub nat_icmp_send: bool,
    /// `schedule_icmp`: an ICMP error about a packet of no connection may begin one.
    pub schedule_icmp: bool,
    /// `sloppy_tcp`: any segment but RST may begin a connection, not only SYN.
    pub sloppy_tcp: bool,
    /// `sloppy_sctp`: any chunk but ABORT may begin a connection, not only INIT.
    pub sloppy_sctp: bool,
    /// `net.ipv4.ip_forward`: packets for other hosts that belong to no connection are routed.
    pub ip_forward: bool,
    /// Not the kernel's: the outer source port or address of a tunnel varies with the flow, so
    /// that RSS at the receiver spreads them.
    pub tunnel_source_spread: bool,
    /// `net.ipv4.icmp_msgs_per_sec`: resets, ICMP errors and echo replies that a worker sends a
    /// second at most.
    pub icmp_msgs_per_sec: u32,
    /// Packets a second that a worker gives to the host's kernel at most.
    pub kernel_rate: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            conn_reuse_mode: 1,
            expire_nodest_conn: false,
            expire_quiescent_template: false,
            cache_bypass: false,
            pmtu_disc: true,
            nat_icmp_send: false,
            schedule_icmp: false,
            sloppy_tcp: false,
            sloppy_sctp: false,
            ip_forward: true,
            tunnel_source_spread: false,
            icmp_msgs_per_sec: 1000,
            kernel_rate: 20_000,
        }
    }
}
