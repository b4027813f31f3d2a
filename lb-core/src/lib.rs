//! The director as pure logic.

pub mod destination;
pub mod frame;
pub mod operations;
pub mod protocol;
pub mod reply;
pub mod service;
pub mod state;
pub mod wire;
