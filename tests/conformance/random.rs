//! Cases by chance: the same seed makes the same case.
//!
//! What could differ by chance alone is kept out:
//!
//! * the scheduler `twos` (which draws lots) and `drop_entry` (which picks buckets by lot);
//! * timers that may run out while a case is played: nothing lives shorter than the case takes,
//!   except in cases with one long wait, behind which all that is short is over;
//! * FTP by NAT, which Sluice always follows, and the kernel with a module (`ftp-always`);
//! * a family without any service (`last-service`): there is one that nobody uses;
//! * the statistics of a server that is removed by itself, and returns in a service that was
//!   replaced since: the kernel does not sum up what a removed server counted.

use crate::dice::Dice;
use crate::kernel::SCHEDULERS;

/// Lines with frames or commands in a case.
const LENGTH: std::ops::Range<u64> = 20..45;
/// The same in a case with a long wait, on either side of it.
const LENGTH_TIMED: std::ops::Range<u64> = 4..10;
/// How long a case without a long wait may take about: CLOSE, the shortest timer, has 10 s.
const TIME_MS: u64 = 6_000;
/// What lines take about: those before which the kernel sums up, listings, others.
const SUM_MS: u64 = 2_200;
const LIST_MS: u64 = 300;
const LINE_MS: u64 = 80;
/// Longer than any timer that a case with a wait could meet: CLOSE has 10 s.
const WAIT: &str = "wait 14";

/// A virtual service of the case.
#[derive(Clone, Debug)]
struct Service {
    /// As `-t 10.0.0.100:80`.
    words: String,
    /// What clients may send: `tcp`, `udp`, `sctp`.
    protocols: &'static [&'static str],
    is_six: bool,
    /// The address as in a frame's words.
    address: String,
    /// Ports that clients may ask for.
    ports: &'static [u16],
    may_masquerade: bool,
    must_persist: bool,
    is_one_packet: bool,
    exists: bool,
    /// Address and method.
    servers: Vec<(String, String)>,
    /// Servers that were removed.
    removed: Vec<(String, String)>,
    /// Addresses that are not to return.
    gone: Vec<String>,
}

/// A case on its way.
#[derive(Debug)]
struct Maker {
    random: Dice,
    lines: Vec<String>,
    services: Vec<Service>,
    /// Protocol and ends of the connections that were begun.
    known: Vec<(String, String, String)>,
    is_timed: bool,
    expires_nodest: bool,
    next_port: u64,
    /// How long all of this takes about.
    took_ms: u64,
}

/// The lines of the case of a seed.
pub(crate) fn case(seed: u64) -> Vec<String> {
    let mut random = Dice::new(seed);
    let is_timed = random.chance(12);
    let mut maker = Maker {
        random,
        lines: Vec::new(),
        services: Vec::new(),
        known: Vec::new(),
        is_timed,
        expires_nodest: false,
        next_port: 30_000,
        took_ms: 0,
    };
    maker.begin();
    let length = if is_timed { LENGTH_TIMED } else { LENGTH };
    for round in 0..=u64::from(is_timed) {
        if round > 0 {
            maker.say("list");
            maker.say(WAIT);
        }
        for _ in 0..maker.random.within(length.clone()) {
            if is_timed || maker.took_ms < TIME_MS {
                maker.step();
            }
        }
    }
    maker.lines
}

