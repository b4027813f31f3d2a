//! A new connection: whether a packet may begin one, of which service, to which real server.
//!
//! ```text
//! may it? ─► service: mark, address ─► persistent? ── template or scheduler ─┐
//!                                  └── scheduler ────────────────────────────┴─► Plan ─► entry
//!                                  └── nobody: bypass, or a refusal
//! ```
//!
//! In the kernel: `ip_vs_try_to_schedule`, `ip_vs_schedule`, `ip_vs_leave`.

use crate::address::Address;
use crate::burst::Burst;
use crate::connection::{Connections, Decision, count_in};
use crate::destination::ForwardingMethod;
use crate::drops::DropReason;
use crate::flow::{FlowId, FlowState, NewFlow};
use crate::parse::Packet;
use crate::protocol::Protocol;
use crate::sched::Request;
use crate::services::{FTP_DATA_PORT, FTP_PORT};
use crate::slots::DestinationId;
use crate::snapshot::Snapshot;
use crate::state::{Direction, SctpEvent};
use crate::transition::{assures, first_state, timeout_s};
use crate::virtual_service::{RealServer, VirtualService};
use crate::wire::tcp::Flags;

/// Seconds that a connection lives whose first packet does not say in which state it is: an ICMP
/// error (`ip_vs_conn_new`).
const UNKNOWN_STATE_S: u32 = 3;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion<'a> {
    /// A packet of its own.
    Packet,
    /// The same, with its Call-ID, if it has one.
    Message(Option<&'a [u8]>),
    /// An ICMP error, with that mark, about a packet that it would have had; see `schedule_icmp`.
    Error { mark: u32 },
}

/// Where a new connection goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) server: DestinationId,
    pub(crate) address: Address,
    pub(crate) port: u16,
    pub(crate) method: ForwardingMethod,
    /// The template that it is under, held for it.
    pub(crate) template: FlowId,
    /// One-packet scheduling: nothing remembers it.
    pub(crate) is_alone: bool,
    /// It begins with an ICMP error.
    pub(crate) is_related: bool,
}

impl Plan {
    /// A connection to a real server's port.
    pub(crate) fn to(
        server: DestinationId,
        real: &RealServer,
        port: u16,
        service: &VirtualService,
        packet: &Packet,
    ) -> Self {
        Self {
            server,
            address: real.address,
            port,
            method: real.method,
            template: FlowId::NONE,
            is_alone: service.one_packet && packet.protocol == Protocol::Udp.number(),
            is_related: false,
        }
    }
}

impl Connections {
    /// Begins a connection, if the packet may and a service wants it.
    pub(crate) fn begin(
        &mut self,
        burst: &Burst<'_>,
        packet: &mut Packet,
        occasion: Occasion<'_>,
    ) -> Decision {
        match self.plan(burst, packet, occasion) {
            Ok(plan) => self.open(burst, packet, &plan),
            Err(decision) => {
                packet.flow = FlowId::NONE;
                decision
            }
        }
    }

    /// The real server for a packet without a connection, or why there is none.
    pub(crate) fn plan(
        &mut self,
        burst: &Burst<'_>,
        packet: &Packet,
        occasion: Occasion<'_>,
    ) -> Result<Plan, Decision> {
        let snapshot = burst.snapshot;
        let is_related = matches!(occasion, Occasion::Error { .. });
        if !is_related && snapshot.is_martian(packet) {
            return Err(Decision::Drop(DropReason::MartianSource));
        }
        let mark = match occasion {
            Occasion::Error { mark } => mark,
            _ => snapshot.mark(packet),
        };
        let service = snapshot
            .services
            .find(mark, packet.protocol, packet.destination, packet.destination_port)
            .ok_or(Decision::Local(DropReason::NoService))?;
        if !is_related && !may_begin(packet, snapshot) {
            return Err(Decision::Local(DropReason::NoConnection));
        }
        // A message was asked before its payload was looked into.
        let is_asked = matches!(occasion, Occasion::Message(_));
        if !is_asked && self.is_overloaded(burst.director) {
            return Err(Decision::Drop(DropReason::Overload));
        }
        if packet.source_port == FTP_DATA_PORT {
            return Err(Decision::Local(DropReason::NoConnection));
        }
        let plan = if let Some(persistence) = service.persistence {
            self.plan_by_template(burst, packet, service, persistence, occasion)?
        } else if service.mark().is_none() && packet.destination_port != service.port() {
            // The FTP service or that of all ports: they need persistence.
            None
        } else {
            service.schedule(&request(burst, packet, service), &burst.director.slots).map(
                |(server, real)| {
                    let port = if real.port == 0 { packet.destination_port } else { real.port };
                    Plan::to(server, &real, port, service, packet)
                },
            )
        };
        match plan {
            Some(plan) => Ok(Plan { is_related, ..plan }),
            None => without_server(burst, packet, service, is_related),
        }
    }

