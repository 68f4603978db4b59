//! The priority of the thread.

use std::io;

use crate::drop_in::PRIORITY;

/// The calling thread runs whenever it has something to do, before all that is not of a real-time class (sched(7), SCHED_FIFO). What it
/// starts does not inherit that.
///
/// # Errors
/// `EPERM`: neither CAP_SYS_NICE nor RLIMIT_RTPRIO allows it, or a filter of system calls (`RestrictRealtime=yes`) does not.
pub(super) fn raise() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: PRIORITY.into() };
    // SAFETY: 0 is the calling thread; the parameters are read only, and live until the call is over.
    #[allow(unsafe_code)]
    let raised =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
    if raised == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
