//! Huge pages.

use super::Machine;

/// The size of page that tables are made of, in KiB; packets can lie on larger ones, too.
pub const HUGEPAGE_KIB: u64 = 2048;

/// Huge pages of one size, on one node or on the whole machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The folder that it is described in.
    pub folder: String,
    /// `None` for those of the whole machine.
    pub node: Option<usize>,
    pub size_kib: u64,
    pub total: u64,
    /// Those that nobody has, nor was promised.
    pub free: u64,
}

impl Pool {
    /// The file that says how many there are to be.
    pub fn wish(&self) -> String {
        format!("{}/nr_hugepages", self.folder)
    }
}

impl Machine {
    /// Huge pages of the whole machine, by size.
    pub fn hugepages(&self) -> Vec<Pool> {
        self.pools("/sys/kernel/mm/hugepages", None)
    }

    /// Huge pages of each node, by size; none where the kernel knows no nodes.
    pub fn hugepages_of_nodes(&self) -> Vec<Pool> {
        let of_node = |node: usize| {
            self.pools(&format!("/sys/devices/system/node/node{node}/hugepages"), Some(node))
        };
        self.nodes().into_iter().flat_map(of_node).collect()
    }

    /// Where huge pages are mounted, and of which size in KiB where the mount says it.
    pub fn hugepage_mounts(&self) -> Vec<(String, Option<u64>)> {
        let mounts = self.text("/proc/mounts").unwrap_or_default();
        let found = mounts.lines().filter_map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let [_, place, "hugetlbfs", options, ..] = words[..] else { return None };
            let size = options.split(',').find_map(|option| option.strip_prefix("pagesize="));
            Some((place.to_owned(), size.and_then(size_kib)))
        });
        found.collect()
    }

    fn pools(&self, folder: &str, node: Option<usize>) -> Vec<Pool> {
        let pool = |name: String| {
            let size_kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let folder = format!("{folder}/{name}");
            let count = |file: &str| self.number(&format!("{folder}/{file}")).unwrap_or(0);
            // Only of the whole machine it is known how many are promised.
            let free = count("free_hugepages").saturating_sub(count("resv_hugepages"));
            let total = count("nr_hugepages");
            Some(Pool { folder, node, size_kib, total, free })
        };
        self.names(folder).into_iter().filter_map(pool).collect()
    }
}

fn size_kib(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.len().checked_sub(1)?);
    let unit_kib = match unit {
        "K" => 1,
        "M" => 1 << 10,
        "G" => 1 << 20,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit_kib)
}
