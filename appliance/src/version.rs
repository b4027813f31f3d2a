//! What this program is.

/// Version and git revision, as `--version` shows them.
pub const fn version() -> &'static str {
    concat!(env!("SLUICE_VERSION"), " (", env!("SLUICE_GIT_REVISION"), ")")
}
