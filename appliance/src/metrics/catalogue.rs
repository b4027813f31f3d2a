//! The one list of metrics: what is served, and the table of `docs/metrics.md`, come from here.
//!
//! Names follow the conventions of Prometheus, and those that node_exporter has for the kernel's
//! IPVS where there are any: base units, `_total` for what only grows, `_info` for what is a label.

use std::fmt::Write as _;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    Histogram,
    /// Always 1; its labels say something.
    Info,
}

impl Kind {
    /// The word of both text formats; the older one has none for an info.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// A metric with all of its time series.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Family {
    /// The name without what OpenMetrics adds to it for each kind.
    pub fn base(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }

    /// The unit, where the name ends with one that OpenMetrics knows.
    pub fn unit(&self) -> Option<&'static str> {
        let base = self.base();
        let is_unit = |unit: &&str| base.strip_suffix(*unit).is_some_and(|it| it.ends_with('_'));
        ["seconds", "bytes", "ratio", "hertz"].into_iter().find(is_unit)
    }

    /// The metric of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|family| family.name == name)
    }
}

/// The list as a table in Markdown.
pub fn markdown_table() -> String {
    let mut table =
        String::from("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for Family { name, kind, labels, help } in ALL {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (kind.name(), labels.join(", "));
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {help} |");
    }
    table
}

