//! The programs' shared parts.

pub mod config;
