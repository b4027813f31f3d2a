//! A ring of words between one worker, who writes, and one thread, who reads. Neither ever waits:
//! where there is no room, the writer goes on without.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes in a word.
pub const WORD: usize = 8;

/// The ring. Places count up for ever; a place's word is at its remainder.
#[derive(Debug)]
pub struct Ring {
    words: Box<[AtomicU64]>,
    /// Where the writer goes on, and the reader: each on a line of its own, as the other polls it.
    written: Line,
    read: Line,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicUsize);

/// What is being written: visible as a whole with [`Writing::publish`], and not at all without.
#[derive(Debug)]
pub struct Writing<'a> {
    ring: &'a Ring,
    next: usize,
    end: usize,
}

impl Ring {
    /// A ring of at least `bytes`; all of it is allocated now.
    pub fn new(bytes: usize) -> Self {
        let words = (bytes / WORD).max(1).next_power_of_two();
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            written: Line::default(),
            read: Line::default(),
        }
    }

    /// Room for so many words; `None` where there is not as much. For the writer alone.
    #[inline]
    pub fn begin(&self, words: usize) -> Option<Writing<'_>> {
        let next = self.written.0.load(Ordering::Relaxed);
        let used = next.wrapping_sub(self.read.0.load(Ordering::Acquire));
        let has_room = words <= self.words.len() - used;
        has_room.then(|| Writing { ring: self, next, end: next.wrapping_add(words) })
    }

    /// Words that can be read. For the reader alone, as all below.
    pub fn filled(&self) -> usize {
        let written = self.written.0.load(Ordering::Acquire);
        written.wrapping_sub(self.read.0.load(Ordering::Relaxed))
    }

    /// The word `ahead` of the next one to be read; one of those that are filled.
    pub fn peek(&self, ahead: usize) -> u64 {
        let place = self.read.0.load(Ordering::Relaxed).wrapping_add(ahead);
        self.word(place).load(Ordering::Relaxed)
    }

    /// The bytes of `words` words on from `ahead` of the next one to be read.
    pub fn copy(&self, ahead: usize, words: usize, into: &mut Vec<u8>) {
        let word = |place| self.peek(place).to_ne_bytes();
        into.extend((ahead..ahead + words).flat_map(word));
    }

    /// Gives so many words back to the writer.
    pub fn skip(&self, words: usize) {
        let read = self.read.0.load(Ordering::Relaxed);
        self.read.0.store(read.wrapping_add(words), Ordering::Release);
    }

    #[inline]
    fn word(&self, place: usize) -> &AtomicU64 {
        &self.words[place & (self.words.len() - 1)]
    }
}

impl Writing<'_> {
    /// The next word.
    #[inline]
    pub fn word(&mut self, word: u64) {
        debug_assert_ne!(self.next, self.end, "no more than there is room for");
        if self.next != self.end {
            self.ring.word(self.next).store(word, Ordering::Relaxed);
            self.next = self.next.wrapping_add(1);
        }
    }

    /// Bytes, in as many words as they need.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<WORD>();
        words.iter().for_each(|&word| self.word(u64::from_ne_bytes(word)));
        if !rest.is_empty() {
            let mut word = [0; WORD];
            word[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_ne_bytes(word));
        }
    }

    /// Shows it to the reader.
    #[inline]
    pub fn publish(self) {
        self.ring.written.0.store(self.end, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_what_it_has_room_for() {
        let ring = Ring::new(64);
        assert!(ring.begin(9).is_none());
        for round in 0..100_u64 {
            let mut writing = ring.begin(3).unwrap();
            writing.word(round);
            writing.bytes(b"frame-1234");
            assert_eq!(ring.filled(), 0, "not visible yet");
            writing.publish();
            assert_eq!(ring.filled(), 3);
            assert!(ring.begin(6).is_none());
            assert_eq!(ring.peek(0), round);
            let mut bytes = Vec::new();
            ring.copy(1, 2, &mut bytes);
            assert_eq!(&bytes[..10], b"frame-1234");
            ring.skip(3);
        }
    }

    #[test]
    fn a_reader_on_another_thread_sees_whole_records_in_order() {
        const RECORDS: u64 = 100_000;
        let ring = Ring::new(1 << 10);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..RECORDS {
                    let words = 1 + usize::try_from(number % 7).unwrap();
                    let mut writing = loop {
                        match ring.begin(words) {
                            Some(writing) => break writing,
                            None => std::thread::yield_now(),
                        }
                    };
                    (0..words).for_each(|_| writing.word(number));
                    writing.publish();
                }
            });
            for number in 0..RECORDS {
                let words = 1 + usize::try_from(number % 7).unwrap();
                while ring.filled() < words {
                    std::thread::yield_now();
                }
                assert!((0..words).all(|place| ring.peek(place) == number), "{number}");
                ring.skip(words);
            }
        });
    }
}
