//! The attribute DEST: which real server, and its settings.

use std::net::IpAddr;

use super::attribute::{Attributes, Policy, Put};
use super::errno::Errno;
use super::service::{address, address_bytes, family, family_number};
use super::statistics;
use crate::destination::{Destination, ForwardingMethod, Tunnel, TunnelChecksum};
use crate::operations::DestinationRow;
use crate::service::Family;

const ADDRESS: u16 = 1;
const PORT: u16 = 2;
const METHOD: u16 = 3;
const WEIGHT: u16 = 4;
const UPPER_THRESHOLD: u16 = 5;
const LOWER_THRESHOLD: u16 = 6;
const ACTIVE: u16 = 7;
const INACTIVE: u16 = 8;
const PERSISTENT: u16 = 9;
const STATS: u16 = 10;
const FAMILY: u16 = 11;
const STATS64: u16 = 12;
const TUNNEL_TYPE: u16 = 13;
const TUNNEL_PORT: u16 = 14;
const TUNNEL_FLAGS: u16 = 15;

const POLICIES: [Policy; 15] = [
    Policy::AtMost(16),
    Policy::U16,
    Policy::U32,
    Policy::U32,
    Policy::U32,
    Policy::U32,
    Policy::U32,
    Policy::U32,
    Policy::U32,
    Policy::Nested,
    Policy::U16,
    Policy::Ignored,
    Policy::U8,
    Policy::U16,
    Policy::U16,
];

/// The bits of the connection's flags that say how packets are forwarded.
const METHOD_MASK: u32 = 7;

const IPIP: u8 = 0;
const GUE: u8 = 1;
const GRE: u8 = 2;
const CHECKSUM: u16 = 1;
const REMOTE_CHECKSUM: u16 = 2;

/// The attribute of a request, as far as every command wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    attributes: Attributes<'a, 15>,
    address: [u8; 16],
    port: u16,
}

impl<'a> Request<'a> {
    /// Reads what identifies a server, with the checks of `ip_vs_genl_parse_dest` in its order.
    pub(super) fn parse(nest: Option<&'a [u8]>, is_whole: bool) -> Result<Self, Errno> {
        let nest = nest.ok_or(Errno::EINVAL)?;
        let attributes = Attributes::parse(nest, &POLICIES).map_err(|_| Errno::EINVAL)?;
        let address = attributes.bytes(ADDRESS).ok_or(Errno::EINVAL)?;
        let port = attributes.be16(PORT).ok_or(Errno::EINVAL)?;
        let needed = [METHOD, WEIGHT, UPPER_THRESHOLD, LOWER_THRESHOLD];
        if is_whole && needed.iter().any(|&kind| attributes.get(kind).is_none()) {
            return Err(Errno::EINVAL);
        }
        Ok(Self { attributes, address, port })
    }

    /// Address and port. Who says no family means that of the service.
    pub(super) fn end(&self, service: Family) -> Result<(IpAddr, u16), Errno> {
        let number = self.attributes.u16(FAMILY).filter(|&number| number != 0);
        let family = number.map_or(Ok(service), family)?;
        Ok((address(self.address, family), self.port))
    }

    /// The settings of a whole request.
    pub(super) fn settings(&self, service: Family) -> Result<Destination, Errno> {
        let attributes = &self.attributes;
        let number = |kind| attributes.u32(kind).ok_or(Errno::EINVAL);
        let raw = Raw {
            end: self.end(service)?,
            method: number(METHOD)?,
            weight: number(WEIGHT)?.cast_signed(),
            upper_threshold: number(UPPER_THRESHOLD)?,
            lower_threshold: number(LOWER_THRESHOLD)?,
            tunnel: (
                attributes.u8(TUNNEL_TYPE).unwrap_or(0),
                attributes.be16(TUNNEL_PORT).unwrap_or(0),
                attributes.u16(TUNNEL_FLAGS).unwrap_or(0),
            ),
        };
        settings(service, raw)
    }
}

