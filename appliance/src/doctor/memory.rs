//! Huge pages, and memory.

use super::{Item, Severity, Subject};
use crate::config::Hugepages;
use crate::machine::{HUGEPAGE_KIB, Pool};
use crate::needs::{Needs, OTHER_KIB};

const NAME: &str = "hugepages";

pub(super) fn look(subject: &Subject<'_>) -> Vec<Item> {
    let pools = subject.machine.hugepages();
    let mut items = vec![hugepages(subject, &pools)];
    items.extend(nodes(subject));
    items.push(memory(subject, &pools));
    items
}

/// Whether what a configuration needs is free.
pub(crate) fn is_enough(needs: &Needs, pools: &[Pool]) -> bool {
    let free = |is_small: bool| {
        let pools = pools.iter().filter(|pool| (pool.size_kib == HUGEPAGE_KIB) == is_small);
        pools.map(|pool| pool.free * pool.size_kib).sum::<u64>()
    };
    let flows = needs.flow_pages * HUGEPAGE_KIB;
    // Packets lie on pages of any size, flows on small ones alone.
    free(true) >= flows && free(true) - flows + free(false) >= needs.packet_kib
}

fn hugepages(subject: &Subject<'_>, pools: &[Pool]) -> Item {
    let listed = pools
        .iter()
        .filter(|pool| pool.total > 0)
        .map(|pool| format!("{} of {} of {} free", pool.free, pool.total, size(pool.size_kib)));
    let listed = listed.collect::<Vec<_>>().join(", ");
    let listed = if listed.is_empty() { "none reserved".to_owned() } else { listed };
    let Some(needs) = &subject.needs else {
        return if pools.iter().any(|pool| pool.total > 0) {
            Item::fine(NAME, listed)
        } else {
            let found = format!("{listed}: normal memory would be used, which is slower");
            Item::warning(NAME, found, "sysctl -w vm.nr_hugepages=208 (for the defaults)")
        };
    };
    let pages = needs.pages();
    let severity = match needs.hugepages {
        Hugepages::Off => return Item::fine(NAME, format!("{listed}; eal.hugepages: off")),
        Hugepages::Auto => Severity::Warning,
        Hugepages::Require => Severity::Error,
    };
    if is_enough(needs, pools) {
        return Item::fine(NAME, format!("{listed}; the configuration needs {pages} of 2M"));
    }
    let total = pools.iter().map(|pool| pool.total * pool.size_kib).sum::<u64>();
    if subject.is_running && total >= pages * HUGEPAGE_KIB {
        return Item::fine(NAME, format!("{listed}; a director runs, and has {pages} of 2M"));
    }
    let else_what = match severity {
        Severity::Error => "and requires them",
        _ => "else normal memory is used, which is slower",
    };
    Item::wrong(
        NAME,
        severity,
        format!("{listed}; the configuration needs {pages} of 2M, {else_what}"),
        super::RESERVE,
    )
}

/// Pages lie near the NICs.
fn nodes(subject: &Subject<'_>) -> Option<Item> {
    let needs = subject.needs.as_ref().filter(|needs| needs.hugepages != Hugepages::Off)?;
    if subject.machine.nodes().len() < 2 || subject.is_running {
        return None;
    }
    let pools = subject.machine.hugepages_of_nodes();
    let mut nodes: Vec<_> = subject.dedicated().filter_map(|nic| nic.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let share = needs.pages().div_ceil(nodes.len().max(1) as u64);
    let free = |node: usize| {
        let of_node = pools.iter().filter(|pool| pool.node == Some(node));
        of_node.map(|pool| pool.free * pool.size_kib / HUGEPAGE_KIB).sum::<u64>()
    };
    let short: Vec<_> = nodes.iter().filter(|&&node| free(node) < share).collect();
    let name = "hugepages by node";
    if nodes.is_empty() {
        return None;
    }
    if short.is_empty() {
        return Some(Item::fine(name, format!("{share} of 2M are free near each NIC")));
    }
    let found = short.iter().map(|&&node| format!("node {node} has {} free", free(node)));
    let found = found.collect::<Vec<_>>().join(", ");
    Some(Item::warning(
        name,
        format!("{found}, where {share} of 2M belong near its NIC: the rest is far from it"),
        super::RESERVE,
    ))
}

fn memory(subject: &Subject<'_>, pools: &[Pool]) -> Item {
    let name = "memory";
    let memory = subject.machine.memory();
    let mib = |kib: u64| format!("{} MiB", kib >> 10);
    let there = format!("{} of {} available", mib(memory.available_kib), mib(memory.total_kib));
    let Some(needs) = &subject.needs else { return Item::fine(name, there) };
    if subject.is_running {
        return Item::fine(name, format!("{there}; a director runs, and has what it needs"));
    }
    let on_hugepages = needs.hugepages != Hugepages::Off && is_enough(needs, pools);
    let tables_kib = if on_hugepages { 0 } else { needs.pages() * HUGEPAGE_KIB };
    let wanted_kib = tables_kib + OTHER_KIB;
    let besides = if on_hugepages { " besides huge pages" } else { "" };
    let found = format!("{there}; the configuration needs {}{besides}", mib(wanted_kib));
    if wanted_kib <= memory.available_kib {
        return Item::fine(name, found);
    }
    Item::error(name, found, "lower flows.max or eal.memory, or give the machine more memory")
}

fn size(kib: u64) -> String {
    match kib {
        kib if kib.is_multiple_of(1 << 20) => format!("{}G", kib >> 20),
        kib if kib.is_multiple_of(1 << 10) => format!("{}M", kib >> 10),
        kib => format!("{kib}K"),
    }
}
