//! `sluicectl flows`: connections and templates, to look at, to count, and to end.
//!
//! The table is walked without the director's lock; what is ended is ended under it, a piece of the
//! table at a time.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use lb_core::control::{Control, FlowFilter, FlowKill, FlowRow, FlowWalk, Killed};
use lb_core::protocol::Protocol;
use lb_core::service::ServiceKey;
use lb_core::slots::DestinationId;
use serde::Serialize;

use super::grammar::{FlowAction, FlowWords, Output};
use super::protocol::Answer;
use super::report::{Report, Text, answer};
use crate::line;
use crate::lock::lock;

/// Most connections that one answer lists: some 40 MiB of JSON.
pub const LIMIT_MAX: usize = 100_000;

/// Connections that are meant, as far as the answer goes.
#[derive(Debug, Serialize)]
struct FlowList {
    flows: Vec<FlowLine>,
    /// How many more there are.
    more: u64,
    /// What `--from` is to be for the next ones.
    next: Option<usize>,
}

#[derive(Debug, Serialize)]
struct FlowLine {
    /// `ip` is the template of a mark service.
    protocol: String,
    client: IpAddr,
    client_port: u16,
    virtual_address: IpAddr,
    virtual_port: u16,
    server: IpAddr,
    server_port: u16,
    /// Null where the service is gone.
    service: Option<String>,
    forward: &'static str,
    state: &'static str,
    template: bool,
    active: bool,
    /// Seconds without a packet until it ends.
    expires_s: u32,
    /// Seconds since it began.
    age_s: u32,
    /// Connections that depend on it.
    controls: u32,
    /// Data of the persistence engine.
    engine_data: Option<String>,
}

/// Connections by state and by real server.
#[derive(Debug, Serialize)]
struct FlowCount {
    flows: u64,
    states: Vec<StateCount>,
    servers: Vec<ServerCount>,
}

#[derive(Debug, Serialize)]
struct StateCount {
    protocol: String,
    state: &'static str,
    template: bool,
    flows: u64,
}

#[derive(Debug, Serialize)]
struct ServerCount {
    server: IpAddr,
    port: u16,
    connections: u64,
    templates: u64,
}

/// What was ended.
#[derive(Debug, Serialize)]
struct FlowsKilled {
    connections: u64,
    templates: u64,
    /// What stays as connections that were not meant depend on it.
    needed: u64,
}

/// Runs the verb.
pub fn run(
    control: &Mutex<Control>,
    action: FlowAction,
    words: &FlowWords,
    output: Output,
) -> Answer {
    let filter = words.filter();
    let done = match action {
        FlowAction::List => list(control, &filter, words).map(|list| answer(&list, output)),
        FlowAction::Count => count(control, &filter).map(|count| answer(&count, output)),
        FlowAction::Kill => kill(control, &filter, words).map(|killed| answer(&killed, output)),
    };
    done.unwrap_or_else(|problem| Answer::refusing(2, &format!("sluiced: flows: {problem}")))
}

fn list(
    control: &Mutex<Control>,
    filter: &FlowFilter,
    words: &FlowWords,
) -> Result<FlowList, String> {
    let locked = lock(control);
    let matcher = locked.matcher(filter).map_err(|problem| problem.to_string())?;
    let (director, now) = (Arc::clone(locked.director()), locked.now());
    let services = locked.services_of_slots();
    drop(locked);
    let page = FlowWalk::new(&director, &matcher, now).page(words.from, words.limit);
    let flows = page.rows.into_iter().map(|row| flow_line(row, &services));
    Ok(FlowList { flows: flows.collect(), more: page.more, next: page.next })
}

fn count(control: &Mutex<Control>, filter: &FlowFilter) -> Result<FlowCount, String> {
    let locked = lock(control);
    let matcher = locked.matcher(filter).map_err(|problem| problem.to_string())?;
    let (director, now) = (Arc::clone(locked.director()), locked.now());
    drop(locked);
    let groups = FlowWalk::new(&director, &matcher, now).count();
    let mut states: BTreeMap<_, u64> = BTreeMap::new();
    let mut servers: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for (group, flows) in &groups {
        *states.entry((group.is_template, group.protocol, group.state)).or_default() += flows;
        let (connections, templates) = servers.entry(group.server).or_default();
        *(if group.is_template { templates } else { connections }) += flows;
    }
    let states = states.into_iter().map(|((template, protocol, state), flows)| StateCount {
        protocol: protocol_name(protocol),
        state,
        template,
        flows,
    });
    let servers = servers.into_iter().map(|((server, port), (connections, templates))| {
        ServerCount { server, port, connections, templates }
    });
    Ok(FlowCount {
        flows: groups.values().sum(),
        states: states.collect(),
        servers: servers.collect(),
    })
}

