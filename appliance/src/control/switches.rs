//! `sluicectl settings`: the switches of the connection handling, under the names
//! and with the values of the kernel's sysctls.

use std::fmt::Write as _;

use lb_core::control::Control;
use lb_core::settings::{REFUSED, Settings, Switch, refusal};
use serde::Serialize;
use serde_json::{Map, Value};

use super::grammar::{Output, SettingAction};
use super::protocol::Answer;
use super::report::{Report, Text, answer};
use crate::line;

/// Switches and their values, as `sysctl` prints them; in JSON an object.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Values(Map<String, Value>);

impl Report for Values {
    fn text(&self, out: &mut Text) {
        for (name, value) in &self.0 {
            line!(out, "{name} = {value}");
        }
    }
}

/// Runs an action; without one all switches are shown.
pub fn run(control: &mut Control, action: Option<&SettingAction>, output: Output) -> Answer {
    let done = match action {
        None | Some(SettingAction::List) => Ok(list(control.settings())),
        Some(SettingAction::Get { name }) => show(control.settings(), name),
        Some(SettingAction::Set { name, value }) => set(control, name, value),
    };
    match done {
        Ok(values) => answer(&values, output),
        Err(problem) => Answer::refusing(2, &format!("sluiced: {problem}")),
    }
}

fn list(settings: &Settings) -> Values {
    Values(Switch::all().map(|it| (it.name.to_owned(), it.get(settings).into())).collect())
}

/// One switch.
///
/// # Errors
///
/// There is none of that name.
fn show(settings: &Settings, name: &str) -> Result<Values, String> {
    let value = named(name)?.get(settings);
    Ok(Values(std::iter::once((name.to_owned(), value.into())).collect()))
}

/// Changes a switch, and shows what it is then: the kernel's automatic ones move by themselves.
///
/// # Errors
///
/// There is none of that name, or the value is none of its own; nothing is changed then.
fn set(control: &mut Control, name: &str, value: &str) -> Result<Values, String> {
    let mut settings = *control.settings();
    named(name)?.set_text(&mut settings, value).map_err(|wrong| wrong.to_string())?;
    control.set_settings(settings);
    show(control.settings(), name)
}

fn named(name: &str) -> Result<&'static Switch, String> {
    Switch::named(name).ok_or_else(|| {
        refusal(name).unwrap_or_else(|| {
            let known: Vec<_> = Switch::all().map(|switch| switch.name).collect();
            format!("`{name}' is no switch; there are {}", known.join(", "))
        })
    })
}

/// The table of the switches in Markdown, as `docs/control.md` has it.
pub fn markdown_table() -> String {
    let mut table = String::from("| switch | default | values | meaning |\n");
    table.push_str("| --- | --- | --- | --- |\n");
    for switch in Switch::all() {
        let Switch { name, preset, values, help, .. } = switch;
        let _ = writeln!(table, "| `{name}` | {preset} | {} | {help} |", values.describe());
    }
    table
}

