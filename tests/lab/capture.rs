//! `sluicectl capture`: what is seen on the wire, with what became of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use appliance::capture::pcapng::{Block, read_block};

use crate::support::config::Config;
use crate::support::director::{Director, program, reply, send_signal};
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::tools::{download, pages};

/// `sluicectl capture` at work.
struct Sniffer {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Sniffer {
    /// Begins, and waits until the director captures.
    fn start(lab: &Lab, director: &Director<'_>, name: &str, words: &str) -> Self {
        let file = |end: &str| lab.dir().join(format!("sniffer-{name}.{end}"));
        let (out, err) = (file("out"), file("err"));
        let create = |path| std::fs::File::create(path).expect("the lab's folder is writable");
        let child = Command::new(program("sluicectl"))
            .arg("--socket")
            .arg(director.socket())
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .stdout(create(&out))
            .stderr(create(&err))
            .spawn()
            .expect("the program is there");
        let sniffer = Self { child, out, err };
        eventually(Duration::from_secs(10), "a capture begins", || {
            sniffer.said().contains("capturing").then_some(())
        });
        sniffer
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Waits for a line, then ends it as Ctrl-C does; returns what it printed.
    fn stop_after(mut self, text: &str) -> String {
        eventually(Duration::from_secs(10), text, || self.text().contains(text).then_some(()));
        send_signal(self.child.id(), "INT");
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "{status}: {}", self.said());
        assert!(self.said().contains("\n0 packets lost"), "{}", self.said());
        self.text()
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn tshark(path: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r", path, "-T", "fields", "-E", "separator=|"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let read = reply(&mut command);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let line = |line: &str| line.split('|').map(str::to_owned).collect();
    read.stdout.lines().map(line).collect()
}

#[test]
fn a_capture_tells_what_becomes_of_each_packet() {
    let lab = Lab::two_segments().with_web_at(8080);
    let config = Config::two_ports().with(&format!("-t {VIP}:80"), "rr", &["10.0.20.83:8080 -m"]);
    let director = Director::start(&lab, &config);
    let file = lab.dir().join("capture.pcapng").display().to_string();
    let lines = Sniffer::start(&lab, &director, "text", "capture host 10.0.10.1 and not arp");
    let sent = Sniffer::start(&lab, &director, "sent", "capture tcp dst port 8080");
    let one_port = Sniffer::start(&lab, &director, "port", "--json capture -i backend0 -s 60 tcp");
    let mut counted = Sniffer::start(&lab, &director, "file", &format!("capture -c 6 -w {file}"));

    let refused = director.try_ctl("capture");
    assert_eq!(refused.code, Some(2), "one too many");
    assert_eq!(refused.stderr, "sluiced: capture: 4 captures run already; end one of them\n");
    assert_eq!(pages(&lab, "client", &format!("http://{VIP}/"), 1), ["rs1"]);
    assert!(!lab.try_run("client", &format!("curl -m 5 http://{VIP}:81/")).status.success());

    let text = lines.stop_after(":81 >");
    // Also of packets that others than the first ones are.
    assert!(!text.contains("concerns"), "{text}");
    let line = |parts: &[&str]| {
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        text.lines().find(has_all).unwrap_or_else(|| panic!("no {parts:?} in\n{text}"))
    };
    line(&["lan0 in ", ":80 [S]", "| to server 10.0.20.83:8080 of tcp:10.0.10.100:80; worker 0"]);
    line(&["backend0 out ", "> 10.0.20.83:8080 [S]", "| sent to server 10.0.20.83:8080 of tcp:"]);
    line(&["backend0 in ", "10.0.20.83:8080 >", "| to its client, from server 10.0.20.83:8080"]);
    line(&["lan0 out ", "10.0.10.100:80 >", "| sent to its client, from server"]);
    let dropped = line(&["lan0 in ", ":81 [S]", "| dropped: no_service, its sender is told;"]);
    let answer = line(&["lan0 out ", "10.0.10.100:81 >", "| answer, dropped: no_service;"]);
    let number = |line: &str| line.rsplit(' ').next().map(str::to_owned);
    assert_eq!(number(dropped), number(answer), "both are of one packet");

    let sent = sent.stop_after("out");
    let of_client = |line: &&str| line.contains(&format!("> {VIP}:80 "));
    assert!(sent.lines().any(|line| of_client(&line)), "also as they were received: {sent}");
    assert!(!sent.contains("10.0.20.83:8080 > "), "and no others: {sent}");
    let json = one_port.stop_after("verdict");
    for line in json.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("one object a line");
        assert_eq!(line["interface"], "backend0", "{line}");
    }

    assert!(counted.child.wait().is_ok_and(|status| status.success()), "{}", counted.said());
    assert!(counted.said().contains("\n6 packets captured"), "{}", counted.said());
    let rows =
        tshark(&file, &["frame.interface_name", "frame.packet_flags_direction", "frame.comment"]);
    assert_eq!(rows.len(), 6, "{rows:?}");
    let has = |parts: [&str; 3]| {
        rows.iter().any(|row| row.iter().zip(parts).all(|(field, part)| field.contains(part)))
    };
    assert!(has(["lan0", "1", "to server 10.0.20.83:8080 of tcp:10.0.10.100:80"]), "{rows:?}");
    assert!(has(["backend0", "2", "sent to server"]), "{rows:?}");
}

#[test]
fn captures_end_with_their_clients_and_lose_packets_rather_than_traffic() {
    let lab = Lab::two_segments().with_web_at(8080);
    let config = Config::two_ports().with(&format!("-t {VIP}:80"), "rr", &["10.0.20.83:8080 -m"]);
    let eal = "{ memory: 128M, hugepages: off, attach: telemetry }".to_owned();
    let mut director = Director::start(&lab, &Config { eal, ..config });
    let begin = |words: &str| {
        let mut stream = UnixStream::connect(director.socket()).expect("it listens");
        writeln!(stream, "{words}").expect("it reads");
        let mut from = BufReader::new(stream);
        let mut first = String::new();
        from.read_line(&mut first).expect("it answers");
        assert_eq!(first, "exit 0 stdout 0 stderr 0\n");
        from
    };
    // Whoever goes away leaves its place.
    for _ in 0..3 {
        let all = [(); 4].map(|()| begin("capture"));
        drop(all);
        eventually(Duration::from_secs(10), "the places are free", || {
            let reply = director.try_ctl("capture --program 1,6\\s0\\s0\\s1 -w /nowhere/file");
            assert_eq!(reply.code, Some(2));
            let mut stream = UnixStream::connect(director.socket()).ok()?;
            writeln!(stream, "capture -c 1").ok()?;
            let mut first = String::new();
            BufReader::new(stream).read_line(&mut first).ok()?;
            (first == "exit 0 stdout 0 stderr 0\n").then_some(())
        });
    }

    // Nobody reads it, and more passes than waits anywhere.
    let mut silent = begin("capture --buffer 32");
    download(&lab, "client", &format!("http://{VIP}"), "rs1", 8);
    silent.get_ref().shutdown(Shutdown::Write).expect("it is open");
    let (mut packets, mut lost) = (0, 0);
    while let Some(bytes) = read_block(&mut silent).expect("whole blocks") {
        match Block::of(&bytes) {
            Block::Packet(_) => packets += 1,
            Block::Statistics { lost: here, .. } => lost += here,
            _ => {}
        }
    }
    assert!(packets > 10 && lost > 100, "{packets} packets, {lost} lost");

    let refused = |words: &str| director.try_ctl(words).stderr;
    assert!(refused("capture tcp port").contains("`tcp port': can't parse filter"));
    assert!(
        refused("capture -i eth7").contains("no port or VLAN `eth7'; there are lan0, backend0")
    );
    assert!(refused("capture --program 1,0").contains("--program: `0' is not"));

    // Into a program, as Wireshark reads it.
    let line = format!(
        "{} --socket {} capture -c 4 -w - tcp | tshark -n -r - -T fields -e frame.comment",
        program("sluicectl").display(),
        director.socket().display()
    );
    let mut piped = Command::new("sh");
    piped.args(["-c", &line]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = piped.spawn().expect("sh is there");
    let mut rows = String::new();
    eventually(Duration::from_secs(20), "tshark ends with the capture", || {
        lab.run("client", &format!("curl -s -m 5 http://{VIP}/"));
        child.try_wait().expect("it is our child")
    });
    child.stdout.take().expect("piped").read_to_string(&mut rows).expect("text");
    assert_eq!(rows.lines().count(), 4, "{rows}");
    assert!(rows.lines().all(|row| row.contains("; worker 0, ")), "{rows}");

    dpdk_sees_its_ports(&lab, &mut director);
}

/// DPDK's own view, of which nothing is left behind.
fn dpdk_sees_its_ports(lab: &Lab, director: &mut Director<'_>) {
    let prefix = format!("sluice-{}", director.pid());
    let ask = format!("echo /ethdev/list | dpdk-telemetry.py -f {prefix}");
    let told = lab.run("director", &ask);
    assert!(told.contains(r#"{"/ethdev/list": [0, 1]}"#), "{told}");
    assert!(director.signal("TERM").success());
    assert!(!std::path::Path::new("/var/run/dpdk").join(&prefix).exists());
}
