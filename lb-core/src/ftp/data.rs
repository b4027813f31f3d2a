//! Which data connection follows what an end said on the control connection.

use std::net::IpAddr;

use super::message::Endpoint;

/// The ends of a control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// The client's address.
    pub client: IpAddr,
    /// Virtual address and port.
    pub virtual_end: (IpAddr, u16),
    /// The real server's address and port.
    pub server: (IpAddr, u16),
}

/// The ends of a data connection that is expected. It begins in `TcpState::Listen`, masqueraded
/// to the destination of the control connection, which does not expire before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataConnection {
    pub client: IpAddr,
    /// `None` until the client's first packet tells (the kernel's `NO_CPORT`; listed as 0).
    pub client_port: Option<u16>,
    pub virtual_end: (IpAddr, u16),
    pub server: (IpAddr, u16),
}

impl DataConnection {
    /// After `PORT` or `EPRT`: the server will connect, from the port below that of its control
    /// connection (RFC 959 section 5.2; 20), to where the client said. That may be another
    /// machine: as in the kernel it is the server that must refuse it (RFC 2577 section 3).
    pub fn active(control: &Control, endpoint: &Endpoint) -> Self {
        let below = |(address, port): (IpAddr, u16)| (address, port.wrapping_sub(1));
        Self {
            client: endpoint.address.unwrap_or(control.client),
            client_port: Some(endpoint.port),
            virtual_end: below(control.virtual_end),
            server: below(control.server),
        }
    }

    /// After 227 or 229: the client will connect, from a port that it has not told, to the port
    /// that the server said, on the virtual address.
    pub fn passive(control: &Control, endpoint: &Endpoint) -> Self {
        Self {
            client: control.client,
            client_port: None,
            virtual_end: (control.virtual_end.0, endpoint.port),
            server: (endpoint.address.unwrap_or(control.server.0), endpoint.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftp::message::{ClientCommand, Mode, client_command, server_reply};
    use crate::service::Family;

    const CONTROL: Control = Control {
        client: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 2)),
        virtual_end: (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100)), 2121),
        server: (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 2, 11)), 21),
    };

    fn active(line: &str) -> DataConnection {
        match client_command(line.as_bytes(), Family::V4) {
            Some(ClientCommand::DataPort(endpoint)) => DataConnection::active(&CONTROL, &endpoint),
            other => panic!("{other:?}"),
        }
    }

    // What the kernel's listings show of data connections is compared in `mod.rs`.

    #[test]
    fn an_active_one_comes_from_below_the_control_port_of_each_side() {
        let connection = active("PORT 10,0,1,2,156,65\r\n");
        assert_eq!(connection.client_port, Some(40001));
        assert_eq!((connection.virtual_end.1, connection.server.1), (2120, 20));
        assert_eq!(connection.client, CONTROL.client);
        assert_eq!(connection, active("EPRT |1|10.0.1.2|40001|\r\n"));
        assert_eq!(active("PORT 10,0,1,9,156,65\r\n").client, IpAddr::from([10, 0, 1, 9]));
    }

    #[test]
    fn a_passive_one_goes_to_where_the_server_said() {
        let reply = |line: &str, mode| {
            let endpoint = server_reply(line.as_bytes(), mode, Family::V4).unwrap();
            DataConnection::passive(&CONTROL, &endpoint)
        };
        let plain = reply("227 (10,0,2,99,200,10)\r\n", Mode::Passive);
        assert_eq!(plain.client_port, None);
        assert_eq!(plain.virtual_end, (CONTROL.virtual_end.0, 51210));
        assert_eq!(plain.server, (IpAddr::from([10, 0, 2, 99]), 51210));
        let extended = reply("229 (|||51210|)\r\n", Mode::ExtendedPassive);
        assert_eq!(extended.server, (CONTROL.server.0, 51210));
    }
}