fn kill(
    control: &Mutex<Control>,
    filter: &FlowFilter,
    words: &FlowWords,
) -> Result<FlowsKilled, String> {
    if filter.is_everything() && !words.all {
        return Err("that would end every connection; say which, or --all".to_owned());
    }
    let locked = lock(control);
    let matcher = locked.matcher(filter).map_err(|problem| problem.to_string())?;
    let mut kill = FlowKill::new(Arc::clone(locked.director()), matcher);
    drop(locked);
    while let Some(found) = kill.find() {
        if !found.is_empty() {
            kill.end(&mut lock(control), &found);
        }
    }
    let Killed { connections, templates, needed } = kill.killed();
    Ok(FlowsKilled { connections, templates, needed })
}

fn flow_line(row: FlowRow, services: &HashMap<DestinationId, ServiceKey>) -> FlowLine {
    FlowLine {
        protocol: protocol_name(row.protocol),
        client: row.client.0,
        client_port: row.client.1,
        virtual_address: row.virtual_end.0,
        virtual_port: row.virtual_end.1,
        server: row.server.0,
        server_port: row.server.1,
        service: services.get(&row.destination).map(ToString::to_string),
        forward: row.method.name(),
        state: row.state,
        template: row.is_template,
        active: row.is_active,
        expires_s: row.expires_s,
        age_s: row.age_s,
        controls: row.controlled,
        engine_data: row.call,
    }
}

/// The name of a protocol, as the filters take it.
fn protocol_name(number: u8) -> String {
    match Protocol::from_number(number) {
        Some(protocol) => protocol.name().to_ascii_lowercase(),
        None if number == 0 => "ip".to_owned(),
        None => number.to_string(),
    }
}

impl Report for FlowList {
    fn text(&self, out: &mut Text) {
        line!(
            out,
            "{:<5}{:<8} {:<8} {:<12} {:<22} {:<22} {:<22} forward",
            "prot",
            "expire",
            "age",
            "state",
            "client",
            "virtual",
            "server"
        );
        for it in &self.flows {
            let end = |address, port| SocketAddr::new(address, port).to_string();
            let time = |seconds: u32| format!("{:02}:{:02}", seconds / 60, seconds % 60);
            line!(
                out,
                "{:<5}{:<8} {:<8} {:<12} {:<22} {:<22} {:<22} {}{}",
                it.protocol,
                time(it.expires_s),
                time(it.age_s),
                it.state,
                end(it.client, it.client_port),
                end(it.virtual_address, it.virtual_port),
                end(it.server, it.server_port),
                it.forward,
                if it.template { format!(" template of {}", it.controls) } else { String::new() }
            );
        }
        if let Some(next) = self.next {
            line!(out, "{} more; --from {next} shows the next ones", self.more);
        }
    }
}

impl Report for FlowCount {
    fn text(&self, out: &mut Text) {
        line!(out, "{:>12} flows", self.flows);
        for StateCount { protocol, state, template, flows } in &self.states {
            let kind = if *template { " template" } else { "" };
            line!(out, "{flows:>12} {protocol} {state}{kind}");
        }
        for ServerCount { server, port, connections, templates } in &self.servers {
            let end = SocketAddr::new(*server, *port);
            line!(out, "{connections:>12} at {end}, {templates} templates");
        }
    }
}

impl Report for FlowsKilled {
    fn text(&self, out: &mut Text) {
        let Self { connections, templates, needed } = self;
        line!(out, "{connections} connections and {templates} templates ended");
        if *needed > 0 {
            line!(out, "{needed} stay: other connections depend on them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::bench::control;
    use crate::control::grammar::{CommandLine, Verb};

    fn ask(control: &Mutex<Control>, line: &str) -> Answer {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let line = CommandLine::of_words(&words).unwrap();
        let Verb::Flows { action, words } = line.verb else { panic!() };
        run(control, action, &words, line.output)
    }

    #[test]
    fn kill_asks_for_a_filter_and_services_have_to_be_there() {
        let control = Mutex::new(control(&["-A -t 10.0.0.100:80"]));
        let refused = ask(&control, "flows kill");
        assert_eq!(refused.exit, 2);
        assert!(refused.stderr.contains("say which, or --all"), "{}", refused.stderr);
        let nothing = "0 connections and 0 templates ended\n";
        for line in
            ["flows kill --all", "flows kill --client 10.0.0.0/8", "flows kill -t 10.0.0.100:80"]
        {
            assert_eq!(ask(&control, line), Answer::printing(nothing.to_owned()), "{line}");
        }
        let refused = ask(&control, "flows -u 10.0.0.100:80");
        assert_eq!(refused.stderr, "sluiced: flows: No such service\n");
        let empty = ask(&control, "flows --json --service tcp:10.0.0.100:80").stdout;
        assert_eq!(empty, "{\n  \"flows\": [],\n  \"more\": 0,\n  \"next\": null\n}\n");
        assert_eq!(ask(&control, "flows count").stdout, "           0 flows\n");
    }

    #[test]
    fn wrong_filters_are_refused_by_the_grammar() {
        for line in [
            "flows --client x",
            "flows --state OPEN",
            "flows --protocol gre",
            "flows -t 10.0.0.100",
            "flows --service 10.0.0.100:80",
            "flows -t 10.0.0.100:80 -u 10.0.0.100:80",
            "flows --limit 100001",
            "flows drop",
        ] {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            assert!(CommandLine::of_words(&words).is_err(), "{line}");
        }
    }
}