macro_rules! families {
    ($($constant:ident: $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        $(pub static $constant: Family = Family {
            name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help,
        };)*

        /// Every metric, in the order of the documentation.
        pub static ALL: &[&Family] = &[$(&$constant),*];
    };
}

families! {
    BUILD_INFO: "sluice_build_info", Info, ["version", "dpdk"],
        "Versions of the director and of its DPDK.";

    CONNECTIONS: "sluice_connections_total", Counter, [],
        "Connections of all services since the start, removed ones included; -Z does not reset it.";
    INCOMING_PACKETS: "sluice_incoming_packets_total", Counter, [],
        "Packets from clients to all services since the start.";
    OUTGOING_PACKETS: "sluice_outgoing_packets_total", Counter, [],
        "Packets from real servers back to clients since the start; only NAT brings them here.";
    INCOMING_BYTES: "sluice_incoming_bytes_total", Counter, [],
        "Bytes of the IP packets from clients to all services.";
    OUTGOING_BYTES: "sluice_outgoing_bytes_total", Counter, [],
        "Bytes of the IP packets from real servers back to clients.";

    SERVICES: "sluice_services", Gauge, [],
        "Virtual services.";
    SERVERS: "sluice_servers", Gauge, [],
        "Real servers of all services.";
    SERVERS_MAX: "sluice_servers_max", Gauge, [],
        "Real servers that there is room for, removed ones included (destinations.max).";
    SERVERS_REMOVED: "sluice_servers_removed", Gauge, [],
        "Removed real servers that connections or schedulers still refer to.";

    SERVICE_INFO: "sluice_service_info", Info, ["service", "scheduler"],
        "The scheduler of a service.";
    SERVICE_CONNECTIONS: "sluice_service_connections_total", Counter, ["service"],
        "Connections of a service.";
    SERVICE_INCOMING_PACKETS: "sluice_service_incoming_packets_total", Counter, ["service"],
        "Packets from clients.";
    SERVICE_OUTGOING_PACKETS: "sluice_service_outgoing_packets_total", Counter, ["service"],
        "Packets back to clients (NAT).";
    SERVICE_INCOMING_BYTES: "sluice_service_incoming_bytes_total", Counter, ["service"],
        "Bytes of the IP packets from clients.";
    SERVICE_OUTGOING_BYTES: "sluice_service_outgoing_bytes_total", Counter, ["service"],
        "Bytes of the IP packets back to clients (NAT).";
    SERVICE_ACTIVE: "sluice_service_active_connections", Gauge, ["service"],
        "Established connections to the real servers of a service.";
    SERVICE_INACTIVE: "sluice_service_inactive_connections", Gauge, ["service"],
        "Connections in any other state.";
    SERVICE_PERSISTENT: "sluice_service_persistence_templates", Gauge, ["service"],
        "Clients that are bound to a real server of a service.";
    SERVICE_SERVERS: "sluice_service_servers", Gauge, ["service"],
        "Real servers of a service.";
    SERVICE_USABLE_SERVERS: "sluice_service_usable_servers", Gauge, ["service"],
        "Those that take new connections: of a weight above 0, not overloaded, and reached.";

    SERVER_INFO: "sluice_server_info", Info, ["service", "server", "forward"],
        "The forwarding method of a real server: Masq, Tunnel or Route.";
    SERVER_CONNECTIONS: "sluice_server_connections_total", Counter, ["service", "server"],
        "Connections that a real server got.";
    SERVER_INCOMING_PACKETS: "sluice_server_incoming_packets_total", Counter, ["service", "server"],
        "Packets to a real server.";
    SERVER_OUTGOING_PACKETS: "sluice_server_outgoing_packets_total", Counter, ["service", "server"],
        "Packets from a real server (NAT).";
    SERVER_INCOMING_BYTES: "sluice_server_incoming_bytes_total", Counter, ["service", "server"],
        "Bytes of the IP packets to a real server.";
    SERVER_OUTGOING_BYTES: "sluice_server_outgoing_bytes_total", Counter, ["service", "server"],
        "Bytes of the IP packets from a real server (NAT).";
    SERVER_ACTIVE: "sluice_server_active_connections", Gauge, ["service", "server"],
        "Established connections.";
    SERVER_INACTIVE: "sluice_server_inactive_connections", Gauge, ["service", "server"],
        "Connections in any other state.";
    SERVER_PERSISTENT: "sluice_server_persistence_templates", Gauge, ["service", "server"],
        "Clients that are bound to a real server.";
    SERVER_WEIGHT: "sluice_server_weight", Gauge, ["service", "server"],
        "Weight; 0 takes no new connections.";
    SERVER_UPPER_THRESHOLD: "sluice_server_upper_threshold", Gauge, ["service", "server"],
        "Connections above which a real server is overloaded; absent without a threshold.";
    SERVER_LOWER_THRESHOLD: "sluice_server_lower_threshold", Gauge, ["service", "server"],
        "Connections below which it is overloaded no more; absent without a threshold.";
    SERVER_OVERLOADED: "sluice_server_overloaded", Gauge, ["service", "server"],
        "1 between the two thresholds, once the upper one was reached.";
    SERVER_REACHED: "sluice_server_reached", Gauge, ["service", "server"],
        "1 where the link-layer address on the way to a real server is known, or it is the director.";

    WORKER_INFO: "sluice_worker_info", Info, ["worker", "cpu"],
        "The CPU of a worker.";
    WORKER_RECEIVED: "sluice_worker_received_packets_total", Counter, ["worker"],
        "Frames that a worker took from its receive queues.";
    WORKER_OUTCOMES: "sluice_worker_outcome_packets_total", Counter, ["worker", "outcome"],
        "What became of them: forwarded, answered, to_kernel, consumed, dropped.";
    WORKER_WAITING: "sluice_worker_waiting_packets", Gauge, ["worker", "queue"],
        "Frames that wait: neighbour for a link-layer address, fragment for the first fragment.";
    WORKER_SPLIT: "sluice_worker_split_packets_total", Counter, ["worker"],
        "Forwarded packets that left in pieces.";
    WORKER_ERRORS_SENT: "sluice_worker_error_answers_total", Counter, ["worker"],
        "Dropped packets whose sender was told by a TCP reset or an ICMP error.";
    WORKER_MADE: "sluice_worker_made_packets_total", Counter, ["worker", "origin"],
        "Frames that are no received ones: pieces of split packets, ARP and ND of the control plane.";
    WORKER_FROM_KERNEL: "sluice_worker_from_kernel_packets_total", Counter, ["worker", "outcome"],
        "Frames of the host's kernel: relayed, or refused because no port takes them as they are.";
    WORKER_SENT: "sluice_worker_sent_packets_total", Counter, ["worker"],
        "Frames that the ports' devices took for sending.";
    WORKER_BUSY: "sluice_worker_busy_cycles_total", Counter, ["worker"],
        "Cycles of turns with work; by received packets: cycles per packet.";
    WORKER_IDLE: "sluice_worker_idle_cycles_total", Counter, ["worker"],
        "Cycles of turns without work, asleep or not.";
    WORKER_BURSTS: "sluice_worker_burst_packets", Histogram, ["worker"],
        "Packets of a received burst.";
    TSC_FREQUENCY: "sluice_tsc_frequency_hertz", Gauge, [],
        "Cycles in a second.";

    DROPPED: "sluice_dropped_packets_total", Counter, ["reason", "stage"],
        "Packets dropped, by reason. Stage path: instead of another outcome; stage output: after \
         it, by a device or the kernel that did not take them.";

    PORT_INFO: "sluice_port_info", Info, ["port", "device", "driver", "mac"],
        "The device of a port.";
    PORT_UP: "sluice_port_up", Gauge, ["port"],
        "1 where the link is up.";
    PORT_SPEED: "sluice_port_speed_bytes_per_second", Gauge, ["port"],
        "Speed of the link; absent where the device does not know.";
    PORT_MTU: "sluice_port_mtu_bytes", Gauge, ["port"],
        "Largest IP packet.";
    PORT_RX_PACKETS: "sluice_port_receive_packets_total", Counter, ["port"],
        "Frames that the device received.";
    PORT_RX_BYTES: "sluice_port_receive_bytes_total", Counter, ["port"],
        "Their bytes.";
    PORT_RX_MISSED: "sluice_port_receive_missed_total", Counter, ["port"],
        "Frames that found no free descriptor: the worker is too slow, or the queue too short.";
    PORT_RX_ERRORS: "sluice_port_receive_errors_total", Counter, ["port"],
        "Frames that arrived broken.";
    PORT_RX_NO_MBUF: "sluice_port_receive_no_mbuf_total", Counter, ["port"],
        "Frames for which the port had no buffer (ports[].mbufs).";
    PORT_TX_PACKETS: "sluice_port_transmit_packets_total", Counter, ["port"],
        "Frames that the device sent.";
    PORT_TX_BYTES: "sluice_port_transmit_bytes_total", Counter, ["port"],
        "Their bytes.";
    PORT_TX_ERRORS: "sluice_port_transmit_errors_total", Counter, ["port"],
        "Frames that the device failed to send.";
    PORT_MBUFS: "sluice_port_mbufs", Gauge, ["port"],
        "Packet buffers of the port.";
    PORT_MBUFS_USED: "sluice_port_mbufs_in_use", Gauge, ["port"],
        "Those in receive rings, or held by somebody.";
    QUEUE_RX_PACKETS: "sluice_port_queue_receive_packets_total", Counter, ["port", "queue"],
        "Frames received by a queue; absent where the driver does not count them.";
    QUEUE_RX_BYTES: "sluice_port_queue_receive_bytes_total", Counter, ["port", "queue"],
        "Their bytes.";
    QUEUE_RX_ERRORS: "sluice_port_queue_receive_errors_total", Counter, ["port", "queue"],
        "Frames that a queue could not receive.";
    QUEUE_TX_PACKETS: "sluice_port_queue_transmit_packets_total", Counter, ["port", "queue"],
        "Frames sent by a queue.";
    QUEUE_TX_BYTES: "sluice_port_queue_transmit_bytes_total", Counter, ["port", "queue"],
        "Their bytes.";
    KERNEL_RX_PACKETS: "sluice_kernel_receive_packets_total", Counter, ["interface"],
        "Frames that the host's kernel got by its interface.";
    KERNEL_RX_BYTES: "sluice_kernel_receive_bytes_total", Counter, ["interface"],
        "Their bytes.";
    KERNEL_TX_PACKETS: "sluice_kernel_transmit_packets_total", Counter, ["interface"],
        "Frames that the host's kernel sent by it.";
    KERNEL_TX_BYTES: "sluice_kernel_transmit_bytes_total", Counter, ["interface"],
        "Their bytes.";

    FLOWS: "sluice_flows", Gauge, [],
        "Connections and persistence templates in the flow table.";
    FLOWS_MAX: "sluice_flows_max", Gauge, [],
        "Those that there is room for (flows.max).";
    FLOWS_INSERTED: "sluice_flows_inserted_total", Counter, [],
        "Entries that were put into the flow table.";
    FLOWS_REMOVED: "sluice_flows_removed_total", Counter, [],
        "Entries that were taken out: their time was over, or somebody ended them.";
    FLOWS_EVICTED: "sluice_flows_evicted_total", Counter, [],
        "Those of them that drop_entry ended before their time.";
    FLOW_BUCKETS: "sluice_flow_buckets", Gauge, [],
        "Buckets that a hash chooses from.";
    FLOW_OVERFLOW: "sluice_flow_overflow_buckets", Gauge, [],
        "Overflow buckets in use.";
    FLOW_CHAINS: "sluice_flow_bucket_share_ratio", Gauge, ["entries"],
        "Share of the buckets that have so many entries, in a sample of 1,024; 16 is 16 or more.";
    DATAGRAMS: "sluice_fragmented_datagrams", Gauge, [],
        "Datagrams whose fragments are followed.";
    DATAGRAMS_MAX: "sluice_fragmented_datagrams_max", Gauge, [],
        "Those that there is room for.";
    NEIGHBOURS: "sluice_neighbours", Gauge, ["state"],
        "Neighbours by state, as in sluicectl neigh.";
    DEFENCE: "sluice_defence", Gauge, ["switch"],
        "drop_entry, drop_packet, secure_tcp as they are now: 0 off, 1 when room is short, 2 now, 3 always.";
    DROP_RATE: "sluice_defence_one_in", Gauge, [],
        "One in so many packets that would begin a connection is dropped; 0: none.";

    SYNC_DAEMONS: "sluice_sync_daemons", Gauge, ["role"],
        "1 where the sync daemon runs: master, backup.";
    SYNC_SENT: "sluice_sync_sent_datagrams_total", Counter, [],
        "Datagrams that the master has sent.";
    SYNC_SENT_CONNECTIONS: "sluice_sync_sent_connections_total", Counter, [],
        "Connections in them.";
    SYNC_SEND_ERRORS: "sluice_sync_send_errors_total", Counter, [],
        "Datagrams that the network did not take.";
    SYNC_RECEIVED: "sluice_sync_received_datagrams_total", Counter, [],
        "Datagrams that the backup has received.";
    SYNC_TAKEN: "sluice_sync_taken_connections_total", Counter, [],
        "Connections that it took over or updated.";
    SYNC_IGNORED: "sluice_sync_ignored_connections_total", Counter, [],
        "Connections that it did not take.";
    SYNC_MALFORMED: "sluice_sync_malformed_datagrams_total", Counter, [],
        "Datagrams that it could not read.";

    SESSION_LINES: "sluice_session_log_lines_total", Counter, [],
        "Lines of the session log.";
    SESSION_LEFT_OUT: "sluice_session_log_left_out_total", Counter, ["reason"],
        "Connections that ended without a line: not the one in session_log.sample, beyond session_log.rate, or more than its queue holds.";

    COMMANDS: "sluice_control_commands_total", Counter, ["verb", "result"],
        "Requests on the control socket, by the first word (of ipvsadm: its option) and ok or refused.";
    COMMAND_SECONDS: "sluice_control_command_duration_seconds", Histogram, [],
        "Time that the control socket's requests took.";
    RELOADS: "sluice_reloads_total", Counter, ["result"],
        "Reloads of the configuration: ok, refused. Dry runs do not count.";
    RELOAD_SECONDS: "sluice_reload_last_duration_seconds", Gauge, [],
        "Time that the last reload took; 0 before the first.";
    RELOAD_OK: "sluice_reload_last_successful", Gauge, [],
        "1 where the last reload was taken, or there was none.";
    RELOAD_OK_TIME: "sluice_reload_last_success_timestamp_seconds", Gauge, [],
        "When the configuration that runs was read, in seconds since 1970.";
    LOG_LINES: "sluice_log_lines_total", Counter, ["module"],
        "Lines that the director said of its own accord (sluicectl log).";
    LOG_SUPPRESSED: "sluice_log_suppressed_lines_total", Counter, ["module"],
        "Lines that were too many in their second.";
    HTTP_REQUESTS: "sluice_metrics_requests_total", Counter, ["path", "code"],
        "HTTP requests for metrics and the status page.";
    SCRAPE_SECONDS: "sluice_metrics_collection_seconds", Gauge, [],
        "Time that it took to collect these figures, before they were written.";
    SERIES: "sluice_metrics_series", Gauge, [],
        "Time series served, but for those of the process.";
    SERIES_OMITTED: "sluice_metrics_series_omitted", Gauge, [],
        "Time series of services and real servers that metrics.series leaves out.";

    PROCESS_CPU: "process_cpu_seconds_total", Counter, [],
        "Total user and system CPU time spent in seconds.";
    PROCESS_MAX_FDS: "process_max_fds", Gauge, [],
        "Maximum number of open file descriptors.";
    PROCESS_FDS: "process_open_fds", Gauge, [],
        "Number of open file descriptors.";
    PROCESS_RSS: "process_resident_memory_bytes", Gauge, [],
        "Resident memory size in bytes.";
    PROCESS_START: "process_start_time_seconds", Gauge, [],
        "Start time of the process since unix epoch in seconds.";
    PROCESS_THREADS: "process_threads", Gauge, [],
        "Number of OS threads in the process.";
    PROCESS_VSIZE: "process_virtual_memory_bytes", Gauge, [],
        "Virtual memory size in bytes.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: HashSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        for Family { name, kind, labels, help } in ALL {
            assert!(plain(name) && labels.iter().all(|label| plain(label)), "{name}");
            assert!(name.starts_with("sluice_") || name.starts_with("process_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Kind::Info, name.ends_with("_info"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '|', '"', '\\']), "{name}");
        }
    }

    #[test]
    fn units_are_those_of_the_names() {
        assert_eq!(PORT_RX_BYTES.unit(), Some("bytes"));
        assert_eq!(PORT_RX_BYTES.base(), "sluice_port_receive_bytes");
        assert_eq!(COMMAND_SECONDS.unit(), Some("seconds"));
        assert_eq!(FLOWS.unit(), None);
        assert_eq!(BUILD_INFO.base(), "sluice_build");
        assert_eq!(Family::named("sluice_flows"), Some(&FLOWS));
    }

    #[test]
    fn the_page_has_this_list() {
        const BEGIN: &str = "<!-- The table is checked against the list in the code. -->\n\n";
        const END: &str = "\n<!-- End of the table. -->\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the table begins");
        let (table, after) = rest.split_once(END).expect("the table ends");
        if std::env::var_os("REGENERATE").is_some() {
            let page = [before, BEGIN, &markdown_table(), END, after].concat();
            std::fs::write(path, page).unwrap();
        } else {
            assert_eq!(table, markdown_table(), "REGENERATE=1 rewrites the table");
        }
    }
}
