//! The priority of the thread.

use std::io;

/// Above every thread that shares the machine's time by turns. `LimitRTPRIO=` of the unit's drop-in allows so much.
pub(super) const PRIORITY: libc::c_int = 10;

/// The calling thread runs whenever it has something to do, before all that is not of a real-time class (sched(7), SCHED_FIFO). What it
/// starts does not inherit that.
///
/// # Errors
/// `EPERM`: neither CAP_SYS_NICE nor RLIMIT_RTPRIO allows it, or a filter of system calls (`RestrictRealtime=yes`) does not.
pub(super) fn raise() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: 0 is the calling thread; the parameters are read only, and live until the call is over.
    #[allow(unsafe_code)]
    let raised =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
    if raised == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
