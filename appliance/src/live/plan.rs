//! What a reload would do: worked out as a whole before anything is changed.

use lb_core::control::Control;
use lb_core::ipvsadm::Command;
use lb_core::marks::{MarkRules, saved};
use lb_core::service::Family;
use lb_core::settings::{Defence, Settings, Switch};

use super::merge::{Three, Winner};
use super::report::{Item, Items};
use super::table::{self, MergedTable, Table};
use super::wanted::Wanted;
use crate::config::{Changed, Config, Effect, changed};

/// Keys that speak of interfaces, which are there from the next start on where `ports` changed.
const OF_INTERFACES: [&str; 2] = ["routes", "neighbours"];

/// Everything that leads from what is running to what the file says.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) items: Items,
    /// Changes of services, in this order.
    pub(super) commands: Vec<Command>,
    pub(super) settings: Settings,
    /// Where rules that mark packets change.
    pub(super) marks: Option<MarkRules>,
    /// Whether addresses, routes or neighbours change.
    pub(super) changes_surroundings: bool,
    /// Whether routes and neighbours of the file mean the interfaces that are there.
    pub(super) has_same_interfaces: bool,
}

impl Plan {
    /// Compares the configuration that the director `started` with, the one that was `loaded`
    /// last, what is running, and the file. `winner` decides conflicts.
    pub(super) fn new(
        started: &Config,
        loaded: &Wanted,
        control: &Control,
        file: &Wanted,
        winner: Option<Winner>,
    ) -> Self {
        let running = Table::of_director(control);
        let MergedTable { commands, mut items } =
            table::merge(&loaded.table, &running, &file.table, winner);
        let settings = settings(loaded, control.settings(), file, winner, &mut items);
        let marks = marks(&loaded.marks, control.mark_rules(), &file.marks, winner, &mut items);
        let names = |config: &Config| -> Vec<String> {
            config.interfaces().map(|interface| interface.name.to_owned()).collect()
        };
        let has_same_interfaces = names(started) == names(&file.config);
        let mut changes_surroundings = false;
        for Changed { path, before, after } in changed(&loaded.config, &file.config, Effect::Reload)
        {
            let item = item(&path, before, after);
            if OF_INTERFACES.contains(&path.as_str()) && !has_same_interfaces {
                items.restart.push(item);
            } else {
                changes_surroundings = true;
                items.from_file.push(item);
            }
        }
        let at_start = changed(started, &file.config, Effect::Restart).into_iter();
        items.restart.extend(at_start.map(|it| item(&it.path, it.before, it.after)));
        Self { items, commands, settings, marks, changes_surroundings, has_same_interfaces }
    }
}

fn item(path: &str, before: String, after: String) -> Item {
    let line = |value| format!("{path}: {value}");
    Item { running: Some(line(before)), file: Some(line(after)) }
}

/// The switches, each for itself, and what no command can change.
fn settings(
    loaded: &Wanted,
    running: &Settings,
    file: &Wanted,
    winner: Option<Winner>,
    items: &mut Items,
) -> Settings {
    let mut settings = Settings {
        tunnel_source_spread: file.settings.tunnel_source_spread,
        kernel_rate: file.settings.kernel_rate,
        ..*running
    };
    for switch in Switch::all() {
        let [was, is, said] =
            [&loaded.settings, running, &file.settings].map(|settings| value(switch, settings));
        let three = Three { loaded: Some(&was), running: Some(&is), file: Some(&said) };
        let line = |value: &i64| format!("{}: {value}", switch.path);
        if let Some(&decided) = items.decide(three, winner, line)
            && decided != is
        {
            // A value that a configuration or the director has is one of the switch's.
            let _ = switch.set(&mut settings, decided);
        }
    }
    settings
}

/// The value of a switch; one that moves between 1 and 2 by itself is at 1.
fn value(switch: &Switch, settings: &Settings) -> i64 {
    let moves = ["drop_entry", "drop_packet", "secure_tcp"].contains(&switch.name);
    let value = switch.get(settings);
    if moves && value == Defence::AutomaticOn as i64 { Defence::AutomaticOff as i64 } else { value }
}

/// Each chain as a whole: the order of rules matters.
fn marks(
    loaded: &MarkRules,
    running: &MarkRules,
    file: &MarkRules,
    winner: Option<Winner>,
    items: &mut Items,
) -> Option<MarkRules> {
    let mut decide = |key: &str, of: &dyn Fn(&MarkRules) -> Vec<String>| {
        let [was, is, said] = [loaded, running, file].map(of);
        let three = Three { loaded: Some(&was), running: Some(&is), file: Some(&said) };
        let line = |rules: &Vec<String>| format!("{key}: {}", shown(rules));
        items.decide(three, winner, line) == Some(&said) && is != said
    };
    let of = |family| move |rules: &MarkRules| saved::lines(rules.chain(family), family);
    let v4 = decide("marks.rules", &of(Family::V4));
    let v6 = decide("marks.rules6", &of(Family::V6));
    let marks = |rules: &MarkRules| {
        let mut marks = rules.intercepted.clone();
        marks.sort_unstable();
        marks.iter().map(|mark| format!("{mark:#x}")).collect()
    };
    let intercepted = decide("marks.intercept", &marks);
    (v4 || v6 || intercepted).then(|| MarkRules {
        v4: if v4 { &file.v4 } else { &running.v4 }.clone(),
        v6: if v6 { &file.v6 } else { &running.v6 }.clone(),
        intercepted: if intercepted { &file.intercepted } else { &running.intercepted }.clone(),
    })
}

fn shown(rules: &[String]) -> String {
    if rules.is_empty() { "none".to_owned() } else { rules.join("; ") }
}
