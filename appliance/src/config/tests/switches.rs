//! Switches, limits, and what the kernel takes.

use lb_core::settings::{Defence, Settings};

use super::*;

#[test]
fn switches_and_limits_have_defaults_and_values() {
    let config = parse_text(PORT).unwrap();
    assert_eq!(config.fragments, FragmentsConfig { max: 4096, queue: 256 });
    assert!(config.ip_forward && config.own_service_addresses && !config.tunnel.source_spread);
    assert_eq!(config.kernel, KernelConfig { rate: 20_000, take: Vec::new() });
    assert_eq!(config.settings, Settings::default());
    let text = "\
ip_forward: false
own_service_addresses: false
fragments: { max: 0, queue: 0 }
settings: { conn_reuse_mode: -3, expire_nodest_conn: 1, pmtu_disc: 0, nat_icmp_send: 1,
            sloppy_tcp: 1, sloppy_sctp: 1, icmp_msgs_per_sec: 5, drop_entry: 2, amemthresh: 7 }
tunnel: { source_spread: true }
kernel: { rate: 0, take: [tcp 22, \"proto 112\"] }
arp: { max: 0 }
";
    let config = parse_text(&format!("{PORT}{text}")).unwrap();
    assert!(!config.ip_forward && !config.own_service_addresses && config.tunnel.source_spread);
    assert_eq!((config.fragments.max, config.arp.max, config.kernel.rate), (0, 0, 0));
    let settings = Settings {
        conn_reuse_mode: -3,
        expire_nodest_conn: true,
        pmtu_disc: false,
        nat_icmp_send: true,
        sloppy_tcp: true,
        sloppy_sctp: true,
        icmp_msgs_per_sec: 5,
        drop_entry: Defence::AutomaticOn,
        amemthresh: 7,
        ..Settings::default()
    };
    assert_eq!(config.settings, settings);
    let taken =
        [(6, Some(22)), (112, None)].map(|(protocol, port)| TakenProtocol { protocol, port });
    assert_eq!(config.kernel.take, taken);
}

#[test]
fn switches_and_limits_are_what_they_can_be() {
    assert_mistake(
        "ip_forward: 1\n",
        "2:13: ip_forward: the number `1` is no truth value; write `true` or `false`",
    );
    assert_mistake(
        "own_service_addresses: no\n",
        "2:24: own_service_addresses: `no` is no truth value; write `true` or `false`",
    );
    assert_mistake(
        "fragments: { max: 2000000 }\n",
        "2:19: fragments.max: 2000000 is out of range; write a number from 0 to 1048576",
    );
    assert_mistake(
        "fragments: { queue: 1K }\n",
        "2:21: fragments.queue: `1K` has a unit, but counts have none; write a number from 0 to 65536",
    );
    assert_mistake(
        "tunnel: { source_spread: on }\n",
        "2:26: tunnel.source_spread: `on` is no truth value; write `true` or `false`",
    );
    assert_mistake(
        "kernel: { rate: fast }\n",
        "2:17: kernel.rate: `fast` is not a whole number; write a number from 0 to 10000000",
    );
    assert_mistake(
        "kernel: { take: [tcp 22, ssh] }\n",
        "2:26: kernel.take[1]: `ssh` is no protocol with a port; write for example `tcp 22`, `udp 3784`, `sctp 2905`, or `proto 112` for an IP protocol as a whole",
    );
    assert_mistake(
        "kernel: { take: tcp 22 }\n",
        "2:17: kernel.take: `tcp 22` is not a list; write `[tcp 22]`",
    );
    assert_mistake(
        "arp: { max: -1 }\n",
        "2:13: arp.max: -1 is out of range; write a number from 0 to 1048576",
    );
}

#[test]
fn switches_take_the_kernels_values_and_no_others() {
    assert_mistake(
        "settings: { pmtu_disc: true }\n",
        "2:24: settings.pmtu_disc: `true` is not a whole number; write 0 or 1",
    );
    assert_mistake(
        "settings: { conn_reuse_mode: 2147483648 }\n",
        "2:30: settings.conn_reuse_mode: 2147483648 is out of range; write a number from -2147483648 to 2147483647",
    );
    for name in ["drop_entry", "drop_packet", "secure_tcp"] {
        for value in ["4", "-1"] {
            assert_mistake(
                &format!("settings:\n  {name}: {value}\n"),
                &format!(
                    "3:{}: settings.{name}: {value} is out of range; write a number from 0 to 3",
                    name.len() + 5
                ),
            );
        }
    }
    assert_mistake(
        "settings: { conntrack: 1 }\n",
        "2:13: settings: `conntrack' cannot be set: there is no connection tracking beside the flow table",
    );
    assert_mistake(
        "settings: { icmp_msgs_per_sec: 10/s }\n",
        "2:32: settings.icmp_msgs_per_sec: `10/s` is not a whole number; write a number from 0 to 10000000",
    );
    assert_mistake(
        "settings: { sloppy_tcp: 0.5 }\n",
        "2:25: settings.sloppy_tcp: the number `0.5` is not a whole number; write 0 or 1",
    );
    assert_mistake(
        "settings: { pmtu_dics: 1 }\n",
        "2:13: settings: unknown key `pmtu_dics`; did you mean `pmtu_disc`?",
    );
}
