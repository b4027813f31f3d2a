//! Totals and rates: a nest of 32 bits for old programs, and one of 64 bits.

use super::attribute::Put;
use crate::operations::{Rates, Stats};

const CONNECTIONS: u16 = 1;
const PACKETS_IN: u16 = 2;
const PACKETS_OUT: u16 = 3;
const BYTES_IN: u16 = 4;
const BYTES_OUT: u16 = 5;
const CONNECTIONS_PER_SECOND: u16 = 6;
const BYTES_OUT_PER_SECOND: u16 = 10;
const PAD: u16 = 11;

/// Writes both nests; what does not fit into 32 bits is cut, as the kernel does
/// (`ip_vs_genl_fill_stats`, `ip_vs_genl_fill_stats64`).
pub(super) fn fill(to: &mut Vec<u8>, (short, long): (u16, u16), stats: &Stats, rates: &Rates) {
    let counts = [(CONNECTIONS, stats.connections), (PACKETS_IN, stats.packets_in)];
    let counts = counts.into_iter().chain([(PACKETS_OUT, stats.packets_out)]);
    let bytes = [(BYTES_IN, stats.bytes_in), (BYTES_OUT, stats.bytes_out)];
    let Rates { connections, packets_in, packets_out, bytes_in, bytes_out } = *rates;
    let rates = [connections, packets_in, packets_out, bytes_in, bytes_out];
    let rates = (CONNECTIONS_PER_SECOND..=BYTES_OUT_PER_SECOND).zip(rates);

    let nest = to.begin(short);
    for (kind, value) in counts.clone() {
        to.put_u32(kind, low_half(value));
    }
    for (kind, value) in bytes {
        to.put_u64(kind, value, PAD);
    }
    for (kind, value) in rates.clone() {
        to.put_u32(kind, low_half(value));
    }
    to.end(nest);

    let nest = to.begin(long);
    for (kind, value) in counts.chain(bytes).chain(rates) {
        to.put_u64(kind, value, PAD);
    }
    to.end(nest);
}

/// The low 32 bits of a number.
pub(super) const fn low_half(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
