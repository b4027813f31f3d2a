//! `sluicectl explain`: what would become of a packet, and why. Nothing is changed by it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use lb_core::control::Control;
use lb_core::drops::DropReason;
use lb_core::explain::{Course, ExplainedFlow, Explainer, Explanation, PacketDescription};
use lb_core::interface::{Interface, InterfaceId};
use lb_core::wire::{MacAddress, ethernet, field, show};
use lb_core::worker::{Pending, Verdict};
use serde::Serialize;

use super::grammar::{ExplainWords, Output};
use super::protocol::Answer;
use super::report::{Report, Text, Tone, answer};
use crate::captured_frame::{of_hex, to_hex};
use crate::line;
use crate::lock::lock;

/// An explanation, with names in place of numbers.
#[derive(Debug, Serialize)]
struct Explained {
    interface: String,
    /// The frame, in the manner of tcpdump.
    arrives: String,
    /// 0 is none.
    mark: u32,
    /// Numbers of the mark rules that hold, as `marks -L --line-numbers` counts them.
    mark_rules: Vec<usize>,
    intercepted: bool,
    service: Option<String>,
    /// `to-server`, `to-client`, `routed`, `here`, `nowhere`.
    course: &'static str,
    connection: Option<FlowPart>,
    /// State of the connection that a new one takes the place of.
    replaces: Option<&'static str>,
    template: Option<FlowPart>,
    drop: Option<DropPart>,
    /// `send`, `wait`, `hold`, `to-kernel`, `consumed`, `drop`.
    verdict: &'static str,
    /// What leaves: the packet, its pieces, or an answer.
    leaves: Vec<LeavingFrame>,
    /// Whose link-layer address is not known.
    waits_for: Option<HopPart>,
    /// One in so many packets that would begin a connection is dropped now; 0: none.
    drop_rate: u32,
}

#[derive(Debug, Serialize)]
struct FlowPart {
    new: bool,
    /// Of one-packet scheduling: nobody will remember it.
    one_packet: bool,
    client: SocketAddr,
    virtual_end: SocketAddr,
    server: SocketAddr,
    service: Option<String>,
    forward: &'static str,
    state: Option<&'static str>,
    state_after: &'static str,
    expires_s: u32,
}

#[derive(Debug, Serialize)]
struct DropPart {
    reason: &'static str,
    meaning: &'static str,
    advice: &'static str,
}

#[derive(Debug, Serialize)]
struct LeavingFrame {
    interface: String,
    /// The neighbour that it goes to, where it is known by its address.
    next_hop: Option<IpAddr>,
    shown: String,
    hex: String,
}

#[derive(Debug, Serialize)]
struct HopPart {
    interface: String,
    neighbour: IpAddr,
}

/// Runs the verb. The director's lock is not held while the packet goes its way.
pub fn run(
    control: &Mutex<Control>,
    explainer: &Mutex<Explainer>,
    words: &ExplainWords,
    output: Output,
) -> Answer {
    let locked = lock(control);
    let (port, frame) = match question(&locked, words) {
        Ok(question) => question,
        Err(problem) => return Answer::refusing(2, &format!("sluiced: explain: {problem}")),
    };
    let (director, rules, now) =
        (Arc::clone(locked.director()), locked.mark_rules().clone(), locked.now());
    drop(locked);
    let explanation = lock(explainer).explain(&director, &rules, (port, &frame), now);
    drop(rules);
    let explained = Explained::of(&lock(control), &frame, &explanation);
    answer(&explained, output)
}

/// The frame, and the port that it comes in by.
fn question(control: &Control, words: &ExplainWords) -> Result<(InterfaceId, Vec<u8>), String> {
    let interfaces = control.interfaces();
    let named = match &words.by {
        Some(name) => Some(interfaces.iter().find(|it| it.name == *name).ok_or_else(|| {
            format!("there is no interface `{name}'; there are {}", names(interfaces))
        })?),
        None => None,
    };
    let Some((protocol, source, destination)) = words.ends() else {
        let frame = of_hex(words.frame.as_deref().unwrap_or_default())?;
        let by = named.or_else(|| receiver(interfaces, &frame)).ok_or_else(|| {
            format!("by which port does it come? say --in with one of {}", names(interfaces))
        })?;
        return Ok((by.port, frame));
    };
    let by_route = || {
        let hop = control.routes().hop(source.ip())?;
        interfaces.get(usize::from(hop.interface.0))
    };
    let by = named.or_else(by_route).or_else(|| interfaces.first());
    let by = by.ok_or("the director has no ports")?;
    let (flags, chunk) = (words.flags, words.chunk);
    let packet = PacketDescription { protocol, source, destination, flags, chunk };
    Ok((by.port, packet.frame(by).map_err(|problem| problem.to_string())?))
}

fn names(interfaces: &[Interface]) -> String {
    interfaces.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The interface that a frame is addressed to on the link; any where there is one port only.
fn receiver<'a>(interfaces: &'a [Interface], frame: &[u8]) -> Option<&'a Interface> {
    let mac = ethernet::Header::over(field::window(frame, 0)?).destination();
    let mut ports = interfaces.iter().filter(|it| it.vlan.is_none());
    let only = ports.next().filter(|_| ports.next().is_none());
    interfaces.iter().find(|it| it.vlan.is_none() && it.mac == mac).or(only)
}

