//! Figures: what they say after traffic of all kinds, and what Prometheus makes of them. One lab
//! for all of it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use appliance::metrics::catalogue::{self, Family};
use serde_json::Value;

use crate::support::config::Config;
use crate::support::daemon::Daemon;
use crate::support::director::Director;
use crate::support::http::{encoded, get};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::sockets::{PATIENCE, UdpEcho};
use crate::support::tools::pages;

const DIRECTOR: &str = "127.0.0.1:9107";
const PROMETHEUS: &str = "127.0.0.1:9090";
/// Who does not answer ARP.
const ABSENT: &str = "10.0.20.99";

fn config(lab: &Lab) -> Config {
    let socket = lab.dir().join("metrics.sock");
    let mut config = Config::two_ports()
        .with(
            &format!("-t {VIP}:80"),
            "rr",
            &["10.0.20.83:8080 -m", "10.0.20.84:8080 -m -x 50 -y 9"],
        )
        .with(&format!("-t {VIP}:88"), "rr -p 60", &["10.0.20.83:8080 -m"])
        .with(&format!("-u {VIP}:53"), "rr", &["10.0.20.83:5353 -m"])
        .with(&format!("-t {VIP}:99"), "rr", &[&format!("{ABSENT}:80 -m")])
        .with_key(&format!("metrics: {{ listen: \"{DIRECTOR}\", socket: {} }}", socket.display()));
    for ((_, _, addresses), address) in config.ports.iter_mut().zip(["10.0.10.61", "10.0.20.61"]) {
        *addresses = format!("{address}/24");
    }
    config.keys_of_ports.push(("backend0".to_owned(), "kernel: true".to_owned()));
    config.by_pcap()
}

/// Series with their values, as a scrape has them: by name, then by labels.
type Series = BTreeMap<String, BTreeMap<String, f64>>;

fn series(text: &str) -> Series {
    let mut all = Series::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').expect("the end of the labels");
        let before = all.entry(name.to_owned()).or_default().insert(
            labels.to_owned(),
            value.parse().unwrap_or_else(|_| panic!("no value: {line}")),
        );
        assert_eq!(before, None, "twice: {line}");
    }
    all
}

fn scrape(lab: &Lab) -> Series {
    series(&get(lab, "director", DIRECTOR, "/metrics", "").body)
}

/// The sum of the series of a name whose labels have all of these parts.
fn sum(series: &Series, name: &str, parts: &[&str]) -> f64 {
    let of_name = series.get(name).unwrap_or_else(|| panic!("no {name}"));
    let has_all = |labels: &str| parts.iter().all(|part| labels.contains(part));
    of_name.iter().filter(|(labels, _)| has_all(labels)).map(|(_, value)| value).sum()
}

/// Everything that can become of a packet, at least once.
fn make_traffic(lab: &Lab) {
    // To nobody: waits, and is dropped after three seconds.
    let _ = lab.try_run("client", &format!("curl -s -m 0.2 http://{VIP}:99/"));
    assert_eq!(pages(lab, "client", &format!("http://{VIP}/"), 4).len(), 4);
    assert_eq!(pages(lab, "client", &format!("http://{VIP}:88/"), 2).len(), 2);
    for size in [100, 8000] {
        let socket = lab.inside("client", || UdpSocket::bind("10.0.10.1:0").unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&vec![7; size], format!("{VIP}:53")).unwrap();
        let mut buffer = [0; 9000];
        let (received, _) = socket.recv_from(&mut buffer).expect("the echo");
        assert!(received >= size);
    }
    lab.run("client", &format!("ping -c 2 -i 0.05 -W 2 {VIP}"));
    // No service there: a reset.
    let _ = lab.try_run("client", &format!("curl -s -m 2 http://{VIP}:81/"));
    // For the host's kernel, which says that nobody listens.
    let _ = lab.try_run("rs1", "curl -s -m 2 http://10.0.20.61:9999/");
}

