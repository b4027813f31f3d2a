//! What the processor can do.

use super::{Item, Subject};

/// Flags of what a distribution's DPDK is compiled for; it checks them when it starts
/// (`rte_cpu_is_supported`).
const X86: &[&str] = &["sse", "sse2", "pni", "ssse3", "sse4_1", "sse4_2"];
const ARM: &[&str] = &["fp", "asimd", "crc32"];

/// Flags of a time stamp counter that runs at one speed and never stops.
const STEADY: &[&str] = &["constant_tsc", "nonstop_tsc"];

pub(super) fn look(subject: &Subject<'_>) -> Vec<Item> {
    let cpus = &subject.cpus;
    let has = |flag: &&&str| cpus.flags.iter().any(|known| known == **flag);
    let lacks = |wanted: &'static [&'static str]| {
        let missing = wanted.iter().filter(|flag| !has(flag)).copied();
        missing.collect::<Vec<_>>()
    };
    let is_arm = cpus.flags.iter().any(|flag| flag == "asimd" || flag == "fp");
    let model = cpus.model.as_deref().unwrap_or("unknown model");
    let missing = lacks(if is_arm { ARM } else { X86 });
    let mut items = vec![if cpus.flags.is_empty() {
        Item::fine("processor", format!("{model}; the kernel does not say what it can do"))
    } else if missing.is_empty() {
        Item::fine("processor", format!("{model}; it can do what DPDK needs"))
    } else {
        Item::error(
            "processor",
            format!("{model}; DPDK needs {}, which it lacks", missing.join(", ")),
            "use another machine; of a virtual one, another model: -cpu host",
        )
    }];
    if !is_arm && !cpus.flags.is_empty() {
        let missing = lacks(STEADY);
        items.push(if missing.is_empty() {
            Item::fine("clock", "the time stamp counter runs at one speed and never stops")
        } else {
            Item::warning(
                "clock",
                format!("the time stamp counter lacks {}: time may be off", missing.join(", ")),
                "of a virtual machine: -cpu host,+invtsc",
            )
        });
    }
    items
}
