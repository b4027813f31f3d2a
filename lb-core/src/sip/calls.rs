//! The Call-IDs of templates.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::flow::FlowId;

/// The Call-IDs of all templates that have one. Under one lock: only the first packets of
/// connections to services with the engine come here, and there are no more than connections.
#[derive(Debug, Default)]
pub struct Calls(Mutex<HashMap<FlowId, Box<[u8]>>>);

impl Calls {
    /// A template gets its Call-ID.
    pub(crate) fn remember(&self, template: FlowId, id: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(template, id.into());
    }

    /// Whether this is the template's Call-ID.
    pub(crate) fn is(&self, template: FlowId, id: &[u8]) -> bool {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(&template).is_some_and(|known| **known == *id)
    }

    /// The template's Call-ID as text, if it has one.
    pub fn text(&self, template: FlowId) -> Option<String> {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(String::from_utf8_lossy(calls.get(&template)?).into_owned())
    }

    /// The template's Call-ID, if it has one.
    pub(crate) fn of(&self, template: FlowId) -> Option<Box<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&template).cloned()
    }

    /// The template is over.
    pub(crate) fn forget(&self, template: FlowId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&template);
    }
}