#[test]
fn figures_are_right_and_prometheus_takes_them() {
    let lab = Lab::two_segments().with_web_at(8080);
    // The kernel also hears what arrives at the wires; it is to take nothing from there.
    lab.sh("lab_sysctl director net/ipv4/conf/dir0/rp_filter=1 net/ipv4/conf/dir1/rp_filter=1");
    let _echo = UdpEcho::start(&lab, "rs1", 5353);
    let director = Director::start(&lab, &config(&lab));
    let prometheus = start_prometheus(&lab);
    director.ctl("status");
    assert_ne!(director.try_ctl("nonsense").code, Some(0));
    refuse_a_reload(&lab, &director);
    make_traffic(&lab);

    formats_are_sound(&lab);
    figures_are_those_of_the_listings(&lab, &director);
    packets_are_conserved(&lab);

    // Rates need traffic between two scrapes.
    eventually(Duration::from_secs(10), "two scrapes", || {
        let scrapes = query(&lab, "count_over_time(sluice_flows[1m])");
        scrapes.values().any(|count| *count >= 2.0).then_some(())
    });
    make_traffic(&lab);
    director.ctl("status");
    rules_and_alerts_work(&lab);
    logs_say_what_happens(&lab, &director);
    every_panel_has_data(&lab, &director);
    drop(prometheus);
}

/// A file of which nothing is in force before a restart, and one that is wrong, which changes
/// nothing and is counted.
fn refuse_a_reload(lab: &Lab, director: &Director<'_>) {
    let path = lab.dir().join("director.yaml");
    let good = fs::read_to_string(&path).unwrap();
    // What is served stays as it is until a restart, and that is said.
    let other = "listen: \"127.0.0.1:9108\", servers: false, series: 1000, socket:";
    fs::write(&path, good.replace(&format!("listen: \"{DIRECTOR}\", socket:"), other)).unwrap();
    let said = director.ctl("reload");
    let (_, pending) = said.split_once("Needs a restart, not in force:").expect("it is said");
    for key in ["metrics.listen", "metrics.servers", "metrics.series"] {
        assert!(pending.contains(key), "{key} in {said}");
    }
    assert!(sum(&scrape(lab), "sluice_server_weight", &[]) > 0.0, "servers are shown still");
    fs::write(&path, &good).unwrap();
    director.ctl("reload");
    fs::write(&path, "nonsense: true\n").unwrap();
    assert_eq!(director.try_ctl("reload").code, Some(2));
    fs::write(&path, good).unwrap();
}

fn formats_are_sound(lab: &Lab) {
    let text = get(lab, "director", DIRECTOR, "/metrics", "");
    assert_eq!(text.code, 200);
    assert!(text.head.contains("Content-Type: text/plain; version=0.0.4"), "{}", text.head);
    let said = promtool(&["check", "metrics"], &text.body);
    assert_eq!(said, "", "promtool check metrics");

    let accept = "Accept: application/openmetrics-text; version=1.0.0";
    let open = get(lab, "director", DIRECTOR, "/metrics", accept);
    assert!(open.head.contains("Content-Type: application/openmetrics-text"), "{}", open.head);
    assert!(open.body.ends_with("\n# EOF\n"));

    // What is served is what the catalogue lists, no more and no less, in both formats.
    for (body, name) in [
        (&text.body, (|family| family.name) as fn(&Family) -> &str),
        (&open.body, |family| family.base()),
    ] {
        let served = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut served: Vec<_> = served.filter_map(|line| line.split(' ').next()).collect();
        let mut listed: Vec<_> = catalogue::ALL.iter().map(|family| name(family)).collect();
        served.sort_unstable();
        listed.sort_unstable();
        assert_eq!(served, listed);
    }
    for (name, of_name) in series(&text.body) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it));
        let family = Family::named(&name).or_else(|| base.and_then(Family::named));
        let family = family.unwrap_or_else(|| panic!("{name} is not listed"));
        for labels in of_name.keys().filter(|labels| !labels.is_empty()) {
            let names = labels.split("\",").filter_map(|pair| pair.split('=').next());
            let mut names: Vec<_> = names.filter(|name| *name != "le").collect();
            let mut listed = family.labels.to_vec();
            names.sort_unstable();
            listed.sort_unstable();
            assert_eq!(names, listed, "labels of {name}");
        }
    }

    assert_eq!(get(lab, "director", DIRECTOR, "/healthz", "").body, "ok\n");
    assert_eq!(get(lab, "director", DIRECTOR, "/readyz", "").body, "ready\n");
    assert_eq!(get(lab, "director", DIRECTOR, "/../etc/passwd", "").code, 404);
    let mut socket = UnixStream::connect(lab.dir().join("metrics.sock")).unwrap();
    socket.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// The same numbers as `sluiceadm` and `sluicectl` show.