    /// Makes the connection's entry. The packet is its first.
    pub(crate) fn open(&mut self, burst: &Burst<'_>, packet: &mut Packet, plan: &Plan) -> Decision {
        let &Burst { director, counters, .. } = burst;
        let flow = first_entry(burst, packet, plan);
        let made = if plan.is_alone {
            self.make_alone(director, &flow).map(|id| (id, true))
        } else {
            self.insert(director, counters, packet.hash, &flow)
        };
        let Some((id, is_new)) = made else {
            director.control(plan.template, false);
            return Decision::Drop(DropReason::TableFull);
        };
        if plan.is_alone && plan.template.is_some() {
            // The packet's own entry is gone at once: `drop_entry` judges by the template's.
            director.flows.entry(plan.template).count_packet();
        }
        if plan.is_alone || !is_new {
            // Nobody will say when it ends.
            director.control(plan.template, false);
        }
        let entry = director.flows.entry(id);
        let server = entry.destination();
        if is_new && plan.method != ForwardingMethod::Bypass {
            counters.destination(server).connections.add(1);
        }
        if !plan.is_related {
            entry.count_packet();
            count_in(counters, server, packet.length);
        }
        (packet.flow, packet.server) = (id, server);
        Decision::Forward
    }
}

/// What the scheduler may ask.
pub(crate) fn request<'a>(
    burst: &Burst<'a>,
    packet: &Packet,
    service: &VirtualService,
) -> Request<'a> {
    Request {
        client: packet.source,
        client_port: packet.source_port,
        destination: packet.destination,
        flags: service.scheduler_flags,
        now: burst.now,
        settings: &burst.snapshot.settings,
    }
}

/// The entry of a connection, moved by its first packet.
fn first_entry(burst: &Burst<'_>, packet: &Packet, plan: &Plan) -> NewFlow {
    let &Burst { director, snapshot, now, .. } = burst;
    let (state, lives_s) = if plan.is_related {
        (FlowState::new(0, plan.method, false), UNKNOWN_STATE_S)
    } else {
        let direction = match plan.method {
            ForwardingMethod::Masquerading => Direction::ClientToServer,
            _ => Direction::ClientOnly,
        };
        let state = first_state(packet, direction, &snapshot.settings);
        let is_assured = assures(state, false);
        if is_assured && plan.template.is_some() {
            director.assure(plan.template);
        }
        let first = FlowState::new(state.number(), plan.method, state.is_active());
        let is_unassured = plan.template.is_some() && !is_assured;
        let first = if is_unassured { first.unassured() } else { first };
        (first, timeout_s(snapshot, packet.protocol, state.number()))
    };
    let is_ftp = crate::ftp::is_control(packet, plan.method) && !plan.is_related;
    let state = if is_ftp { state.with_ftp() } else { state };
    NewFlow {
        key: packet.key(),
        state: if plan.is_alone { state.alone() } else { state },
        deadline: now.plus_seconds(lives_s),
        destination: plan.server,
        server: plan.address,
        server_port: plan.port,
        created: now,
        controller: plan.template,
        lifetime_s: 0,
        salt: 0,
    }
}

/// No real server can take the packet (`ip_vs_leave`).
#[cold]
fn without_server(
    burst: &Burst<'_>,
    packet: &Packet,
    service: &VirtualService,
    is_related: bool,
) -> Result<Plan, Decision> {
    let &Burst { director, snapshot, .. } = burst;
    if snapshot.settings.cache_bypass
        && service.mark().is_some()
        && !is_related
        && !snapshot.is_local(packet.destination)
    {
        let nobody = RealServer {
            address: if packet.is_v4() { Address::v4(0) } else { Address::UNSPECIFIED },
            port: 0,
            method: ForwardingMethod::Bypass,
        };
        return Ok(Plan::to(director.slots.nobody(), &nobody, 0, service, packet));
    }
    if service.port() == FTP_PORT && packet.destination_port != FTP_PORT {
        return Err(Decision::Local(DropReason::NoConnection));
    }
    Err(Decision::Drop(DropReason::NoDestination))
}

/// Whether a packet may begin a connection (`tcp_conn_schedule`, `udp_conn_schedule`,
/// `sctp_conn_schedule`): UDP always, TCP with SYN and without RST, SCTP with INIT; never AH and
/// ESP.
fn may_begin(packet: &Packet, snapshot: &Snapshot) -> bool {
    match Protocol::from_number(packet.protocol) {
        Some(Protocol::Tcp) => {
            let flags = packet.tcp_flags;
            (flags.contains(Flags::SYN) || snapshot.settings.sloppy_tcp)
                && !flags.contains(Flags::RST)
        }
        Some(Protocol::Sctp) => SctpEvent::may_begin(packet.chunk, snapshot.settings.sloppy_sctp),
        Some(Protocol::Udp) => true,
        None => false,
    }
}
