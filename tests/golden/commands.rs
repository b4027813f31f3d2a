//! The few ipvsadm command lines that cases and recordings use.

use std::net::{IpAddr, SocketAddrV4};

use lb_core::control::Control;
use lb_core::destination::{Destination, ForwardingMethod};
use lb_core::operations::{OperationError, Operations, TimeoutSettings};
use lb_core::protocol::Protocol;
use lb_core::service::{Service, ServiceKey};

/// Runs a command line. Words of a test that cannot be read panic and name themselves.
pub(crate) fn run(control: &mut Control, line: &str) -> Result<(), OperationError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let rest = &words[1..];
    match words[0] {
        "-A" => control.add_service(service(rest)),
        "-E" => control.edit_service(service(rest)),
        "-D" => control.delete_service(&key(rest)),
        "-C" => {
            control.clear();
            Ok(())
        }
        "-a" => control.add_destination(&key(rest), destination(rest)),
        "-e" => control.edit_destination(&key(rest), destination(rest)),
        "-d" => {
            let Destination { address, port, .. } = destination(rest);
            control.delete_destination(&key(rest), address, port)
        }
        "-Z" => control.zero((!rest.is_empty()).then(|| key(rest)).as_ref()),
        "--set" => {
            let number = |place: usize| rest[place].parse().expect("--set TCP FIN UDP");
            let [tcp_s, tcp_fin_s, udp_s] = [number(0), number(1), number(2)];
            control.set_timeouts(TimeoutSettings { tcp_s, tcp_fin_s, udp_s });
            Ok(())
        }
        other => panic!("{other} in `{line}`: no command of the tests"),
    }
}

fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let place = words.iter().position(|word| *word == name)?;
    Some(words.get(place + 1).unwrap_or_else(|| panic!("{name} needs a value")))
}

fn number<T: std::str::FromStr>(words: &[&str], name: &str, default: T) -> T {
    option(words, name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} {text}: want a number"))
    })
}

fn end(text: &str) -> (IpAddr, u16) {
    let end: SocketAddrV4 =
        text.parse().unwrap_or_else(|_| panic!("{text}: want ADDRESS:PORT, 10.0.0.100:80"));
    ((*end.ip()).into(), end.port())
}

fn key(words: &[&str]) -> ServiceKey {
    let (protocol, text) = match (option(words, "-t"), option(words, "-u")) {
        (Some(text), None) => (Protocol::Tcp, text),
        (None, Some(text)) => (Protocol::Udp, text),
        _ => panic!("{words:?}: want -t or -u"),
    };
    let (address, port) = end(text);
    ServiceKey::Address { protocol, address, port }
}

fn service(words: &[&str]) -> Service {
    let scheduler = option(words, "-s").unwrap_or(Service::DEFAULT_SCHEDULER).to_owned();
    let persistence_timeout_s = option(words, "-p").map(|text| text.parse().expect("-p SECONDS"));
    Service { scheduler, persistence_timeout_s, ..Service::new(key(words)) }
}

fn destination(words: &[&str]) -> Destination {
    let (address, port) = end(option(words, "-r").expect("-r ADDRESS:PORT"));
    let method = if words.contains(&"-m") {
        ForwardingMethod::Masquerading
    } else {
        ForwardingMethod::DirectRouting
    };
    Destination {
        method,
        weight: number(words, "-w", 1),
        upper_threshold: number(words, "-x", 0),
        lower_threshold: number(words, "-y", 0),
        ..Destination::new(address, port)
    }
}
