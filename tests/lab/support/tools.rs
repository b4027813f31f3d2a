//! The ordinary programs that the tests use as clients, servers and witnesses.

use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use super::lab::{Lab, VIP};

/// The pages that curl gets, one connection each, from the lab's client.
pub(crate) fn curl_pages(lab: &Lab, count: usize) -> Vec<String> {
    pages(lab, "client", &format!("http://{VIP}/"), count)
}

/// The pages that curl gets in a host, one connection each.
pub(crate) fn pages(lab: &Lab, host: &str, url: &str, count: usize) -> Vec<String> {
    let page = || lab.run(host, &format!("curl -gsS -m 10 {url}")).trim().to_owned();
    (0..count).map(|_| page()).collect()
}

/// What curl sends arrives as it was: a file of random bytes for the web server in `server`.
pub(crate) fn upload(lab: &Lab, client: &str, url: &str, server: &str, mebibytes: u32) {
    let dir = lab.dir().display();
    let source = format!("{dir}/sent-{client}");
    random_file(lab, &source, mebibytes);
    lab.run(client, &format!("curl -gsS -f -m 30 -T {source} {url}/up/file"));
    assert_eq!(sum(lab, &format!("{dir}/{server}/www/up/file")), sum(lab, &source));
    lab.run(server, &format!("rm {dir}/{server}/www/up/file"));
}

/// What curl gets is what the web server in `server` has.
pub(crate) fn download(lab: &Lab, client: &str, url: &str, server: &str, mebibytes: u32) {
    let dir = lab.dir().display();
    let source = format!("{dir}/{server}/www/file");
    random_file(lab, &source, mebibytes);
    let got = format!("{dir}/got-{client}");
    lab.run(client, &format!("curl -gsS -f -m 30 -o {got} {url}/file"));
    assert_eq!(sum(lab, &got), sum(lab, &source));
}

/// Makes a file of random bytes.
pub(crate) fn random_file(lab: &Lab, path: &str, mebibytes: u32) {
    lab.sh(&format!("head -c {mebibytes}M /dev/urandom >{path}"));
}

/// The checksum of a file.
pub(crate) fn sum(lab: &Lab, path: &str) -> String {
    let text = lab.run("client", &format!("sha256sum {path}"));
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

/// One page, whatever comes of it.
pub(crate) fn curl_once(lab: &Lab, timeout_s: u32) -> Output {
    lab.try_run("client", &format!("curl -sS -m {timeout_s} http://{VIP}/"))
}

/// What `ab` says of `requests` requests, `parallel` at a time; none of them may fail.
pub(crate) fn ab(lab: &Lab, requests: u32, parallel: u32) -> String {
    let line = format!("timeout 120 ab -q -n {requests} -c {parallel} http://{VIP}/");
    let text = lab.run("client", &line);
    assert_eq!(figure(&text, "Complete requests:"), Some(requests), "{text}");
    assert_eq!(figure(&text, "Failed requests:"), Some(0), "{text}");
    assert_eq!(figure(&text, "Non-2xx responses:"), None, "{text}");
    text
}

fn figure(text: &str, title: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.starts_with(title))?;
    line[title.len()..].split_whitespace().next()?.parse().ok()
}

/// Starts `iperf3` as a server on the VIP in a host.
pub(crate) fn iperf_server(lab: &Lab, host: &str) {
    // -B, because a UDP socket of a real server would answer from its RIP otherwise.
    iperf_server_at(lab, host, VIP);
}

/// Starts `iperf3` as a server on an address of a host.
pub(crate) fn iperf_server_at(lab: &Lab, host: &str, address: &str) {
    lab.sh(&format!("lab_spawn {host} iperf3 iperf3 -s -B {address}"));
    let bound = format!("lab_run {host} grep -q ':1451 00000000:0000 0A' /proc/net/tcp");
    lab.sh(&format!("lab_wait 10 {bound}"));
}

/// What `iperf3 -c VIP` measured, `end` of its JSON.
pub(crate) fn iperf(lab: &Lab, options: &str) -> serde_json::Value {
    let output = lab.try_run("client", &format!("timeout 60 iperf3 -c {VIP} -J {options}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let json: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("iperf3: {error}\n{text}"));
    assert!(json.get("error").is_none(), "iperf3: {}", json["error"]);
    json["end"].clone()
}

/// The link-local address of a MAC address (RFC 4291 appendix A).
pub(crate) fn link_local(mac: &str) -> String {
    let byte = |text: &str| u8::from_str_radix(text, 16).expect("two digits");
    let b: Vec<u8> = mac.split(':').map(byte).collect();
    format!(
        "fe80::{:02x}{:02x}:{:02x}ff:fe{:02x}:{:02x}{:02x}",
        b[0] ^ 2,
        b[1],
        b[2],
        b[3],
        b[4],
        b[5]
    )
}

/// What tcpdump sees at an interface, from the return of `start` on.
#[derive(Debug)]
pub(crate) struct Capture<'lab> {
    lab: &'lab Lab,
    log: String,
}

impl<'lab> Capture<'lab> {
    pub(crate) fn start(lab: &'lab Lab, host: &str, interface: &str, filter: &str) -> Self {
        static CAPTURES: AtomicU32 = AtomicU32::new(0);
        let number = CAPTURES.fetch_add(1, Ordering::Relaxed);
        let log = format!("capture{number}-{host}-{interface}");
        lab.sh(&format!("lab_capture {host} {log} {interface} '{filter}'"));
        Self { lab, log }
    }

    /// The frames so far, a line each.
    pub(crate) fn frames(&self) -> Vec<String> {
        let path = self.lab.dir().join(format!("{}.log", self.log));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let frame = |line: &&str| line.starts_with(|first: char| first.is_ascii_digit());
        text.lines().filter(frame).filter(|line| line.contains(" > ")).map(str::to_owned).collect()
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.lab.sh(&format!("lab_stop {} INT", self.log));
        }
    }
}
