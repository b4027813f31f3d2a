//! What clients get from the director: pages and files by every forwarding method.

use std::time::Duration;

use crate::checks::Checks;
use crate::lab::{Lab, VIP, VIP6, eventually};
use crate::network::{DIRECT, MASQUERADED, TUNNEL};
use crate::tools::{download, pages, upload};

/// Claims pages and files by every method in both families.
pub(crate) fn check_methods(lab: &Lab, checks: &mut Checks) {
    let methods = [
        (DIRECT, "direct routing", ["rs1", "rs2"]),
        (TUNNEL, "a tunnel", ["rs1", "rs2"]),
        (MASQUERADED, "masquerading", ["nat1", "nat2"]),
    ];
    for (port, method, servers) in methods {
        for (family, vip) in [("IPv4", VIP.to_owned()), ("IPv6", format!("[{VIP6}]"))] {
            checks.check(&format!("pages and files by {method}, {family}"), || {
                let url = format!("http://{vip}:{port}");
                // The first packets wait for neighbours, and links come up at their own pace.
                eventually(Duration::from_secs(20), &format!("a page of {url}"), || {
                    let line = format!("curl -gsS -m 2 {url}/");
                    lab.try_run("client", &line).status.success().then_some(())
                });
                let mut names = pages(lab, "client", &format!("{url}/"), 4);
                names.sort();
                assert_eq!(names, [servers[0], servers[0], servers[1], servers[1]]);
                upload(lab, "client", &url, servers[0], 2);
                if port == MASQUERADED {
                    download(lab, "client", &url, servers[0], 2);
                }
            });
        }
    }
}

/// A page by each method.
pub(crate) fn serves(lab: &Lab) {
    for port in [DIRECT, TUNNEL, MASQUERADED] {
        let url = format!("http://{VIP}:{port}/");
        eventually(Duration::from_secs(30), &format!("a page of {url}"), || {
            let line = format!("curl -sS -m 2 {url}");
            lab.try_run("client", &line).status.success().then_some(())
        });
    }
}
