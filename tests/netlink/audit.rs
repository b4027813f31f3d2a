//! What the audit log says about changes by either socket, and by a signal.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::director::Director;

/// The lines of a log, and that each is whole.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// These fields of a line.
fn fields(line: &Value, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| line.get(*name).cloned().unwrap_or(Value::Null)).collect()
}

/// Sends text to the control socket, and reads all answers.
fn converse(director: &Director, text: &str) -> String {
    let mut stream = UnixStream::connect(director.control_socket()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    BufReader::new(stream).read_to_string(&mut answers).unwrap();
    answers
}

#[test]
fn every_change_has_a_line_and_nothing_else() {
    let director = Director::start();
    let log = director.folder().join("audit.log");
    let began = lines(&log);
    assert_eq!(fields(&began[0], &["door", "program"]), [json!("start"), json!("sluiced")]);

    assert_eq!(director.adm("-A -t 10.0.0.1:80 -s rr").exit, Some(0));
    assert_eq!(director.adm("-A -t 10.0.0.1:80 -s rr").exit, Some(255));
    assert_eq!(director.ctl("settings set pmtu_disc 0").exit, Some(0));
    let ipvsadm = "ipvsadm -a -t 10.0.0.1:80 -r 10.0.0.2 -m -x 9; ipvsadm -D -t 10.9.9.9:1";
    assert_ne!(director.sh(ipvsadm).exit, Some(0));
    let restored = "-R\n-A -u 10.0.0.1:53\n-Ln\n-d -u 10.0.0.1:53 -r 10.0.0.2\n.\n-Z\n";
    let answers = converse(&director, restored);
    assert!(answers.contains("No such destination"), "{answers}");
    // What only shows something, and what is no command, changes nothing.
    director.adm("-Ln");
    director.ctl("status");
    director.sh("ipvsadm -Ln");
    converse(&director, "-L -n\nhello\n-A nonsense\n");

    let found = lines(&log);
    let names = ["door", "command", "input", "exit", "errno", "error"];
    let got: Vec<_> = found[began.len()..].iter().map(|line| fields(line, &names)).collect();
    let none = Value::Null;
    let by_socket = |command: &str, input: Value, exit: i32, error: Value| {
        vec![json!("control"), json!(command), input, json!(exit), none.clone(), error]
    };
    let by_netlink = |command: &str, errno: i32, error: Value| {
        vec![json!("netlink"), json!(command), none.clone(), none.clone(), json!(errno), error]
    };
    let add = "ipvsadm -A -t 10.0.0.1:80 -s rr";
    let added = "ipvsadm -a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1 -x 9";
    let restore = "ipvsadm -R";
    let expected = vec![
        by_socket(add, none.clone(), 0, none.clone()),
        by_socket(add, none.clone(), 255, json!("Service already exists")),
        by_socket("sluicectl settings set pmtu_disc 0", none.clone(), 0, none.clone()),
        by_netlink(added, 0, none.clone()),
        by_netlink("IPVS_CMD_DEL_SERVICE", 3, json!("No such process")),
        by_socket(restore, json!("-A -u 10.0.0.1:53 -s wlc"), 0, none.clone()),
        by_socket(
            restore,
            json!("-d -u 10.0.0.1:53 -r 10.0.0.2:53"),
            255,
            json!("No such destination"),
        ),
        by_socket("ipvsadm -Z", none.clone(), 0, none.clone()),
    ];
    assert_eq!(got, expected);

    let programs: Vec<_> =
        found[began.len()..].iter().map(|line| line["program"].clone()).collect();
    assert_eq!(programs[..4], ["sluiceadm", "sluiceadm", "sluicectl", "ipvsadm"]);
    for line in &found {
        assert!(line["uid"].is_u64() && line["gid"].is_u64() && line["pid"].is_u64(), "{line}");
        let time = line["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }
}

#[test]
fn a_rotated_log_is_left_alone_and_a_lost_one_disturbs_nobody() {
    let mut director = Director::start();
    let log = director.folder().join("audit.log");
    let rotated = director.folder().join("audit.log.1");
    fs::rename(&log, &rotated).unwrap();
    let before = lines(&rotated).len();
    assert_eq!(director.adm("-A -t 10.0.0.1:80").exit, Some(0));
    assert_eq!((lines(&rotated).len(), lines(&log).len()), (before, 1));

    // A disk that is full.
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    for port in 81..84 {
        assert_eq!(director.adm(&format!("-A -t 10.0.0.1:{port}")).exit, Some(0));
    }
    fs::remove_file(&log).unwrap();
    assert_eq!(director.adm("-C").exit, Some(0));
    assert_eq!(fields(&lines(&log)[0], &["command"]), [json!("ipvsadm -C")]);
    let messages = fs::read_to_string(director.folder().join("log")).unwrap();
    assert_eq!(messages.matches("cannot be written").count(), 1, "{messages}");
    assert!(messages.contains("is written again; 3 lines are lost"), "{messages}");

    director.stop();
    let last = lines(&log).pop().unwrap();
    assert_eq!(fields(&last, &["door", "command"]), [json!("signal"), json!("SIGTERM")]);
    assert!(last["uid"].is_u64() && last["pid"].is_u64(), "{last}");
}
