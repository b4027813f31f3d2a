//! Logical cores: the threads that DPDK pinned for the workers.

use std::ffi::{CString, c_int, c_void};

use super::eal::Eal;
use super::errno::{Errno, check};

/// What a worker does, until it returns.
pub type Work = Box<dyn FnOnce() + Send + 'static>;

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The EAL was not started with that many workers.
    #[error("there is no worker {worker}: DPDK was started with {worker_count}")]
    NoSuchWorker {
        /// The index asked for.
        worker: usize,
        /// How many there are.
        worker_count: usize,
    },
    /// Its lcore is at work already, or its thread is gone.
    #[error("worker {worker} cannot be started: {errno}")]
    Busy {
        /// The worker's index.
        worker: usize,
        /// What DPDK said.
        errno: Errno,
    },
}

/// Has worker `worker` (0 is the first) do `work` on its lcore, in a thread named `worker-N`.
///
/// A panic in `work` ends the process: there is no caller to unwind to.
///
/// # Errors
///
/// Where there is no such worker, or it has not returned from earlier work.
pub fn launch(eal: &Eal, worker: usize, work: Work) -> Result<(), LaunchError> {
    let worker_count = eal.worker_count();
    let lcore = u32::try_from(worker + 1)
        .ok()
        .filter(|_| worker < worker_count)
        .ok_or(LaunchError::NoSuchWorker { worker, worker_count })?;
    let job = Box::into_raw(Box::new(Job { worker, work }));
    // SAFETY: `run` takes the job over. `Eal` cannot leave the main lcore, which alone may launch.
    let result = unsafe { dpdk_sys::rte_eal_remote_launch(Some(run), job.cast(), lcore) };
    check(result).map_err(|errno| {
        // SAFETY: nobody else took it: the launch failed.
        drop(unsafe { Box::from_raw(job) });
        LaunchError::Busy { worker, errno }
    })
}

/// Waits until every worker has returned.
pub fn wait_all(_eal: &Eal) {
    // SAFETY: the EAL is set up, and this is the main lcore, which alone may wait.
    unsafe { dpdk_sys::rte_eal_mp_wait_lcore() };
}

/// What goes to the other thread.
struct Job {
    worker: usize,
    work: Work,
}

extern "C" fn run(job: *mut c_void) -> c_int {
    // SAFETY: made by `launch` from a box, for this call alone.
    let Job { worker, work } = *unsafe { Box::from_raw(job.cast::<Job>()) };
    if let Ok(name) = CString::new(format!("worker-{worker}")) {
        // SAFETY: names the calling thread; the kernel copies the first 15 bytes.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
    work();
    0
}
