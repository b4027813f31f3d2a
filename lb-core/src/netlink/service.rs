//! The attribute SERVICE: which service, and its settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::attribute::{Attributes, Policy, Put};
use super::errno::Errno;
use super::statistics;
use crate::operations::ServiceRow;
use crate::protocol::Protocol;
use crate::service::{Family, SchedulerFlags, Service, ServiceKey};

const FAMILY: u16 = 1;
const PROTOCOL: u16 = 2;
const ADDRESS: u16 = 3;
const PORT: u16 = 4;
const MARK: u16 = 5;
const SCHEDULER: u16 = 6;
const FLAGS: u16 = 7;
const TIMEOUT: u16 = 8;
const NETMASK: u16 = 9;
const STATS: u16 = 10;
const ENGINE: u16 = 11;
const STATS64: u16 = 12;

const POLICIES: [Policy; 12] = [
    Policy::U16,
    Policy::U16,
    Policy::AtMost(16),
    Policy::U16,
    Policy::U32,
    Policy::Text(15),
    Policy::AtMost(8),
    Policy::U32,
    Policy::U32,
    Policy::Nested,
    Policy::Text(16),
    Policy::Ignored,
];

/// Numbers of the address families.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Bits of the flags (`IP_VS_SVC_F_*`).
const PERSISTENT: u32 = 0x01;
/// The kernel has the service in its table, as it has all; who sets it, sets nothing.
const HASHED: u32 = 0x02;
const ONE_PACKET: u32 = 0x04;
/// The scheduler's three flags begin here.
const SCHEDULER_SHIFT: u32 = 3;
const SCHEDULER_FLAGS: u32 = 0x38;

/// Longest persistence in seconds: what ipvsadm takes (31 days).
const PERSISTENCE_MAX_S: u32 = 31 * 24 * 3600;
/// Longest prefix of an IPv6 netmask.
const PREFIX_MAX: u32 = 128;

/// The family of that number.
pub(super) const fn family(number: u16) -> Result<Family, Errno> {
    match number {
        AF_INET => Ok(Family::V4),
        AF_INET6 => Ok(Family::V6),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// The number of a family.
pub(super) const fn family_number(family: Family) -> u16 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}

/// An address of 16 bytes, of which IPv4 has the first four.
pub(super) fn address(bytes: [u8; 16], family: Family) -> IpAddr {
    let [a, b, c, d, ..] = bytes;
    match family {
        Family::V4 => Ipv4Addr::new(a, b, c, d).into(),
        Family::V6 => Ipv6Addr::from(bytes).into(),
    }
}

/// The 16 bytes of an address.
pub(super) fn address_bytes(address: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes = address.octets(),
    }
    bytes
}

/// The attribute of a request, as far as every command wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    attributes: Attributes<'a, 12>,
    /// `None` is a service of a protocol that no service can have here.
    pub(super) key: Option<ServiceKey>,
}

impl<'a> Request<'a> {
    /// Reads what identifies a service, with the checks of `ip_vs_genl_parse_service` in its
    /// order.
    pub(super) fn parse(nest: Option<&'a [u8]>) -> Result<Self, Errno> {
        let nest = nest.ok_or(Errno::EINVAL)?;
        let attributes = Attributes::parse(nest, &POLICIES).map_err(|_| Errno::EINVAL)?;
        let end = || {
            let (protocol, port) = (attributes.u16(PROTOCOL)?, attributes.be16(PORT)?);
            Some((protocol, attributes.bytes(ADDRESS)?, port))
        };
        let (mark, end) = (attributes.u32(MARK), end());
        let number = attributes.u16(FAMILY).filter(|_| mark.is_some() || end.is_some());
        let family = family(number.ok_or(Errno::EINVAL)?)?;
        let key = match (mark, end) {
            // Without a mark it is an end of TCP that nothing else says anything of.
            (Some(0), _) | (None, None) => Some(ServiceKey::Address {
                protocol: Protocol::Tcp,
                address: address([0; 16], family),
                port: 0,
            }),
            (Some(mark), _) => Some(ServiceKey::Mark { mark, family }),
            (None, Some((protocol, bytes, port))) => {
                u8::try_from(protocol).ok().and_then(Protocol::from_number).map(|protocol| {
                    ServiceKey::Address { protocol, address: address(bytes, family), port }
                })
            }
        };
        Ok(Self { attributes, key })
    }