fn figures_are_those_of_the_listings(lab: &Lab, director: &Director<'_>) {
    let figures = scrape(lab);
    let service = format!("service=\"tcp:{VIP}:80\"");
    let mut connections = 0;
    for server in ["10.0.20.83:8080", "10.0.20.84:8080"] {
        let [conns, ..] = director.figures(server);
        let parts = [service.as_str(), &format!("server=\"{server}\"")];
        assert_eq!(sum(&figures, "sluice_server_connections_total", &parts), conns as f64);
        connections += conns;
    }
    assert_eq!(connections, 4);
    let of_service = |name| sum(&figures, name, &[&service]);
    assert_eq!(of_service("sluice_service_connections_total"), 4.0);
    assert_eq!(of_service("sluice_service_usable_servers"), 2.0);
    assert_eq!(of_service("sluice_server_upper_threshold"), 50.0);
    assert_eq!(of_service("sluice_server_lower_threshold"), 9.0);
    let packets = of_service("sluice_service_outgoing_packets_total");
    assert!(packets >= 4.0 * 3.0, "{packets} packets back");
    let template = [&*format!("service=\"tcp:{VIP}:88\"")];
    assert_eq!(sum(&figures, "sluice_server_persistence_templates", &template), 1.0);
    let absent = [&*format!("server=\"{ABSENT}:80\"")];
    assert_eq!(sum(&figures, "sluice_server_reached", &absent), 0.0);
    assert_eq!(sum(&figures, "sluice_server_reached", &[]), 4.0);
    for reason in ["no_service", "neighbour_unresolved"] {
        let label = [&*format!("reason=\"{reason}\"")];
        let dropped = sum(&figures, "sluice_dropped_packets_total", &label);
        assert!(dropped <= director.drops(reason) as f64);
        assert!(reason != "no_service" || dropped > 0.0);
    }
    let refused = ["verb=\"reload\"", "result=\"refused\""];
    assert_eq!(sum(&figures, "sluice_control_commands_total", &refused), 1.0);
    assert_eq!(sum(&figures, "sluice_reloads_total", &["result=\"ok\""]), 2.0);
    assert_eq!(sum(&figures, "sluice_reload_last_successful", &[]), 0.0);
    let unknown = ["verb=\"unknown\"", "result=\"refused\""];
    assert!(sum(&figures, "sluice_control_commands_total", &unknown) <= 1.0);
    assert_eq!(sum(&figures, "sluice_port_queue_receive_packets_total", &[]), {
        sum(&figures, "sluice_port_receive_packets_total", &[])
    });
}

/// Every packet that came in is counted as one outcome, and what went out is made of these; from
/// the figures alone, as docs/metrics.md says it.
fn packets_are_conserved(lab: &Lab) {
    // Of that kind each has to have happened, or the sums say little.
    let happened = |figures: &Series| {
        let outcome = |it| sum(figures, "sluice_worker_outcome_packets_total", &[it]);
        let all = ["forwarded", "answered", "to_kernel", "consumed", "dropped"];
        let named = |name: &str, part: &str| sum(figures, name, &[part]);
        let unresolved = "reason=\"neighbour_unresolved\"";
        all.iter().all(|it| outcome(it) > 0.0)
            && named("sluice_worker_error_answers_total", "") > 0.0
            && named("sluice_worker_made_packets_total", "control_plane") > 0.0
            && named("sluice_worker_from_kernel_packets_total", "relayed") > 0.0
            && named("sluice_dropped_packets_total", unresolved) > 0.0
    };
    let differences = |figures: &Series| {
        let all = |name: &str| sum(figures, name, &[]);
        let outcome = |it| sum(figures, "sluice_worker_outcome_packets_total", &[it]);
        let outcomes = all("sluice_worker_outcome_packets_total");
        let waiting = all("sluice_worker_waiting_packets");
        let on_the_path = sum(figures, "sluice_dropped_packets_total", &["stage=\"path\""]);
        let full = sum(figures, "sluice_dropped_packets_total", &["transmit_full"]);
        let relayed = sum(figures, "sluice_worker_from_kernel_packets_total", &["relayed"]);
        let made = all("sluice_worker_made_packets_total");
        let (forwarded, answered) = (outcome("forwarded"), outcome("answered"));
        let whole = forwarded - all("sluice_worker_split_packets_total");
        let errors = all("sluice_worker_error_answers_total");
        let (received, sent) =
            (all("sluice_worker_received_packets_total"), all("sluice_worker_sent_packets_total"));
        [
            received - outcomes - waiting,
            outcome("dropped") - on_the_path,
            sent - (whole + answered + errors + made + relayed - full),
            all("sluice_port_receive_packets_total") - received,
            all("sluice_port_transmit_packets_total") - sent,
            received - all("sluice_worker_burst_packets_sum"),
        ]
    };
    eventually(Duration::from_secs(8), "every packet is accounted for", || {
        let figures = scrape(lab);
        if !happened(&figures) {
            return None;
        }
        let off = differences(&figures);
        println!("off by {off:?}");
        (off == [0.0; 6]).then_some(())
    });
}

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

