//! A device of the director's that is taken out of the machine ends the director.
//!
//! A director that lost a port cannot do what its configuration says. Its end is seen by whoever
//! watches it: systemd starts it anew, keepalived and the other director take over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crate::config::Config;
use crate::dpdk::{Eal, unplug};
use crate::logging;

/// The first device that was taken out, if any.
#[derive(Clone, Debug, Default)]
pub struct Unplugged(Arc<OnceLock<String>>);

impl Unplugged {
    /// Sets `is_stopping` when a device is to be let go.
    pub fn watch(eal: &Eal, is_stopping: &Arc<AtomicBool>) -> Self {
        let unplugged = Self::default();
        let (seen, is_stopping) = (unplugged.clone(), Arc::clone(is_stopping));
        let watched = unplug::watch(eal, move |device| {
            seen.note(device);
            is_stopping.store(true, Ordering::Relaxed);
        });
        if let Err(problem) = watched {
            log::warn!(target: logging::PORTS,
                "a NIC that is pulled out will not be noticed: DPDK says {problem}");
        }
        unplugged
    }

    fn note(&self, device: &str) {
        // A second one changes nothing any more.
        let _ = self.0.set(device.to_owned());
    }

    /// What ended the director, in words, if that is what ended it. Else a signal did, whose thread
    /// is waited for.
    pub fn or_signal(&self, signals: JoinHandle<()>, config: &Config) -> Option<String> {
        let reason = self.reason(config);
        if reason.is_none() {
            // That a thread cannot be waited for changes nothing any more.
            let _ = signals.join();
        }
        reason
    }

    fn reason(&self, config: &Config) -> Option<String> {
        let device = self.0.get()?;
        let is_it = |text: &str| text.split(',').next() == Some(device);
        let port = config.ports.iter().find(|port| is_it(port.device.as_str()));
        let port = port.map_or_else(String::new, |port| format!("port {}: ", port.name));
        Some(format!(
            "{port}device {device} is taken out of the machine; the director cannot run without \
             it, and lets go of it by ending. Start it again when the device is back, or take the \
             port out of the configuration"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, no_nics, parse};
    use lb_core::ipvsadm::Numeric;

    #[test]
    fn the_port_of_the_device_is_named() {
        let text = "ports:\n- { name: lan0, device: \"0000:03:00.0,a=b\" }\n";
        let environment = Environment {
            cpus: vec![0],
            check_services: &|_| Vec::new(),
            names: &Numeric,
            find_nic: &no_nics,
        };
        let config = parse("t", text, &environment).unwrap();
        let unplugged = Unplugged::default();
        assert_eq!(unplugged.reason(&config), None);
        unplugged.note("0000:03:00.0");
        unplugged.note("0000:04:00.0");
        let reason = unplugged.reason(&config).unwrap();
        let words = "port lan0: device 0000:03:00.0 is taken out of the machine";
        assert!(reason.starts_with(words), "{reason}");
    }
}
