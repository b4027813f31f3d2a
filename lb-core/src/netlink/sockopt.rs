//! IPVS's older interface: options of a raw IPv4 socket (`do_ip_vs_get_ctl`, `do_ip_vs_set_ctl`).
//! IPv4 only, without tunnels and engines. Values are the C structures of `linux/ip_vs.h`, in the
//! order of the machine's bytes but for addresses and ports.

use std::net::{IpAddr, Ipv4Addr};

use super::errno::Errno;
use super::{daemon, ipvs, server, service, statistics};
use crate::operations::{
    DaemonRole, DaemonSettings, DestinationRow, Operations, Rates, ServiceRow, Stats,
    TimeoutSettings,
};
use crate::protocol::Protocol;
use crate::service::{Family, Service, ServiceKey};

/// The number of the first option (`IP_VS_BASE_CTL`).
const BASE: u32 = 1152;

const GET_VERSION: u32 = BASE;
const GET_INFO: u32 = BASE + 1;
const GET_SERVICES: u32 = BASE + 2;
const GET_SERVICE: u32 = BASE + 3;
const GET_SERVERS: u32 = BASE + 4;
const GET_TIMEOUT: u32 = BASE + 6;
const GET_DAEMON: u32 = BASE + 7;

const SET_ADD: u32 = BASE + 2;
const SET_EDIT: u32 = BASE + 3;
const SET_DELETE: u32 = BASE + 4;
const SET_FLUSH: u32 = BASE + 5;
const SET_ADD_SERVER: u32 = BASE + 7;
const SET_DELETE_SERVER: u32 = BASE + 8;
const SET_EDIT_SERVER: u32 = BASE + 9;
const SET_TIMEOUT: u32 = BASE + 10;
const SET_START_DAEMON: u32 = BASE + 11;
const SET_STOP_DAEMON: u32 = BASE + 12;
const SET_ZERO: u32 = BASE + 15;

/// Sizes of the structures in bytes.
const VERSION_SIZE: usize = 64;
const INFO_SIZE: usize = 12;
const SERVICES_SIZE: usize = 8;
const SERVICE_SIZE: usize = 104;
const SERVERS_SIZE: usize = 24;
const SERVER_SIZE: usize = 96;
const TIMEOUT_SIZE: usize = 12;
const DAEMON_SIZE: usize = 24;
const SERVICE_REQUEST_SIZE: usize = 44;
const SERVER_REQUEST_SIZE: usize = 24;
/// A scheduler's and an interface's name with its end.
const NAME_SIZE: usize = 16;

/// Fields of a structure, from its beginning. What is beyond its end is 0.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
    fn u16(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.bytes(at))
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(at))
    }
    fn port(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes(at))
    }
    fn address(&self, at: usize) -> IpAddr {
        Ipv4Addr::from(self.bytes::<4>(at)).into()
    }
    /// A name; `None` where it has no end.
    fn name(&self, at: usize) -> Option<String> {
        let bytes = self.bytes::<NAME_SIZE>(at);
        let end = bytes.iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

/// Does `getsockopt`: `argument` is what is in the caller's buffer, as far as the option reads it,
/// and `size` how long the buffer is.
pub(super) fn get(
    option: u32,
    argument: &[u8],
    size: u32,
    operations: &impl Operations,
) -> Result<Vec<u8>, Errno> {
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let needed = match option {
        GET_VERSION => VERSION_SIZE,
        GET_INFO => INFO_SIZE,
        GET_SERVICES => SERVICES_SIZE,
        GET_SERVICE => SERVICE_SIZE,
        GET_SERVERS => SERVERS_SIZE,
        GET_TIMEOUT => TIMEOUT_SIZE,
        GET_DAEMON => 2 * DAEMON_SIZE,
        _ => return Err(Errno::EINVAL),
    };
    if size < needed || argument.len() < needed {
        return Err(Errno::EINVAL);
    }
    let fields = Fields(argument);
    match option {
        GET_VERSION => {
            let size = operations.table_size();
            Ok(format!("IP Virtual Server version 1.2.1 (size={size})\0").into_bytes())
        }
        GET_INFO => {
            let size = u32::try_from(operations.table_size()).unwrap_or(u32::MAX);
            let services = u32::try_from(v4(operations).count()).unwrap_or(u32::MAX);
            Ok([ipvs::IPVS_VERSION, size, services].map(u32::to_ne_bytes).concat())
        }
        GET_TIMEOUT => {
            let TimeoutSettings { tcp_s, tcp_fin_s, udp_s } = operations.timeouts();
            Ok([tcp_s, tcp_fin_s, udp_s].map(u32::to_ne_bytes).concat())
        }
        GET_SERVICE => {
            let key = key(fields.u32(12), fields.u16(0), fields.address(4), fields.port(8));
            let row = key.and_then(|key| operations.service(&key)).ok_or(Errno::ESRCH)?;
            Ok(service_entry(&row))
        }
        GET_SERVICES => {
            let count = check_count(fields.u32(0), size, SERVICES_SIZE, SERVICE_SIZE)?;
            let entries = v4(operations).take(count).flat_map(|row| service_entry(&row));
            Ok(argument[..SERVICES_SIZE].iter().copied().chain(entries).collect())
        }
        GET_SERVERS => {
            let count = check_count(fields.u32(16), size, SERVERS_SIZE, SERVER_SIZE)?;
            let key = key(fields.u32(12), fields.u16(0), fields.address(4), fields.port(8));
            let row = key.and_then(|key| operations.service(&key)).ok_or(Errno::ESRCH)?;
            let servers = row.destinations.iter().filter(|row| row.destination.address.is_ipv4());
            let entries = servers.take(count).flat_map(server_entry);
            Ok(argument[..SERVERS_SIZE].iter().copied().chain(entries).collect())
        }
        _ => {
            let rows = operations.daemons();
            let entry = |role| {
                let row = rows.iter().find(|row| row.role == role);
                row.map_or_else(
                    || vec![0; DAEMON_SIZE],
                    |row| {
                        let name = fixed_name(&row.interface);
                        let (state, id) = (daemon::state(role), u32::from(row.sync_id));
                        [&state.to_ne_bytes()[..], &name, &id.to_ne_bytes()].concat()
                    },
                )
            };
            Ok([entry(DaemonRole::Master), entry(DaemonRole::Backup)].concat())
        }
    }
}

/// The buffer has to have room for exactly as many entries as it says.
fn check_count(count: u32, size: usize, head: usize, entry: usize) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let needed = count.checked_mul(entry).and_then(|entries| entries.checked_add(head));
    if needed == Some(size) { Ok(count) } else { Err(Errno::EINVAL) }
}

