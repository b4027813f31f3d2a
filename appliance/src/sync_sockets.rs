//! The sockets of the sync daemons: UDP multicast by an interface of the host's kernel.
//!
//! That may be a management NIC, or the interface that a port has in the kernel
//! (`ports[].kernel`). The sockets never wait; the housekeeping thread asks them in each round.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use lb_core::operations::{DaemonRole, DaemonRow, OperationError};
use lb_core::sync::Transport;
use rustix::net::netdevice;
use socket2::{Domain, InterfaceIndexOrAddress, SockAddr, Socket, Type};

/// What the kernel is asked to keep for a backup between two rounds, bytes.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The MTU of an interface of which the kernel does not tell it.
const ETHERNET_MTU: u32 = 1500;

/// The open sockets.
#[derive(Debug, Default)]
pub struct SyncSockets {
    master: Option<(Socket, SockAddr)>,
    backup: Option<Socket>,
}

impl Transport for SyncSockets {
    fn mtu(&self, interface: &str) -> Option<u32> {
        let index = index_of(interface)?;
        // `/sys` may be that of another namespace.
        let of_sys = read_number(&format!("/sys/class/net/{interface}/ifindex"))
            .filter(|&other| other == index)
            .and_then(|_| read_number(&format!("/sys/class/net/{interface}/mtu")));
        let of_ipv6 = || read_number(&format!("/proc/sys/net/ipv6/conf/{interface}/mtu"));
        of_sys.or_else(of_ipv6).or(Some(ETHERNET_MTU))
    }

    fn open(&mut self, daemon: &DaemonRow) -> Result<(), OperationError> {
        let failed = |problem: io::Error| {
            OperationError::NotSupported(format!(
                "The {} sync daemon on '{}' cannot be started: {problem}",
                daemon.role.name(),
                daemon.interface,
            ))
        };
        let index = index_of(&daemon.interface).ok_or(OperationError::NoSuchDevice)?;
        match daemon.role {
            DaemonRole::Master => self.master = Some(sender(daemon, index).map_err(failed)?),
            DaemonRole::Backup => self.backup = Some(receiver(daemon, index).map_err(failed)?),
        }
        Ok(())
    }

    fn close(&mut self, role: DaemonRole) {
        match role {
            DaemonRole::Master => self.master = None,
            DaemonRole::Backup => self.backup = None,
        }
    }

    fn send(&mut self, datagram: &[u8]) -> bool {
        let Some((socket, group)) = &self.master else { return false };
        matches!(socket.send_to(datagram, group), Ok(sent) if sent == datagram.len())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let socket = self.backup.as_ref()?;
        // `Read` of a `&Socket` needs no uninitialised memory.
        io::Read::read(&mut &*socket, buffer).ok()
    }
}

/// The number of an interface in the network namespace of the process.
fn index_of(interface: &str) -> Option<u32> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    netdevice::name_to_index(&socket, interface).ok()
}

fn read_number(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn socket_for(group: IpAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address((group, 0).into()), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// As the kernel makes it: no loop, its own TTL, out of one interface.
fn sender(daemon: &DaemonRow, index: u32) -> io::Result<(Socket, SockAddr)> {
    let socket = socket_for(daemon.group)?;
    socket.bind_device(Some(daemon.interface.as_bytes()))?;
    match daemon.group {
        IpAddr::V4(_) => {
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_ttl_v4(daemon.ttl.into())?;
        }
        IpAddr::V6(_) => {
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_hops_v6(daemon.ttl.into())?;
            socket.set_multicast_if_v6(index)?;
        }
    }
    Ok((socket, SocketAddr::from((daemon.group, daemon.port)).into()))
}

fn receiver(daemon: &DaemonRow, index: u32) -> io::Result<Socket> {
    let socket = socket_for(daemon.group)?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind_device(Some(daemon.interface.as_bytes()))?;
    socket.bind(&SocketAddr::from((daemon.group, daemon.port)).into())?;
    match daemon.group {
        IpAddr::V4(group) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
        }
        IpAddr::V6(group) => socket.join_multicast_v6(&group, index)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(role: DaemonRole, group: &str) -> DaemonRow {
        DaemonRow {
            role,
            interface: "lo".to_owned(),
            sync_id: 1,
            max_length: 1472,
            group: group.parse().unwrap(),
            port: 18_848,
            ttl: 1,
        }
    }

    #[test]
    fn interfaces_are_known_by_name() {
        let sockets = SyncSockets::default();
        assert!(sockets.mtu("lo").unwrap() >= 1500);
        for nobody in ["", "..", "nobody0", "../lo", "lo/../lo", "a name that is too long"] {
            assert_eq!(sockets.mtu(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn nothing_waits() {
        let mut sockets = SyncSockets::default();
        assert!(!sockets.send(b"x"), "there is no daemon");
        assert_eq!(sockets.receive(&mut [0; 9]), None);
        for group in ["239.1.1.1", "ff12::81"] {
            sockets.open(&daemon(DaemonRole::Backup, group)).unwrap();
            sockets.open(&daemon(DaemonRole::Master, group)).unwrap();
            assert_eq!(sockets.receive(&mut [0; 9]), None);
            sockets.close(DaemonRole::Master);
            sockets.close(DaemonRole::Backup);
            assert_eq!(sockets.receive(&mut [0; 9]), None);
        }
        let lost =
            DaemonRow { interface: "nobody0".into(), ..daemon(DaemonRole::Master, "ff12::81") };
        assert_eq!(sockets.open(&lost), Err(OperationError::NoSuchDevice));
    }
}
