//! Counters of a port's queues, of drivers that have them: DPDK's extended statistics, by name.

use std::collections::BTreeMap;

use super::port::Port;

/// What a driver counted at one queue, since the port was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Frames received.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames received that were broken, or found no buffer.
    pub rx_errors: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
}

impl QueueStats {
    fn field(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "rx_packets" => &mut self.rx_packets,
            "rx_bytes" => &mut self.rx_bytes,
            "rx_errors" => &mut self.rx_errors,
            "tx_packets" => &mut self.tx_packets,
            "tx_bytes" => &mut self.tx_bytes,
            _ => return None,
        })
    }
}

impl Port {
    /// The counters of its queues by their numbers; none where the driver has none.
    #[must_use]
    pub fn queue_stats(&self) -> BTreeMap<u16, QueueStats> {
        let mut queues = BTreeMap::new();
        for (name, value) in self.extended_stats() {
            let Some((queue, field)) = queue_of(&name) else { continue };
            if let Some(place) = QueueStats::field(queues.entry(queue).or_default(), &field) {
                *place = value;
            }
        }
        queues
    }

    /// Names and values of the extended statistics; none where they cannot be had.
    fn extended_stats(&self) -> Vec<(String, u64)> {
        // SAFETY: without room for names it only says how many there are.
        let count =
            unsafe { dpdk_sys::rte_eth_xstats_get_names(self.open.id, std::ptr::null_mut(), 0) };
        let Ok(room) = u32::try_from(count) else { return Vec::new() };
        let no_name = dpdk_sys::rte_eth_xstat_name { name: [0; 64] };
        let mut names = vec![no_name; room as usize];
        // SAFETY: there is room for as many names as stated.
        let named =
            unsafe { dpdk_sys::rte_eth_xstats_get_names(self.open.id, names.as_mut_ptr(), room) };
        let mut values = vec![dpdk_sys::rte_eth_xstat { id: 0, value: 0 }; room as usize];
        // SAFETY: there is room for as many values as stated.
        let valued =
            unsafe { dpdk_sys::rte_eth_xstats_get(self.open.id, values.as_mut_ptr(), room) };
        // More than before: queues came meanwhile, and nothing was written.
        if named != count || valued != count {
            return Vec::new();
        }
        let value = |xstat: &dpdk_sys::rte_eth_xstat| {
            let name = names.get(usize::try_from(xstat.id).ok()?)?;
            let letters = name.name.iter().take_while(|letter| **letter != 0);
            let bytes: Vec<u8> = letters.map(|letter| letter.to_ne_bytes()[0]).collect();
            Some((String::from_utf8(bytes).ok()?, xstat.value))
        };
        values.iter().filter_map(value).collect()
    }
}

/// `rx_q3_packets`: queue 3, and the name without it.
fn queue_of(name: &str) -> Option<(u16, String)> {
    let (direction, rest) = name.split_once("_q")?;
    let (queue, what) = rest.split_once('_')?;
    Some((queue.parse().ok()?, format!("{direction}_{what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_queues_are_read() {
        assert_eq!(queue_of("rx_q3_packets"), Some((3, "rx_packets".to_owned())));
        assert_eq!(queue_of("tx_q12_bytes"), Some((12, "tx_bytes".to_owned())));
        assert_eq!(queue_of("rx_good_packets"), None);
        assert_eq!(queue_of("rx_qx_packets"), None);
        let mut stats = QueueStats::default();
        for name in ["rx_packets", "rx_bytes", "rx_errors", "tx_packets", "tx_bytes"] {
            *stats.field(name).unwrap() += 1;
        }
        assert!(stats.field("rx_missed").is_none());
        let QueueStats { rx_packets, rx_bytes, rx_errors, tx_packets, tx_bytes } = stats;
        assert_eq!([rx_packets, rx_bytes, rx_errors, tx_packets, tx_bytes], [1; 5]);
    }
}
