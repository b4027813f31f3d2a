//! The CPUs of the workers.

use super::{Item, Subject};
use crate::machine::show_cpus;

pub(super) fn look(subject: &Subject<'_>) -> Vec<Item> {
    vec![isolation(subject), governor(subject), numa(subject)]
}

fn isolation(subject: &Subject<'_>) -> Item {
    let name = "isolated cpus";
    let cpus = &subject.cpus;
    let said = |list: &[usize]| if list.is_empty() { "none".to_owned() } else { show_cpus(list) };
    let there = format!("isolated {}, tickless {}", said(&cpus.isolated), said(&cpus.tickless));
    let workers = show_cpus(&subject.workers);
    let Some(needs) = &subject.needs else { return Item::fine(name, there) };
    if !needs.polls {
        return Item::fine(name, format!("{there}; workers on {workers} sleep when idle"));
    }
    let lacks = |list: &[usize]| subject.workers.iter().any(|cpu| !list.contains(cpu));
    if !lacks(&cpus.isolated) && !lacks(&cpus.tickless) {
        return Item::fine(name, format!("{there}; workers on {workers}"));
    }
    Item::warning(
        name,
        format!("{there}: others may interrupt the workers on {workers}"),
        format!("boot the kernel with isolcpus={workers} nohz_full={workers} rcu_nocbs={workers}"),
    )
}

fn governor(subject: &Subject<'_>) -> Item {
    let name = "power governor";
    let governors = &subject.cpus.governors;
    if governors.is_empty() {
        return Item::fine(name, "the kernel does not change the CPUs' speed here");
    }
    let is_worker = |cpu: &usize| subject.workers.is_empty() || subject.workers.contains(cpu);
    let slow = governors.iter().filter(|(cpu, it)| is_worker(cpu) && *it != "performance");
    let slow: Vec<_> = slow.collect();
    let Some((_, governor)) = slow.first() else {
        return Item::fine(name, "performance");
    };
    let cpus = show_cpus(&slow.iter().map(|(cpu, _)| **cpu).collect::<Vec<_>>());
    Item::warning(
        name,
        format!("{governor} on CPU {cpus}: it slows down when there is little to do"),
        format!("cpupower -c {cpus} frequency-set -g performance"),
    )
}

fn numa(subject: &Subject<'_>) -> Item {
    let name = "numa";
    let nodes = subject.machine.nodes();
    if nodes.len() < 2 {
        return Item::fine(name, "one node");
    }
    let of_nodes = &subject.cpus.nodes;
    let is_far = |node: usize| !subject.workers.iter().any(|cpu| of_nodes.get(cpu) == Some(&node));
    let far = subject.dedicated().filter_map(|nic| Some((nic, nic.node?)));
    let far = far.filter(|(_, node)| is_far(*node)).collect::<Vec<_>>();
    let Some((nic, node)) = far.first() else {
        return Item::fine(name, format!("{} nodes; workers are near the NICs", nodes.len()));
    };
    let mut near: Vec<_> = of_nodes.iter().filter(|(_, it)| *it == node).map(|(c, _)| *c).collect();
    near.retain(|cpu| subject.cpus.allowed.contains(cpu));
    let near = near.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let workers = show_cpus(&subject.workers);
    Item::warning(
        name,
        format!(
            "{} is on node {node}, no worker is (CPU {workers}): each packet goes far",
            nic.address
        ),
        format!("name CPUs of node {node}: `workers: [{near}]`, or some of them"),
    )
}
