//! What the kernel did with frames, replayed: every frame that left it leaves here, byte for byte
//! but for what both choose freely.
//!
//! A capture has the network and the services in `ip`, `sysctl` and `ipvsadm` lines, frames that
//! came in (`> lan0 HEX`), and behind each what left (`< lan1 HEX`); see
//! `tests/captures/kernel/README.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lb_core::control::Network;
use lb_core::interface::{InterfaceAddress, InterfaceId};
use lb_core::ipvsadm::{Numeric, execute, restore_words};
use lb_core::route::Route;
use lb_core::settings::Settings;
use lb_core::wire::show;

use crate::bed::{Bed, captured_network};
use crate::commands;
use crate::differences::Differences;

/// A frame that leaves, by which interface.
type Left = (String, Vec<u8>);

/// A replay of one capture.
struct Replay {
    network: Option<Network>,
    bed: Option<Bed>,
    settings: Settings,
    gue_ports: Vec<u16>,
    /// Frames that left and were compared.
    compared: usize,
    wrong: Vec<Fault>,
    run: Run,
}

/// What was not as in the kernel, and behind which line of the capture.
struct Fault {
    line: usize,
    about: String,
}

/// What a frame, or several fragments one behind the other, brought about.
#[derive(Default)]
struct Run {
    number: usize,
    about: String,
    expected: Vec<Left>,
    happened: Vec<Left>,
}

impl Replay {
    fn bed(&mut self) -> &mut Bed {
        let (network, settings) = (&mut self.network, self.settings);
        self.bed.get_or_insert_with(|| {
            let mut bed = Bed::new(network.take().expect("taken once"), 4096, 64);
            bed.control.set_settings(settings);
            bed
        })
    }