impl Maker {
    fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        self.took_ms += match line.split(' ').next().unwrap_or_default() {
            "-D" | "-Z" => SUM_MS,
            "list" => LIST_MS,
            "wait" => 1_500,
            _ => LINE_MS,
        };
        self.lines.push(line);
    }

    /// What is there before the first packet.
    fn begin(&mut self) {
        self.say("-A -t 10.0.0.115:9 -s rr");
        self.say("-A -t [fd00::10f]:9 -s rr");
        if self.is_timed {
            self.say("--set 4 4 4");
        }
        if self.random.chance(40) {
            self.set();
        }
        let kinds = kinds();
        for _ in 0..self.random.within(1..4) {
            let service = self.random.pick(&kinds).clone();
            if self.services.iter().any(|other| other.words == service.words) {
                continue;
            }
            if let Some(number) = service.words.strip_prefix("-f ") {
                let mark = number.split(' ').next().unwrap_or_default();
                let rule = format!("-A PREROUTING -d {}", service.address.trim_matches(['[', ']']));
                let family = if service.is_six { "mark6" } else { "mark" };
                self.say(format!("{family} {rule} -j MARK --set-mark {mark}"));
            }
            self.services.push(service);
            self.add_service(self.services.len() - 1);
            for _ in 0..self.random.within(2..5) {
                self.add_server(self.services.len() - 1);
            }
        }
    }

    fn step(&mut self) {
        let at = self.random.place(self.services.len());
        match self.random.within(0..100) {
            0..30 => self.begin_connections(at),
            30..45 => self.open(at),
            45..70 => self.go_on(),
            70..77 => self.edit_server(at),
            77..81 => self.remove_server(at),
            81..86 => self.add_server(at),
            86..90 => self.edit_service(at),
            90..92 => self.replace_service(at),
            92..96 => self.set(),
            96..97 if !self.is_timed => self.say("-Z"),
            _ => self.say("list"),
        }
    }

    fn add_service(&mut self, at: usize) {
        let about = self.about_service(at);
        let words = self.services[at].words.clone();
        self.services[at].exists = true;
        self.say(format!("-A {words} {about}"));
    }

    /// Scheduler, flags, persistence.
    fn about_service(&mut self, at: usize) -> String {
        let service = self.services[at].clone();
        let scheduler = *self.random.pick(&SCHEDULERS);
        let mut about = format!("-s {scheduler}");
        if ["sh", "mh"].contains(&scheduler) {
            let flags = match self.random.within(0..4) {
                0 => String::new(),
                1 => format!(" -b {scheduler}-port"),
                2 => format!(" -b {scheduler}-fallback"),
                _ => format!(" -b {scheduler}-port,{scheduler}-fallback"),
            };
            about += &flags;
        }
        if service.must_persist || self.random.chance(30) {
            // A template whose time is over beside that of its last connection is ended by chance.
            let timeout = if self.is_timed { "30" } else { *self.random.pick(&["60", "300"]) };
            about += &format!(" -p {timeout}");
            if self.random.chance(50) {
                let masks: &[&str] = if service.is_six {
                    &["64", "48", "127", "128"]
                } else {
                    &["255.255.255.0", "255.255.0.0", "255.255.255.254", "255.255.255.255"]
                };
                about += &format!(" -M {}", self.random.pick(masks));
            }
        }
        if service.is_one_packet && self.random.chance(80) {
            about += " -o";
        }
        about
    }

    fn about_server(&mut self) -> String {
        let weight = *self.random.pick(&[0, 1, 1, 1, 2, 3, 5, 7, 100]);
        let mut about = format!("-w {weight}");
        if self.random.chance(15) {
            about += &format!(" -x {}", self.random.within(1..5));
            if self.random.chance(50) {
                about += &format!(" -y {}", self.random.within(1..4));
            }
        }
        about
    }

    /// One of those that were removed, or one of its own; what is there already is refused.
    fn add_server(&mut self, at: usize) {
        let service = self.services[at].clone();
        let (address, method) = match service.removed.last() {
            Some(server) if self.random.chance(70) => server.clone(),
            _ => self.server(&service),
        };
        if service.gone.contains(&address) {
            return;
        }
        let about = self.about_server();
        self.say(format!("-a {} -r {address} {method} {about}", service.words));
        let service = &mut self.services[at];
        service.removed.retain(|(other, _)| *other != address);
        if service.exists && !service.servers.iter().any(|(other, _)| *other == address) {
            service.servers.push((address, method));
        }
    }

    fn server(&mut self, service: &Service) -> (String, String) {
        let number = self.random.within(11..16);
        let method = match self.random.within(0..100) {
            0..60 if service.may_masquerade => "-m",
            60..85 => "-g",
            _ => "-i",
        };
        let mut address = if service.is_six {
            format!("[fd00:2::{number:x}]")
        } else {
            format!("10.0.2.{number}")
        };
        if method == "-m" && service.ports.len() == 1 && self.random.chance(20) {
            address += ":8080";
        }
        (address, method.to_owned())
    }

    fn edit_server(&mut self, at: usize) {
        let service = self.services[at].clone();
        if service.servers.is_empty() {
            return;
        }
        let (address, method) = self.random.pick(&service.servers).clone();
        let about = self.about_server();
        self.say(format!("-e {} -r {address} {method} {about}", service.words));
    }

    fn remove_server(&mut self, at: usize) {
        let count = self.services[at].servers.len();
        if count == 0 {
            return;
        }
        let place = self.random.place(count);
        let service = &mut self.services[at];
        let server = service.servers.remove(place);
        let line = format!("-d {} -r {}", service.words, server.0);
        service.removed.push(server);
        self.say(line);
        self.let_sweep();
    }

    /// Connections of removed servers are swept out soon, but not at once.
    fn let_sweep(&mut self) {
        if self.expires_nodest {
            self.say("wait 1.5");
        }
    }

    fn edit_service(&mut self, at: usize) {
        let about = self.about_service(at);
        let words = self.services[at].words.clone();
        self.say(format!("-E {words} {about}"));
    }

    /// The service goes, with all servers, and comes back.
    fn replace_service(&mut self, at: usize) {
        if self.is_timed {
            return;
        }
        let words = self.services[at].words.clone();
        self.say(format!("-D {words}"));
        self.let_sweep();
        if self.random.chance(50) {
            self.go_on();
        }
        let service = &mut self.services[at];
        let removed = std::mem::take(&mut service.removed);
        service.gone.extend(removed.into_iter().map(|(address, _)| address));
        service.removed = std::mem::take(&mut service.servers);
        self.add_service(at);
        for _ in 0..self.random.within(1..4) {
            self.add_server(at);
        }
    }

    fn set(&mut self) {
        let (name, values): (&str, &[&str]) = match self.random.within(0..8) {
            0 => ("conn_reuse_mode", &["0", "1", "2", "3"]),
            1 => ("expire_nodest_conn", &["0", "1"]),
            2 => ("expire_quiescent_template", &["0", "1"]),
            3 => ("sloppy_tcp", &["0", "1"]),
            4 => ("sloppy_sctp", &["0", "1"]),
            5 => ("nat_icmp_send", &["0", "1"]),
            6 => ("secure_tcp", &["0", "3"]),
            _ => ("drop_packet", &["0", "0", "3"]),
        };
        let value = *self.random.pick(values);
        if name == "expire_nodest_conn" {
            self.expires_nodest = value == "1";
        }
        if name == "drop_packet" {
            // Always the same, as the two come down differently (`drop-rate`).
            self.say("set am_droprate 3");
        }
        self.say(format!("set {name} {value}"));
        if ["secure_tcp", "drop_packet"].contains(&name) {
            // The kernel takes notice within a second.
            self.say("wait 1.3");
        }
    }

    /// A client's end: one of those that connected before, or a new port.
    fn client(&mut self, service: &Service) -> String {
        self.next_port += 1;
        let address = if service.is_six {
            match self.random.chance(50) {
                true => format!("[fd00:1::{}]", self.random.within(2..6)),
                false => {
                    let (net, host) = (self.random.within(0..2), self.random.within(1..4));
                    format!("[fd00:a:0:{net}:2::{host}]")
                }
            }
        } else if self.random.chance(60) {
            format!("10.0.1.{}", self.random.within(2..7))
        } else {
            format!("10.1.{}.{}", self.random.within(0..2), self.random.within(1..5))
        };
        format!("{address}:{}", self.next_port)
    }

    /// Several connections of one client; the ports of the range are new ones.
    fn several(&mut self, client: &str) -> String {
        let more = self.random.within(0..4);
        let (first, last) = (self.next_port, self.next_port + more);
        self.next_port = last;
        match client.rsplit_once(':') {
            Some((address, _)) if more > 0 => format!("{address}:{first}..{last}"),
            _ => client.to_owned(),
        }
    }

    fn virtual_end(&mut self, service: &Service) -> String {
        format!("{}:{}", service.address, self.random.pick(service.ports))
    }

    fn begin_connections(&mut self, at: usize) {
        let service = self.services[at].clone();
        let protocol = *self.random.pick(service.protocols);
        let client = self.client(&service);
        let (ends, end) = (self.several(&client), self.virtual_end(&service));
        self.known.push((protocol.to_owned(), client, end.clone()));
        let what = match protocol {
            "tcp" => *self.random.pick(&["S", "S", "S", "S", "S", "A", "FA", "SF"]),
            "udp" => "text=question",
            // Twice, so that the timer is a long one.
            _ => "chunk=1 times=2",
        };
        self.say(format!("> {protocol} {ends} > {end} {what}"));
        if self.random.chance(50) {
            self.reply(protocol);
        }
    }

    fn open(&mut self, at: usize) {
        let service = self.services[at].clone();
        if !service.protocols.contains(&"tcp") {
            return self.begin_connections(at);
        }
        let client = self.client(&service);
        let (ends, end) = (self.several(&client), self.virtual_end(&service));
        self.known.push(("tcp".to_owned(), client, end.clone()));
        self.say(format!("open {ends} > {end}"));
    }

    fn reply(&mut self, protocol: &str) {
        let words = match protocol {
            "tcp" => *self.random.pick(&["SA", "SA", "A", "FA", "RA", "PA text=x"]),
            "udp" => "text=answer",
            _ => *self.random.pick(&["chunk=2", "chunk=11", "chunk=0 data=8", "chunk=8"]),
        };
        self.say(format!("reply {words}"));
    }

    /// A packet of a connection that was begun.
    fn go_on(&mut self) {
        if self.known.is_empty() {
            return;
        }
        let place = self.random.place(self.known.len());
        let (protocol, client, end) = self.known[place].clone();
        if protocol == "tcp" && self.random.chance(20) {
            return self.say(format!("close {client} > {end}"));
        }
        let what = match protocol.as_str() {
            "tcp" => *self.random.pick(&["A", "A", "PA text=x", "FA", "R", "S", "P", "SA"]),
            "udp" => "text=again",
            _ => {
                *self.random.pick(&["chunk=10", "chunk=0 data=4", "chunk=7", "chunk=8", "chunk=1"])
            }
        };
        self.say(format!("> {protocol} {client} > {end} {what}"));
        if self.random.chance(40) {
            self.reply(&protocol);
        }
    }
}

