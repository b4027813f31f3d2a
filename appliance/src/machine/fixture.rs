//! A machine made of files, for tests: two nodes, four CPUs, three NICs, all as a director wants
//! it. Tests take things away.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::Machine;

/// The NIC with the default route (virtio, interface `eth0`).
pub(crate) const UPLINK: &str = "0000:00:03.0";
/// A NIC that nobody uses (e1000e, interface `eth1`, node 0).
pub(crate) const E1000E: &str = "0000:00:04.0";
/// One that DPDK works with beside the kernel's driver (mlx5, interface `eth2`, node 1).
pub(crate) const CONNECT_X: &str = "0000:00:05.0";

/// Where the configuration is by custom.
pub(crate) const CONFIG: &str = "/etc/sluice/sluice.yaml";

/// The folder of a machine, removed at the end.
#[derive(Debug)]
pub(crate) struct Fixture {
    root: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let fixture = Self { root: TempDir::new().unwrap() };
        fixture.processors();
        fixture.memory();
        fixture.network();
        fixture.dpdk();
        fixture.nic(UPLINK, "1af4:1041", "virtio-pci", "eth0", 0, "1");
        fixture.nic(E1000E, "8086:10d3", "e1000e", "eth1", 0, "2");
        fixture.nic(CONNECT_X, "15b3:1017", "mlx5_core", "eth2", 1, "3");
        fixture.write("/sys/class/net/eth0/flags", "0x1003");
        fixture.write(CONFIG, &config_for(&format!("\"{E1000E}\"")));
        fixture
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine::under(self.root.path())
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.machine().path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Changes a part of a file.
    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.machine().text(path).unwrap();
        assert!(text.contains(from), "{path}: {text}");
        self.write(path, &text.replace(from, to));
    }

    /// Takes a file, a folder or a link away.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.machine().path(path);
        if path.is_symlink() || path.is_file() {
            fs::remove_file(path).unwrap();
        } else {
            fs::remove_dir_all(path).unwrap();
        }
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.machine().path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Plugs a NIC in.
    pub(crate) fn nic(&self, at: &str, id: &str, driver: &str, name: &str, node: i8, group: &str) {
        let device = format!("/sys/bus/pci/devices/{at}");
        let (vendor, product) = id.split_once(':').unwrap();
        self.write(&format!("{device}/vendor"), &format!("0x{vendor}\n"));
        self.write(&format!("{device}/device"), &format!("0x{product}\n"));
        self.write(&format!("{device}/class"), "0x020000\n");
        self.write(&format!("{device}/numa_node"), &format!("{node}\n"));
        self.write(&format!("{device}/driver_override"), "(null)\n");
        let last = &at[at.len() - 4..at.len() - 2];
        let folder = format!("/sys/class/net/{name}");
        self.write(&format!("{folder}/address"), &format!("52:54:00:00:00:{last}\n"));
        self.write(&format!("{folder}/flags"), "0x1002\n");
        self.write(&format!("{folder}/carrier"), "1\n");
        self.link(&format!("{folder}/device"), &format!("../../../bus/pci/devices/{at}"));
        self.bind(at, Some(driver));
        self.link(
            &format!("{device}/iommu_group"),
            &format!("../../../../kernel/iommu_groups/{group}"),
        );
        self.write(&format!("/sys/kernel/iommu_groups/{group}/devices/{at}"), "");
    }

    /// Gives a device to a driver, or to none.
    pub(crate) fn bind(&self, at: &str, driver: Option<&str>) {
        let link = format!("/sys/bus/pci/devices/{at}/driver");
        if self.machine().path(&link).is_symlink() {
            self.remove(&link);
        }
        if let Some(driver) = driver {
            self.write(&format!("/sys/bus/pci/drivers/{driver}/unbind"), "");
            self.link(&link, &format!("../../drivers/{driver}"));
        }
    }

    /// Gives an interface an address, and the route that comes with it.
    pub(crate) fn address_v4(&self, interface: &str, address: &str, prefix: u32) {
        let bits = u32::from(address.parse::<std::net::Ipv4Addr>().unwrap());
        let mask = u32::MAX << (32 - prefix);
        let hex = |bits: u32| format!("{:08X}", u32::from_ne_bytes(bits.to_be_bytes()));
        let line =
            format!("{interface} {} 00000000 0001 0 0 0 {} 0 0 0", hex(bits & mask), hex(mask));
        let routes = self.machine().text("/proc/net/route").unwrap();
        self.write("/proc/net/route", &format!("{routes}\n{line}\n"));
        let fib = self.machine().text("/proc/net/fib_trie").unwrap();
        self.write("/proc/net/fib_trie", &format!("{fib}\n|-- {address}\n/32 host LOCAL\n"));
    }

    fn processors(&self) {
        self.write(
            "/proc/cpuinfo",
            "processor : 0\nvendor_id : GenuineIntel\nmodel name : A CPU\n\
             flags : fpu constant_tsc nonstop_tsc sse sse2 pni ssse3 sse4_1 sse4_2 pdpe1gb\n\
             processor : 1\n",
        );
        self.write(
            "/proc/self/status",
            "Name: sluicectl\nCapEff: 000001ffffffffff\nCpus_allowed_list: 0-63\n",
        );
        self.write("/proc/self/limits", "Max locked memory  8388608  8388608  bytes\n");
        self.write("/sys/devices/system/cpu/online", "0-3\n");
        self.write("/sys/devices/system/cpu/isolated", "1-3\n");
        self.write("/sys/devices/system/cpu/nohz_full", "1-3\n");
        for cpu in 0..4 {
            let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
            self.write(&path, "performance\n");
        }
        self.write("/sys/devices/system/node/node0/cpulist", "0-1\n");
        self.write("/sys/devices/system/node/node1/cpulist", "2-3\n");
    }

    fn memory(&self) {
        self.write("/proc/meminfo", "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n");
        self.hugepages(None, 2048, 512, 512);
        self.hugepages(None, 1_048_576, 0, 0);
        self.hugepages(Some(0), 2048, 512, 512);
        self.hugepages(Some(1), 2048, 0, 0);
        self.write("/proc/mounts", "hugetlbfs /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n");
    }

    pub(crate) fn hugepages(&self, node: Option<usize>, size_kib: u64, total: u64, free: u64) {
        let base = node.map_or_else(
            || "/sys/kernel/mm/hugepages".to_owned(),
            |node| format!("/sys/devices/system/node/node{node}/hugepages"),
        );
        let folder = format!("{base}/hugepages-{size_kib}kB");
        self.write(&format!("{folder}/nr_hugepages"), &total.to_string());
        self.write(&format!("{folder}/free_hugepages"), &free.to_string());
    }

    fn network(&self) {
        self.write("/proc/sys/kernel/osrelease", "6.1.0-1-amd64\n");
        self.write(
            "/lib/modules/6.1.0-1-amd64/modules.dep",
            "kernel/drivers/vfio/pci/vfio-pci.ko: kernel/drivers/vfio/vfio.ko\n\
             kernel/drivers/vfio/vfio_iommu_type1.ko:\n\
             kernel/drivers/uio/uio_pci_generic.ko.xz:\nkernel/a/ib_uverbs.ko:\n\
             kernel/a/mlx5_ib.ko:\n",
        );
        self.write("/lib/modules/6.1.0-1-amd64/modules.builtin", "kernel/drivers/net/tun.ko\n");
        self.write("/dev/net/tun", "");
        self.write(
            "/proc/net/route",
            &[
                "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT",
                &format!("eth0 00000000 {} 0003 0 0 0 00000000 0 0 0", ne("C0000201")),
                &format!("eth0 {} 00000000 0001 0 0 0 {} 0 0 0", ne("C0000200"), ne("FFFFFF00")),
                &format!("eth1 {} 00000000 0001 0 0 0 {} 0 0 0", ne("0A000000"), ne("FF000000")),
            ]
            .join("\n"),
        );
        self.write(
            "/proc/net/fib_trie",
            "Local:\n  +-- 0.0.0.0/0 3 0 5\n  |-- 127.0.0.1\n   /32 host LOCAL\n  |-- 192.0.2.5\n   \
             /32 host LOCAL\n  |-- 192.0.2.255\n   /32 link BROADCAST\n",
        );
        let (any, db8) = ("0".repeat(32), format!("20010db8{}", "0".repeat(24)));
        let fd00 = format!("fd000001{}", "0".repeat(24));
        let six = |network: &str, prefix: &str, flags: &str, interface: &str| {
            format!("{network} {prefix} {any} 00 {any} 00000400 0 0 {flags} {interface}")
        };
        self.write(
            "/proc/net/ipv6_route",
            &[
                six(&any, "00", "00000003", "eth0"),
                six(&db8, "40", "00000001", "eth0"),
                six(&fd00, "40", "00000001", "eth1"),
                six(&any, "00", "00200200", "lo"),
            ]
            .join("\n"),
        );
        self.write(
            "/proc/net/if_inet6",
            "20010db8000000000000000000000005 02 40 00 80 eth0\n\
             fe800000000000000000000000000005 02 40 20 80 eth0\n\
             fe800000000000000000000000000006 03 40 20 80 eth1\n",
        );
    }

    fn dpdk(&self) {
        let folder = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0";
        let both = "* igb_uio | uio_pci_generic | vfio-pci";
        for (library, name, kmod, [vendor, device]) in [
            ("e1000", "net_e1000_em", both, [0x8086, 0x10d3]),
            ("virtio", "net_virtio", both, [0x1af4, 0x1041]),
            ("iavf", "net_iavf", "* igb_uio | vfio-pci", [0x8086, 0x154c]),
            ("mlx5", "mlx5_eth", "* ib_uverbs & mlx5_core & mlx5_ib", [0x15b3, 0x1017]),
        ] {
            let description = format!(
                "{{\"name\": \"{name}\", \"kmod\": \"{kmod}\", \
                 \"pci_ids\": [[{vendor}, {device}, 65535, 65535]]}}"
            );
            let path = format!("{folder}/librte_net_{library}.so.23.0");
            self.write(&path, &format!("\x7fELF\0PMD_INFO_STRING= {description}\0more\0"));
            self.link(
                &format!("{folder}/librte_net_{library}.so.23"),
                &format!("librte_net_{library}.so.23.0"),
            );
        }
    }
}

/// A number in the byte order of the machine, from one in that of the network.
fn ne(hex: &str) -> String {
    let bits = u32::from_str_radix(hex, 16).unwrap();
    format!("{:08X}", u32::from_ne_bytes(bits.to_be_bytes()))
}

/// A configuration with one port on that device, and one worker on node 0.
pub(crate) fn config_for(device: &str) -> String {
    format!("workers: [1]\nports:\n  - name: lan0\n    device: {device}\n")
}
