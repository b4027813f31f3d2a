//! IPv4 options of answers: put into an answer that is there already, since hardly any has some
//! (RFC 1122 section 3.2.1.8).

use super::{Refusal, icmp_error};
use crate::frame::Frame;
use crate::wire::field::window_mut;
use crate::wire::{Malformed, icmp, ipv4};

/// Length of a header without options, as a byte has it.
const HEADER_LEN: u8 = 20;

/// Length of the largest error in bytes (RFC 1812 section 4.3.2.3).
const ERROR_LEN_MAX: usize = 576;

/// Puts options, a multiple of 4 bytes and at most 40, into the header of an answer that has none.
pub fn attach(
    frame: &mut impl Frame,
    network_offset: usize,
    options: &[u8],
) -> Result<(), Refusal> {
    let added = u8::try_from(options.len()).map_err(|_| Malformed::HeaderLength)?;
    if added == 0 {
        return Ok(());
    }
    frame.prepend(options.len()).ok_or(Refusal::NoRoom)?;
    let bytes = frame.bytes_mut();
    let fixed_end = network_offset + ipv4::HEADER_LEN;
    let headers = bytes.get_mut(..fixed_end + options.len()).ok_or(Malformed::Truncated)?;
    headers.copy_within(options.len().., 0);
    let room = headers.get_mut(fixed_end..).ok_or(Malformed::Truncated)?;
    room.copy_from_slice(options);
    let window = window_mut(bytes, network_offset).ok_or(Malformed::Truncated)?;
    let mut header = ipv4::Header::over(window);
    let total_length = header.total_length().saturating_add(added.into());
    header.set_header_length(HEADER_LEN.saturating_add(added));
    header.set_total_length(total_length);
    header.fill_checksum(options);
    Ok(())
}

/// The same to an ICMP error about a packet with options. The kernel has filled them in by then,
/// and leaves the checksum of that packet's header as it was: `embedded` is what they are now. The
/// error grows no larger than without options.
pub fn attach_to_error(
    frame: &mut impl Frame,
    network_offset: usize,
    embedded: &[u8],
    options: &[u8],
) -> Result<(), Refusal> {
    let room = ERROR_LEN_MAX.saturating_sub(icmp_error::HEADERS_LEN + options.len());
    icmp_error::shorten(frame, network_offset, room)?;
    let message_at = network_offset + ipv4::HEADER_LEN;
    let message = frame.bytes_mut().get_mut(message_at..).ok_or(Malformed::Truncated)?;
    let (window, body) = message.split_first_chunk_mut().ok_or(Malformed::Truncated)?;
    for (to, from) in body.iter_mut().skip(ipv4::HEADER_LEN).zip(embedded) {
        *to = *from;
    }
    icmp::Header::over(window).fill_checksum(body);
    attach(frame, network_offset, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::captured;
    use crate::reply::icmp_error::{self, IcmpError};
    use crate::reply::{echo, reset};
    use crate::wire::build::{Icmp, Ip, Link, MemoryFrame, Tcp, Udp};
    use proptest::prelude::*;

    const RECORDED: [u8; 12] = [7, 11, 8, 10, 0, 0, 100, 0, 0, 0, 0, 0];
    const TWICE: [u8; 12] = [7, 11, 12, 10, 0, 0, 100, 10, 0, 0, 100, 0];

    #[test]
    fn as_the_kernel_answers() {
        captured::check_bytes(
            "4800002c123440004001052d0a0001020a000064070b04000000000000000000080006f912340002\
             70696e67",
            "4800002c373f00004001500d0a0000640a000102070b0c0a0000640a0000640000000ef912340002\
             70696e67",
            |frame| {
                echo::answer(frame, 14, 0x373f)?;
                attach(frame, 14, &TWICE)
            },
        );
        captured::check_bytes(
            "4800002c123440004011051d0a0001020a000064070b0400000000000000000003e903e7000c09de\
             64617461",
            "48c000543755000040014f0f0a0000640a000102070b0c0a0000640a000064000303aa7500000000\
             4800002c123440004011051d0a0001020a000064070b080a000064000000000003e903e7000c09de\
             64617461",
            |frame| {
                icmp_error::answer(frame, 14, IcmpError::PortUnreachable, 0x3755)?;
                attach_to_error(frame, 14, &RECORDED, &TWICE)
            },
        );
        captured::check_bytes(
            "4800003412344000400605200a0001020a000064070b0400000000000000000003e903e7000003e8\
             00000000500220006ec50000",
            "48000034000040004006473f0a0000640a000102070b0c0a0000640a0000640003e703e900000000\
             000003e9501400008eb20000",
            |frame| {
                reset::answer(frame, 14)?;
                attach(frame, 14, &TWICE)
            },
        );
    }

    proptest! {
        #[test]
        fn whole_frame_is_as_built(
            options in proptest::collection::vec(any::<u8>(), 0..=40),
            body in proptest::collection::vec(any::<u8>(), 0..300),
            vlan in proptest::option::of(0_u16..4096),
        ) {
            let options = &options[..options.len() / 4 * 4];
            let link = Link { vlan, ..Link::default() };
            let network_offset = if vlan.is_some() { 18 } else { 14 };
            let plain = Icmp { body: &body, ..Icmp::default() };
            let with = Icmp { ip: Ip { options, ..plain.ip }, ..plain };
            let mut frame = MemoryFrame::with_room(&plain.frame(&link), options.len(), 0);
            prop_assert_eq!(attach(&mut frame, network_offset, options), Ok(()));
            prop_assert_eq!(frame.bytes(), with.frame(&link));
        }

        #[test]
        fn an_error_with_options_is_no_larger(
            payload in proptest::collection::vec(any::<u8>(), 0..900), words in 0_usize..=10,
        ) {
            let embedded = vec![1; words * 4];
            let options = vec![0; words * 4];
            let udp = Udp {
                payload: &payload, ip: Ip { options: &embedded, ..Ip::default() }, ..Udp::default()
            };
            let mut frame = MemoryFrame::new(&udp.frame(&Link::default()));
            icmp_error::answer(&mut frame, 14, IcmpError::TimeExceeded, 7).unwrap();
            let before = frame.bytes().len();
            let changed = vec![2; words * 4];
            attach_to_error(&mut frame, 14, &changed, &options).unwrap();
            let packet = ipv4::Packet::check(&frame.bytes()[14..]).unwrap();
            prop_assert_eq!(frame.bytes().len(), (before + words * 4).min(14 + 576));
            prop_assert!(packet.verify_checksum());
            prop_assert_eq!(packet.options, options);
            let message = icmp::Message::check(packet.payload).unwrap();
            prop_assert!(message.verify_checksum());
            prop_assert_eq!(&message.body[20..20 + words * 4], changed);
        }

        #[test]
        fn any_bytes_get_options(
            bytes in proptest::collection::vec(any::<u8>(), 0..80), offset in 0_usize..90,
            options in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = attach(&mut MemoryFrame::new(&bytes), offset, &options);
            let _ = attach_to_error(&mut MemoryFrame::new(&bytes), offset, &options, &options);
        }
    }

    #[test]
    fn options_need_room() {
        let mut frame = MemoryFrame::with_room(&Tcp::default().frame(&Link::default()), 8, 0);
        assert_eq!(attach(&mut frame, 14, &[0; 12]), Err(Refusal::NoRoom));
        assert_eq!(attach(&mut frame, 14, &[0; 300]), Err(Malformed::HeaderLength.into()));
    }
}