    fn line(&mut self, number: usize, line: &str, expected: &[&str]) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["ip", ..] if self.bed.is_none() => self.surroundings(&words),
            ["sysctl", setting] => self.sysctl(setting),
            ["modprobe", _] => {}
            ["wait", seconds] => {
                let mut left: f64 = seconds.parse().expect("wait SECONDS");
                while left > 0.0 {
                    self.bed().pass_moment();
                    left -= 0.125;
                }
            }
            ["connections"] => {
                self.bed().pass_moment();
                let happened = connections(self.bed());
                self.compare(number, line, expected, &happened);
            }
            ["stats"] => {
                let happened = stats(self.bed());
                self.compare(number, line, expected, &happened);
            }
            [">", interface, hex, ..] => self.frame(number, line, interface, hex, expected),
            [word, ..] if word.starts_with('-') => {
                let port = line.split_once("--tun-port ").map(|(_, rest)| rest);
                let port = port.and_then(|rest| rest.split(' ').next()?.parse::<u16>().ok());
                self.gue_ports.extend(port);
                let done = commands::run(&mut self.bed().control, line);
                let happened: Vec<String> =
                    done.err().into_iter().map(|text| format!("error {text}")).collect();
                let without_code = |line: &&str| {
                    let (_, text) = line.strip_prefix("= error ")?.split_once(' ')?;
                    Some(format!("error {text}"))
                };
                let expected: Vec<String> = expected.iter().filter_map(without_code).collect();
                assert_eq!(happened, expected, "line {number}: {line}");
            }
            _ => panic!("line {number}: `{line}`: not understood"),
        }
    }

    /// A line about the network, before the first service.
    fn surroundings(&mut self, words: &[&str]) {
        let network = self.network.as_mut().expect("before the rest");
        let subnet = |text: &str| {
            let (address, prefix) = text.split_once('/').expect("ADDRESS/PREFIX");
            let prefix = prefix.parse().expect("a prefix");
            InterfaceAddress { address: address.parse().expect("an address"), prefix }
        };
        match *words {
            ["ip", "link", "set", name, "mtu", mtu] => {
                let mut interfaces = network.interfaces.iter_mut();
                let interface = interfaces.find(|interface| interface.name == name);
                interface.expect("an interface").mtu = mtu.parse().expect("a number");
            }
            ["ip", "route", "add", to, "via", via] => {
                let via = via.parse().expect("an address");
                network.routes.push(Route::new(subnet(to), via));
            }
            ["ip", "addr", "add", address, "dev", "lo"] => {
                network.vips.push(subnet(address).address);
            }
            ["ip", "neigh", "add", address, "lladdr", mac, "dev", name, ..] => {
                let place = network.interfaces.iter().position(|i| i.name == name);
                let interface = InterfaceId(u8::try_from(place.expect("one")).expect("few"));
                let neighbour = address.parse().expect("an address");
                let hop = lb_core::route::Hop { interface, neighbour };
                network.permanent_neighbours.push((hop, mac.parse().expect("a MAC address")));
            }
            _ => panic!("{words:?}: not understood"),
        }
    }

    fn sysctl(&mut self, setting: &str) {
        let (name, value) = setting.split_once('=').expect("NAME=VALUE");
        let on = value != "0";
        match name.rsplit('.').next().unwrap_or_default() {
            "pmtu_disc" => self.settings.pmtu_disc = on,
            "nat_icmp_send" => self.settings.nat_icmp_send = on,
            "expire_nodest_conn" => self.settings.expire_nodest_conn = on,
            "expire_quiescent_template" => self.settings.expire_quiescent_template = on,
            "cache_bypass" => self.settings.cache_bypass = on,
            "schedule_icmp" => self.settings.schedule_icmp = on,
            other => panic!("no sysctl {other}"),
        }
        let settings = self.settings;
        self.bed().control.set_settings(settings);
    }

    /// A frame comes in. What fragments bring about is compared when their run has ended: the
    /// kernel holds them back until all are there.
    fn frame(&mut self, number: usize, line: &str, from: &str, hex: &str, expected: &[&str]) {
        let from = InterfaceId(u8::from(from == "lan1"));
        let frame = bytes(hex);
        if !is_fragment(&frame) {
            self.end_run();
        }
        let sent = self.bed().process(from, &frame).sent;
        let names: Vec<String> =
            self.bed().control.interfaces().iter().map(|i| i.name.clone()).collect();
        let run = &mut self.run;
        run.number = number;
        run.about = line.split_once('#').map_or("", |(_, about)| about).to_owned();
        run.happened
            .extend(sent.into_iter().map(|(to, frame)| (names[usize::from(to.0)].clone(), frame)));
        run.expected.extend(expected.iter().filter_map(|line| {
            let mut words = line.strip_prefix("< ")?.split(' ');
            Some((words.next()?.to_owned(), bytes(words.next()?)))
        }));
        if !is_fragment(&frame) {
            self.end_run();
        }
    }

    /// Compares what left since the last call.
    fn end_run(&mut self) {
        let Run { number, about, expected, happened } = std::mem::take(&mut self.run);
        self.compared += expected.len();
        let (want, have) = (masked(&expected, &self.gue_ports), masked(&happened, &self.gue_ports));
        if want == have {
            return;
        }
        let mut text = about;
        for (what, frames) in [("want", &want), ("have", &have)] {
            for (to, frame) in frames {
                let _ = write!(text, "\n    {what} {to} {}", show(frame));
                let _ = write!(text, "\n         {}", hex_of(frame));
            }
            if frames.is_empty() {
                let _ = write!(text, "\n    {what} nothing");
            }
        }
        self.wrong.push(Fault { line: number, about: text });
    }

    fn compare(&mut self, number: usize, line: &str, expected: &[&str], happened: &[String]) {
        let mut expected: Vec<&str> =
            expected.iter().filter_map(|line| line.strip_prefix("= ")).collect();
        if line == "connections" {
            expected.sort_by_key(|row| without_timer(row));
        }
        self.compared += 1;
        let is_same = expected.len() == happened.len()
            && expected.iter().zip(happened).all(|(want, have)| is_about(want, have));
        if !is_same {
            let both = format!("want {expected:#?}\n    have {happened:#?}");
            self.wrong.push(Fault { line: number, about: format!("{line}\n    {both}") });
        }
    }
}

/// Frames without what is free, fragments put together: the kernel cuts them its own way, and a
/// datagram of which a part is missing is nothing.
fn masked(frames: &[Left], gue_ports: &[u16]) -> Vec<Left> {
    let mut whole: Vec<Left> = Vec::new();
    let mut parts: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for (to, frame) in frames {
        let frame = mask(frame, gue_ports);
        if !is_fragment(&frame) {
            whole.push((to.clone(), frame));
            continue;
        }
        let datagram = datagram_of(&frame);
        let known = parts.iter_mut().find(|(_, parts)| datagram_of(&parts[0]) == datagram);
        match known {
            Some((_, parts)) => parts.push(frame),
            None => parts.push((to.clone(), vec![frame])),
        }
    }
    for (to, parts) in parts {
        if let Some(mut datagram) = reassemble(parts) {
            if datagram[12] == 0x86 {
                // Behind the fragment header that the first part had.
                mask_gue(&mut datagram, 54, 62, gue_ports);
            }
            whole.push((to, datagram));
        }
    }
    whole
}

