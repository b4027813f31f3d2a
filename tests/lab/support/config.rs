//! The configuration of a director under test, as YAML text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::lab::VIP;

/// What the tests vary. The rest is what an operator would write.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) eal: String,
    pub(crate) workers: String,
    /// Name, device string, addresses with prefix length.
    pub(crate) ports: Vec<(String, String, String)>,
    /// MTUs of ports, by name, where they are not the default.
    pub(crate) mtus: Vec<(String, u16)>,
    /// Network, gateway.
    pub(crate) routes: Vec<(String, String)>,
    /// Port, address, MAC.
    pub(crate) neighbours: Vec<(String, String, String)>,
    /// Lines of ipvsadm's language.
    pub(crate) services: Vec<String>,
    /// Where changes are written down, if not to standard error.
    pub(crate) audit: Option<PathBuf>,
    /// Whether the VIP stands under `vips`.
    pub(crate) owns_vip: bool,
    /// Further keys of some ports, by name.
    pub(crate) keys_of_ports: Vec<(String, String)>,
    /// Further keys of every port, such as `kernel: true`.
    pub(crate) port_keys: Vec<String>,
    /// Further keys at the top level.
    pub(crate) keys: Vec<String>,
}

impl Config {
    /// One port, `lan0` on `dir0`, with the DIP 10.0.10.61; no services.
    pub(crate) fn one_port() -> Self {
        Self {
            eal: "{ memory: 128M, hugepages: off }".to_owned(),
            workers: "auto".to_owned(),
            ports: vec![port("lan0", "net_af_packet0,iface=dir0", "10.0.10.61/24")],
            mtus: Vec::new(),
            routes: Vec::new(),
            neighbours: Vec::new(),
            services: Vec::new(),
            audit: None,
            owns_vip: true,
            keys_of_ports: Vec::new(),
            port_keys: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// One port with addresses of both families; no services.
    pub(crate) fn both_families() -> Self {
        let mut config = Self::one_port();
        config.ports[0].2 = "10.0.10.61/24, \"fd00:10::61/64\"".to_owned();
        config
    }

    /// [`Config::both_families`] and a second port, `backend0` on `dir1`, with 10.0.20.61.
    pub(crate) fn two_ports() -> Self {
        let mut config = Self::both_families();
        let addresses = "10.0.20.61/24, \"fd00:20::61/64\"";
        config.ports.push(port("backend0", "net_af_packet1,iface=dir1", addresses));
        config
    }

    /// [`Config::one_port`] with a TCP service on port 80 of the VIP and both real servers, DR.
    pub(crate) fn web(scheduler: &str) -> Self {
        Self::one_port().with_service(80, scheduler, &["10.0.10.83", "10.0.10.84"])
    }

    /// Adds a TCP service on the VIP whose real servers, DR, are those given.
    pub(crate) fn with_service(mut self, port: u16, scheduler: &str, servers: &[&str]) -> Self {
        self.services.push(format!("-A -t {VIP}:{port} -s {scheduler}"));
        for server in servers {
            self.services.push(format!("-a -t {VIP}:{port} -r {server} -g"));
        }
        self
    }

    /// Adds a service, as `-t 10.0.10.100:80`, and its servers, as `10.0.20.83:8080 -m`.
    pub(crate) fn with(mut self, service: &str, scheduler: &str, servers: &[&str]) -> Self {
        self.services.push(format!("-A {service} -s {scheduler}"));
        for server in servers {
            self.services.push(format!("-a {service} -r {server}"));
        }
        self
    }

    /// The ports by libpcap: DPDK's `net_af_packet` has the kernel put IPv4 fragments together, and
    /// then gets packets that fit no port.
    pub(crate) fn by_pcap(mut self) -> Self {
        for (number, (_, device, _)) in self.ports.iter_mut().enumerate() {
            *device = format!("net_pcap{number},rx_iface_in=dir{number},tx_iface=dir{number}");
        }
        self
    }

    /// Adds a line of further keys.
    pub(crate) fn with_key(mut self, line: &str) -> Self {
        self.keys.push(line.to_owned());
        self
    }

    /// Adds a route: network, gateway.
    pub(crate) fn with_route(mut self, to: &str, via: &str) -> Self {
        self.routes.push((format!("\"{to}\""), format!("\"{via}\"")));
        self
    }

    /// The text, for a director whose control socket is `socket`.
    pub(crate) fn yaml(&self, socket: &Path) -> String {
        let (control, netlink) = (socket.display(), socket.with_extension("netlink"));
        let audit = self.audit.as_ref().map(|path| format!(", audit: {}", path.display()));
        let sockets = format!("socket: {control}, netlink_socket: {}", netlink.display());
        let mut text = format!("control: {{ {sockets}{} }}\n", audit.unwrap_or_default());
        let _infallible = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "eal: {}\nworkers: {}\nports:", self.eal, self.workers)?;
        for (name, device, address) in &self.ports {
            writeln!(text, "  - name: {name}")?;
            writeln!(text, "    device: \"{device}\"")?;
            writeln!(text, "    addresses: [{address}]")?;
            for (_, mtu) in self.mtus.iter().filter(|(port, _)| port == name) {
                writeln!(text, "    mtu: {mtu}")?;
            }
            for (_, key) in self.keys_of_ports.iter().filter(|(port, _)| port == name) {
                writeln!(text, "    {key}")?;
            }
            for key in &self.port_keys {
                writeln!(text, "    {key}")?;
            }
        }
        for key in &self.keys {
            writeln!(text, "{key}")?;
        }
        if self.owns_vip {
            writeln!(text, "vips: [{VIP}]")?;
        }
        if !self.routes.is_empty() {
            writeln!(text, "routes:")?;
        }
        for (to, via) in &self.routes {
            writeln!(text, "  - {{ to: {to}, via: {via} }}")?;
        }
        if !self.neighbours.is_empty() {
            writeln!(text, "neighbours:")?;
        }
        for (port, address, mac) in &self.neighbours {
            writeln!(text, "  - {{ port: {port}, address: {address}, mac: \"{mac}\" }}")?;
        }
        if !self.services.is_empty() {
            writeln!(text, "services: |")?;
        }
        for line in &self.services {
            writeln!(text, "  {line}")?;
        }
        Ok(())
    }
}

/// A port for [`Config::ports`].
pub(crate) fn port(name: &str, device: &str, address: &str) -> (String, String, String) {
    (name.to_owned(), device.to_owned(), address.to_owned())
}