/// The services that a case may have.
fn kinds() -> Vec<Service> {
    let plain = |words: &str, protocols, address: &str, ports| Service {
        words: words.to_owned(),
        protocols,
        is_six: address.starts_with('['),
        address: address.to_owned(),
        ports,
        may_masquerade: true,
        must_persist: false,
        is_one_packet: false,
        exists: false,
        servers: Vec::new(),
        removed: Vec::new(),
        gone: Vec::new(),
    };
    let mut kinds = vec![
        plain("-t 10.0.0.100:80", &["tcp"], "10.0.0.100", &[80]),
        plain("-t 10.0.0.100:80", &["tcp"], "10.0.0.100", &[80]),
        plain("-t 10.0.0.101:443", &["tcp"], "10.0.0.101", &[443]),
        plain("-t [fd00::100]:80", &["tcp"], "[fd00::100]", &[80]),
        plain("-u 10.0.0.100:53", &["udp"], "10.0.0.100", &[53]),
        plain("-u [fd00::100]:53", &["udp"], "[fd00::100]", &[53]),
        plain("--sctp-service 10.0.0.100:80", &["sctp"], "10.0.0.100", &[80]),
        plain("-f 7", &["tcp", "udp"], "10.0.0.107", &[80, 81, 443]),
        plain("-f 8 -6", &["tcp", "udp"], "[fd00::108]", &[80, 81]),
    ];
    let mut one_packet = plain("-u 10.0.0.102:53", &["udp"], "10.0.0.102", &[53]);
    one_packet.is_one_packet = true;
    let mut any_port = plain("-t 10.0.0.103:0", &["tcp"], "10.0.0.103", &[80, 81, 1024]);
    any_port.must_persist = true;
    let mut ftp = plain("-t 10.0.0.104:21", &["tcp"], "10.0.0.104", &[21, 21, 20, 4000, 999]);
    (ftp.must_persist, ftp.may_masquerade) = (true, false);
    kinds.extend([one_packet, any_port, ftp]);
    kinds
}

#[test]
fn a_seed_makes_one_case_that_can_be_read() {
    for seed in 0..200 {
        let lines = case(seed);
        assert_eq!(lines, case(seed));
        let _panics_where_it_cannot = crate::case::Case::parse("random", &lines.join("\n"));
    }
}
