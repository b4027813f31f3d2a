//! The section `marks`: rules in iptables' words, and marks that are intercepted.

use std::collections::HashMap;

use lb_core::interface::{Interface, InterfaceId};
use lb_core::marks::{MarksError, saved};
use lb_core::service::Family;
use lb_core::wire::MacAddress;

use super::Environment;
use super::error::{ConfigErrors, shown};
use super::interfaces::interfaces;
use super::raw::{At, RawCommands, RawConfig};
use super::services::commands;
use super::settings::MarksConfig;
use super::validate::earlier;

/// `None` where a mistake was reported before.
pub(super) fn check(
    raw: &RawConfig,
    source: &str,
    environment: &Environment<'_>,
    errors: &mut ConfigErrors,
) -> Option<MarksConfig> {
    let known = raw.ports_whole.then(|| names(raw));
    let mut rules = |block: &Option<At<RawCommands>>, family, path| {
        let block = block.as_ref()?;
        let commands = commands(block, source);
        let lines: Vec<&str> = commands.iter().map(|command| command.text).collect();
        let known = known.as_deref().unwrap_or_default();
        let (_, wrong) = saved::configured(&lines, family, known, environment.names);
        for (index, problem) in wrong {
            // Without all ports nobody knows which names there are.
            if known.is_empty() && matches!(problem, MarksError::UnknownInterface { .. }) {
                continue;
            }
            let command = &commands[index];
            errors.at(command.position, format!("{path}: {}: {problem}", shown(command.text)));
        }
        Some(lines.into_iter().map(str::to_owned).collect())
    };
    let v4: Option<Vec<String>> = rules(&raw.marks.rules, Family::V4, "marks.rules");
    let v6 = rules(&raw.marks.rules6, Family::V6, "marks.rules6");
    let mut seen = HashMap::new();
    for (index, mark) in raw.marks.intercept.iter().enumerate() {
        if let Some(line) = earlier(&mut seen, mark.value, mark.position) {
            let problem = format!(
                "marks.intercept[{index}]: mark {:#x} is there from line {line}; remove one",
                mark.value
            );
            errors.at(mark.position, problem);
        }
    }
    let intercept = raw.marks.intercept.iter().map(|mark| mark.value).collect();
    Some(MarksConfig { rules: v4?, rules6: v6?, intercept })
}

/// The interfaces, of which rules need the names alone.
fn names(raw: &RawConfig) -> Vec<Interface> {
    let named = interfaces(&raw.ports).into_iter().filter_map(|interface| interface.name);
    named.map(|name| Interface::new(&name.value, InterfaceId(0), MacAddress([0; 6]), 0)).collect()
}