/// Offset in bytes, whether more follow, and where the payload begins; `None` for a whole packet.
fn part_of(frame: &[u8]) -> Option<(usize, bool, usize)> {
    if frame.get(12..14)? == [0x08, 0x00] {
        let field = usize::from(u16::from_be_bytes([*frame.get(20)?, *frame.get(21)?]));
        let (offset, more) = ((field & 0x1fff) * 8, field & 0x2000 != 0);
        let header = usize::from(frame.get(14)? & 15) * 4;
        return (offset != 0 || more).then_some((offset, more, 14 + header));
    }
    if frame.get(12..14)? == [0x86, 0xdd] {
        // The fragment header is found behind hop-by-hop and destination options.
        let (mut next, mut at) = (*frame.get(20)?, 54);
        while [0, 60, 43].contains(&next) {
            next = *frame.get(at)?;
            at += (usize::from(*frame.get(at + 1)?) + 1) * 8;
        }
        if next == 44 {
            let field = usize::from(u16::from_be_bytes([*frame.get(at + 2)?, *frame.get(at + 3)?]));
            let (offset, more) = (field & 0xfff8, field & 1 != 0);
            return (offset != 0 || more).then_some((offset, more, at + 8));
        }
    }
    None
}

fn is_fragment(frame: &[u8]) -> bool {
    part_of(frame).is_some()
}

/// What fragments of one datagram have in common, the identification of IPv6 aside, which the
/// kernel draws anew.
fn datagram_of(frame: &[u8]) -> Vec<u8> {
    if frame[12] == 0x08 {
        [&frame[18..20], &frame[23..24], &frame[26..34]].concat()
    } else {
        frame[22..54].to_vec()
    }
}

/// The datagram with the first part's header; `None` where something is missing.
fn reassemble(mut parts: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    parts.sort_by_key(|frame| part_of(frame).map(|part| part.0));
    parts.dedup();
    let (_, _, start) = part_of(&parts[0])?;
    let mut whole = parts[0][..start].to_vec();
    if whole[12] == 0x08 {
        // Length, flags and checksum are those of the part.
        whole[16..18].fill(0);
        whole[20..22].fill(0);
        whole[24..26].fill(0);
    } else {
        whole[18..20].fill(0);
        let identification = start - 6;
        whole[identification..start].fill(0);
    }
    let mut end = 0;
    for (at, frame) in parts.iter().enumerate() {
        let (offset, more, start) = part_of(frame)?;
        if offset != end || more == (at + 1 == parts.len()) {
            return None;
        }
        whole.extend(&frame[start..]);
        end += frame.len() - start;
    }
    Some(whole)
}

/// The frame without what the kernel, and we, choose freely, and without Ethernet's padding.
fn mask(frame: &[u8], gue_ports: &[u16]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame.len() < 34 {
        return frame;
    }
    if frame[12..14] == [0x08, 0x00] {
        let length = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        frame.truncate((14 + length).max(34));
        mask_v4(&mut frame, gue_ports);
    } else if frame[12..14] == [0x86, 0xdd] && frame.len() >= 54 {
        let length = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
        frame.truncate(54 + length);
        let is_ours =
            frame[20] == 58 || frame[20] == 6 && frame.get(67).is_some_and(|f| f & 4 != 0);
        if is_ours {
            // The flow label of what the director says itself.
            frame[15] &= 0xf0;
            frame[16..18].fill(0);
        }
        mask_gue(&mut frame, 20, 54, gue_ports);
    }
    frame
}

fn mask_v4(frame: &mut [u8], gue_ports: &[u16]) {
    let is_error = frame[23] == 1 && frame[15] & 0xc0 == 0xc0;
    let transport = 14 + usize::from(frame[14] & 15) * 4;
    let is_echo_reply = frame[23] == 1 && frame.get(transport) == Some(&0);
    let has_no_id = [4, 17, 41, 47].contains(&frame[23]) && frame[26..30] == [10, 0, 2, 1];
    let is_outer = has_no_id && frame[20] & 0x40 == 0;
    if is_error || is_echo_reply || is_outer {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
    }
    mask_times(frame);
    mask_gue(frame, 23, 34, gue_ports);
}

/// The times of a timestamp option that is the first one.
fn mask_times(frame: &mut [u8]) {
    if frame[14] & 15 < 7 || frame.get(34) != Some(&0x44) {
        return;
    }
    frame[24..26].fill(0);
    let (end, step) = (34 + usize::from(frame[35]), if frame[37] & 15 == 0 { 4 } else { 8 });
    for at in (34 + step..end).step_by(step) {
        frame[at..at + 4].fill(0);
    }
}

