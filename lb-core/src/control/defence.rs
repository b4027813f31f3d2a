//! Switches, and those that the director moves by itself when room is short.

use super::Control;
use crate::overload;
use crate::settings::Settings;

impl Control {
    /// Sets the switches. Automatic ones are at once as the room for connections wants them, as in
    /// the kernel.
    pub fn set_settings(&mut self, settings: Settings) {
        self.changed |= settings != self.settings;
        self.settings = settings;
        self.adapt_defence();
    }

    /// The switches as they are.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Connections that still fit into the flow table.
    pub fn available_flows(&self) -> u64 {
        let all = u64::try_from(self.director.flows.flows_max()).unwrap_or(u64::MAX);
        all.saturating_sub(self.director.flows_used())
    }

    /// Moves the automatic switches by the room that there is, and tells workers the drop rate.
    pub(super) fn adapt_defence(&mut self) {
        let available = self.available_flows();
        let is_low = overload::is_low(&self.settings, available);
        let settings = &mut self.settings;
        for defence in
            [&mut settings.drop_entry, &mut settings.drop_packet, &mut settings.secure_tcp]
        {
            let adapted = defence.adapted(is_low);
            self.changed |= adapted != *defence;
            *defence = adapted;
        }
        self.director.drop_rate.set(overload::drop_rate(settings, available));
    }
}
