//! A command as a line: the words that say it, with all of its settings and in numbers.

use super::command::Command;
use super::names::Numeric;
use super::save;
use super::text::{Style, push};
use crate::destination::Destination;
use crate::operations::DaemonSettings;
use crate::service::ServiceKey;

/// The command line of a command that changes something, as ipvsadm takes it; `None` for those
/// that only show something, and for a restore, which is its lines.
pub fn line(command: &Command) -> Option<String> {
    let mut line = String::new();
    let out = &mut line;
    match command {
        Command::AddService(service) => {
            save::service(out, "-A", service, true, &name(&service.key));
        }
        Command::EditService(service) => {
            save::service(out, "-E", service, true, &name(&service.key));
        }
        Command::DeleteService(key) => push(out, format_args!("-D {}", name(key))),
        Command::Clear => out.push_str("-C"),
        Command::AddDestination { service, destination } => {
            server(out, "-a", service, destination);
        }
        Command::EditDestination { service, destination } => {
            server(out, "-e", service, destination);
        }
        Command::DeleteDestination { service, address, port } => {
            let end = numeric().end(*address, *port, None);
            push(out, format_args!("-d {} -r {end}", name(service)));
        }
        Command::Zero(None) => out.push_str("-Z"),
        Command::Zero(Some(key)) => push(out, format_args!("-Z {}", name(key))),
        Command::SetTimeouts(timeouts) => {
            let (tcp_s, tcp_fin_s) = (timeouts.tcp_s, timeouts.tcp_fin_s);
            push(out, format_args!("--set {tcp_s} {tcp_fin_s} {}", timeouts.udp_s));
        }
        Command::StartDaemon(settings) => start_daemon(out, settings),
        Command::StopDaemon { role, sync_id } => {
            push(out, format_args!("--stop-daemon {} --syncid {sync_id}", role.name()));
        }
        _ => return None,
    }
    line.truncate(line.trim_end().len());
    Some(line)
}

fn numeric() -> Style<'static> {
    Style::new(true, &Numeric)
}

fn name(key: &ServiceKey) -> String {
    save::service_name(key, true, numeric())
}

fn server(out: &mut String, verb: &str, service: &ServiceKey, server: &Destination) {
    let end = numeric().end(server.address, server.port, None);
    save::destination(out, verb, server, true, (&name(service), &end));
}

fn start_daemon(out: &mut String, settings: &DaemonSettings) {
    let DaemonSettings { role, interface, sync_id, max_length, group, port, ttl } = settings;
    push(out, format_args!("--start-daemon {} --mcast-interface {interface}", role.name()));
    push(out, format_args!(" --syncid {sync_id}"));
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            push(out, format_args!(" --{name} {value}"));
        }
    };
    option("sync-maxlen", max_length.map(|length| length.to_string()));
    option("mcast-group", group.map(|group| group.to_string()));
    option("mcast-port", port.map(|port| port.to_string()));
    option("mcast-ttl", ttl.map(|ttl| ttl.to_string()));
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    /// All lines that change something are read back as the command that they were.
    #[test]
    fn a_line_says_all_of_its_command() {
        let lines = [
            "-A -t 10.0.0.1:80 -s rr",
            "-A -u [fd00::1]:53 -s mh -b mh-fallback,mh-port -p 300 -M 64",
            "-E --sctp-service 10.0.0.1:9 -s sh -p 360 -M 255.255.255.0 --pe sip",
            "-E -f 4294967295 -s wlc -o",
            "-D -f 7 -6",
            "-D -t 10.0.0.1:80",
            "-C",
            "-a -t 10.0.0.1:80 -r 10.0.0.2:8080 -m -w 7 -x 20 -y 10",
            "-a -t 10.0.0.1:80 -r [fd00::2]:80 -i -w 0 --tun-type gue --tun-port 5555 --tun-csum",
            "-e -f 9 -r 10.0.0.2:0 -g -w 65535 -x 1",
            "-d -t 10.0.0.1:80 -r 10.0.0.2:80",
            "-Z",
            "-Z -t 10.0.0.1:80",
            "--set 900 120 300",
            "--start-daemon backup --mcast-interface eth0 --syncid 7 --sync-maxlen 1000 \
             --mcast-group 224.0.0.81 --mcast-port 8848 --mcast-ttl 3",
            "--stop-daemon master --syncid 3",
        ];
        for text in lines {
            let words: Vec<_> = text.split_whitespace().collect();
            let command = parse(&words, &Numeric).unwrap();
            let printed = line(&command).unwrap();
            let words: Vec<_> = printed.split(' ').collect();
            assert_eq!(parse(&words, &Numeric).as_ref(), Ok(&command), "{text}: {printed}");
        }
        for text in ["-Ln", "-Sn", "-R", "-v"] {
            assert_eq!(line(&parse(&[text], &Numeric).unwrap()), None, "{text}");
        }
    }
}
