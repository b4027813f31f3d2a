//! Sessions of ssh: by which interfaces somebody works on the machine now.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Machine, Routes};

const SSH_PORT: u16 = 22;
/// `TCP_ESTABLISHED` of the kernel's `tcp_states.h`.
const ESTABLISHED: &str = "01";

impl Machine {
    /// The interfaces to everybody who has a session: the peers of connections to port 22, and of
    /// `$SSH_CONNECTION`, which names another port, too.
    pub fn ssh_interfaces(&self, routes: &Routes, ssh_connection: Option<&str>) -> Vec<String> {
        let mut peers = self.ssh_peers();
        // CLIENT PORT SERVER PORT; a link-local client has its interface behind a `%`.
        let client = ssh_connection.and_then(|text| text.split(' ').next());
        let mut found = Vec::new();
        if let Some((_, interface)) = client.and_then(|client| client.split_once('%')) {
            found.push(interface.to_owned());
        }
        peers.extend(client.and_then(|client| client.parse::<IpAddr>().ok()));
        found.extend(peers.iter().filter_map(|peer| routes.interface_to(*peer)).map(str::to_owned));
        found.sort();
        found.dedup();
        found
    }

    fn ssh_peers(&self) -> Vec<IpAddr> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let texts = tables.map(|path| self.text(path).unwrap_or_default());
        texts.iter().flat_map(|text| text.lines()).filter_map(peer).collect()
    }
}

/// Who is at the other end, where this is the server's end of an ssh session.
fn peer(line: &str) -> Option<IpAddr> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, local, remote, state, ..] = words[..] else { return None };
    let (_, port) = local.split_once(':')?;
    if state != ESTABLISHED || u16::from_str_radix(port, 16) != Ok(SSH_PORT) {
        return None;
    }
    let peer = address(remote.split_once(':')?.0)?;
    (!peer.is_loopback()).then_some(peer)
}

/// Words of 32 bits, each in the byte order of the machine.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_mut(4).enumerate() {
                part.copy_from_slice(&word(at * 8)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::machine::fixture::Fixture;

    #[test]
    fn sessions_are_found_by_their_sockets_and_by_the_variable() {
        let fixture = Fixture::new();
        let machine = fixture.machine();
        let interfaces = |variable| machine.ssh_interfaces(&machine.routes(), variable);
        assert_eq!(interfaces(None), [""; 0]);
        assert_eq!(interfaces(Some("10.1.2.3 50000 10.0.10.61 2222")), ["eth1"]);
        assert_eq!(interfaces(Some("fe80::1%eth7 50000 fe80::2 22")), ["eth7"]);
        assert_eq!(interfaces(Some("nonsense")), [""; 0]);
        // 10.1.2.3 -> port 22, and the same in a socket of IPv6; one that waits does not count.
        let v4 = "   0: 3D0A000A:0016 0302010A:C350 01 00000000:00000000 00:00000000";
        let waiting = v4.replace(" 01 ", " 06 ");
        fixture.write("/proc/net/tcp", &waiting);
        assert_eq!(interfaces(None), [""; 0]);
        fixture.write("/proc/net/tcp", v4);
        assert_eq!(interfaces(None), ["eth1"]);
        fixture.write("/proc/net/tcp", "");
        let mapped = "0000000000000000FFFF00000302010A:C350";
        let local = "0000000000000000FFFF00003D0A000A:0016";
        fixture.write("/proc/net/tcp6", &format!(" 0: {local} {mapped} 01 0"));
        assert_eq!(interfaces(None), ["eth1"]);
        fixture.write("/proc/net/tcp6", " 0: x:0016 0000000000000000FFFF0000:1 01\ny\n");
        assert_eq!(interfaces(None), [""; 0]);
    }
}
