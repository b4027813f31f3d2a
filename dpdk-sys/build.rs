//! Finds the distribution's libdpdk, links it dynamically, binds the few functions that the
//! appliance calls, and compiles the shim.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The oldest release that is supported: Debian 12's.
const DPDK_VERSION_MIN: &str = "22.11";

/// Functions to bind. Types follow from them; a name that is not used does not belong here.
const FUNCTIONS: &[&str] = &[
    // EAL, its log and its lcores
    "rte_eal_(init|cleanup|get_runtime_dir|remote_launch|mp_wait_lcore)",
    "rte_openlog_stream",
    "rte_(get_tsc_hz|rdtsc|version)",
    "rte_(dev_bus|bus_name)",
    "rte_dev_event_callback_register",
    "rte_pdump_init",
    // buffers
    "rte_pktmbuf_(pool_create|alloc_bulk|free_bulk|free)",
    "rte_mempool_(free|in_use_count)",
    // ports
    "rte_eth_dev_(info_get|configure|adjust_nb_rx_tx_desc|start|stop|close|socket_id)",
    "rte_eth_dev_(get_port_by_name|get_mtu|set_mtu|default_mac_addr_set)",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_eth_(promiscuous_(enable|disable)|allmulticast_enable)",
    "rte_eth_(macaddr_get|stats_get|xstats_get|xstats_get_names)",
    "rte_eth_(rx|tx)_burst",
    "shim_.*",
];

/// Structures that are only passed by pointer. An mbuf's fields are read by offset (see
/// wrapper.h); the ARP structures are packed inside of aligned ones, which Rust cannot say.
const OPAQUE: &[&str] = &[
    "rte_mbuf",
    "rte_mempool",
    "rte_device",
    "rte_bus",
    "rte_arp_hdr",
    "rte_arp_ipv4",
    "_IO_FILE",
];

fn main() {
    for file in ["wrapper.h", "shim.c", "build.rs"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for variable in ["PKG_CONFIG_PATH", "LIBCLANG_PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let library = probe();
    // Reaches the build scripts of dependants as DEP_DPDK_VERSION.
    println!("cargo:version={}", library.version);
    let flags = compiler_flags(&library);
    let out_dir = PathBuf::from(env::var("OUT_DIR").unwrap_or_else(|error| {
        give_up(&format!("cargo did not set OUT_DIR: {error}"));
    }));
    let wrappers = bind(&flags, &out_dir);
    compile_shim(&flags, &wrappers, &out_dir);
}

/// Asks pkg-config for libdpdk, which also emits the link lines.
fn probe() -> pkg_config::Library {
    pkg_config::Config::new().atleast_version(DPDK_VERSION_MIN).probe("libdpdk").unwrap_or_else(
        |error| {
            give_up(&format!("libdpdk {DPDK_VERSION_MIN} or later was not found: {error}"));
        },
    )
}

/// What both compilers need. The pkg-config crate drops `-include rte_config.h` and `-march`, and
/// without them inline functions are compiled for another machine or not at all.
fn compiler_flags(library: &pkg_config::Library) -> Vec<String> {
    let mut flags: Vec<String> =
        library.include_paths.iter().map(|path| format!("-I{}", path.display())).collect();
    flags.extend(["-include".to_owned(), "rte_config.h".to_owned()]);
    let output = Command::new(env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned()))
        .args(["--cflags", "libdpdk"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let cflags = String::from_utf8_lossy(&output.stdout).into_owned();
            flags.extend(
                cflags.split_whitespace().filter(|flag| flag.starts_with("-m")).map(str::to_owned),
            );
        }
        Ok(output) => give_up(&format!("pkg-config --cflags libdpdk ended with {}", output.status)),
        Err(error) => give_up(&format!("pkg-config cannot be run: {error}")),
    }
    flags
}

/// Writes bindings.rs and the C file with the wrappers of inline functions; returns the latter.
fn bind(flags: &[String], out_dir: &Path) -> PathBuf {
    // bindgen panics where it cannot load libclang: catch that to name the packages.
    let wrappers = out_dir.join("inline_wrappers.c");
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(flags)
        .wrap_static_fns(true)
        .wrap_static_fns_path(&wrappers)
        .wrap_static_fns_suffix("_w")
        .allowlist_var("SHIM_.*")
        .allowlist_type("rte_eth_rx_mq_mode")
        .use_core()
        .generate_comments(false)
        .derive_default(false)
        .layout_tests(true);
    for function in FUNCTIONS {
        builder = builder.allowlist_function(function);
    }
    for name in OPAQUE {
        builder = builder.opaque_type(name);
    }
    let generated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.generate()));
    match generated {
        Ok(Ok(bindings)) => {
            if let Err(error) = bindings.write_to_file(out_dir.join("bindings.rs")) {
                give_up(&format!("the bindings cannot be written: {error}"));
            }
        }
        Ok(Err(error)) => give_up(&format!("bindgen could not read DPDK's headers: {error}")),
        Err(_) => give_up("bindgen stopped, most likely for want of libclang (see above)"),
    }
    wrappers
}

/// Compiles the shim and the wrappers into one archive.
fn compile_shim(flags: &[String], wrappers: &Path, out_dir: &Path) {
    let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| ".".to_owned());
    let mut build = cc::Build::new();
    build.file("shim.c").include(&here).out_dir(out_dir).opt_level(3);
    // The wrappers name wrapper.h as bindgen was given it.
    build.file(wrappers);
    // DPDK's own headers warn under -Wextra; what is ours is compiled as strictly as they allow.
    build.extra_warnings(false);
    for flag in flags {
        build.flag(flag);
    }
    if let Err(error) = build.try_compile("dpdk_shim") {
        give_up(&format!("the C shim does not compile: {error}"));
    }
}

/// Says what is missing and how to get it, and stops the build.
fn give_up(problem: &str) -> ! {
    eprintln!("dpdk-sys: {problem}");
    eprintln!();
    eprintln!(
        "dpdk-sys needs DPDK {DPDK_VERSION_MIN} or later with its headers, and clang. On Debian and Ubuntu:"
    );
    eprintln!("    apt-get install libdpdk-dev libclang-dev clang pkg-config");
    eprintln!("For a DPDK of your own, point PKG_CONFIG_PATH at the folder that holds libdpdk.pc.");
    exit(1);
}
