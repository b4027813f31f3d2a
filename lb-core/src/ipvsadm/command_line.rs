//! A command back into the words that say it: for reports and logs.

use std::net::IpAddr;

use super::Numeric;
use super::command::{Command, Subject};
use super::save::{destination_options, service_name, service_options};
use super::text::{self, Style, push};
use crate::destination::Destination;
use crate::operations::{DaemonSettings, TimeoutSettings};
use crate::service::{Service, ServiceKey};

/// A command line, without the program's name, that is understood as this command. All names in
/// it are numbers. Of `-L` it says what is listed, and leaves the form out.
pub fn command_line(command: &Command) -> String {
    let style = Style::new(true, &Numeric);
    let name = |key: &ServiceKey| service_name(key, style);
    match command {
        Command::AddService(service) => of_service("-A", service),
        Command::EditService(service) => of_service("-E", service),
        Command::DeleteService(key) => format!("-D {}", name(key)),
        Command::Clear => "-C".to_owned(),
        Command::AddDestination { service, destination } => {
            of_destination("-a", service, destination)
        }
        Command::EditDestination { service, destination } => {
            of_destination("-e", service, destination)
        }
        Command::DeleteDestination { service, address, port } => {
            format!("-d {} -r {}", name(service), end(*address, *port))
        }
        Command::List(options) => match &options.subject {
            Subject::Table => "-L".to_owned(),
            Subject::Service(key) => format!("-L {}", name(key)),
            Subject::Connections => "-L -c".to_owned(),
            Subject::Timeouts => "-L --timeout".to_owned(),
            Subject::Daemons => "-L --daemon".to_owned(),
        },
        Command::Save { numeric: true } => "-S -n".to_owned(),
        Command::Save { numeric: false } => "-S".to_owned(),
        Command::Zero(None) => "-Z".to_owned(),
        Command::Zero(Some(key)) => format!("-Z {}", name(key)),
        Command::SetTimeouts(TimeoutSettings { tcp_s, tcp_fin_s, udp_s }) => {
            format!("--set {tcp_s} {tcp_fin_s} {udp_s}")
        }
        Command::StartDaemon(settings) => start_daemon(settings),
        Command::StopDaemon { role, sync_id } => {
            format!("--stop-daemon {} --syncid {sync_id}", role.name())
        }
        Command::Restore => "-R".to_owned(),
        Command::RestoreAll => "-R --atomic".to_owned(),
        Command::Help => "-h".to_owned(),
        Command::Version => "-v".to_owned(),
    }
}

/// The address and port of a real server, as `-r` takes it.
pub(super) fn end(address: IpAddr, port: u16) -> String {
    Style::new(true, &Numeric).end(address, port, None)
}

fn of_service(word: &str, service: &Service) -> String {
    let mut out = format!("{word} {}", service_name(&service.key, Style::new(true, &Numeric)));
    service_options(&mut out, service);
    if service.persistence_timeout_s.is_none()
        && let Some(netmask) = text::netmask(service)
    {
        push(&mut out, format_args!(" -M {netmask}"));
    }
    out
}

/// Unlike in what `-S` saves, thresholds are there where they are not 0.
fn of_destination(word: &str, service: &ServiceKey, destination: &Destination) -> String {
    let name = service_name(service, Style::new(true, &Numeric));
    let mut out = format!("{word} {name} -r {}", end(destination.address, destination.port));
    destination_options(&mut out, destination);
    let thresholds = [("-x", destination.upper_threshold), ("-y", destination.lower_threshold)];
    for (option, value) in thresholds {
        if value != 0 {
            push(&mut out, format_args!(" {option} {value}"));
        }
    }
    out
}

fn start_daemon(settings: &DaemonSettings) -> String {
    let DaemonSettings { role, interface, sync_id, max_length, group, port, ttl } = settings;
    let mut out =
        format!("--start-daemon {} --mcast-interface {interface} --syncid {sync_id}", role.name());
    let numbers = [
        ("--sync-maxlen", max_length.map(u32::from)),
        ("--mcast-port", port.map(u32::from)),
        ("--mcast-ttl", ttl.map(u32::from)),
    ];
    for (option, value) in numbers {
        if let Some(value) = value {
            push(&mut out, format_args!(" {option} {value}"));
        }
    }
    if let Some(group) = group {
        push(&mut out, format_args!(" --mcast-group {group}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipvsadm::{parse, restore_words};

    #[test]
    fn a_command_is_said_so_that_it_is_understood_as_the_same() {
        for line in [
            "-A -t 10.0.0.1:80 -s rr",
            "-E -u [2001:db8::1]:53 -s sh -p 300 -M 64 -b sh-port",
            "-A -t 10.0.0.1:80 -s wlc -M 255.255.0.0",
            "-A -f 17 -6 -s mh -o",
            "-A -u 10.0.0.1:5060 -s rr -p 60 --pe sip -o",
            "-D --sctp-service 10.0.0.1:0",
            "-D -f 17",
            "-C",
            "-a -t 10.0.0.1:80 -r 10.0.0.2:8080 -m -w 3 -x 100 -y 50",
            "-e -t 10.0.0.1:80 -r [fd00::2]:80 -i -w 0 --tun-type gue --tun-port 6080 --tun-csum",
            "-a -f 9 -r 10.0.0.2 -g -w 1 -y 0 -x 9",
            "-d -t 10.0.0.1:80 -r 10.0.0.2:80",
            "-L",
            "-L -c",
            "-L --timeout",
            "-L --daemon",
            "-L -t 10.0.0.1:80",
            "-S -n",
            "-S",
            "-Z",
            "-Z -t 10.0.0.1:80",
            "--set 1 2 3",
            "--start-daemon master --mcast-interface eth1 --syncid 3 --sync-maxlen 1400 \
             --mcast-group 224.0.0.82 --mcast-port 8849 --mcast-ttl 2",
            "--start-daemon backup",
            "--stop-daemon backup --syncid 4",
            "-R",
            "-R --atomic",
            "-h",
            "-v",
        ] {
            let command = parse(&restore_words(line), &Numeric).unwrap();
            let said = command_line(&command);
            assert_eq!(parse(&restore_words(&said), &Numeric).as_ref(), Ok(&command), "{said}");
        }
    }
}
