//! `sluicectl get` and `sluicectl set`: the switches of the connection handling, under the names
//! and with the values of the kernel's sysctls.

use std::fmt::Write as _;

use lb_core::settings::Settings;

/// A switch: its name, its largest value, how it is read and written.
struct Switch {
    name: &'static str,
    max: u32,
    get: fn(&Settings) -> u32,
    set: fn(&mut Settings, u32),
}

/// All of them, in the order of the configuration.
const SWITCHES: &[Switch] = &[
    Switch {
        name: "conn_reuse_mode",
        max: 2,
        get: |s| s.conn_reuse_mode.cast_unsigned(),
        set: |s, value| s.conn_reuse_mode = value.cast_signed(),
    },
    Switch {
        name: "expire_nodest_conn",
        max: 1,
        get: |s| s.expire_nodest_conn.into(),
        set: |s, value| s.expire_nodest_conn = value != 0,
    },
    Switch {
        name: "pmtu_disc",
        max: 1,
        get: |s| s.pmtu_disc.into(),
        set: |s, value| s.pmtu_disc = value != 0,
    },
    Switch {
        name: "nat_icmp_send",
        max: 1,
        get: |s| s.nat_icmp_send.into(),
        set: |s, value| s.nat_icmp_send = value != 0,
    },
    Switch {
        name: "sloppy_tcp",
        max: 1,
        get: |s| s.sloppy_tcp.into(),
        set: |s, value| s.sloppy_tcp = value != 0,
    },
    Switch {
        name: "sloppy_sctp",
        max: 1,
        get: |s| s.sloppy_sctp.into(),
        set: |s, value| s.sloppy_sctp = value != 0,
    },
    Switch {
        name: "icmp_msgs_per_sec",
        max: 10_000_000,
        get: |s| s.icmp_msgs_per_sec,
        set: |s, value| s.icmp_msgs_per_sec = value,
    },
    Switch {
        name: "ip_forward",
        max: 1,
        get: |s| s.ip_forward.into(),
        set: |s, value| s.ip_forward = value != 0,
    },
];

/// All switches, one a line, as `sysctl` prints them.
pub fn list(settings: &Settings) -> String {
    let mut out = String::new();
    for switch in SWITCHES {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} = {}", switch.name, (switch.get)(settings));
    }
    out
}

/// One switch.
///
/// # Errors
///
/// There is none of that name.
pub fn show(settings: &Settings, name: &str) -> Result<String, String> {
    let switch = named(name)?;
    Ok(format!("{name} = {}\n", (switch.get)(settings)))
}

/// Changes a switch, and shows it.
///
/// # Errors
///
/// There is none of that name, or the value is none of its own.
pub fn set(settings: &mut Settings, name: &str, value: &str) -> Result<String, String> {
    let switch = named(name)?;
    match value.parse() {
        Ok(value) if value <= switch.max => (switch.set)(settings, value),
        _ => {
            return Err(format!(
                "`{value}' is no value of {name}; write a number from 0 to {}",
                switch.max
            ));
        }
    }
    show(settings, name)
}

fn named(name: &str) -> Result<&'static Switch, String> {
    SWITCHES.iter().find(|switch| switch.name == name).ok_or_else(|| {
        let known: Vec<_> = SWITCHES.iter().map(|switch| switch.name).collect();
        format!("`{name}' is no switch; there are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_listed_with_the_kernels_defaults() {
        assert_eq!(
            list(&Settings::default()),
            "conn_reuse_mode = 1\nexpire_nodest_conn = 0\npmtu_disc = 1\nnat_icmp_send = 0\n\
             sloppy_tcp = 0\nsloppy_sctp = 0\nicmp_msgs_per_sec = 1000\nip_forward = 1\n"
        );
    }

    #[test]
    fn every_switch_changes_itself_and_no_other() {
        for (place, switch) in SWITCHES.iter().enumerate() {
            let mut settings = Settings::default();
            let other = u32::from((switch.get)(&settings) == 0);
            let shown = format!("{} = {other}\n", switch.name);
            assert_eq!(set(&mut settings, switch.name, &other.to_string()), Ok(shown.clone()));
            let (now, before) = (list(&settings), list(&Settings::default()));
            let changed: Vec<_> =
                now.lines().zip(before.lines()).enumerate().filter(|(_, (a, b))| a != b).collect();
            assert_eq!(changed.len(), 1);
            assert_eq!((changed[0].0, changed[0].1.0), (place, shown.trim_end()));
        }
    }

    #[test]
    fn every_switch_of_the_configuration_can_be_changed() {
        let configured = crate::config::KEYS.iter().filter(|key| key.section() == "settings");
        let names: Vec<_> = configured.map(|key| key.name()).chain(["ip_forward"]).collect();
        assert_eq!(names, SWITCHES.iter().map(|switch| switch.name).collect::<Vec<_>>());
    }

    #[test]
    fn wrong_names_and_values_are_refused() {
        let mut settings = Settings::default();
        let error = set(&mut settings, "pmtu_disc", "2").unwrap_err();
        assert_eq!(error, "`2' is no value of pmtu_disc; write a number from 0 to 1");
        assert!(set(&mut settings, "pmtu_disc", "on").is_err());
        assert!(set(&mut settings, "pmtu", "1").unwrap_err().contains("there are conn_reuse_mode"));
        assert!(show(&settings, "").is_err());
        assert_eq!(settings, Settings::default());
    }
}
