//! What would become of a frame, and why, asked of the packet path itself.
//!
//! ```text
//! frame ─► a worker of its own ─► verdict, frame that leaves, drop reason
//!               │ on a rehearsal's director: connections copied as they are asked for
//!               ▼
//!          its entry, its template, its server ─► Explanation
//! ```
//!
//! The stages are those of every frame ([`crate::worker::Worker::process`]), so what they do is
//! what they would do. Only what no stage says in words is found out here by asking the same
//! questions again: the mark and its rules, and the service.

mod description;
mod scratch_frame;

use std::net::IpAddr;
use std::sync::Arc;

pub use description::{MixedFamilies, PacketDescription};

use crate::address::Address;
use crate::burst::{BURST_MAX, Surroundings};
use crate::clock::Tick;
use crate::control::flows::state_name;
use crate::destination::ForwardingMethod;
use crate::director::Director;
use crate::drops::DropReason;
use crate::flow::FlowId;
use crate::frame::Frame;
use crate::interface::InterfaceId;
use crate::marks::MarkRules;
use crate::marks::rule::{Rule, Target};
use crate::neighbour::NeighbourSeen;
use crate::parse::{Class, Packet};
use crate::rehearsal::Stage;
use crate::route::Hop;
use crate::service::{Family, ServiceKey};
use crate::slots::DestinationId;
use crate::snapshot::Snapshot;
use crate::worker::{Verdict, Worker};
use scratch_frame::ScratchFrame;

/// Which way a packet goes, as far as stage 4 decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// From a client to a real server.
    ToServer,
    /// From a real server back to its client.
    ToClient,
    /// On to another host, without a connection.
    Routed,
    /// To the director itself, or to all on the link.
    Here,
    /// Nowhere.
    Nowhere,
}

/// A connection or template that has to do with the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedFlow {
    /// It is not there yet: the frame would begin it.
    pub is_new: bool,
    /// Of one-packet scheduling: it ends with the packet.
    pub is_alone: bool,
    pub protocol: u8,
    pub client: (IpAddr, u16),
    pub virtual_end: (IpAddr, u16),
    pub server: (IpAddr, u16),
    pub destination: DestinationId,
    pub method: ForwardingMethod,
    /// The state that it has; `None` of a new one.
    pub before: Option<&'static str>,
    /// The state that the frame would put it into.
    pub after: &'static str,
    /// Seconds without a packet after which it would end then.
    pub expires_s: u32,
}

/// What would become of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// By which interface it comes: the port's, or that of its tag.
    pub interface: InterfaceId,
    pub course: Course,
    /// What the rules make of it; 0 is none.
    pub mark: u32,
    /// The numbers, from 1, of the rules that hold for it and say something.
    pub mark_rules: Vec<usize>,
    /// The mark makes it the director's own, whoever it is for.
    pub is_intercepted: bool,
    /// The service that a new connection would be of.
    pub service: Option<ServiceKey>,
    pub connection: Option<ExplainedFlow>,
    /// A connection that a new one with the same ends takes the place of: its state.
    pub replaces: Option<&'static str>,
    pub template: Option<ExplainedFlow>,
    pub verdict: Verdict,
    /// The reason that would be counted; also where an answer leaves.
    pub dropped: Option<DropReason>,
    /// What would leave, each by an interface: the frame itself, its pieces, or an answer.
    pub sent: Vec<(InterfaceId, Vec<u8>)>,
    /// The frame as it waits, or goes to the host's kernel.
    pub frame: Vec<u8>,
    /// Of how many packets that would begin a connection one is dropped now (`drop_packet`); 0:
    /// none is. The rehearsal drops none for that.
    pub drop_rate: i32,
}

/// Who explains. Keeps the memory that it needs.
#[derive(Debug, Default)]
pub struct Explainer {
    stage: Stage,
}

impl Explainer {
    /// What a director would do with a frame that comes in by a port: `port` is the interface of
    /// the port's untagged frames. Nothing of the director changes.
    pub fn explain(
        &mut self,
        real: &Arc<Director>,
        rules: &MarkRules,
        (port, frame): (InterfaceId, &[u8]),
        now: Tick,
    ) -> Explanation {
        let director = Arc::new(self.stage.director(real));
        let snapshot = director.snapshot.load_full();
        let mut packet = Packet::dropped(DropReason::FrameTooShort);
        packet.parse(frame, port, &snapshot);
        let asked = Asked::of(&snapshot, rules, &packet);

        let mut worker = Worker::thorough(Arc::clone(&director), 0);
        let mut frames = [ScratchFrame::new(frame)];
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        let mut around = Around::default();
        worker.process(port, now, &mut frames, &mut verdicts, &mut around);
        let [frame] = frames;
        let verdict = verdicts[0];
        if let Verdict::Send(interface) | Verdict::Answer(interface, _) = verdict {
            around.0.push((interface, frame.bytes().to_vec()));
        }

        let decided = worker.packets()[0];
        let counters = &director.counters[0];
        let counted = DropReason::ALL.iter().find(|&&reason| counters.dropped(reason) > 0);
        let has_flow = matches!(decided.class, Class::Forward | Class::Return);
        let flow = Some(decided.flow).filter(|flow| has_flow && flow.is_some());
        let look = Look { real, director: &director, now };
        let connection = flow.map(|id| look.at(id, &packet));
        let template = flow.map(|id| director.flows.cold(id).controller());
        let replaced = connection.as_ref().filter(|it| it.is_new && !it.is_alone);
        Explanation {
            interface: packet.interface,
            course: course_of(decided.class),
            mark: asked.mark,
            mark_rules: asked.mark_rules,
            is_intercepted: asked.is_intercepted,
            service: asked.service,
            replaces: replaced.and_then(|_| look.state_of(&packet)),
            connection,
            template: template.filter(|id| id.is_some()).map(|id| look.at(id, &packet)),
            verdict,
            dropped: counted.copied(),
            sent: around.0,
            frame: frame.bytes().to_vec(),
            drop_rate: real.drop_rate.get(),
        }
    }
}

