//! The implementation under test. Everything in this test asks for it here.

use lb_core::operations::Operations;

use crate::model::Model;

/// Whether the director can start sync daemons.
pub(crate) const RUNS_SYNC_DAEMONS: bool = true;

/// An empty director.
pub(crate) fn director() -> impl Operations {
    Model::default()
}
