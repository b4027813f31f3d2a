//! What there is to do, and what must not be done.

use super::guard::Guard;
use super::remembered::{Remembered, ReservedPages, TakenNic};
use super::step::{Binding, Pages, Step};
use crate::config::Hugepages;
use crate::machine::{Bound, HUGEPAGE_KIB, Iommu, Machine, ModuleState, Nic, Pmds, Pool};
use crate::needs::Needs;

const VFIO: &str = "vfio-pci";
const UIO: &str = "uio_pci_generic";
/// What vfio keeps devices to their memory by; not every modprobe loads it with vfio-pci. Other
/// processors have others.
const VFIO_TYPE1: &str = "vfio_iommu_type1";

/// What there is to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In order.
    pub(super) steps: Vec<Step>,
    /// What to know before.
    pub(super) notes: Vec<String>,
    /// What is not done, and why.
    pub(super) refused: Vec<String>,
    /// What is as it should be, and is to be so after the next boot, too.
    pub(super) kept: Remembered,
}

/// What somebody wants of a machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    nics: Vec<Wish>,
    pages: Vec<(Option<usize>, PageWish)>,
    modules: Vec<String>,
}

/// A NIC that is wanted.
#[derive(Clone, Debug)]
struct Wish {
    address: String,
    port: Option<String>,
    /// What it was when it was taken before: then nobody is asked again whether it has addresses.
    known_id: Option<String>,
    forced: bool,
}

/// Huge pages that are wanted.
#[derive(Clone, Copy, Debug, Default)]
struct PageWish {
    needed: u64,
    /// Those of them that have to be of the size that tables are made of.
    small: u64,
}

impl Wishes {
    /// What is remembered.
    pub(super) fn of_memory(remembered: &Remembered) -> Self {
        let wish = |nic: &TakenNic| Wish {
            address: nic.address.clone(),
            port: None,
            known_id: Some(nic.id.clone()),
            forced: nic.forced,
        };
        let pages = remembered.hugepages.iter();
        Self {
            nics: remembered.nics.iter().map(wish).collect(),
            pages: pages
                .map(|it| (it.node, PageWish { needed: it.needed, small: it.needed }))
                .collect(),
            modules: remembered.modules.clone(),
        }
    }

