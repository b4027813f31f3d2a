//! FTP through masquerading: vsftpd tells addresses that only the director's side knows, and calls
//! clients back; curl would not find it otherwise.

use crate::support::config::Config;
use crate::support::director::{ConnectionLine, Director};
use crate::support::lab::{Lab, VIP, VIP6};
use crate::support::tools::{Capture, random_file, sum};

#[test]
fn passive_and_active_transfers_pass() {
    let lab = Lab::two_segments();
    lab.sh("lab_vsftpd rs1");
    let config = Config::two_ports().with(&format!("-t {VIP}:21"), "rr", &["10.0.20.83 -m"]);
    let director = Director::start(&lab, &config);
    let at_client = Capture::start(&lab, "client", "eth0", "tcp");
    let modes = [
        ("EPSV", "", false),
        ("PASV", "--disable-epsv", false),
        ("EPRT", "--ftp-port 10.0.10.1", true),
        ("PORT", "--ftp-port 10.0.10.1 --disable-eprt", true),
    ];
    for (command, options, is_active) in modes {
        transfer(&lab, &director, VIP, command, options);
        // The last connections are those of data; 20 is the port that active ones come from.
        let data: Vec<ConnectionLine> = director.connections();
        let found = data.iter().any(|line| (line.virtual_end == "10.0.10.100:20") == is_active);
        assert!(found, "{command}: {data:?}");
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
