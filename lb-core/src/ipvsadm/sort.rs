//! The order of listings.
//!
//! ipvsadm compares by signed 32-bit differences. That is no order at all (1.0.0.0 comes before
//! 100.0.0.0, that before 200.0.0.0, and that before 1.0.0.0), so what comes out depends on the
//! steps of the sort. They are those of the C library's `qsort`, a top-down merge sort, and the
//! order is the same wherever the rows come in the same order.

use std::net::IpAddr;

use crate::operations::{DestinationRow, ServiceRow};
use crate::service::{Family, ServiceKey};

/// Services by mark, family, protocol, address, port.
pub(super) fn services(rows: &[ServiceRow], sorted: bool) -> Vec<&ServiceRow> {
    arranged(rows, sorted, |a, b| {
        compare(&service_numbers(&a.service.key), &service_numbers(&b.service.key))
    })
}

/// Destinations by address and port.
pub(super) fn destinations(rows: &[DestinationRow], sorted: bool) -> Vec<&DestinationRow> {
    let numbers = |row: &DestinationRow| {
        let [a, b, c, d] = address_words(row.destination.address);
        [a, b, c, d, row.destination.port.into()]
    };
    arranged(rows, sorted, |a, b| compare(&numbers(a), &numbers(b)))
}

/// What is compared of a service, in its order.
fn service_numbers(key: &ServiceKey) -> [u32; 8] {
    // The numbers of the families in Linux.
    let family = match key.family() {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    match *key {
        ServiceKey::Address { protocol, address, port } => {
            let [a, b, c, d] = address_words(address);
            [0, family, protocol.number().into(), a, b, c, d, port.into()]
        }
        ServiceKey::Mark { mark, .. } => [mark, family, 0, 0, 0, 0, 0, 0],
    }
}

/// An address as four numbers; an IPv4 address is the first of them.
fn address_words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [address.into(), 0, 0, 0],
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments().map(u32::from);
            [a << 16 | b, c << 16 | d, e << 16 | f, g << 16 | h]
        }
    }
}

/// The first signed difference that is not 0.
fn compare<const N: usize>(a: &[u32; N], b: &[u32; N]) -> i32 {
    let mut differences = a.iter().zip(b).map(|(&a, &b)| difference(a, b));
    differences.find(|&difference| difference != 0).unwrap_or(0)
}

const fn difference(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

fn arranged<T>(rows: &[T], sorted: bool, compare: impl Fn(&T, &T) -> i32) -> Vec<&T> {
    let mut rows: Vec<&T> = rows.iter().collect();
    if sorted {
        let mut spare = Vec::with_capacity(rows.len());
        merge_sort(&mut rows, &mut spare, &compare);
    }
    rows
}

fn merge_sort<'a, T>(rows: &mut [&'a T], spare: &mut Vec<&'a T>, compare: &impl Fn(&T, &T) -> i32) {
    if rows.len() < 2 {
        return;
    }
    let half = rows.len() / 2;
    merge_sort(&mut rows[..half], spare, compare);
    merge_sort(&mut rows[half..], spare, compare);
    spare.clear();
    let (mut left, mut right) = (0, half);
    while left < half && right < rows.len() {
        if compare(rows[left], rows[right]) <= 0 {
            spare.push(rows[left]);
            left += 1;
        } else {
            spare.push(rows[right]);
            right += 1;
        }
    }
    // What is left of the right half is in its place already.
    spare.extend_from_slice(&rows[left..half]);
    rows[..spare.len()].copy_from_slice(spare);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Destination;
    use crate::operations::{Rates, Stats};

    /// Sorts servers that were added in this order, newest first as the director lists them.
    fn order_of(added: &[(&str, u16)]) -> Vec<(String, u16)> {
        let row = |&(address, port): &(&str, u16)| DestinationRow {
            destination: Destination::new(address.parse().unwrap(), port),
            active: 0,
            inactive: 0,
            persistent: 0,
            stats: Stats::default(),
            rates: Rates::default(),
        };
        let rows: Vec<DestinationRow> = added.iter().rev().map(row).collect();
        let sorted = destinations(&rows, true);
        sorted.iter().map(|r| (r.destination.address.to_string(), r.destination.port)).collect()
    }

    /// Seen on the kernel with ipvsadm 1.31.
    #[test]
    fn mixed_families_come_in_the_order_that_ipvsadm_shows() {
        let added = [
            ("10.0.0.1", 80),
            ("1.2.3.4", 80),
            ("127.0.0.1", 80),
            ("128.0.0.1", 80),
            ("200.1.1.1", 80),
            ("2001:db8::1", 80),
            ("8000::1", 80),
            ("7fff::1", 80),
            ("::1", 80),
            ("2001:db8::2", 80),
            ("2001:db8:8000::", 80),
            ("2001:db8:7fff::", 80),
            ("200::", 80),
            ("a00:1::", 80),
            ("10.0.0.1", 9),
            ("10.0.0.1", 60000),
        ];
        let expected = [
            ("::1", 80),
            ("1.2.3.4", 80),
            ("200::", 80),
            ("10.0.0.1", 9),
            ("a00:1::", 80),
            ("10.0.0.1", 80),
            ("10.0.0.1", 60000),
            ("2001:db8::2", 80),
            ("2001:db8:7fff::", 80),
            ("2001:db8:8000::", 80),
            ("127.0.0.1", 80),
            ("7fff::1", 80),
            ("8000::1", 80),
            ("128.0.0.1", 80),
            ("200.1.1.1", 80),
            ("2001:db8::1", 80),
        ];
        assert_eq!(order_of(&added), expected.map(|(address, port)| (address.to_owned(), port)));
    }

    /// Seen on the kernel with ipvsadm 1.31.
    #[test]
    fn every_word_of_an_ipv6_address_counts() {
        let added = ["::2", ":8000::", ":7fff::", "::1", ":0:1::", "::9", ":ffff::"]
            .map(|rest| format!("2001:db8{rest}"));
        let added: Vec<(&str, u16)> = added.iter().map(|address| (address.as_str(), 80)).collect();
        let order: Vec<String> = order_of(&added).into_iter().map(|(address, _)| address).collect();
        let expected = [":ffff::", "::1", "::9", ":0:1::", ":7fff::", ":8000::", "::2"];
        assert_eq!(order, expected.map(|rest| format!("2001:db8{rest}")));
    }

    /// Seen on the kernel with ipvsadm 1.31.
    #[test]
    fn addresses_above_and_below_2_to_the_31_wrap() {
        let added =
            [3, 200, 90, 180, 10, 140, 130, 50, 250, 160].map(|first| format!("{first}.0.0.1"));
        let added: Vec<(&str, u16)> = added.iter().map(|address| (address.as_str(), 80)).collect();
        let order: Vec<String> = order_of(&added).into_iter().map(|(address, _)| address).collect();
        let expected = [50, 90, 130, 140, 160, 180, 200, 250, 3, 10];
        assert_eq!(order, expected.map(|first| format!("{first}.0.0.1")));
    }
}
