//! What commands see of the connections, and how they end them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use lb_core::clock::Tick;
use lb_core::control::{Control, FlowFilter, FlowKill, FlowWalk, Killed, Network};
use lb_core::director::{Director, Limits};
use lb_core::expiry::Sweeper;
use lb_core::explain::Explainer;
use lb_core::flow::{FlowTable, Storage};
use lb_core::interface::{Interface, InterfaceId};
use lb_core::ipvsadm::{self, Numeric};
use lb_core::operations::Operations;
use lb_core::route::Hop;
use lb_core::wire::MacAddress;
use lb_core::wire::build::{Link, MemoryFrame, Tcp, Udp};
use lb_core::worker::{BURST_MAX, Unwatched, Verdict, Worker};

use super::hasher;
use super::workers::{self, MAC};

const NOW: Tick = Tick(1000);

/// A director with one worker, after these lines of ipvsadm.
struct Bench {
    control: Control,
    director: Arc<Director>,
    worker: Worker,
}

impl Bench {
    fn new(lines: &[&str]) -> Self {
        let hop = |last: u8| Hop { interface: InterfaceId(0), neighbour: [10, 0, 2, last].into() };
        let lan = Interface::new("lan0", InterfaceId(0), MAC, 1500).with_address([10, 0, 2, 1], 16);
        let network = Network {
            interfaces: vec![lan],
            permanent_neighbours: (11..15)
                .map(|n| (hop(n), MacAddress([2, 0, 0, 0, 2, n])))
                .collect(),
            ..Network::default()
        };
        let flows = FlowTable::new(10_000, Storage::leaked(10_000), hasher());
        let mut control = Control::new(flows, Limits::of_destinations(16), 1, hasher(), network);
        control.tick(NOW);
        let director = Arc::clone(control.director());
        let worker = Worker::new(Arc::clone(&director), 0);
        let mut bench = Self { control, director, worker };
        lines.iter().for_each(|line| bench.run(line));
        bench
    }

    fn run(&mut self, line: &str) {
        let words = ipvsadm::restore_words(line);
        let outcome = ipvsadm::execute(&words, &[], &mut self.control, &Numeric);
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, ""), "{line}");
        self.control.publish();
    }

    fn process(&mut self, frame: &[u8]) -> Verdict {
        let mut frames = [MemoryFrame::new(frame)];
        let mut verdicts = [Verdict::Consumed; BURST_MAX];
        self.worker.boundary();
        self.worker.process(InterfaceId(0), NOW, &mut frames, &mut verdicts, &mut Unwatched);
        verdicts[0]
    }

    fn tcp(&mut self, src: &str, dst: &str, flags: &str) {
        let link = Link { destination: MAC, ..Link::default() };
        let verdict = self.process(&Tcp { src, dst, flags, ..Tcp::default() }.frame(&link));
        assert_eq!(verdict, Verdict::Send(InterfaceId(0)), "{src} > {dst} {flags}");
    }

    fn udp(&mut self, src: &str, dst: &str) {
        let link = Link { destination: MAC, ..Link::default() };
        let verdict = self.process(&Udp { src, dst, ..Udp::default() }.frame(&link));
        assert_eq!(verdict, Verdict::Send(InterfaceId(0)), "{src} > {dst}");
    }

    /// Client, state and server of what a filter takes.
    fn list(&self, filter: &FlowFilter) -> Vec<String> {
        let matcher = self.control.matcher(filter).unwrap();
        let page = FlowWalk::new(&self.director, &matcher, NOW).page(0, usize::MAX);
        let line = |(address, port): (std::net::IpAddr, u16)| format!("{address}:{port}");
        let rows = page.rows.into_iter();
        let mut rows: Vec<_> = rows
            .map(|row| format!("{} {} {}", line(row.client), row.state, line(row.server)))
            .collect();
        rows.sort();
        rows
    }

    fn kill(&mut self, filter: &FlowFilter) -> Killed {
        let matcher = self.control.matcher(filter).unwrap();
        let mut kill = FlowKill::new(Arc::clone(&self.director), matcher);
        while let Some(found) = kill.find() {
            kill.end(&mut self.control, &found);
        }
        kill.killed()
    }

    /// Active, inactive, persistent of all servers of the first service, newest first.
    fn loads(&self) -> Vec<(u32, u32, u32)> {
        let services = self.control.services();
        let servers = services[0].destinations.iter();
        servers.map(|it| (it.active, it.inactive, it.persistent)).collect()
    }
}