fn v4(operations: &impl Operations) -> impl Iterator<Item = ServiceRow> {
    let rows = operations.services().into_iter();
    rows.filter(|row| row.service.key.family() == Family::V4)
}

/// The service of a mark, else of an end. `None` is one of a protocol that no service can have.
fn key(mark: u32, protocol: u16, address: IpAddr, port: u16) -> Option<ServiceKey> {
    if mark != 0 {
        return Some(ServiceKey::Mark { mark, family: Family::V4 });
    }
    let protocol = Protocol::from_number(u8::try_from(protocol).ok()?)?;
    Some(ServiceKey::Address { protocol, address, port })
}

fn fixed_name(name: &str) -> [u8; NAME_SIZE] {
    let mut bytes = [0; NAME_SIZE];
    let size = name.len().min(NAME_SIZE - 1);
    bytes[..size].copy_from_slice(&name.as_bytes()[..size]);
    bytes
}

fn address_bytes(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => [0; 4],
    }
}

/// `struct ip_vs_service_entry`
fn service_entry(row: &ServiceRow) -> Vec<u8> {
    let service = &row.service;
    let (protocol, address, port, mark) = match service.key {
        ServiceKey::Address { protocol, address, port } => (protocol, address, port, 0),
        ServiceKey::Mark { mark, .. } => (Protocol::Tcp, Ipv4Addr::UNSPECIFIED.into(), 0, mark),
    };
    let mut out = Vec::with_capacity(SERVICE_SIZE);
    out.extend_from_slice(&u16::from(protocol.number()).to_ne_bytes());
    out.resize(4, 0);
    out.extend_from_slice(&address_bytes(address));
    out.extend_from_slice(&port.to_be_bytes());
    out.resize(12, 0);
    out.extend_from_slice(&mark.to_ne_bytes());
    out.extend_from_slice(&fixed_name(&service.scheduler));
    out.extend_from_slice(&service::flags_of(service).to_ne_bytes());
    out.extend_from_slice(&service.persistence_timeout_s.unwrap_or(0).to_ne_bytes());
    out.extend_from_slice(&service::netmask_bytes(service));
    let servers = u32::try_from(row.destinations.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&servers.to_ne_bytes());
    push_statistics(&mut out, &row.stats, &row.rates);
    out
}

/// `struct ip_vs_dest_entry`
fn server_entry(row: &DestinationRow) -> Vec<u8> {
    let server = &row.destination;
    let mut out = Vec::with_capacity(SERVER_SIZE);
    out.extend_from_slice(&address_bytes(server.address));
    out.extend_from_slice(&server.port.to_be_bytes());
    out.resize(8, 0);
    let numbers = [
        u32::from(server.method as u8),
        server.weight.cast_unsigned(),
        server.upper_threshold,
        server.lower_threshold,
        row.active,
        row.inactive,
        row.persistent,
    ];
    out.extend(numbers.into_iter().flat_map(u32::to_ne_bytes));
    out.resize(40, 0);
    push_statistics(&mut out, &row.stats, &row.rates);
    out
}

