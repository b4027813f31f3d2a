//! The director as pure logic.

pub mod destination;
pub mod frame;
pub mod ipvsadm;
pub mod operations;
pub mod protocol;
pub mod service;
