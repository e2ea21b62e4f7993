//! Signals and the clock of process 1, which the kernel protects from default actions: it must end itself.

use crate::console::line_end;
use crate::ending::TIMED_OUT;
use std::time::Duration;

/// The signals that end a container.
const ENDING: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP];

/// From here on an ending signal ends this process at once with 128 + its number, wherever the guest is.
pub fn end_at_once() {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: _exit is safe in a signal handler; nothing is buffered.
        unsafe { libc::_exit(128 + signal) }
    }
    for signal in ENDING {
        handle(signal, end);
    }
}

/// After `time` this process says so and ends with 124, wherever the guest is: in a loop or asleep in a host call.
pub fn end_after(time: Duration) {
    extern "C" fn end(_: libc::c_int) {
        const MESSAGE: &[u8] = b"wasmdock: the time limit is over (--timeout, WASMDOCK_TIMEOUT)\n";
        // SAFETY: write and _exit are safe in a signal handler.
        unsafe {
            let end = line_end();
            libc::write(2, end.as_ptr().cast(), end.len());
            libc::write(2, MESSAGE.as_ptr().cast(), MESSAGE.len());
            libc::_exit(i32::from(TIMED_OUT))
        }
    }
    handle(libc::SIGALRM, end);
    let timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: time.as_secs() as libc::time_t,
            tv_usec: libc::suseconds_t::from(time.subsec_micros() as i32),
        },
    };
    // SAFETY: a valid timer; the old value is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}

/// No time limit any more: the guest has ended by itself.
pub fn stop_clock() {
    // SAFETY: ignoring a signal needs no handler.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
}

fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: the handlers above only call what is safe in a signal handler; SA_ONSTACK because guest code
    // may be near the end of its stack.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}