const fn course_of(class: Class) -> Course {
    match class {
        Class::Forward => Course::ToServer,
        Class::Return => Course::ToClient,
        Class::Route => Course::Routed,
        Class::Drop(_) => Course::Nowhere,
        _ => Course::Here,
    }
}

/// What is asked of a packet before a connection begins.
#[derive(Default)]
struct Asked {
    mark: u32,
    mark_rules: Vec<usize>,
    is_intercepted: bool,
    service: Option<ServiceKey>,
}

impl Asked {
    fn of(snapshot: &Snapshot, rules: &MarkRules, packet: &Packet) -> Self {
        if packet.class != Class::Flow {
            return Self::default();
        }
        let mark = snapshot.mark(packet);
        let family = if packet.is_v4() { Family::V4 } else { Family::V6 };
        let name = &snapshot.interface(packet.interface).name;
        let is_intercepted = snapshot.intercepts(packet);
        let is_asked = is_intercepted || snapshot.is_local(packet.destination);
        let services = &snapshot.services;
        let service =
            services.find(mark, packet.protocol, packet.destination, packet.destination_port);
        Self {
            mark,
            mark_rules: holding(rules.chain(family), packet, name),
            is_intercepted,
            service: service.filter(|_| is_asked).map(|service| service.key),
        }
    }
}

/// The numbers of the rules that hold for a packet and say something, in the order of the chain.
fn holding(rules: &[Rule], packet: &Packet, interface: &str) -> Vec<usize> {
    let (mut mark, mut numbers) = (0, Vec::new());
    for (number, rule) in (1..).zip(rules) {
        let is_here = rule.interface.as_ref().is_none_or(|wanted| wanted.holds(interface));
        let Some(target) = rule.target.filter(|_| is_here && rule.holds(packet, mark)) else {
            continue;
        };
        numbers.push(number);
        match target {
            Target::Mark(change) => mark = change.apply(mark),
            Target::Accept | Target::Return => break,
        }
    }
    numbers
}

/// A look at what the rehearsal left behind.
struct Look<'a> {
    real: &'a Director,
    director: &'a Director,
    now: Tick,
}

impl Look<'_> {
    /// A connection or template of the rehearsal. One of a single packet has no key: that is the
    /// packet's then.
    fn at(&self, id: FlowId, packet: &Packet) -> ExplainedFlow {
        let flows = &self.director.flows;
        let entry = flows.entry(id);
        let state = entry.state();
        let key = flows.key(id).unwrap_or_else(|| packet.key());
        let original = flows.original_of(id);
        let end = |(address, port): (Address, u16)| (address.to_ip(), port);
        ExplainedFlow {
            is_new: original.is_none(),
            is_alone: state.is_alone(),
            protocol: key.protocol,
            client: end((key.client, key.client_port)),
            virtual_end: end((key.virtual_address, key.virtual_port)),
            server: end((flows.server(id), entry.server_port())),
            destination: entry.destination(),
            method: state.method(),
            before: original.map(|id| state_name(key.protocol, self.real.flows.entry(id).state())),
            after: state_name(key.protocol, state),
            expires_s: entry.deadline().seconds_since(self.now),
        }
    }

    /// The state of the connection that has the ends of a client's packet now.
    fn state_of(&self, packet: &Packet) -> Option<&'static str> {
        let key = packet.key();
        let flows = &self.real.flows;
        let id = flows.find(flows.hash(key.protocol, key.client, key.client_port), &key)?;
        Some(state_name(key.protocol, flows.entry(id).state()))
    }
}

/// Keeps what a worker would send, and tells nobody.
#[derive(Default)]
struct Around(Vec<(InterfaceId, Vec<u8>)>);

impl Surroundings for Around {
    fn neighbour_seen(&mut self, _: NeighbourSeen) {}

    fn neighbour_wanted(&mut self, _: Hop) {}

    fn path_mtu_seen(&mut self, _: DestinationId, _: u16) {}

    fn send(&mut self, interface: InterfaceId, parts: &[&[u8]]) -> bool {
        self.0.push((interface, parts.concat()));
        true
    }
}