/// `struct ip_vs_stats_user`, at a multiple of eight bytes.
fn push_statistics(out: &mut Vec<u8>, stats: &Stats, rates: &Rates) {
    let short = |numbers: &[u64]| -> Vec<u8> {
        numbers.iter().flat_map(|&n| statistics::low_half(n).to_ne_bytes()).collect()
    };
    out.extend(short(&[stats.connections, stats.packets_in, stats.packets_out, 0]));
    out.extend_from_slice(&stats.bytes_in.to_ne_bytes());
    out.extend_from_slice(&stats.bytes_out.to_ne_bytes());
    let Rates { connections, packets_in, packets_out, bytes_in, bytes_out } = *rates;
    out.extend(short(&[connections, packets_in, packets_out, bytes_in, bytes_out, 0]));
}

/// Does `setsockopt`.
pub(super) fn set(
    option: u32,
    argument: &[u8],
    operations: &mut impl Operations,
) -> Result<(), Errno> {
    let needed = match option {
        SET_ADD | SET_EDIT | SET_DELETE | SET_ZERO => SERVICE_REQUEST_SIZE,
        SET_ADD_SERVER | SET_DELETE_SERVER | SET_EDIT_SERVER => {
            SERVICE_REQUEST_SIZE + SERVER_REQUEST_SIZE
        }
        SET_TIMEOUT => TIMEOUT_SIZE,
        SET_START_DAEMON | SET_STOP_DAEMON => DAEMON_SIZE,
        SET_FLUSH => 0,
        _ => return Err(Errno::EINVAL),
    };
    if argument.len() != needed {
        return Err(Errno::EINVAL);
    }
    let fields = Fields(argument);
    match option {
        SET_FLUSH => operations.clear(),
        SET_TIMEOUT => {
            let timeouts = TimeoutSettings {
                tcp_s: fields.u32(0),
                tcp_fin_s: fields.u32(4),
                udp_s: fields.u32(8),
            };
            ipvs::check_timeouts(timeouts)?;
            operations.set_timeouts(timeouts);
        }
        SET_START_DAEMON => {
            let interface = fields.name(4).ok_or(Errno::EINVAL)?;
            let sync_id = u8::try_from(fields.u32(20)).map_err(|_| Errno::EOPNOTSUPP)?;
            let settings = DaemonSettings::new(daemon::role(fields.u32(0))?, &interface);
            operations.start_daemon(DaemonSettings { sync_id, ..settings })?;
        }
        SET_STOP_DAEMON => {
            let [sync_id, ..] = fields.u32(20).to_le_bytes();
            operations.stop_daemon(daemon::role(fields.u32(0))?, sync_id)?;
        }
        _ => set_service(option, &fields, operations)?,
    }
    Ok(())
}

fn set_service(
    option: u32,
    fields: &Fields<'_>,
    operations: &mut impl Operations,
) -> Result<(), Errno> {
    let (mark, address, port) = (fields.u32(12), fields.address(4), fields.port(8));
    if option == SET_ZERO && mark == 0 && address.is_unspecified() && port == 0 {
        return Ok(operations.zero(None)?);
    }
    let scheduler = fields.name(16);
    if matches!(option, SET_ADD | SET_EDIT) && scheduler.is_none() {
        return Err(Errno::EINVAL);
    }
    let protocol = u8::try_from(fields.u16(0)).ok().and_then(Protocol::from_number);
    // The kernel's own choice of a number for a wrong protocol.
    let protocol = protocol.ok_or(Errno::EFAULT)?;
    let key = key(mark, u16::from(protocol.number()), address, port).ok_or(Errno::EFAULT)?;
    let settings = || -> Result<Service, Errno> {
        let raw = service::Raw {
            scheduler: scheduler.clone().unwrap_or_default(),
            flags: fields.u32(32),
            timeout_s: fields.u32(36),
            netmask: fields.bytes(40),
            engine: None,
        };
        service::settings(key, raw)
    };
    let exists = operations.has_service(&key);
    if option == SET_ADD {
        return if exists { Err(Errno::EEXIST) } else { Ok(operations.add_service(settings()?)?) };
    }
    if !exists {
        return Err(Errno::ESRCH);
    }
    let at = SERVICE_REQUEST_SIZE;
    let end = (fields.address(at), fields.port(at + 4));
    let server = || {
        let raw = server::Raw {
            end,
            method: fields.u32(at + 8),
            weight: fields.u32(at + 12).cast_signed(),
            upper_threshold: fields.u32(at + 16),
            lower_threshold: fields.u32(at + 20),
            tunnel: (0, 0, 0),
        };
        server::settings(Family::V4, raw)
    };
    match option {
        SET_EDIT => operations.edit_service(settings()?)?,
        SET_DELETE => operations.delete_service(&key)?,
        SET_ADD_SERVER => operations.add_destination(&key, server()?)?,
        SET_EDIT_SERVER => operations.edit_destination(&key, server()?)?,
        SET_DELETE_SERVER => operations.delete_destination(&key, end.0, end.1)?,
        _ => operations.zero(Some(&key))?,
    }
    Ok(())
}