/// A Prometheus beside the director, with the configuration of `configs/prometheus`, but quicker.
fn start_prometheus(lab: &Lab) -> Daemon<'_> {
    let folder = lab.dir().join("prometheus");
    fs::create_dir(&folder).unwrap();
    for name in ["prometheus.yml", "sluice.rules.yml", "sluice.alerts.yml"] {
        let text = fs::read_to_string(configs().join("prometheus").join(name)).unwrap();
        fs::write(folder.join(name), text.replace("interval: 15s", "interval: 500ms")).unwrap();
    }
    let shown = folder.display();
    let arguments = format!(
        "--config.file={shown}/prometheus.yml --storage.tsdb.path={shown}/data \
         --web.listen-address={PROMETHEUS} --log.level=warn"
    );
    Daemon::start(lab, "director", "prometheus", &arguments)
}

/// What `promtool` says to a text; it has to be content.
fn promtool(words: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {words:?}: {said}");
    said
}

/// What Prometheus answers.
fn ask(lab: &Lab, path: &str) -> Value {
    let response = get(lab, "director", PROMETHEUS, path, "");
    let json: Value = serde_json::from_str(&response.body)
        .unwrap_or_else(|error| panic!("{path}: {error}: {}", response.body));
    assert_eq!(json["status"], "success", "{path}: {json}");
    json["data"].clone()
}

/// The values of a query, by labels.
fn query(lab: &Lab, expression: &str) -> HashMap<String, f64> {
    let data = ask(lab, &format!("/api/v1/query?query={}", encoded(expression)));
    let rows = data["result"].as_array().cloned().unwrap_or_default();
    let value = |row: &Value| row["value"][1].as_str().and_then(|text| text.parse().ok());
    rows.iter().map(|row| (row["metric"].to_string(), value(row).unwrap_or(f64::NAN))).collect()
}

fn rules_and_alerts_work(lab: &Lab) {
    eventually(Duration::from_secs(10), "the alert about the reload", || {
        query(lab, "ALERTS{alertname=\"SluiceReloadRefused\",alertstate=\"firing\"}")
            .values()
            .next()
            .copied()
    });
    let groups = ask(lab, "/api/v1/rules");
    let groups = groups["groups"].as_array().expect("groups");
    let rules: Vec<_> = groups.iter().flat_map(|it| it["rules"].as_array().unwrap()).collect();
    assert!(rules.len() >= 20, "{} rules", rules.len());
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        if rule["type"] == "recording" {
            let name = rule["name"].as_str().unwrap();
            eventually(Duration::from_secs(5), name, || query(lab, name).values().next().copied());
        }
    }
    let firing = |rule: &&&Value| rule["state"] == "firing";
    let names = rules.iter().filter(firing).map(|rule| rule["name"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["SluiceReloadRefused"]);
    // It takes the better one of the two formats, which alone has units.
    let metadata = ask(lab, "/api/v1/metadata?metric=sluice_port_receive_bytes");
    assert_eq!(metadata["sluice_port_receive_bytes"][0]["unit"], "bytes", "{metadata}");
    let up = query(lab, "up{job=\"sluice\"}");
    assert!(up.values().all(|value| *value == 1.0) && up.len() == 1, "{up:?}");
}