    /// What a configuration needs, on top of that.
    pub(super) fn add(&mut self, needs: &Needs, machine: &Machine, force: bool) {
        for (port, address) in &needs.nics {
            match self.nics.iter_mut().find(|wish| wish.address == *address) {
                Some(known) => {
                    known.port = Some(port.clone());
                    known.forced |= force;
                }
                None => self.nics.push(Wish {
                    address: address.clone(),
                    port: Some(port.clone()),
                    known_id: None,
                    forced: force,
                }),
            }
        }
        if needs.tun && !machine.has("/dev/net/tun") {
            self.modules.push("tun".to_owned());
        }
        if needs.hugepages == Hugepages::Off {
            return;
        }
        let nics = needs.nics.iter().filter_map(|(_, address)| machine.nic(address));
        let mut nodes: Vec<_> = nics.map(|nic| nic.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        // A machine with one node may or may not number it.
        nodes.retain(|node| node.is_some_and(|node| machine.nodes().contains(&node)));
        if nodes.is_empty() {
            nodes.push(None);
        }
        let count = nodes.len() as u64;
        let share = PageWish {
            needed: needs.pages().div_ceil(count),
            small: needs.flow_pages.div_ceil(count),
        };
        for node in nodes {
            match self.pages.iter_mut().find(|(known, _)| *known == node) {
                // What is remembered is only more than what is needed now where that was more.
                Some((_, wish)) => {
                    wish.needed = wish.needed.max(share.needed);
                    wish.small = share.small;
                }
                None => self.pages.push((node, share)),
            }
        }
    }
}

/// What is done with.
pub(super) struct Planner<'a> {
    machine: &'a Machine,
    remembered: &'a Remembered,
    guard: Guard<'a>,
    pmds: Pmds,
    iommu: Iommu,
    is_running: bool,
    plan: Plan,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        machine: &'a Machine,
        remembered: &'a Remembered,
        ssh_connection: Option<&str>,
    ) -> Self {
        Self {
            machine,
            remembered,
            guard: Guard::new(machine, ssh_connection),
            pmds: machine.pmds(),
            iommu: machine.iommu(),
            is_running: machine.runs("sluiced"),
            plan: Plan::default(),
        }
    }

    /// Plans.
    pub(super) fn plan(mut self, wishes: &Wishes) -> Plan {
        for module in &wishes.modules {
            self.load(module);
        }
        for (node, wish) in &wishes.pages {
            self.reserve(*node, *wish);
        }
        let addresses: Vec<_> = wishes.nics.iter().map(|wish| wish.address.as_str()).collect();
        for wish in &wishes.nics {
            if let Err(problem) = self.give(wish, &addresses) {
                let port =
                    wish.port.as_ref().map_or_else(String::new, |it| format!(" (port {it})"));
                self.plan.refused.push(format!("{}{port}: {problem}", wish.address));
            }
        }
        self.plan
    }

    fn load(&mut self, module: &str) {
        let step = Step::Load(module.to_owned());
        match self.machine.module(module) {
            ModuleState::Loadable if !self.plan.steps.contains(&step) => self.plan.steps.push(step),
            ModuleState::Missing => {
                self.plan.refused.push(format!("this kernel has no module {module}"));
            }
            _ => {}
        }
    }

    fn reserve(&mut self, node: Option<usize>, wish: PageWish) {
        let pools = match node {
            None => self.machine.hugepages(),
            Some(_) => self.machine.hugepages_of_nodes(),
        };
        let pools: Vec<_> = pools.into_iter().filter(|pool| pool.node == node).collect();
        let Some(small) = pools.iter().find(|pool| pool.size_kib == HUGEPAGE_KIB) else {
            self.plan.refused.push("this kernel has no huge pages of 2M".to_owned());
            return;
        };
        let missing = self.missing(small, &pools, wish);
        if missing == 0 {
            if self.remembered.pages_of(node).is_none() {
                let (needed, total) = (wish.needed, small.total);
                self.plan.kept.hugepages.push(ReservedPages { node, needed, added: 0, total });
            }
            return;
        }
        let (missing_kib, memory) = (missing * HUGEPAGE_KIB, self.machine.memory());
        if missing_kib > memory.available_kib {
            self.plan.refused.push(format!(
                "{} MiB of huge pages are missing, and {} MiB of memory are available: lower \
                 flows.max or eal.memory",
                missing_kib >> 10,
                memory.available_kib >> 10
            ));
            return;
        }
        self.plan.steps.push(Step::Reserve(Pages {
            file: small.wish(),
            node,
            from: small.total,
            to: small.total + missing,
            needed: wish.needed,
        }));
    }

    /// Pages that are missing. What was reserved before may be in use by now, and is not missing.
    fn missing(&self, small: &Pool, pools: &[Pool], wish: PageWish) -> u64 {
        if let Some(entry) = self.remembered.pages_of(small.node)
            && small.total >= entry.total
        {
            return wish.needed.saturating_sub(entry.needed);
        }
        if self.is_running && small.total >= wish.needed {
            return 0;
        }
        let free = pools.iter().map(|pool| pool.free * pool.size_kib / HUGEPAGE_KIB).sum::<u64>();
        let of_all = wish.needed.saturating_sub(free);
        of_all.max(wish.small.saturating_sub(small.free))
    }

    /// Plans a NIC.
    fn give(&mut self, wish: &Wish, wanted: &[&str]) -> Result<(), String> {
        let nic = self.machine.nic(&wish.address).ok_or("the machine has no such NIC")?;
        if let Some(known) = &wish.known_id
            && *known != nic.id()
        {
            return Err(format!(
                "it was {known} and is {} now: look whether the addresses of NICs have changed, \
                 then `sluicectl setup --undo` and `--apply`",
                nic.id()
            ));
        }
        let interface = nic.interfaces.first().map_or("INTERFACE", String::as_str);
        let instead = format!("use `device: \"net_af_packet0,iface={interface}\"`");
        let Some(pmd) = self.pmds.of(&nic) else {
            return Err(format!("DPDK has no driver for {}: {instead}", nic.id()));
        };
        let (vfio, uio_generic) = match pmd.bound() {
            Bound::Own(modules) => {
                for module in &modules {
                    self.load(module);
                }
                return Ok(());
            }
            Bound::Given { vfio, uio_generic } => (vfio, uio_generic),
        };
        let to = match self.iommu.groups {
            0 if uio_generic => UIO,
            0 => {
                return Err(format!(
                    "there is no IOMMU, and DPDK's {} works with none but vfio-pci: switch the \
                     IOMMU on, or {instead}",
                    pmd.name
                ));
            }
            _ if vfio => VFIO,
            _ => return Err(format!("DPDK's {} does not work with vfio-pci: {instead}", pmd.name)),
        };
        // igb_uio is no module of the kernel's: somebody wanted it.
        if nic.driver.as_deref() == Some("igb_uio") {
            return Ok(());
        }
        if nic.driver.as_deref() == Some(to) {
            if self.remembered.nic(&nic.address).is_none() {
                self.plan.kept.nics.push(TakenNic {
                    id: nic.id(),
                    mac: None,
                    interface: None,
                    // Who had it before is not known any more.
                    before: None,
                    forced: wish.forced,
                    address: nic.address,
                });
            }
            return Ok(());
        }
        self.check_group(&nic, to, wanted)?;
        self.check_use(&nic, wish)?;
        self.bind(nic, wish, to)
    }

    /// A group is given away as a whole.
    fn check_group(&self, nic: &Nic, to: &str, wanted: &[&str]) -> Result<(), String> {
        let others = self.machine.in_the_way(nic);
        let other = others.iter().find(|(address, _)| to == VFIO && !wanted.contains(&&**address));
        match other {
            None => Ok(()),
            Some((address, driver)) => Err(format!(
                "it shares its IOMMU group with {address}, which {driver} has: put it into another \
                 slot, or unbind {address} from its driver"
            )),
        }
    }

    fn check_use(&self, nic: &Nic, wish: &Wish) -> Result<(), String> {
        if self.is_running && matches!(nic.driver.as_deref(), Some(VFIO | UIO)) {
            return Err("a director runs, and may have it: `systemctl stop sluiced`".to_owned());
        }
        if wish.forced {
            return Ok(());
        }
        let way_out = "take another NIC, or say --force";
        if let Some(problem) = self.guard.is_vital(nic) {
            return Err(format!("{problem}: {way_out}"));
        }
        // What was taken before may have been set up again by the machine's own configuration.
        if wish.known_id.is_none()
            && let Some(problem) = self.guard.is_used(nic)
        {
            return Err(format!("{problem}: take the address off, or {way_out}"));
        }
        Ok(())
    }

    fn bind(&mut self, nic: Nic, wish: &Wish, to: &'static str) -> Result<(), String> {
        if self.machine.module(to) == ModuleState::Missing {
            return Err(format!("this kernel has no {to}: install its full set of modules"));
        }
        self.load(to);
        if to == VFIO && self.machine.module(VFIO_TYPE1) == ModuleState::Loadable {
            self.load(VFIO_TYPE1);
        }
        if to == UIO {
            let note = format!(
                "{}: without an IOMMU it gets uio_pci_generic: it can read and write all memory of \
                 the machine, it has no MSI-X, and the director has to run as root",
                nic.address
            );
            self.plan.notes.push(note);
        }
        let interface = nic.interfaces.first().and_then(|name| self.machine.interface(name));
        self.plan.steps.push(Step::Bind(Binding {
            mac: interface.and_then(|interface| interface.mac),
            port: wish.port.clone(),
            forced: wish.forced,
            nic,
            to,
        }));
        Ok(())
    }
}