fn filter(client: &str, service: &str, server: &str, state: &str, protocol: &str) -> FlowFilter {
    fn read<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Option<T> {
        (!text.is_empty()).then(|| text.parse().unwrap())
    }
    FlowFilter {
        clients: read(client),
        service: read(service),
        server: read(server),
        state: read(state),
        protocol: read(protocol),
    }
}

/// Two services, four clients, three of TCP.
fn busy() -> Bench {
    let mut bench = Bench::new(&[
        "-A -t 10.0.0.100:80 -s rr",
        "-a -t 10.0.0.100:80 -r 10.0.2.12 -g",
        "-a -t 10.0.0.100:80 -r 10.0.2.11 -g",
        "-A -u 10.0.0.100:53 -s rr",
        "-a -u 10.0.0.100:53 -r 10.0.2.11:5353 -m",
    ]);
    bench.tcp("10.0.1.2:1000", "10.0.0.100:80", "S");
    bench.tcp("10.0.1.2:1000", "10.0.0.100:80", "A");
    bench.tcp("10.0.1.3:1000", "10.0.0.100:80", "S");
    for flags in ["S", "A", "R"] {
        bench.tcp("10.0.1.130:1001", "10.0.0.100:80", flags);
    }
    bench.udp("10.0.1.2:1000", "10.0.0.100:53");
    bench
}

#[test]
fn a_filter_takes_what_it_says_and_nothing_else() {
    let bench = busy();
    let all = [
        "10.0.1.130:1001 CLOSE 10.0.2.11:80",
        "10.0.1.2:1000 ESTABLISHED 10.0.2.11:80",
        "10.0.1.2:1000 UDP 10.0.2.11:5353",
        "10.0.1.3:1000 SYN_RECV 10.0.2.12:80",
    ];
    for (filter, expected) in [
        (filter("", "", "", "", ""), vec![0, 1, 2, 3]),
        (filter("10.0.1.2", "", "", "", ""), vec![1, 2]),
        (filter("10.0.1.0/25", "", "", "", ""), vec![1, 2, 3]),
        (filter("10.0.1.0/24:1001", "", "", "", ""), vec![0]),
        (filter("", "udp:10.0.0.100:53", "", "", ""), vec![2]),
        (filter("", "tcp:10.0.0.100:80", "", "", ""), vec![0, 1, 3]),
        (filter("", "", "10.0.2.11", "", ""), vec![0, 1, 2]),
        (filter("", "", "10.0.2.11:80", "", ""), vec![0, 1]),
        (filter("", "", "", "syn_recv", ""), vec![3]),
        (filter("", "", "", "", "udp"), vec![2]),
        (filter("10.0.1.2", "", "10.0.2.11", "", "tcp"), vec![1]),
        (filter("10.0.1.3", "udp:10.0.0.100:53", "", "", ""), vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|at: usize| all[at]).collect();
        assert_eq!(bench.list(&filter), expected, "{filter:?}");
    }
    let none = filter("", "tcp:10.0.0.100:81", "", "", "");
    assert_eq!(bench.control.matcher(&none).unwrap_err().to_string(), "No such service");
}

#[test]
fn pages_follow_each_other_and_say_how_much_is_left() {
    let mut bench = busy();
    for port in 2000..2020 {
        bench.udp(&format!("10.0.1.9:{port}"), "10.0.0.100:53");
    }
    let filter = filter("10.0.1.9", "", "", "", "");
    let matcher = bench.control.matcher(&filter).unwrap();
    let walk = FlowWalk::new(&bench.director, &matcher, NOW);
    let (mut ports, mut from, mut left) = (Vec::new(), 0, Vec::new());
    loop {
        let page = walk.page(from, 8);
        ports.extend(page.rows.iter().map(|row| row.client.1));
        left.push(page.more);
        let Some(next) = page.next else { break };
        from = next;
    }
    ports.sort_unstable();
    assert_eq!(ports, (2000..2020).collect::<Vec<_>>());
    assert_eq!(left, [12, 4, 0]);
    let page = walk.page(0, 0);
    assert_eq!((page.rows.len(), page.more), (0, 20));
}