/// What was decided, what fell silent; and no more than is wanted.
fn logs_say_what_happens(lab: &Lab, director: &Director<'_>) {
    let said = |text: &str| director.messages().contains(text);
    for line in [
        "sluiced: start: version ",
        "sluiced: start: workers 1 on CPU ",
        "sluiced: start: idle    workers sleep up to 100us: all ports are virtual\n",
        "sluiced: start: memory  128 MiB for packets on normal pages; 147 MiB ",
        "sluiced: start: port    backend0: net_pcap1 (net_pcap), 1 receive and 1 transmit queues, ",
    ] {
        assert!(said(line), "{line} in\n{}", director.messages());
    }
    eventually(Duration::from_secs(8), "the silent server is said", || {
        let silent = said(&format!("sluiced: warning: neighbours: is silent address={ABSENT}\n"));
        let down = format!("no real server takes connections service=tcp:{VIP}:99\n");
        (silent && said(&down)).then_some(())
    });
    assert!(!said("sluiced: debug: "), "debug was not asked for");
    director.ctl("log control=debug,neighbours=off");
    let listed = director.ctl("log");
    assert!(listed.contains("\ncontrol     debug "), "{listed}");
    assert!(listed.contains("\nneighbours  off "), "{listed}");
    assert!(said("sluiced: debug: control: request verb=log exit=0 took="));
    // Whatever asks, a module says so much a second at most.
    let mut stream = UnixStream::connect(director.socket()).unwrap();
    stream.write_all("drops\n".repeat(60).as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let figures = scrape(lab);
    let suppressed = sum(&figures, "sluice_log_suppressed_lines_total", &["control"]);
    assert!((20.0..=60.0).contains(&suppressed), "{suppressed} suppressed");
    assert_eq!(director.try_ctl("log nonsense=debug").code, Some(2));
    director.ctl("log info");
}

/// The queries of all panels, variables and annotations of the dashboard.
fn expressions(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "expr" => found.push(text.to_owned()),
                    Some(text) if name == "definition" => {
                        let inner = text.strip_prefix("label_values(").expect("of label values");
                        let (series, label) = inner.rsplit_once(", ").expect("a label");
                        let label = label.trim_end_matches(')');
                        found.push(format!("group by ({label}) ({series})"));
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn every_panel_has_data(lab: &Lab, director: &Director<'_>) {
    let text = fs::read_to_string(configs().join("grafana/sluice.json")).unwrap();
    let mut found = Vec::new();
    expressions(&serde_json::from_str(&text).unwrap(), &mut found);
    assert!(found.len() > 60, "{} queries", found.len());
    for expression in found {
        let meant = [("$__rate_interval", "10s"), ("$job", "sluice"), ("$instance", ".+")];
        let service = format!("tcp:{VIP}:80");
        let meant = meant.into_iter().chain([("$service", service.as_str())]);
        let asked = meant.fold(expression, |text, (name, value)| text.replace(name, value));
        assert!(!asked.contains('$'), "an unknown variable: {asked}");
        // That nothing restarted is no data, and as it should be.
        if asked.starts_with("changes(") {
            let _answered = query(lab, &asked);
            continue;
        }
        // A rate is of the last seconds: where there was nothing to count in them, there is now.
        eventually(Duration::from_secs(10), &format!("data for {asked}"), || {
            let has_data = query(lab, &asked).values().any(|value| value.is_finite());
            if !has_data {
                director.ctl("status");
                make_traffic(lab);
            }
            has_data.then_some(())
        });
    }
}

#[test]
fn rules_are_tested_and_every_alert_among_them() {
    let folder = configs().join("prometheus");
    let path = |name: &str| folder.join(name).display().to_string();
    promtool(&["check", "config", &path("prometheus.yml")], "");
    promtool(&["test", "rules", &path("sluice.tests.yml")], "");
    let alerts = fs::read_to_string(path("sluice.alerts.yml")).unwrap();
    let tests = fs::read_to_string(path("sluice.tests.yml")).unwrap();
    let names: Vec<_> = alerts.lines().filter_map(|it| it.split("- alert: ").nth(1)).collect();
    assert!(names.len() > 10);
    for name in names {
        let fires = tests.contains(&format!("- alertname: {name}\n"));
        let waits = tests.contains(&format!("alertname: {name}, "));
        assert!(fires && waits, "{name}: no test that it fires, or none that it does not");
    }
}