/// What is given back: all that is remembered.
pub(super) fn undo(machine: &Machine, remembered: &Remembered, force: bool) -> Plan {
    let mut plan = Plan::default();
    if machine.runs("sluiced") && !force {
        plan.refused.push(
            "a director runs, and has them: `systemctl stop sluiced`, or say --force".to_owned(),
        );
        return plan;
    }
    for taken in &remembered.nics {
        let Some(nic) = machine.nic(&taken.address).filter(|nic| nic.id() == taken.id) else {
            plan.notes.push(format!("{}: it is not there any more", taken.address));
            continue;
        };
        // Somebody else may have given it back.
        if let Some(from @ (VFIO | UIO)) = nic.driver.as_deref() {
            let (address, from) = (nic.address.clone(), from.to_owned());
            plan.steps.push(Step::Return { address, from, to: taken.before.clone() });
        }
    }
    let pools = [machine.hugepages(), machine.hugepages_of_nodes()].concat();
    for entry in &remembered.hugepages {
        let pool = pools.iter().find(|it| it.node == entry.node && it.size_kib == HUGEPAGE_KIB);
        let Some(pool) = pool.filter(|pool| pool.total > 0) else { continue };
        plan.steps.push(Step::Release(Pages {
            file: pool.wish(),
            node: entry.node,
            from: pool.total,
            to: pool.total.saturating_sub(entry.added),
            needed: 0,
        }));
    }
    plan
}
