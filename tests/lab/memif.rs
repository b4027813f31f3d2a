//! Two DPDK processes: `dpdk-testpmd` plays frames from a file into shared memory, `sluiced` sends
//! them back rewritten, and testpmd writes what returns into another file. No kernel in between.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::config::{Config, port};
use crate::support::director::Director;
use crate::support::lab::{Lab, VIP, eventually};
use crate::support::pcap;

const DIRECTOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x61];
const GENERATOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0x83], [2, 0, 0, 0, 0, 0x84]];

/// Fewer than a ring of the shared memory holds, so that no pause of either side can lose one.
const FLOWS: u16 = 5000;
const RING: &str = "rsize=13";

#[test]
fn every_frame_of_testpmd_returns_rewritten() {
    let lab = Lab::new();
    lab.sh("lab_director director");
    let socket = lab.dir().join("memif.sock");
    let memif = format!("id=0,socket={},socket-abstract=no,{RING}", socket.display());
    let mut config = Config::one_port();
    let device = format!("net_memif0,role=server,mac={},{memif}", text(DIRECTOR_MAC));
    config.ports = vec![port("lan0", &device, "10.0.10.61/24")];
    config.services.push(format!("-A -u {VIP}:53 -s rr"));
    for (address, mac) in ["10.0.10.83", "10.0.10.84"].into_iter().zip(SERVER_MACS) {
        config.services.push(format!("-a -u {VIP}:53 -r {address} -g"));
        config.neighbours.push(("lan0".to_owned(), address.to_owned(), text(mac)));
    }
    let director = Director::start(&lab, &config);
    let sent: Vec<Vec<u8>> = (0..FLOWS).map(udp_frame).collect();
    let (input, output) = (lab.dir().join("in.pcap"), lab.dir().join("out.pcap"));
    pcap::write(&input, &sent);

    let begun = || !director.connections().is_empty();
    let mut testpmd = Testpmd::start_connected(&lab, &input, &output, &memif, begun);
    eventually(Duration::from_secs(30), "an entry for each flow", || {
        testpmd.must_run();
        (director.connections().len() == usize::from(FLOWS)).then_some(())
    });
    // The entries are made before their frames are sent and received.
    thread::sleep(Duration::from_secs(1));
    testpmd.stop();

    let ipv4 = |frame: &Vec<u8>| frame.get(12..14) == Some(&[8, 0]);
    let returned: Vec<Vec<u8>> = pcap::read(&output).into_iter().filter(ipv4).collect();
    assert_eq!(returned.len(), sent.len(), "{}", director.ctl("ports"));
    let mut per_server = [0; 2];
    for (before, after) in sent.iter().zip(&returned) {
        let server = SERVER_MACS.iter().position(|mac| after[..6] == *mac);
        per_server[server.unwrap_or_else(|| panic!("to no server: {after:02x?}"))] += 1;
        assert_eq!(after[6..12], DIRECTOR_MAC, "{after:02x?}");
        assert_eq!(after[22], before[22] - 1, "the director is a hop: {after:02x?}");
        assert_eq!(ones_complement_sum(&after[14..34]), 0xffff, "IP checksum: {after:02x?}");
        assert_eq!(before[12..22], after[12..22], "nothing else changes: {after:02x?}");
        assert_eq!(before[26..], after[26..], "nothing else changes: {after:02x?}");
    }
    assert_eq!(per_server, [FLOWS / 2; 2], "rr");
}

/// A 60-byte UDP frame to the service from a client of its own.
fn udp_frame(flow: u16) -> Vec<u8> {
    let [high, low] = flow.to_be_bytes();
    let mut frame = Vec::with_capacity(60);
    frame.extend(DIRECTOR_MAC);
    frame.extend(GENERATOR_MAC);
    frame.extend([8, 0]);
    frame.extend([0x45, 0, 0, 46, high, low, 0x40, 0, 64, 17, 0, 0, 10, 1, high, low]);
    frame.extend([10, 0, 10, 100]);
    let checksum = !ones_complement_sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame.extend((1024 + flow % 500).to_be_bytes());
    frame.extend([0, 53, 0, 26, 0, 0]); // port 53, length, no checksum
    frame.resize(60, 0x5a);
    frame
}

fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let (words, _) = bytes.as_chunks::<2>();
    let sum: u32 = words.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// testpmd with a file at one side and the shared memory at the other, forwarding between them.
#[derive(Debug)]
struct Testpmd {
    child: Child,
    log: std::path::PathBuf,
}

impl Testpmd {
    fn start(lab: &Lab, input: &Path, output: &Path, memif: &str) -> Self {
        let log = lab.dir().join("testpmd.log");
        let both = File::create(&log).expect("the lab's folder is writable");
        let mut command: Command = lab.command("director", "dpdk-testpmd");
        command
            .args(["--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m", "256"])
            .args(["--lcores", "0@0,1@0"])
            .arg(format!(
                "--vdev=net_pcap0,rx_pcap={},tx_pcap={}",
                input.display(),
                output.display()
            ))
            .arg(format!("--vdev=net_memif0,role=client,{memif}"))
            .args(["--", "--forward-mode=io", "--auto-start", "--no-flush-rx"])
            .arg("--total-num-mbufs=32768")
            .stdin(Stdio::piped())
            .stdout(both.try_clone().expect("a descriptor is free"))
            .stderr(both);
        Self { child: command.spawn().expect("ip is installed"), log }
    }

    /// Now and then the two memif drivers never finish shaking hands, and nothing passes: then
    /// testpmd is started anew. Frames that pass are checked just as strictly.
    fn start_connected(
        lab: &Lab,
        input: &Path,
        output: &Path,
        memif: &str,
        begun: impl Fn() -> bool,
    ) -> Self {
        const ATTEMPTS: u32 = 4;
        for _ in 0..ATTEMPTS {
            let mut testpmd = Self::start(lab, input, output, memif);
            for _ in 0..40 {
                thread::sleep(Duration::from_millis(250));
                testpmd.must_run();
                if begun() {
                    return testpmd;
                }
            }
            testpmd.child.kill().expect("it is our child");
            testpmd.child.wait().expect("it is our child");
        }
        panic!("testpmd and sluiced were not connected in {ATTEMPTS} attempts");
    }

    fn must_run(&mut self) {
        let status = self.child.try_wait().expect("it is our child");
        assert!(status.is_none(), "testpmd ended: {status:?}");
    }

    /// A newline ends testpmd; only then is its file complete.
    fn stop(&mut self) {
        let mut input = self.child.stdin.take().expect("stopped once");
        input.write_all(b"\n").expect("testpmd reads");
        drop(input);
        let status = eventually(Duration::from_secs(20), "the end of testpmd", || {
            self.child.try_wait().expect("it is our child")
        });
        assert!(status.success(), "testpmd: {status}");
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            println!("-- testpmd\n{log}");
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _killed = self.child.kill();
            let _ended = self.child.wait();
        }
    }
}
