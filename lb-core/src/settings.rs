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
}

impl Default for Settings {
    fn default() -> Self {
        Self { conn_reuse_mode: 1, expire_nodest_conn: false }
    }
}
