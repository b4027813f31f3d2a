//! What keepalived's words become in the table, and what is refused.

use std::time::Duration;

use super::{GLOBAL, Keepalived, config, lab};
use crate::support::director::Director;
use crate::support::lab::eventually;

/// Services with every kind of setting that a table has. Servers without checks.
const SERVICES: &str = "\
virtual_server 10.0.10.100 80 {
    lvs_sched sh
    sh-port
    sh-fallback
    lvs_method NAT
    protocol TCP
    real_server 10.0.10.83 8080 {
        weight 5
        uthreshold 100
        lthreshold 50
    }
}
virtual_server 10.0.10.100 81 {
    lvs_sched wlc
    persistence_timeout 300
    persistence_granularity 255.255.255.0
    lvs_method DR
    protocol TCP
    real_server 10.0.10.83 81 {
        weight 1
    }
}
virtual_server 10.0.10.100 82 {
    lvs_sched mh
    mh-port
    mh-fallback
    lvs_method TUN type gue port 6080 csum
    protocol TCP
    real_server 10.0.10.83 82 {
        weight 1
    }
    real_server 10.0.10.84 82 {
        weight 1
        lvs_method TUN type gre
    }
}
virtual_server 10.0.10.100 53 {
    lvs_sched rr
    ops
    lvs_method DR
    protocol UDP
    real_server 10.0.10.83 53 {
        weight 0
    }
}
virtual_server 10.0.10.100 5060 {
    lvs_sched rr
    ops
    persistence_engine sip
    persistence_timeout 60
    lvs_method NAT
    protocol UDP
    real_server 10.0.10.83 5060 {
        weight 1
    }
}
virtual_server 10.0.10.100 83 {
    lvs_sched lc
    lvs_method NAT
    protocol SCTP
    real_server 10.0.10.83 83 {
        weight 65535
    }
}
virtual_server fd00:10::100 84 {
    lvs_sched sh
    flag-1
    persistence_timeout 60
    persistence_granularity 64
    lvs_method DR
    protocol TCP
    real_server fd00:10::83 84 {
        weight 1
    }
}
";

const RULES: &str = "\
-A -t 10.0.10.100:80 -s sh -b sh-fallback,sh-port
-a -t 10.0.10.100:80 -r 10.0.10.83:8080 -m -w 5
-A -t 10.0.10.100:81 -s wlc -p 300 -M 255.255.255.0
-a -t 10.0.10.100:81 -r 10.0.10.83:81 -g -w 1
-A -t 10.0.10.100:82 -s mh -b mh-fallback,mh-port
-a -t 10.0.10.100:82 -r 10.0.10.83:82 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -t 10.0.10.100:82 -r 10.0.10.84:82 -i -w 1 --tun-type gre --tun-nocsum
-A -u 10.0.10.100:53 -s rr -o
-a -u 10.0.10.100:53 -r 10.0.10.83:53 -g -w 0
-A -u 10.0.10.100:5060 -s rr -p 60 --pe sip -o
-a -u 10.0.10.100:5060 -r 10.0.10.83:5060 -m -w 1
-A --sctp-service 10.0.10.100:83 -s lc
-a --sctp-service 10.0.10.100:83 -r 10.0.10.83:83 -m -w 65535
-A -t [fd00:10::100]:84 -s sh -p 60 -M 64 -b sh-fallback
-a -t [fd00:10::100]:84 -r [fd00:10::83]:84 -g -w 1
";

/// All that keepalived knows.
const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "sh", "mh", "dh", "fo", "ovf", "lblcr", "sed", "nq", "twos"];

/// The sync daemon follows VRRP: it is the master's as soon as nobody else is.
#[test]
fn every_setting_arrives_and_the_sync_daemon_too() {
    let lab = lab();
    let director = Director::start(&lab, &config());
    let further = "    dynamic_interfaces\n    lvs_timeouts tcp 1200 tcpfin 60 udp 30\n    \
                   lvs_sync_daemon lan0 web id 10\n}\n";
    let vrrp = "vrrp_instance web {\n    interface lan0\n    state BACKUP\n    \
                virtual_router_id 51\n    priority 150\n    virtual_ipaddress {\n        \
                10.0.10.200/32\n    }\n}\n";
    let by_scheduler = |(number, name): (usize, &&str)| {
        format!(
            "virtual_server 10.0.10.100 {} {{\n    lvs_sched {name}\n    lvs_method NAT\n    \
             protocol TCP\n    real_server 10.0.10.84 80 {{\n        weight 1\n    }}\n}}\n",
            9000 + number
        )
    };
    let scheduled: String = SCHEDULERS.iter().enumerate().map(by_scheduler).collect();
    let text = GLOBAL.replace("}\n", further) + vrrp + SERVICES + &scheduled;
    let rule = |(number, name): (usize, &&str)| {
        let service = format!("-t 10.0.10.100:{}", 9000 + number);
        format!("-A {service} -s {name}\n-a {service} -r 10.0.10.84:80 -m -w 1\n")
    };
    let mut expected: Vec<String> = RULES.lines().map(str::to_owned).collect();
    for rules in SCHEDULERS.iter().enumerate().map(rule) {
        expected.extend(rules.lines().map(str::to_owned));
    }
    expected.sort();

    let keepalived = Keepalived::start(&lab, "director", &text, "");

    eventually(Duration::from_secs(30), "all services", || {
        (director.adm("-Sn").lines().count() == expected.len()).then_some(())
    });
    let mut rules: Vec<String> = director.adm("-Sn").lines().map(str::to_owned).collect();
    rules.sort();
    assert_eq!(rules, expected);
    let thresholds = director.adm("-Ln --thresholds");
    let line = thresholds.lines().find(|line| line.contains("-> 10.0.10.83:8080"));
    let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    assert_eq!(words.get(2..4), Some(&["100", "50"][..]), "{thresholds}");
    assert_eq!(director.adm("-L --timeout").trim(), "Timeout (tcp tcpfin udp): 1200 60 30");
    eventually(Duration::from_secs(30), "the sync daemon of a VRRP master", || {
        let daemons = director.adm("-L --daemon");
        daemons.starts_with("master sync daemon (mcast=lan0, syncid=10, ").then_some(())
    });

    keepalived.stop();
    assert_eq!(director.adm("-Sn"), "");
    assert_eq!(director.adm("-L --daemon"), "");
    // What the timeouts were before.
    assert_eq!(director.adm("-L --timeout").trim(), "Timeout (tcp tcpfin udp): 900 120 300");
}
