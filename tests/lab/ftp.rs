//! FTP through masquerading: vsftpd tells addresses that only the director's side knows, and calls
//! clients back; curl would not find it otherwise.

use crate::support::config::Config;
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, VIP6};
use crate::support::tools::{Capture, random_file, sum};

#[test]
fn passive_and_active_transfers_pass() {
    let lab = Lab::two_segments();
    lab.sh("lab_vsftpd rs1");
    let config = Config::two_ports().with(&format!("-t {VIP}:21"), "rr", &["10.0.20.83 -m"]);
    let director = Director::start(&lab, &config);
    let at_client = Capture::start(&lab, "client", "eth0", "tcp");
    // Three data connections each, passive ones to any port of the VIP, active ones from its 20.
    let modes = [
        ("EPSV", "", (3, 0)),
        ("PASV", "--disable-epsv", (6, 0)),
        ("EPRT", "--ftp-port 10.0.10.1", (6, 3)),
        ("PORT", "--ftp-port 10.0.10.1 --disable-eprt", (6, 6)),
    ];
    for (command, options, expected) in modes {
        transfer(&lab, &director, VIP, command, options);
        let mut lines = director.connections();
        lines.retain(|line| line.virtual_end != "10.0.10.100:21");
        let active = lines.iter().filter(|line| line.virtual_end == "10.0.10.100:20").count();
        assert_eq!((lines.len() - active, active), expected, "{command}: {lines:?}");
    }
    let frames = at_client.frames();
    assert!(frames.len() > 100, "{}", frames.len());
    assert!(!frames.iter().any(|frame| frame.contains("10.0.20.")), "servers are hidden");
}

#[test]
fn passive_and_active_transfers_pass_over_ipv6() {
    let lab = Lab::two_segments();
    lab.sh("lab_vsftpd rs1");
    let config =
        Config::two_ports().with(&format!("-t [{VIP6}]:21"), "rr", &["[fd00:20::83]:21 -m"]);
    let director = Director::start(&lab, &config);
    let at_client = Capture::start(&lab, "client", "eth0", "ip6 and tcp");
    for (command, options) in [("EPSV", ""), ("EPRT", "--ftp-port fd00:10::1")] {
        transfer(&lab, &director, &format!("[{VIP6}]"), command, options);
    }
    let frames = at_client.frames();
    assert!(frames.len() > 100, "{}", frames.len());
    assert!(!frames.iter().any(|frame| frame.contains("fd00:20::")), "servers are hidden");
}

/// A file there and another one back, with one way to make data connections, and the directory;
/// all within one control connection, whose text changes its length on the way.
fn transfer(lab: &Lab, director: &Director<'_>, vip: &str, command: &str, options: &str) {
    let dir = lab.dir().display();
    let (sent, there) = (format!("{dir}/sent"), format!("{dir}/rs1/ftp/up/{command}"));
    let (offered, got) = (format!("{dir}/rs1/ftp/offered"), format!("{dir}/got-{command}"));
    random_file(lab, &sent, 2);
    random_file(lab, &offered, 2);
    let curl = format!("curl -gsSv -m 30 {options}");
    let url = format!("ftp://{vip}");
    let line = format!(
        "{curl} -T {sent} {url}/up/{command} --next {} -o {got} {url}/offered --next {} {url}/",
        curl.trim_start_matches("curl "),
        curl.trim_start_matches("curl "),
    );
    let output = lab.try_run("client", &line);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {talk}\n{}", director.adm("-Lnc"));
    assert!(talk.contains(&format!("> {command}")), "curl said it differently:\n{talk}");
    let other = if command == "EPSV" { "> PASV" } else { "> EPSV" };
    assert!(!talk.contains(other), "{command}: {talk}");
    assert_eq!(sum(lab, &there), sum(lab, &sent), "{command}");
    assert_eq!(sum(lab, &got), sum(lab, &offered), "{command}");
    let listing = String::from_utf8_lossy(&output.stdout);
    assert!(listing.contains("offered"), "{command}: {listing}");
}
