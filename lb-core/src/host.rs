//! Real servers on the director itself: packets for them go up to the host's kernel, and what it
//! sends is heard on its way out.
//!
//! ```text
//! request  CIP ► VIP ── its connection ──► the kernel; by NAT as CIP ► own address
//! reply    VIP ► CIP ◄── the same, back ── the kernel; by NAT as own address ► CIP
//! ```
//!
//! In the kernel: the local branch of `ip_vs_nat_xmit`, `ip_vs_dr_xmit`, `ip_vs_tunnel_xmit` and
//! `ip_vs_icmp_xmit`, and `ip_vs_out` at the hook LOCAL_OUT. Nothing here costs a hop, and nothing
//! is too large: no link is crossed.

use crate::burst::Burst;
use crate::connection::{Decision, count_out};
use crate::course::{Course, CourseKind};
use crate::destination::ForwardingMethod;
use crate::drops::DropReason;
use crate::egress::Errand;
use crate::flow::{FlowId, FlowKey};
use crate::forward::icmp::{self, Embedded};
use crate::forward::{self, End, Layout, Refusal, masquerade};
use crate::frame::Frame;
use crate::local;
use crate::outcome::Outcome;
use crate::parse::{Class, Packet};
use crate::transition::{Event, follow, keeps_established, timeout_s};
use crate::workbench::Workbench;