/// Settings as both of the kernel's interfaces carry them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    pub(super) end: (IpAddr, u16),
    pub(super) method: u32,
    pub(super) weight: i32,
    pub(super) upper_threshold: u32,
    pub(super) lower_threshold: u32,
    /// Type, port, flags.
    pub(super) tunnel: (u8, u16, u16),
}

/// The server of these settings, with the kernel's checks in its order. What the kernel takes and
/// a server cannot be is refused.
pub(super) fn settings(service: Family, raw: Raw) -> Result<Destination, Errno> {
    let Raw { end: (address, port), weight, upper_threshold, lower_threshold, tunnel, .. } = raw;
    let method = method(raw.method);
    let is_other_family = address.is_ipv4() != (service == Family::V4);
    if is_other_family && method != Some(ForwardingMethod::Tunneling) {
        return Err(Errno::EINVAL);
    }
    if weight < 0 || lower_threshold > upper_threshold {
        return Err(Errno::ERANGE);
    }
    if matches!(tunnel, (GUE, 0, _)) {
        return Err(Errno::EINVAL);
    }
    Ok(Destination {
        address,
        port,
        method: method.ok_or(Errno::EOPNOTSUPP)?,
        weight,
        upper_threshold,
        lower_threshold,
        tunnel: tunnel_of(tunnel)?,
    })
}

const fn method(number: u32) -> Option<ForwardingMethod> {
    match number & METHOD_MASK {
        0 => Some(ForwardingMethod::Masquerading),
        1 => Some(ForwardingMethod::Local),
        2 => Some(ForwardingMethod::Tunneling),
        3 => Some(ForwardingMethod::DirectRouting),
        4 => Some(ForwardingMethod::Bypass),
        _ => None,
    }
}

const fn tunnel_of((kind, port, flags): (u8, u16, u16)) -> Result<Tunnel, Errno> {
    let checksum = match flags {
        0 => TunnelChecksum::None,
        CHECKSUM => TunnelChecksum::Full,
        REMOTE_CHECKSUM => TunnelChecksum::Remote,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    match (kind, checksum) {
        (IPIP, _) => Ok(Tunnel::Ipip),
        (GUE, _) => Ok(Tunnel::Gue { port, checksum }),
        (GRE, TunnelChecksum::None | TunnelChecksum::Full) => Ok(Tunnel::Gre { checksum }),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// Writes a server as the kernel lists it (`ip_vs_genl_fill_dest`); `kind` is the attribute.
pub(super) fn fill(to: &mut Vec<u8>, kind: u16, row: &DestinationRow) {
    let server = &row.destination;
    let flags = |checksum| match checksum {
        TunnelChecksum::None => 0,
        TunnelChecksum::Full => CHECKSUM,
        TunnelChecksum::Remote => REMOTE_CHECKSUM,
    };
    let (tunnel, port, flags) = match server.tunnel {
        Tunnel::Ipip => (IPIP, 0, 0),
        Tunnel::Gue { port, checksum } => (GUE, port, flags(checksum)),
        Tunnel::Gre { checksum } => (GRE, 0, flags(checksum)),
    };
    let family = if server.address.is_ipv4() { Family::V4 } else { Family::V6 };
    let nest = to.begin(kind);
    to.put(ADDRESS, &address_bytes(server.address));
    to.put_be16(PORT, server.port);
    to.put_u32(METHOD, u32::from(server.method as u8));
    to.put_u32(WEIGHT, server.weight.cast_unsigned());
    to.put_u8(TUNNEL_TYPE, tunnel);
    to.put_be16(TUNNEL_PORT, port);
    to.put_u16(TUNNEL_FLAGS, flags);
    to.put_u32(UPPER_THRESHOLD, server.upper_threshold);
    to.put_u32(LOWER_THRESHOLD, server.lower_threshold);
    to.put_u32(ACTIVE, row.active);
    to.put_u32(INACTIVE, row.inactive);
    to.put_u32(PERSISTENT, row.persistent);
    to.put_u16(FAMILY, family_number(family));
    statistics::fill(to, (STATS, STATS64), &row.stats, &row.rates);
    to.end(nest);
}
