//! What a program has asked and nobody has answered yet.
//!
//! A kernel answers every request. Where sluiced ends before it has, the library answers in its
//! place, by an error: libnl counts requests and answers, and never again believes an answer, or
//! waits for one for ever, once it has missed one.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::descriptors;
use crate::door::Descriptor;
use crate::message::{self, HEADER};
use crate::next;

/// What the answer says where there is no sluiced any more.
const GONE: c_int = libc::ENODEV;

static ASKED: [AtomicU64; descriptors::MAX] = [const { AtomicU64::new(0) }; descriptors::MAX];

/// As much of a request as its answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    sequence: u32,
    kind: u16,
    flags: u16,
}

impl Question {
    /// The last request of a datagram. Programs wait for the answer to one before they ask another.
    pub(crate) fn of(mut datagram: &[u8]) -> Option<Self> {
        let mut last = None;
        while let Some(message) = message::next(&mut datagram) {
            if message.flags & message::REQUEST != 0 {
                let (sequence, kind, flags) = (message.sequence, message.kind, message.flags);
                last = Some(Self { sequence, kind, flags });
            }
        }
        last
    }

    /// Whether a datagram has the end of the answer.
    fn is_answered_by(self, mut datagram: &[u8]) -> bool {
        while let Some(message) = message::next(&mut datagram) {
            let is_end = matches!(message.kind, message::ERROR | message::DONE);
            let is_all =
                (message.flags & message::MULTI) | (self.flags & message::ACKNOWLEDGE) == 0;
            if is_end || is_all {
                return true;
            }
        }
        false
    }

    /// The answer to it that an error is.
    fn refusal(self, port: u32, number: c_int) -> [u8; HEADER + 4 + HEADER] {
        let mut bytes = [0; HEADER + 4 + HEADER];
        let (answer, rest) = bytes.split_at_mut(HEADER);
        let size = answer.len() + rest.len();
        message::header(answer, size, message::ERROR, message::CAPPED, self.sequence, port);
        let (error, request) = rest.split_at_mut(4);
        error.copy_from_slice(&number.wrapping_neg().to_ne_bytes());
        message::header(request, HEADER, self.kind, self.flags, self.sequence, port);
        bytes
    }

    fn word(self) -> u64 {
        let [a, b, c, d] = self.sequence.to_le_bytes();
        let ([e, f], [g, h]) = (self.kind.to_le_bytes(), self.flags.to_le_bytes());
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// No question is 0: a request has the flag that says so.
    fn from_word(word: u64) -> Option<Self> {
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
        (word != 0).then(|| Self {
            sequence: u32::from_le_bytes([a, b, c, d]),
            kind: u16::from_le_bytes([e, f]),
            flags: u16::from_le_bytes([g, h]),
        })
    }
}

fn place(fd: c_int) -> Option<&'static AtomicU64> {
    ASKED.get(usize::try_from(fd).ok()?)
}

/// Remembers what was sent last.
pub(crate) fn asked(fd: c_int, question: Option<Question>) {
    if let (Some(place), Some(question)) = (place(fd), question) {
        place.store(question.word(), Ordering::Relaxed);
    }
}

/// A datagram has arrived.
pub(crate) fn arrived(fd: c_int, datagram: &[u8]) {
    let Some(place) = place(fd) else { return };
    let question = Question::from_word(place.load(Ordering::Relaxed));
    if question.is_some_and(|question| question.is_answered_by(datagram)) {
        place.store(0, Ordering::Relaxed);
    }
}

/// Has the next receive find the refusal of a question that can be answered by nobody any more.
/// Whether there was such a question.
pub(crate) fn refuse_last(fd: c_int) -> bool {
    let Some(question) =
        place(fd).and_then(|place| Question::from_word(place.load(Ordering::Relaxed)))
    else {
        return false;
    };
    descriptors::port(fd).is_some_and(|port| refuse(fd, port, question, libc::ECONNREFUSED))
}

/// Has the next receive find the refusal of a question: in place of the descriptor comes the end of
/// a pair whose other end has said that and is closed. Whether that could be done.
pub(crate) fn refuse(fd: c_int, port: u32, question: Question, number: c_int) -> bool {
    let number = if number == libc::ECONNREFUSED { GONE } else { number };
    let mut ends = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: there is room for two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return false;
    }
    let [near, far] = ends.map(Descriptor);
    let bytes = question.refusal(port, number);
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the bytes are there; no address is one.
    let sent =
        unsafe { next::sendto(far.0, bytes.as_ptr().cast(), bytes.len(), flags, ptr::null(), 0) };
    let is_done =
        usize::try_from(sent) == Ok(bytes.len()) && descriptors::put(fd, &near, port).is_ok();
    if is_done && let Some(place) = place(fd) {
        place.store(0, Ordering::Relaxed);
    }
    is_done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(kind: u16, flags: u16, sequence: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + 4];
        let size = bytes.len();
        message::header(&mut bytes, size, kind, flags, sequence, 9);
        bytes
    }

    #[test]
    fn a_question_is_the_last_request_of_a_datagram() {
        let first = datagram(28, message::REQUEST | message::ACKNOWLEDGE, 7);
        let second = datagram(28, message::REQUEST, 8);
        let no_request = datagram(28, 0, 9);
        let question = Question::of(&[first, second, no_request.clone()].concat()).unwrap();
        assert_eq!(question, Question { sequence: 8, kind: 28, flags: message::REQUEST });
        assert_eq!(Question::from_word(question.word()), Some(question));
        assert_eq!(Question::of(&no_request), None);
        assert_eq!(Question::of(&[0xff; 20]), None);
        assert_eq!(Question::from_word(0), None);
    }

    #[test]
    fn an_answer_ends_as_the_question_wants_it() {
        let data = datagram(28, 0, 7);
        let part = datagram(28, message::MULTI, 7);
        let end = datagram(message::DONE, message::MULTI, 7);
        let acknowledgement = datagram(message::ERROR, 0, 7);
        let question = |flags| Question { sequence: 7, kind: 28, flags: message::REQUEST | flags };
        assert!(question(0).is_answered_by(&data));
        assert!(!question(message::ACKNOWLEDGE).is_answered_by(&data));
        assert!(question(message::ACKNOWLEDGE).is_answered_by(&[data, acknowledgement].concat()));
        for flags in [0, message::ACKNOWLEDGE] {
            assert!(!question(flags).is_answered_by(&[part.clone(), part.clone()].concat()));
            assert!(question(flags).is_answered_by(&[part.clone(), end.clone()].concat()));
        }
        assert!(!question(0).is_answered_by(&[]));
    }

    #[test]
    fn a_refusal_is_an_error_with_the_requests_own_header() {
        let question = Question { sequence: 7, kind: 28, flags: 5 };
        let bytes = question.refusal(9, libc::ENODEV);
        let mut rest = bytes.as_slice();
        let message = message::next(&mut rest).unwrap();
        assert_eq!((message.kind, message.sequence), (message::ERROR, 7));
        assert!(rest.is_empty());
        assert_eq!(bytes[HEADER..HEADER + 4], (-libc::ENODEV).to_ne_bytes());
        assert_eq!(Question::of(&bytes[HEADER + 4..]), Some(question));
        assert!(question.is_answered_by(&bytes));
    }
}
