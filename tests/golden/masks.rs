//! Frames without what the kernel, and we, choose freely.

/// A frame that leaves, by which interface.
pub(crate) type Left = (String, Vec<u8>);

/// Frames without what is free, fragments put together: the kernel cuts them its own way, and a
/// datagram of which a part is missing is nothing.
pub(crate) fn masked(frames: &[Left], gue_ports: &[u16]) -> Vec<Left> {
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

pub(crate) fn is_fragment(frame: &[u8]) -> bool {
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
