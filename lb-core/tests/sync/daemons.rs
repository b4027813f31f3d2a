//! The daemons as commands see them.

use lb_core::operations::{DaemonRole, DaemonSettings, OperationError, Operations};

use super::{Wire, director, run};

#[test]
fn daemons_are_started_listed_and_stopped() {
    let wire = Wire::default();
    let mut control = director(&wire);
    assert_eq!(run(&mut control, "-L --daemon"), "");
    run(&mut control, "--start-daemon master --mcast-interface d0 --syncid 9 --mcast-ttl 5");
    run(&mut control, "--start-daemon backup --mcast-interface d0 --sync-maxlen 100");
    assert_eq!(
        run(&mut control, "-L --daemon"),
        "master sync daemon (mcast=d0, syncid=9, maxlen=1472, group=224.0.0.81, port=8848, ttl=5)\n\
         backup sync daemon (mcast=d0, syncid=0, maxlen=1024, group=224.0.0.81, port=8848, ttl=1)\n"
    );
    let again = control.start_daemon(DaemonSettings::new(DaemonRole::Master, "d0"));
    assert_eq!(again, Err(OperationError::DaemonRunning));
    assert_eq!(*wire.open.lock().unwrap(), [DaemonRole::Master, DaemonRole::Backup]);
    run(&mut control, "--stop-daemon master");
    assert_eq!(control.stop_daemon(DaemonRole::Master, 0), Err(OperationError::NoDaemon));
    assert_eq!(*wire.open.lock().unwrap(), [DaemonRole::Backup]);
    let elsewhere = control.start_daemon(DaemonSettings::new(DaemonRole::Master, "eth9"));
    assert_eq!(elsewhere, Err(OperationError::NoSuchDevice));
}

#[test]
fn servers_of_another_family_and_daemons_exclude_each_other() {
    let wire = Wire::default();
    let mut control = director(&wire);
    let mixed = "-a -t [fd00::100]:80 -r 10.0.2.11:80 -i";
    run(&mut control, mixed);
    let daemon = || DaemonSettings::new(DaemonRole::Backup, "d0");
    assert_eq!(control.start_daemon(daemon()), Err(OperationError::Invalid));
    run(&mut control, "-d -t [fd00::100]:80 -r 10.0.2.11:80");
    control.start_daemon(daemon()).unwrap();
    let words = lb_core::ipvsadm::restore_words(mixed);
    let refused = lb_core::ipvsadm::execute(&words, &[], &mut control, &lb_core::ipvsadm::Numeric);
    assert_eq!(refused.exit, 255, "{}", refused.stderr);
}
