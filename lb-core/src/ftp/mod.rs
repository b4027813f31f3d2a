//! What a director must know of FTP (RFC 959, RFC 2428): the addresses of data connections that
//! the two ends tell each other on a control connection. `ip_vs_ftp` in the kernel.
//!
//! ```text
//!                      director
//! passive   PASV       ─────────────────────────────►        control
//!           VIP,port   ◄── 227, rewritten ◄── 227 ───        RIP,port
//!           client:?   ──────────► VIP:port ─────────►       RIP:port    data
//!
//! active    PORT c,p   ─────────────────────────────►        control
//!           client:p   ◄────────── VIP:20 ◄───────────       RIP:20      data
//! ```
//!
//! [`message`] reads what the ends say, [`data`] says which connection will follow, [`rewrite`]
//! makes the text that the client gets instead, and [`sequence`] keeps both ends' sequence numbers
//! right from then on, as the text may have another length. All are functions of bytes and of the
//! few words that a control connection remembers; tables are the caller's business.
//!
//! A message is seen if it is whole in one segment and begins it, as in the kernel.

pub mod data;
pub mod message;
mod path;
pub mod rewrite;
pub mod sequence;
mod sessions;

pub use data::{Control, DataConnection};
pub use message::{ClientCommand, Endpoint, Mode, client_command, server_reply};
pub(crate) use path::is_control;
pub use rewrite::Replacement;
pub use sequence::SequenceShift;
pub use sessions::{Session, Sessions};

/// The control connection of the capture, packet by packet.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Family;
    use std::net::IpAddr;

    const CAPTURE: &str = include_str!("../../../tests/captures/kernel/ftp.txt");

    const CONTROL: Control = Control {
        client: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 2)),
        virtual_end: (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100)), 21),
        server: (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 2, 11)), 21),
    };

    #[derive(Debug, PartialEq, Eq)]
    struct Segment {
        ports: String,
        seq: u32,
        ack: u32,
        data: Vec<u8>,
    }

    impl Segment {
        /// What is behind `TCP` in a line: `30001>21 [PA] seq=1 ack=2 csum=ok data=b'PASV\r\n'`.
        fn of(line: &str) -> Option<Self> {
            let words = line.split_once(" TCP ")?.1;
            let number = |name| {
                let digits = words.split_once(name).unwrap().1.split(' ').next().unwrap();
                digits.parse().unwrap()
            };
            let data = words.split_once("data=b'").unwrap().1.strip_suffix('\'').unwrap();
            Some(Self {
                ports: words.split(' ').next().unwrap().to_owned(),
                seq: number("seq="),
                ack: number("ack="),
                data: data.replace("\\r\\n", "\r\n").into_bytes(),
            })
        }
    }

    /// A director that knows this one connection.
    #[derive(Default)]
    struct Helper {
        mode: Mode,
        to_client: SequenceShift,
        expected: Vec<DataConnection>,
    }

    impl Helper {
        fn client_sends(&mut self, segment: &mut Segment) {
            segment.ack = self.to_client.adjust_ack(segment.ack);
            let Some(command) = client_command(&segment.data, Family::V4) else { return };
            self.mode = command.mode();
            if let ClientCommand::DataPort(endpoint) = command {
                self.expected.push(DataConnection::active(&CONTROL, &endpoint));
            }
        }

        fn server_sends(&mut self, segment: &mut Segment) {
            let seq = segment.seq;
            if let Some(endpoint) = server_reply(&segment.data, self.mode, Family::V4) {
                let data = DataConnection::passive(&CONTROL, &endpoint);
                self.expected.push(data);
                let replacement = Replacement::of(&endpoint, data.virtual_end).unwrap();
                let length = segment.data.len();
                segment.data.resize(length + rewrite::TEXT_MAX, 0);
                let length = replacement.apply(&mut segment.data, length).unwrap();
                segment.data.truncate(length);
                self.to_client.note(seq, replacement.delta());
                self.mode = Mode::Active;
            }
            segment.seq = self.to_client.adjust_seq(seq);
        }
    }

    #[test]
    fn every_captured_segment_of_the_control_connection() {
        let mut helper = Helper::default();
        let (mut checked, mut lines) = (0, CAPTURE.lines());
        while let Some(line) = lines.next() {
            let Some(mut segment) =
                line.starts_with("  send ").then(|| Segment::of(line)).flatten()
            else {
                continue;
            };
            match &*segment.ports {
                "30001>21" => helper.client_sends(&mut segment),
                "21>30001" => helper.server_sends(&mut segment),
                _ => continue,
            }
            let sent_on = lines.next().unwrap();
            assert!(sent_on.starts_with("    at "), "{sent_on}");
            assert_eq!(segment, Segment::of(sent_on).unwrap(), "{line}");
            checked += 1;
        }
        assert_eq!(checked, 10);
        assert_eq!(helper.to_client.adjust_seq(6000), 6001);
    }

    #[test]
    fn every_captured_data_connection() {
        let mut helper = Helper::default();
        for line in CAPTURE.lines().filter(|line| line.starts_with("  send ")) {
            let mut segment = Segment::of(line).unwrap();
            match &*segment.ports {
                "30001>21" => helper.client_sends(&mut segment),
                "21>30001" => helper.server_sends(&mut segment),
                _ => {}
            }
        }
        let row = |it: &DataConnection| {
            let ((vip, vport), (rip, rport)) = (it.virtual_end, it.server);
            let ends = format!("{}:{}", it.client, it.client_port.unwrap_or(0));
            [ends, format!("{vip}:{vport}"), format!("{rip}:{rport}")]
        };
        let expected: Vec<_> = helper.expected.iter().map(row).collect();
        // Rows of new data connections: none has seen a packet.
        let mut listed: Vec<[String; 3]> = Vec::new();
        for line in CAPTURE.lines().filter(|line| line.contains("  LISTEN  ")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            // `/proc/net/ip_vs_conn` writes the same in hexadecimal.
            let [_, _, _, client, vip, server] = *words else { continue };
            let row = [client, vip, server].map(str::to_owned);
            if !listed.contains(&row) {
                listed.push(row);
            }
        }
        assert_eq!(listed, expected);
        assert_eq!(listed.len(), 3);
    }
}
