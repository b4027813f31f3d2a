//! The netlink socket: the kernel's protocol for programs that were made for IPVS (see
//! `docs/netlink.md`). Each datagram is a request, as it would be on a netlink socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::netlink::{self, Access, REQUEST_MAX};

use super::asker::{Asker, Rights};
use super::audit::{Door, Entries};
use super::command::Commands;
use super::listener::Conversation;
use crate::lock::lock;
use crate::metrics::tally::Ended;

/// A program that does not read its answers for so long is left alone. One that says nothing is
/// not: a netlink socket is silent for as long as its program is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who answers on the netlink socket.
#[derive(Debug)]
pub struct NetlinkDoor(pub Arc<Commands>);

impl Conversation for NetlinkDoor {
    const NAME: &str = "netlink";

    fn converse(&self, mut stream: &UnixStream) -> io::Result<()> {
        let asker = Asker::at(stream, &self.0.permissions)?;
        let mut entries = self.0.audit.entries(Door::Netlink, &asker);
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut request = vec![0; REQUEST_MAX + 1];
        loop {
            let size = stream.read(&mut request)?;
            // What was cut cannot be understood.
            if size == 0 || size > REQUEST_MAX {
                return Ok(());
            }
            let replies = self.answer(&request[..size], asker.rights, &mut entries);
            let mut memory = self.0.budget.portion();
            // There is no word for it in the protocol either.
            if !memory.grow(replies.iter().map(Vec::len).sum()) {
                return Ok(());
            }
            for reply in replies {
                stream.write_all(&reply)?;
            }
        }
    }

    /// There is no word for it in the protocol: the connection ends.
    fn refuse(&self, _: &UnixStream) -> io::Result<()> {
        Ok(())
    }
}

impl NetlinkDoor {
    /// The replies to a request, whose changes are visible to the workers then.
    fn answer(&self, request: &[u8], rights: Rights, entries: &mut Entries<'_>) -> Vec<Vec<u8>> {
        let begin = Instant::now();
        let mut changes = Vec::new();
        let tell = |change| changes.push(change);
        let access = access(rights);
        let replies = netlink::answer_and_tell(request, &mut *lock(&self.0.control), access, tell);
        if access == Access::Full {
            self.0.publish();
        }
        for change in &changes {
            self.0.tally.command("netlink", Ended::well(change.result.is_ok()), begin.elapsed());
            entries.add_change(change);
        }
        entries.write();
        replies
    }
}

const fn access(rights: Rights) -> Access {
    match rights {
        Rights::Nothing => Access::None,
        Rights::Read => Access::Read,
        Rights::Change => Access::Full,
    }
}
