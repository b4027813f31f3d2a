//! What the director says of itself at a moment: the JSON of its verbs, as far as it is shown.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::control::client;

/// All that is shown, at a moment.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    pub status: Status,
    pub services: Vec<Service>,
    pub ports: Vec<Port>,
    pub drops: Vec<Drop>,
}

/// `sluicectl status`
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Status {
    pub version: String,
    pub uptime_s: u64,
    pub flows: u64,
    pub flows_max: u64,
    pub real_servers: u64,
    pub real_servers_max: u64,
    pub workers: Vec<Worker>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Worker {
    pub worker: usize,
    pub cpu: usize,
    pub received: u64,
    pub dropped: u64,
    /// Cycles with and without work since it began.
    pub busy_cycles: u64,
    pub idle_cycles: u64,
}

#[derive(Deserialize)]
struct Services {
    services: Vec<Service>,
}

/// `sluicectl services`
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    pub service: String,
    pub scheduler: String,
    pub stats: Figures,
    pub servers: Vec<Server>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Figures {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Server {
    pub address: IpAddr,
    pub port: u16,
    pub forward: String,
    pub weight: i32,
    pub active: u64,
    pub inactive: u64,
    pub overloaded: bool,
    pub reach: String,
    pub stats: Figures,
}

impl Server {
    /// Its name in lists.
    pub fn name(&self) -> String {
        SocketAddr::new(self.address, self.port).to_string()
    }
}

/// `sluicectl ports`
#[derive(Clone, Debug, Deserialize)]
pub struct Port {
    pub name: String,
    pub link: String,
    pub counters: Option<Traffic>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Traffic {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub rx_missed: u64,
    pub rx_errors: u64,
    pub rx_no_mbuf: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
}

/// `sluicectl drops`
#[derive(Clone, Debug, Deserialize)]
pub struct Drop {
    pub reason: String,
    pub packets: u64,
    pub meaning: String,
}

impl Sample {
    /// Asks the director at a socket.
    ///
    /// # Errors
    ///
    /// Why there is no answer, for people.
    pub fn take(socket: &Path) -> Result<Self, String> {
        let status: Status = ask(socket, &["status"])?;
        let Services { services } = ask(socket, &["services"])?;
        let ports = ask(socket, &["ports"])?;
        let drops = ask(socket, &["drops", "--all"])?;
        Ok(Self { at: Instant::now(), status, services, ports, drops })
    }
}

fn ask<T: DeserializeOwned>(socket: &Path, verb: &[&str]) -> Result<T, String> {
    let words: Vec<_> =
        ["sluicectl", "--json"].iter().chain(verb).map(|&word| word.to_owned()).collect();
    let answer = client::ask(socket, &words, None).map_err(|problem| problem.to_string())?;
    if !answer.is_success() {
        return Err(answer.stderr.trim_end().to_owned());
    }
    serde_json::from_str(&answer.stdout).map_err(|problem| format!("{}: {problem}", verb.join(" ")))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    /// Three services; the busiest is the last one. `round` tells how far it counted.
    pub(in super::super) fn sample(begin: Instant, round: u64) -> Sample {
        let figures = |by: u64| Figures {
            connections: by * round,
            packets_in: 100 * by * round,
            packets_out: 50 * by * round,
            bytes_in: 10_000 * by * round,
            bytes_out: 1_000_000 * by * round,
        };
        let server = |last: u8, by: u64| Server {
            address: IpAddr::from([10, 0, 20, last]),
            port: 8080,
            forward: "Masq".to_owned(),
            weight: i32::from(last != 85),
            active: 10 * by,
            inactive: by,
            overloaded: last == 84,
            reach: if last == 83 { "known" } else { "unresolved" }.to_owned(),
            stats: figures(by),
        };
        let service = |name: &str, by: u64, lasts: &[u8]| Service {
            service: name.to_owned(),
            scheduler: "wlc".to_owned(),
            stats: figures(by),
            servers: lasts.iter().map(|&last| server(last, by)).collect(),
        };
        Sample {
            at: begin + Duration::from_secs(round),
            status: Status {
                version: "0.1.0".to_owned(),
                uptime_s: 90_061,
                flows: 524_288,
                flows_max: 1_048_576,
                real_servers: 4,
                real_servers_max: 65_536,
                workers: (0..2)
                    .map(|worker| Worker {
                        worker,
                        cpu: worker + 1,
                        received: round * 1_500_000 / (worker as u64 + 1),
                        dropped: round * 7,
                        // Half of the time, then a quarter.
                        busy_cycles: round * 1_000_000_000 / (worker as u64 + 1),
                        idle_cycles: round * 1_000_000_000 * (2 * worker as u64 + 1)
                            / (worker as u64 + 1),
                    })
                    .collect(),
            },
            services: vec![
                service("tcp:10.0.10.100:80", 2, &[83, 84]),
                service("udp:10.0.10.100:53", 1, &[85]),
                service("tcp:[fd00:10::100]:443", 3, &[83]),
            ],
            ports: vec![Port {
                name: "lan0".to_owned(),
                link: "up 10000 Mbit/s".to_owned(),
                counters: Some(Traffic {
                    rx_packets: 1000 * round,
                    rx_bytes: 125_000_000 * round,
                    ..Traffic::default()
                }),
            }],
            drops: vec![
                Drop { reason: "no_service".into(), packets: 40 * round, meaning: "None.".into() },
                Drop { reason: "not_ip".into(), packets: 3, meaning: "Other.".into() },
                Drop { reason: "no_route".into(), packets: 0, meaning: "No way.".into() },
            ],
        }
    }
}