/// Source port and checksum of GUE.
fn mask_gue(frame: &mut [u8], protocol_at: usize, at: usize, gue_ports: &[u16]) {
    let is_first =
        frame[12] == 0x86 || frame[20..22] == [0, 0] || frame[20] & 0x1f == 0 && frame[21] == 0;
    if frame[protocol_at] == 17 && is_first && frame.len() >= at + 8 {
        let port = u16::from_be_bytes([frame[at + 2], frame[at + 3]]);
        if gue_ports.contains(&port) {
            frame[at..at + 2].fill(0);
            if frame[at + 6..at + 8] != [0, 0] {
                frame[at + 6..at + 8].fill(0xff);
            }
        }
    }
}

/// Rows of `ipvsadm -Lnc`, sorted.
fn connections(bed: &mut Bed) -> Vec<String> {
    let mut rows = listing(bed, "-L -n -c", 2);
    rows.sort_by_key(|row| without_timer(row));
    rows
}

/// Rows of `ipvsadm -Ln --stats --exact`.
fn stats(bed: &mut Bed) -> Vec<String> {
    listing(bed, "-L -n --stats --exact", 3)
}

fn listing(bed: &mut Bed, line: &str, titles: usize) -> Vec<String> {
    let outcome = execute(&restore_words(line), &[], &mut bed.control, &Numeric);
    let rows = outcome.stdout.lines().skip(titles);
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What a capture says against what happened: (compared, wrong).
fn replay(text: &str) -> (usize, Vec<Fault>) {
    let mut replay = Replay {
        network: Some(Network {
            vips: vec![[10, 0, 0, 100].into(), "fd00::100".parse().expect("an address")],
            ..captured_network()
        }),
        bed: None,
        settings: Settings { icmp_msgs_per_sec: u32::MAX, ..Settings::default() },
        gue_ports: Vec::new(),
        compared: 0,
        wrong: Vec::new(),
        run: Run::default(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let is_result = |line: &&str| line.starts_with("< ") || line.starts_with("= ");
    for (at, line) in lines.iter().enumerate() {
        if is_result(line) {
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            replay.end_run();
            continue;
        }
        let behind = &lines[at + 1..];
        let results = behind.iter().take_while(|line| is_result(line)).count();
        if !line.starts_with('>') {
            replay.end_run();
        }
        replay.line(at + 1, line, &behind[..results]);
    }
    replay.end_run();
    (replay.compared, replay.wrong)
}

/// The captures, or those of the folder `CAPTURES`.
fn captures() -> Vec<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures/kernel/paths");
    let folder = std::env::var_os("CAPTURES").map_or(ours, PathBuf::from);
    let entries = std::fs::read_dir(folder).expect("the folder of captures");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn what_the_kernel_did_happens_here() {
    let only = std::env::var_os("ONLY").unwrap_or_default().into_string().expect("text");
    let mut differences = Differences::read();
    let (mut compared, mut differing, mut wrong) = (0, 0, 0);
    for path in captures().iter().filter(|path| path.to_string_lossy().contains(&only)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a capture");
        if differences.covers(&name) {
            let agrees = std::panic::catch_unwind(|| replay(&text)).is_ok_and(|it| it.1.is_empty());
            assert!(!agrees, "{name} may be replayed: it agrees with the kernel");
            continue;
        }
        let (frames, faults) = replay(&text);
        compared += frames;
        for Fault { line, about } in faults {
            if differences.take(&name, line) {
                differing += 1;
            } else {
                wrong += 1;
                println!("{name} line {line}: {about}");
            }
        }
    }
    println!("{compared} compared, {differing} differ as said, {wrong} wrong");
    assert_eq!(wrong, 0, "neither as the kernel nor in tests/captures/kernel/differences.txt");
    let is_all = only.is_empty() && std::env::var_os("CAPTURES").is_none();
    let left = if is_all { differences.left() } else { Vec::new() };
    assert!(left.is_empty(), "as the kernel, so not to be listed: {left:#?}");
}

/// A row of `-Lnc` without the time that is left.
fn without_timer(row: &str) -> String {
    let words = row.split(' ').enumerate().filter(|(at, _)| *at != 1);
    words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// Whether two rows are the same but for seconds that the recording took.
fn is_about(want: &str, have: &str) -> bool {
    let seconds = |row: &str| {
        let (minutes, seconds) = row.split(' ').nth(1)?.split_once(':')?;
        Some(minutes.parse::<u32>().ok()? * 60 + seconds.parse::<u32>().ok()?)
    };
    match (seconds(want), seconds(have)) {
        (Some(wanted), Some(had)) => {
            wanted.abs_diff(had) <= 9 && without_timer(want) == without_timer(have)
        }
        _ => want == have,
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(|pair| byte(pair).unwrap_or_else(|| panic!("not hex: {hex}"))).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
