//! The programs around the director's logic: sluiced, sluiceadm and sluicectl.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "the one module that calls C: it wraps DPDK's nouns safely")]
pub mod dpdk;
