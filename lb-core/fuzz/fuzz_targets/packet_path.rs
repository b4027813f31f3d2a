//! Frames, each behind two bytes of time and length, through the whole packet path.
#![no_main]

use std::cell::RefCell;

use lb_core::fuzz::PacketPath;
use libfuzzer_sys::fuzz_target;

thread_local! {
    // One director for all inputs: each input leaves it empty.
    static PATH: RefCell<PacketPath> =
        RefCell::new(PacketPath::new());
}

fuzz_target!(|data: &[u8]| PATH.with_borrow_mut(|path| path.run(data)));