impl Burst<'_> {
    /// Gives the host a packet of a connection whose real server is the host.
    #[cold]
    pub(crate) fn deliver<F: Frame>(
        &self,
        errand: &Errand,
        frame: &mut F,
        packet: &mut Packet,
        bench: &mut Workbench,
    ) -> Outcome {
        forward::take_fragment_header(frame, packet);
        if errand.method == ForwardingMethod::Masquerading {
            if errand.to.0.is_loopback() {
                return Outcome::Refused(DropReason::LoopbackServer);
            }
            let rewritten = keep_hops(frame, packet, |bytes, layout| {
                masquerade::to_server(bytes, layout, errand.to)
            });
            if let Err(refusal) = rewritten {
                return Outcome::Refused(refusal.reason());
            }
            readdress(packet, errand.to);
        }
        // Where nobody is there to hear of an error, nobody answers it.
        let reason = match packet.class {
            Class::Icmp => DropReason::IcmpIgnored,
            _ => DropReason::NoListener,
        };
        local::punt(self, packet, frame, bench, reason)
    }

    /// The same for an ICMP error about a reply of it, by NAT.
    #[cold]
    pub(crate) fn deliver_error<F: Frame>(
        &self,
        to: End,
        frame: &mut F,
        packet: &mut Packet,
        embedded: &Embedded,
        bench: &mut Workbench,
    ) -> Outcome {
        if to.0.is_loopback() {
            return Outcome::Refused(DropReason::LoopbackServer);
        }
        let translated = keep_hops(frame, packet, |bytes, layout| {
            icmp::translate_to_server(bytes, layout, embedded, to)
        });
        if let Err(refusal) = translated {
            return Outcome::Refused(refusal.reason());
        }
        readdress(packet, to);
        local::punt(self, packet, frame, bench, DropReason::IcmpIgnored)
    }

    /// Hears an answer that was made here, in place of a host that is not there.
    #[cold]
    pub(crate) fn overhear<F: Frame>(&self, frame: &mut F, asked: &Packet) {
        let mut answer = *asked;
        answer.parse_from_host(frame.bytes(), asked.interface, asked.network_offset.into());
        // What cannot be translated leaves as it is: it is no more than an answer.
        let _ = self.hear(frame, &mut answer, None);
    }

    /// Hears a packet that the host sends: what belongs to a connection counts and moves it, and by
    /// NAT it gets the virtual end as its source. The `bench` is for the payload of FTP. An error
    /// says why the packet must not leave.
    pub(crate) fn hear<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        bench: Option<&mut Workbench>,
    ) -> Result<(), DropReason> {
        match packet.class {
            Class::Flow => self.hear_reply(frame, packet, bench),
            Class::Icmp => self.hear_error(frame, packet),
            Class::LaterFragment => self.hear_fragment(frame, packet),
            _ => Ok(()),
        }
    }

    fn hear_reply<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
        bench: Option<&mut Workbench>,
    ) -> Result<(), DropReason> {
        let director = self.director;
        packet.is_reply = true;
        let Some(id) = self.find_of_host(packet) else { return Ok(()) };
        let entry = director.flows.entry(id);
        let state = entry.state();
        let is_quiet = !state.no_output() && keeps_established(state, Event::of(packet));
        entry.set_deadline(if is_quiet {
            self.established_until
        } else {
            let state = follow(self, id, state, Event::of(packet));
            self.now.plus_seconds(timeout_s(self.snapshot, packet.protocol, state.number()))
        });
        count_out(self.counters, entry.destination(), packet.length);
        packet.flow = id;
        if state.method() != ForwardingMethod::Masquerading {
            return Ok(());
        }
        if state.is_ftp()
            && let Some(bench) = bench
            && self.ftp_reply(frame, packet, bench).is_none()
        {
            return Err(DropReason::FtpMalformed);
        }
        if packet.is_fragment {
            let course = Course::of(director, packet, Decision::Return);
            self.remember_course(packet, course).map_err(|error| error.reason())?;
        }
        let (address, port) = director.flows.virtual_end(id);
        self.speak_as((address.to_ip(), port), frame, packet)
    }

    /// The connection of a packet from the host: of NAT by the real server's end, of any other
    /// method by the virtual one.
    fn find_of_host(&self, packet: &Packet) -> Option<FlowId> {
        let flows = &self.director.flows;
        let (protocol, client, port) = packet.client();
        let hash = flows.hash(protocol, client, port);
        let key = packet.reply_key();
        let plain = FlowKey {
            protocol,
            client,
            client_port: port,
            virtual_address: key.server,
            virtual_port: key.server_port,
        };
        let is_plain =
            |&id: &FlowId| flows.entry(id).state().method() != ForwardingMethod::Masquerading;
        flows
            .find_reply(hash, &key)
            .or_else(|| flows.find(hash, &plain).filter(is_plain))
            .filter(|&id| !self.director.is_over(id, self.now))
    }

    fn hear_error<F: Frame>(&self, frame: &mut F, packet: &mut Packet) -> Result<(), DropReason> {
        let Some(embedded) = icmp::embedded(frame.bytes(), &packet.layout()) else {
            return Ok(());
        };
        let Some(id) = self.find_request(&embedded) else {
            if let Some(id) = self.find_plain_request(&embedded) {
                self.count_out(id, packet.length);
            }
            return Ok(());
        };
        self.count_out(id, packet.length);
        let (address, port) = self.director.flows.virtual_end(id);
        keep_hops(frame, packet, |bytes, layout| {
            icmp::translate_to_client(bytes, layout, &embedded, (address.to_ip(), port))
        })
        .map_err(Refusal::reason)
    }

    fn hear_fragment<F: Frame>(
        &self,
        frame: &mut F,
        packet: &mut Packet,
    ) -> Result<(), DropReason> {
        match self.course_from_host(packet).map(|course| course.kind) {
            Some(CourseKind::Return { virtual_address }) => {
                self.speak_as((virtual_address.to_ip(), 0), frame, packet)
            }
            _ => Ok(()),
        }
    }

    /// Makes a packet of the host one of a virtual service.
    fn speak_as<F: Frame>(
        &self,
        virtual_end: End,
        frame: &mut F,
        packet: &Packet,
    ) -> Result<(), DropReason> {
        keep_hops(frame, packet, |bytes, layout| masquerade::to_client(bytes, layout, virtual_end))
            .map_err(Refusal::reason)
    }
}

/// A rewrite that takes a hop off, of a packet that goes none.
fn keep_hops(
    frame: &mut impl Frame,
    packet: &Packet,
    rewrite: impl FnOnce(&mut [u8], &Layout) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (bytes, layout) = (frame.bytes_mut(), packet.layout());
    rewrite(bytes, &layout)?;
    forward::set_hops(bytes, &layout, packet.ttl)
}

/// The packet says of itself what its frame says now.
fn readdress(packet: &mut Packet, to: End) {
    packet.destination = to.0.into();
    packet.destination_port = to.1;
}