impl Explained {
    fn of(control: &Control, frame: &[u8], it: &Explanation) -> Self {
        let name = |id: InterfaceId| {
            let interface = control.interfaces().get(usize::from(id.0));
            interface.map_or("?", |interface| &interface.name).to_owned()
        };
        let services = control.services_of_slots();
        let flow = |flow: &ExplainedFlow| FlowPart {
            new: flow.is_new,
            one_packet: flow.is_alone,
            client: flow.client.into(),
            virtual_end: flow.virtual_end.into(),
            server: flow.server.into(),
            service: services.get(&flow.destination).map(ToString::to_string),
            forward: flow.method.name(),
            state: flow.before,
            state_after: flow.after,
            expires_s: flow.expires_s,
        };
        let sent = it.sent.iter().map(|(interface, frame)| LeavingFrame {
            interface: name(*interface),
            next_hop: next_hop(control, *interface, frame),
            shown: show(frame),
            hex: to_hex(frame),
        });
        let hop = match it.verdict {
            Verdict::Wait(Pending::Server(id)) => control.hop_of(id),
            Verdict::Wait(Pending::Neighbour(hop)) => Some(hop),
            _ => None,
        };
        Self {
            interface: name(it.interface),
            arrives: show(frame),
            mark: it.mark,
            mark_rules: it.mark_rules.clone(),
            intercepted: it.is_intercepted,
            service: it.service.map(|key| key.to_string()),
            course: match it.course {
                Course::ToServer => "to-server",
                Course::ToClient => "to-client",
                Course::Routed => "routed",
                Course::Here => "here",
                Course::Nowhere => "nowhere",
            },
            connection: it.connection.as_ref().map(flow),
            replaces: it.replaces,
            template: it.template.as_ref().map(flow),
            drop: it.dropped.map(drop_part),
            verdict: match it.verdict {
                Verdict::Send(_) | Verdict::Answer(..) => "send",
                Verdict::Wait(_) => "wait",
                Verdict::Hold(..) => "hold",
                Verdict::Punt(_) => "to-kernel",
                Verdict::Consumed => "consumed",
                Verdict::Drop(_) => "drop",
            },
            leaves: sent.collect(),
            waits_for: hop
                .map(|hop| HopPart { interface: name(hop.interface), neighbour: hop.neighbour }),
            drop_rate: it.drop_rate.max(0).unsigned_abs(),
        }
    }
}

fn drop_part(reason: DropReason) -> DropPart {
    DropPart { reason: reason.name(), meaning: reason.meaning(), advice: reason.advice() }
}

/// The neighbour with the link-layer address that a frame goes to.
fn next_hop(control: &Control, interface: InterfaceId, frame: &[u8]) -> Option<IpAddr> {
    let mac: MacAddress = ethernet::Header::over(field::window(frame, 0)?).destination();
    let mut rows = control.neighbours();
    rows.find(|row| row.hop.interface == interface && row.mac == Some(mac))
        .map(|row| row.hop.neighbour)
}

impl Report for Explained {
    fn text(&self, out: &mut Text) {
        line!(out, "{:<11}{} {}", "arrives", self.interface, self.arrives);
        if self.mark != 0 || !self.mark_rules.is_empty() {
            let rules: Vec<_> = self.mark_rules.iter().map(ToString::to_string).collect();
            let intercepted = if self.intercepted { ", intercepted" } else { "" };
            line!(out, "{:<11}{:#x} by rule {}{intercepted}", "mark", self.mark, rules.join(", "));
        }
        if let Some(service) = &self.service {
            line!(out, "{:<11}{service}", "service");
        }
        if let Some(flow) = &self.connection {
            flow.text("connection", self.replaces, out);
        }
        if let Some(flow) = &self.template {
            flow.text("template", None, out);
        }
        if self.drop_rate > 0 && self.connection.as_ref().is_some_and(|flow| flow.new) {
            line!(out, "{:<11}drop_packet drops 1 in {} of these now", "overload", self.drop_rate);
        }
        if let Some(DropPart { reason, meaning, .. }) = &self.drop {
            let reason = out.toned(Tone::Bad, reason);
            line!(out, "{:<11}{reason}: {meaning}", "dropped");
        }
        let what = if self.drop.is_some() || self.course == "here" { "answered" } else { "leaves" };
        for LeavingFrame { interface, next_hop, shown, .. } in &self.leaves {
            let via = next_hop.map(|hop| format!(" via {hop}")).unwrap_or_default();
            line!(out, "{what:<11}{interface}{via} {shown}");
        }
        match (self.verdict, &self.waits_for) {
            ("wait", Some(HopPart { interface, neighbour })) => {
                line!(out, "{:<11}until {neighbour} dev {interface} is resolved", "waits");
            }
            ("wait", None) => line!(out, "{:<11}until its next hop is resolved", "waits"),
            ("hold", _) => line!(out, "{:<11}for the first fragment of its datagram", "waits"),
            ("to-kernel", _) => line!(out, "{:<11}of the host gets it", "kernel"),
            ("consumed", _) if self.leaves.is_empty() => {
                line!(out, "{:<11}nothing leaves", "consumed");
            }
            _ => {}
        }
    }
}