/// The table of the kernel's switches that are refused, in the same form.
pub fn markdown_refused() -> String {
    let mut table = String::from("| refused | why |\n| --- | --- |\n");
    let mut rest = REFUSED;
    while let Some(&(_, reason)) = rest.first() {
        let same = rest.iter().take_while(|(_, other)| *other == reason).count();
        let names: Vec<_> = rest[..same].iter().map(|(name, _)| format!("`{name}`")).collect();
        let _ = writeln!(table, "| {} | {reason} |", names.join(", "));
        rest = &rest[same..];
    }
    table
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use lb_core::control::Network;
    use lb_core::director::Limits;
    use lb_core::flow::{FlowTable, Storage};
    use lb_core::hash::FlowHasher;

    use super::*;
    use crate::control::report;

    fn list(settings: &Settings) -> String {
        report::text(&super::list(settings), false)
    }

    fn show(settings: &Settings, name: &str) -> Result<String, String> {
        super::show(settings, name).map(|values| report::text(&values, false))
    }

    fn set(control: &mut Control, name: &str, value: &str) -> Result<String, String> {
        super::set(control, name, value).map(|values| report::text(&values, false))
    }

    /// A control plane with room for so many connections.
    fn control(flows: usize) -> Control {
        let hasher = FlowHasher::new([1, 2, 3]);
        let table = FlowTable::new(flows, Storage::leaked(flows), hasher);
        Control::new(table, Limits::of_destinations(1), 0, hasher, Network::default())
    }

    #[test]
    fn switches_are_listed_with_the_kernels_defaults() {
        assert_eq!(
            list(&Settings::default()),
            "conn_reuse_mode = 1\nexpire_nodest_conn = 0\npmtu_disc = 1\nnat_icmp_send = 0\n\
             sloppy_tcp = 0\nsloppy_sctp = 0\nschedule_icmp = 0\ncache_bypass = 0\n\
             expire_quiescent_template = 0\nlblc_expiration = 86400\nlblcr_expiration = 86400\n\
             load_counts_all = 0\n\
             drop_entry = 0\ndrop_packet = 0\nsecure_tcp = 0\namemthresh = 1024\n\
             am_droprate = 10\nrun_estimation = 1\nicmp_msgs_per_sec = 1000\nip_forward = 1\n"
        );
    }

    #[test]
    fn every_switch_changes_itself_and_no_other() {
        for (place, switch) in Switch::all().enumerate() {
            let mut control = control(4096);
            let other = i64::from(switch.get(control.settings()) == 0);
            let shown = format!("{} = {other}\n", switch.name);
            let set = set(&mut control, switch.name, &other.to_string());
            assert_eq!(set, Ok(shown.clone()));
            let (now, before) = (list(control.settings()), list(&Settings::default()));
            let changed: Vec<_> =
                now.lines().zip(before.lines()).enumerate().filter(|(_, (a, b))| a != b).collect();
            assert_eq!(changed.len(), 1);
            assert_eq!((changed[0].0, changed[0].1.0), (place, shown.trim_end()));
        }
    }

    /// `proc_dointvec`: any `int`, and what is not 0 is on.
    #[test]
    fn values_are_those_of_the_kernel() {
        let mut control = control(4096);
        for (name, value, shown) in [
            ("sloppy_tcp", "5", 1),
            ("sloppy_tcp", "0", 0),
            ("pmtu_disc", "-1", 1),
            ("conn_reuse_mode", "7", 7),
            ("conn_reuse_mode", "-2147483648", -2_147_483_648),
            ("am_droprate", "2147483647", 2_147_483_647),
            ("amemthresh", "-1", -1),
            ("lblc_expiration", "21474836", 21_474_836),
        ] {
            assert_eq!(set(&mut control, name, value), Ok(format!("{name} = {shown}\n")));
        }
        let before = *control.settings();
        for (name, value) in [
            ("conn_reuse_mode", "2147483648"),
            ("sloppy_tcp", "-2147483649"),
            ("drop_entry", "4"),
            ("drop_packet", "-1"),
            ("secure_tcp", "9"),
            ("lblcr_expiration", "21474837"),
            ("lblcr_expiration", "-1"),
            ("icmp_msgs_per_sec", "-1"),
            ("am_droprate", "1.5"),
            ("am_droprate", ""),
            ("am_droprate", "99999999999999999999"),
        ] {
            let refusal = set(&mut control, name, value).unwrap_err();
            assert!(refusal.starts_with(&format!("`{value}' is no value of {name}; write ")));
        }
        assert_eq!(*control.settings(), before, "what is refused changes nothing");
    }

    #[test]
    fn an_automatic_switch_shows_whether_room_is_short() {
        let mut roomy = control(1024);
        assert_eq!(set(&mut roomy, "drop_entry", "2"), Ok("drop_entry = 1\n".to_owned()));
        assert_eq!(set(&mut roomy, "amemthresh", "1025"), Ok("amemthresh = 1025\n".to_owned()));
        assert_eq!(show(roomy.settings(), "drop_entry"), Ok("drop_entry = 2\n".to_owned()));
        assert_eq!(set(&mut roomy, "secure_tcp", "1"), Ok("secure_tcp = 2\n".to_owned()));
        assert_eq!(set(&mut roomy, "drop_packet", "3"), Ok("drop_packet = 3\n".to_owned()));
        assert_eq!(set(&mut roomy, "amemthresh", "0"), Ok("amemthresh = 0\n".to_owned()));
        let shown = list(roomy.settings());
        assert!(shown.contains("drop_entry = 1\ndrop_packet = 3\nsecure_tcp = 1\n"), "{shown}");
    }

    #[test]
    fn wrong_names_and_values_are_refused() {
        let mut control = control(4096);
        let error = set(&mut control, "pmtu_disc", "on").unwrap_err();
        assert_eq!(error, "`on' is no value of pmtu_disc; write 0 or 1");
        let error = set(&mut control, "drop_entry", "4").unwrap_err();
        assert_eq!(error, "`4' is no value of drop_entry; write a number from 0 to 3");
        assert!(set(&mut control, "pmtu", "1").unwrap_err().contains("there are conn_reuse_mode"));
        assert!(show(control.settings(), "").is_err());
        for (name, reason) in REFUSED {
            let error = set(&mut control, name, "0").unwrap_err();
            assert_eq!(error, format!("`{name}' cannot be set: {reason}"));
            assert_eq!(show(control.settings(), name), Err(error));
            assert!(Switch::named(name).is_none());
        }
        assert_eq!(*control.settings(), Settings::default());
    }

    /// `REGENERATE=1 cargo test -p appliance documentation` rewrites the tables.
    #[test]
    fn the_documentation_has_the_tables_of_switches() {
        const BEGIN: &str = "<!-- The tables are checked against the list of switches. -->\n\n";
        const END: &str = "\n<!-- End of the tables. -->\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/control.md");
        let page = fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the tables begin");
        let (tables, after) = rest.split_once(END).expect("the tables end");
        let wanted = [markdown_table(), markdown_refused()].join("\n");
        if std::env::var_os("REGENERATE").is_some() {
            fs::write(&path, [before, BEGIN, &wanted, END, after].concat()).unwrap();
        } else {
            assert_eq!(tables, wanted, "REGENERATE=1 rewrites the tables");
        }
    }
}