#[test]
fn groups_add_up_to_all_connections() {
    let bench = busy();
    let matcher = bench.control.matcher(&FlowFilter::default()).unwrap();
    let groups = FlowWalk::new(&bench.director, &matcher, NOW).count();
    let mut states = BTreeMap::new();
    for (group, count) in groups {
        *states.entry(group.state).or_insert(0) += count;
    }
    let expected = [("CLOSE", 1), ("ESTABLISHED", 1), ("SYN_RECV", 1), ("UDP", 1)];
    assert_eq!(states, expected.into_iter().collect());
}

#[test]
fn a_killed_connection_is_gone_from_table_and_counts_and_its_client_begins_anew() {
    let mut bench = busy();
    assert_eq!(bench.loads(), [(1, 1, 0), (1, 0, 0)]);
    let killed = bench.kill(&filter("10.0.1.2", "tcp:10.0.0.100:80", "", "", ""));
    assert_eq!(killed, Killed { connections: 1, templates: 0, needed: 0 });
    assert_eq!(bench.loads(), [(0, 1, 0), (1, 0, 0)]);
    assert_eq!(bench.director.flows_used(), 3);
    assert_eq!(bench.list(&filter("10.0.1.2", "", "", "", "tcp")), [""; 0]);
    // Its entry is used again, once no worker can hold it.
    bench.worker.boundary();
    bench.control.tick(NOW);
    bench.tcp("10.0.1.2:1000", "10.0.0.100:80", "S");
    assert_eq!(bench.list(&filter("10.0.1.2", "", "", "", "tcp")).len(), 1);
    let killed = bench.kill(&FlowFilter::default());
    assert_eq!(killed, Killed { connections: 4, templates: 0, needed: 0 });
    assert_eq!(bench.loads(), [(0, 0, 0), (0, 0, 0)]);
    assert_eq!(bench.director.flows_used(), 0);
    assert_eq!(bench.kill(&FlowFilter::default()), Killed::default());
}

#[test]
fn a_template_ends_only_with_all_connections_under_it() {
    let mut bench =
        Bench::new(&["-A -t 10.0.0.100:80 -s rr -p 300", "-a -t 10.0.0.100:80 -r 10.0.2.11 -g"]);
    bench.tcp("10.0.1.2:1000", "10.0.0.100:80", "S");
    bench.tcp("10.0.1.2:1001", "10.0.0.100:80", "S");
    assert_eq!(bench.loads(), [(2, 0, 1)]);
    let templates = filter("", "", "", "none", "");
    let needed = Killed { connections: 0, templates: 0, needed: 1 };
    assert_eq!(bench.kill(&templates), needed, "two connections depend on it");
    let one = bench.kill(&filter("10.0.1.2:1000", "", "", "", ""));
    assert_eq!(one, Killed { connections: 1, templates: 0, needed: 0 });
    assert_eq!(bench.kill(&templates), needed, "one does");
    let all = bench.kill(&filter("10.0.1.2", "", "", "", ""));
    assert_eq!(all, Killed { connections: 1, templates: 1, needed: 0 }, "connections first");
    assert_eq!(bench.loads(), [(0, 0, 0)]);
    assert_eq!(bench.director.flows_used(), 0);
}

#[test]
fn connections_of_a_removed_server_are_found_by_its_service() {
    let mut bench = busy();
    bench.run("-d -t 10.0.0.100:80 -r 10.0.2.11");
    let removed = bench.control.removed_servers();
    assert_eq!(removed.len(), 1);
    assert_eq!((removed[0].port, removed[0].active, removed[0].inactive), (80, 1, 1));
    bench.run("-D -t 10.0.0.100:80");
    let killed = bench.kill(&filter("", "tcp:10.0.0.100:80", "", "", ""));
    assert_eq!(killed.connections, 3);
    assert!(bench.control.removed_servers().is_empty());
    assert_eq!(bench.list(&FlowFilter::default()), ["10.0.1.2:1000 UDP 10.0.2.11:5353"]);
}

