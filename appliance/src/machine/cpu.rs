//! Processors: what they can do, which node they are of, and who else may use them.

use std::collections::BTreeMap;

use super::{Machine, cpu_list};

/// The processors of a machine.
#[derive(Clone, Debug, Default)]
pub struct Cpus {
    /// The words of `flags` (x86) or `Features` (ARM); empty where the kernel has no such line.
    pub flags: Vec<String>,
    /// The model, where the kernel says it.
    pub model: Option<String>,
    /// `GenuineIntel`, `AuthenticAMD`, where the kernel says it.
    pub vendor: Option<String>,
    /// Those that this process may run on.
    pub allowed: Vec<usize>,
    /// Taken from the scheduler by `isolcpus=` or a cpuset.
    pub isolated: Vec<usize>,
    /// Without a timer tick while one thread runs (`nohz_full=`).
    pub tickless: Vec<usize>,
    /// The node of each, of those that the kernel knows it of.
    pub nodes: BTreeMap<usize, usize>,
    /// The frequency governor of each, where the kernel has any.
    pub governors: BTreeMap<usize, String>,
}

impl Machine {
    /// Its processors.
    pub fn cpus(&self) -> Cpus {
        let of_cpuinfo =
            |names: &[&str]| names.iter().find_map(|name| self.field("/proc/cpuinfo", name));
        let list = |path: &str| cpu_list::read(&self.text(path).unwrap_or_default());
        let allowed = self.field("/proc/self/status", "Cpus_allowed_list");
        let online = list("/sys/devices/system/cpu/online");
        let mut allowed = allowed.map_or_else(Vec::new, |text| cpu_list::read(&text));
        // What is allowed is a mask for all CPUs that there could be.
        allowed.retain(|cpu| online.is_empty() || online.contains(cpu));
        let governors = allowed.iter().filter_map(|cpu| {
            let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
            Some((*cpu, self.text(&path)?))
        });
        Cpus {
            flags: of_cpuinfo(&["flags", "Features"])
                .map_or_else(Vec::new, |text| text.split(' ').map(str::to_owned).collect()),
            model: of_cpuinfo(&["model name", "CPU part"]),
            vendor: of_cpuinfo(&["vendor_id"]),
            isolated: list("/sys/devices/system/cpu/isolated"),
            tickless: list("/sys/devices/system/cpu/nohz_full"),
            nodes: self.nodes_of_cpus(),
            governors: governors.collect(),
            allowed,
        }
    }

    /// The NUMA nodes; a kernel without NUMA has none.
    pub fn nodes(&self) -> Vec<usize> {
        let names = self.names("/sys/devices/system/node");
        let mut nodes: Vec<_> =
            names.iter().filter_map(|name| name.strip_prefix("node")?.parse().ok()).collect();
        nodes.sort_unstable();
        nodes
    }

    fn nodes_of_cpus(&self) -> BTreeMap<usize, usize> {
        let of_node = |node: usize| {
            let list = self.text(&format!("/sys/devices/system/node/node{node}/cpulist"));
            cpu_list::read(&list.unwrap_or_default()).into_iter().map(move |cpu| (cpu, node))
        };
        self.nodes().into_iter().flat_map(of_node).collect()
    }
}
