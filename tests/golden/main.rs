//! Golden cases: configuration and frames in, frames and counters out, through the real packet
//! path.
//!
//! - `case`: the format of `cases/*.case`, how they are run and compared
//! - `frames`: the words for a frame
//! - `bed`: a director with its control plane and one worker
//! - `commands`: the few ipvsadm command lines that cases use
//! - `fast_path`: the fast path and the long way, side by side
//! - `hostile`: frames that no host sends
//! - `paths`: what the kernel did with frames, replayed
//! - `recorded`: the kernel's picks, replayed
//!
//! `REGENERATE=1 cargo test -p lb-core --test golden` rewrites what the cases expect; read the
//! difference before it is committed.

mod bed;
mod case;
mod commands;
mod differences;
mod fast_path;
mod frames;
mod hostile;
mod masks;
mod paths;
mod recorded;