/// Workers begin and end connections while the sweeper and a command end them, too: all counts are
/// those of what is left.
#[test]
fn counts_stay_right_when_everybody_ends_connections() {
    let mut bench = Bench::new(&[
        "-A -t 10.0.0.100:80 -s wlc -p 300",
        "-a -t 10.0.0.100:80 -r 10.0.2.11 -g",
        "-a -t 10.0.0.100:80 -r 10.0.2.12 -g",
    ]);
    let stop = AtomicBool::new(false);
    let director = Arc::clone(&bench.director);
    let mut sweeper = Sweeper::default();
    let Bench { control, worker, .. } = &mut bench;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let link = Link { destination: MAC, ..Link::default() };
            let mut verdicts = [Verdict::Consumed; BURST_MAX];
            for round in 0..600 {
                let mut burst: Vec<_> = (0..32)
                    .map(|n| {
                        let src = format!("10.0.1.{}:{}", n % 8, 1000 + (round * 7 + n) % 50);
                        let flags = ["S", "R"][round % 2];
                        MemoryFrame::new(&Tcp { src: &src, flags, ..Tcp::default() }.frame(&link))
                    })
                    .collect();
                worker.boundary();
                worker.process(InterfaceId(0), NOW, &mut burst, &mut verdicts, &mut Unwatched);
            }
            worker.boundary();
            stop.store(true, Ordering::Release);
        });
        let mut now = NOW;
        while !stop.load(Ordering::Acquire) {
            let matcher = control.matcher(&FlowFilter::default()).unwrap();
            let mut kill = FlowKill::new(Arc::clone(&director), matcher);
            while let Some(found) = kill.find() {
                kill.end(control, &found);
            }
            now = Tick(now.0 + 8);
            sweeper.step(&director, now);
            control.tick(now);
        }
    });
    bench.kill(&FlowFilter::default());
    assert_eq!(bench.loads(), [(0, 0, 0), (0, 0, 0)]);
    assert_eq!(bench.director.flows_used(), 0);
}

/// Entries are copied while two workers begin, move and end them. What is explained is whole, and
/// the counts are those of what the workers did.
#[test]
fn explanations_beside_workers_leave_all_counts_to_them() {
    let control = workers::control(Some(20));
    let director = Arc::clone(control.director());
    let (ticks, stop) = (AtomicU32::new(1000), AtomicBool::new(false));
    let frames = workers::frames();
    let (mut new, mut known, mut templates) = (0, 0, 0);
    std::thread::scope(|scope| {
        for number in 0..2 {
            let (director, ticks, stop, frames) = (&director, &ticks, &stop, &frames);
            scope.spawn(move || workers::work(director, number, ticks, stop, frames));
        }
        let mut explainer = Explainer::default();
        for round in 0..3000 {
            let now = Tick(ticks.fetch_add(5, Ordering::Relaxed));
            let question = (InterfaceId(0), frames[round * 7 % frames.len()].as_slice());
            let told = explainer.explain(&director, control.mark_rules(), question, now);
            templates += usize::from(told.template.is_some());
            if let Some(flow) = told.connection {
                assert_eq!(flow.virtual_end, ([10, 0, 0, 100].into(), 80));
                assert!(control.hop_of(flow.destination).is_some());
                *(if flow.is_new { &mut new } else { &mut known }) += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(new > 0 && known > 0 && templates > 0, "{new} new, {known} known, {templates}");
    let live = director.flows.live(0..usize::MAX).count();
    assert_eq!(live as u64, director.flows_used());
    let slots = control.services().remove(0).destinations.into_iter();
    let counted = slots.map(|it| it.active + it.inactive + it.persistent).sum::<u32>();
    assert_eq!(counted as usize, live, "what servers count is what is there");
}