    /// Whether all is there that NEW_SERVICE and SET_SERVICE need.
    pub(super) fn check_whole(&self) -> Result<(), Errno> {
        let needed = [SCHEDULER, FLAGS, TIMEOUT, NETMASK];
        let is_whole = needed.iter().all(|&kind| self.attributes.get(kind).is_some());
        if is_whole { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The settings; flags that the request's mask leaves out are those of `before`.
    pub(super) fn settings(
        &self,
        key: ServiceKey,
        before: Option<&Service>,
    ) -> Result<Service, Errno> {
        let attributes = &self.attributes;
        let (flags, mask) = attributes.bytes::<8>(FLAGS).map(halves).ok_or(Errno::EINVAL)?;
        let flags = (before.map_or(0, flags_of) & !mask) | (flags & mask);
        let netmask = attributes.bytes::<4>(NETMASK).ok_or(Errno::EINVAL)?;
        let engine = attributes.text(ENGINE).filter(|name| !name.is_empty());
        settings(
            key,
            Raw {
                scheduler: attributes.text(SCHEDULER).ok_or(Errno::EINVAL)?,
                flags,
                timeout_s: attributes.u32(TIMEOUT).ok_or(Errno::EINVAL)?,
                netmask,
                engine,
            },
        )
    }
}

/// Settings as both of the kernel's interfaces carry them.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) scheduler: String,
    pub(super) flags: u32,
    pub(super) timeout_s: u32,
    /// A mask in the order of the network, or a prefix length in that of the machine.
    pub(super) netmask: [u8; 4],
    pub(super) engine: Option<String>,
}

/// The service of these settings. What the kernel takes and a service cannot hold is refused.
pub(super) fn settings(key: ServiceKey, raw: Raw) -> Result<Service, Errno> {
    let Raw { scheduler, flags, timeout_s, netmask, engine } = raw;
    let netmask = match key.family() {
        Family::V4 => u32::from_be_bytes(netmask),
        Family::V6 => Some(u32::from_ne_bytes(netmask))
            .filter(|prefix| (1..=PREFIX_MAX).contains(prefix))
            .ok_or(Errno::EINVAL)?,
    };
    let is_persistent = flags & PERSISTENT != 0;
    let is_too_long = is_persistent && !(1..=PERSISTENCE_MAX_S).contains(&timeout_s);
    if is_too_long || flags & !(PERSISTENT | HASHED | ONE_PACKET | SCHEDULER_FLAGS) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let [scheduler_flags, ..] = ((flags & SCHEDULER_FLAGS) >> SCHEDULER_SHIFT).to_le_bytes();
    Ok(Service {
        key,
        scheduler,
        scheduler_flags: SchedulerFlags(scheduler_flags),
        persistence_timeout_s: is_persistent.then_some(timeout_s),
        netmask,
        persistence_engine: engine,
        one_packet: flags & ONE_PACKET != 0,
    })
}

/// The flags of a service as the kernel has them.
pub(super) fn flags_of(service: &Service) -> u32 {
    let flag = |is_set, bit| if is_set { bit } else { 0 };
    HASHED
        | flag(service.persistence_timeout_s.is_some(), PERSISTENT)
        | flag(service.one_packet, ONE_PACKET)
        | u32::from(service.scheduler_flags.0) << SCHEDULER_SHIFT
}

/// The four bytes of a service's netmask.
pub(super) fn netmask_bytes(service: &Service) -> [u8; 4] {
    match service.key.family() {
        Family::V4 => service.netmask.to_be_bytes(),
        Family::V6 => service.netmask.to_ne_bytes(),
    }
}

/// Writes a service as the kernel lists it (`ip_vs_genl_fill_service`); `kind` is the attribute.
pub(super) fn fill(to: &mut Vec<u8>, kind: u16, row: &ServiceRow) {
    let service = &row.service;
    let nest = to.begin(kind);
    to.put_u16(FAMILY, family_number(service.key.family()));
    match service.key {
        ServiceKey::Mark { mark, .. } => to.put_u32(MARK, mark),
        ServiceKey::Address { protocol, address, port } => {
            to.put_u16(PROTOCOL, u16::from(protocol.number()));
            to.put(ADDRESS, &address_bytes(address));
            to.put_be16(PORT, port);
        }
    }
    to.put_text(SCHEDULER, &service.scheduler);
    if let Some(engine) = &service.persistence_engine {
        to.put_text(ENGINE, engine);
    }
    to.put(FLAGS, &[flags_of(service).to_ne_bytes(), [0xff; 4]].concat());
    to.put_u32(TIMEOUT, service.persistence_timeout_s.unwrap_or(0));
    to.put(NETMASK, &netmask_bytes(service));
    statistics::fill(to, (STATS, STATS64), &row.stats, &row.rates);
    to.end(nest);
}

/// The two numbers in eight bytes.
fn halves(bytes: [u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
}