impl FlowPart {
    fn text(&self, name: &str, replaces: Option<&str>, out: &mut Text) {
        let Self { client, virtual_end, server, forward, state_after, expires_s, .. } = self;
        let kind = match self.state {
            None if self.one_packet => "of one packet".to_owned(),
            None => format!(
                "new{}",
                replaces.map(|state| format!(", in place of one in {state}")).unwrap_or_default()
            ),
            Some(state) if state == *state_after => String::new(),
            Some(state) => format!("{state} to"),
        };
        let gap = if kind.is_empty() { "" } else { " " };
        line!(
            out,
            "{name:<11}{kind}{gap}{state_after}: {client} > {virtual_end} at {server} {forward}, \
             ends in {expires_s} s"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::bench::control;
    use crate::control::grammar::{CommandLine, Verb};

    fn ask(control: &Mutex<Control>, line: &str) -> Answer {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let line = CommandLine::of_words(&words).unwrap_or_else(|error| panic!("{error}"));
        let Verb::Explain(words) = line.verb else { panic!() };
        run(control, &Mutex::default(), &words, line.output)
    }

    fn director() -> Mutex<Control> {
        Mutex::new(control(&[
            "-A -t 10.0.0.100:80 -s rr -p 60",
            "-a -t 10.0.0.100:80 -r 10.0.0.11:8080 -m",
        ]))
    }

    #[test]
    fn a_new_connection_is_told_from_arrival_to_its_next_hop() {
        let control = director();
        let told = ask(&control, "explain tcp 10.0.0.2:1000 10.0.0.100:80").stdout;
        assert_eq!(
            told,
            "arrives    lan0 02:00:00:00:00:01 > 02:00:00:00:00:02 tcp 10.0.0.2:1000 > \
             10.0.0.100:80 [S] ttl=64 len=40\n\
             service    tcp:10.0.0.100:80\n\
             connection new SYN_RECV: 10.0.0.2:1000 > 10.0.0.100:80 at 10.0.0.11:8080 Masq, \
             ends in 60 s\n\
             template   new NONE: 10.0.0.2:0 > 10.0.0.100:80 at 10.0.0.11:8080 Masq, ends in 60 s\n\
             waits      until 10.0.0.11 dev lan0 is resolved\n"
        );
        assert_eq!(lock(&control).director().flows_used(), 0, "nothing has happened");
        let json = ask(&control, "explain tcp 10.0.0.2:1000 10.0.0.100:80 --json").stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["connection"]["server"], "10.0.0.11:8080");
        assert_eq!(json["waits_for"]["neighbour"], "10.0.0.11");
        assert_eq!((&json["verdict"], &json["drop"]), (&"wait".into(), &().into()));
    }

    #[test]
    fn a_refusal_has_its_reason_and_its_answer() {
        let control = director();
        let told = ask(&control, "explain tcp 10.0.0.2:1000 10.0.0.100:80 --flags ack").stdout;
        assert!(told.contains("\ndropped    no_connection: "), "{told}");
        assert!(told.contains("\nanswered   lan0 "), "{told}");
        assert!(told.contains("[R"), "{told}");
        let told = ask(&control, "explain udp 10.0.0.2:1000 10.9.9.9:53").stdout;
        assert!(told.contains("\ndropped    no_route: "), "{told}");
    }

    #[test]
    fn frames_find_their_port_and_what_cannot_be_is_refused_by_name() {
        let control = director();
        let hex = "02:00:00:00:00:02 020000000001 0806"; // cut off behind the type
        let frame = hex.replace(' ', "");
        let told = ask(&control, &format!("explain --frame {frame}")).stdout;
        assert!(told.starts_with("arrives    lan0 "), "{told}");
        assert!(told.contains("\ndropped    "), "{told}");
        for (line, expected) in [
            ("explain --frame 0g", "`0g'"),
            (
                "explain tcp 10.0.0.2:1 [fd00::1]:2",
                "10.0.0.2 and fd00::1 are of different families",
            ),
            ("explain tcp 10.0.0.2:1 10.0.0.3:2 --in wan0", "there is no interface `wan0'"),
        ] {
            let refused = ask(&control, line);
            assert_eq!(refused.exit, 2);
            assert!(refused.stderr.contains(expected), "{line}: {}", refused.stderr);
        }
        for line in [
            "explain",
            "explain tcp 10.0.0.2:1",
            "explain icmp 10.0.0.2:1 10.0.0.3:1",
            "explain tcp 10.0.0.2:1 10.0.0.3:1 --flags xyz",
            "explain tcp 10.0.0.2:1 10.0.0.3:1 --frame 00",
            "explain sctp 10.0.0.2:1 10.0.0.3:1 --chunk open",
        ] {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            assert!(CommandLine::of_words(&words).is_err(), "{line}");
        }
    }
}
