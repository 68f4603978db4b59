//! What an operator reads: one short line, harmless on a terminal.

use std::{
    io::{Error, ErrorKind},
    time::Duration,
};

use nix::errno::Errno;

/// The longest line, in characters.
const LONGEST: usize = 200;

/// One line of at most 200 characters, with everything escaped that a terminal could obey.
pub(super) fn line(text: &str) -> String {
    let mut line = String::new();
    let mut length = 0;
    for character in text.trim().chars() {
        let shown: String = if commands(character) { character.escape_default().collect() } else { character.into() };
        let width = shown.chars().count();
        if length + width >= LONGEST {
            line.push('…');
            break;
        }
        line.push_str(&shown);
        length += width;
    }
    line
}

/// A time that was set, to the millisecond: `300 ms`, `1.5 s`.
pub(super) fn time(time: Duration) -> String {
    let milliseconds = (time.as_secs_f64() * 1000.0).round();
    if milliseconds < 1000.0 { format!("{milliseconds} ms") } else { format!("{} s", milliseconds / 1000.0) }
}

/// A time that was measured: `0.4 ms`, `1.52 s`.
pub(super) fn took(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

/// A time that may be long: `0.4 ms`, `1.52 s`, `2h 3m 4s`.
pub(super) fn age(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        return took(time);
    }
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

/// Why nothing can be asked that may hang.
pub(super) fn full(threads: usize) -> String {
    format!("no thread is free: {threads} wait for what hangs")
}

/// A system error without its number.
pub(crate) fn fault(error: &Error) -> String {
    let known = match error.kind() {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset => "connection reset",
        ErrorKind::ConnectionAborted => "connection aborted",
        ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => "connection closed",
        ErrorKind::HostUnreachable => "host unreachable",
        ErrorKind::NetworkUnreachable => "network unreachable",
        ErrorKind::AddrNotAvailable => "no local address or port to connect from",
        ErrorKind::NotFound => "no such file",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::TimedOut => "timed out",
        _ => return plain(error),
    };
    known.to_owned()
}

/// Whether an error is trouble of this node or of the agent itself: then it proves nothing about the service.
///
/// Descriptors, memory, local ports and addresses, and what a local policy forbids (EPERM and EACCES come from seccomp,
/// a cgroup or netfilter here, never from the other side). An unreachable network or host is none of ours: clients would
/// not reach the service either.
pub(super) fn is_ours(error: &Error) -> bool {
    let Some(code) = error.raw_os_error() else { return false };
    matches!(
        Errno::from_raw(code),
        Errno::EMFILE
            | Errno::ENFILE
            | Errno::ENOBUFS
            | Errno::ENOMEM
            | Errno::EAGAIN
            | Errno::EADDRNOTAVAIL
            | Errno::EADDRINUSE
            | Errno::EAFNOSUPPORT
            | Errno::EINVAL
            | Errno::ETXTBSY
            | Errno::EPERM
            | Errno::EACCES
    )
}

fn plain(error: &Error) -> String {
    let text = match error.raw_os_error() {
        Some(code) => Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    };
    let mut characters = text.chars();
    match characters.next() {
        // "Too many open files" becomes part of a sentence; "HTTP" and the like stay as they are.
        Some(first) if characters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text,
    }
}

/// Control characters, and those that end a line or turn the direction of the text.
fn commands(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_harmless_short_line() {
        let long = "x".repeat(500);
        let cases = [
            ("plain", "plain".to_owned()),
            ("  trimmed \n", "trimmed".to_owned()),
            ("tab\tand\x1b[2Jclear", "tab\\tand\\u{1b}[2Jclear".to_owned()),
            ("two\nlines", "two\\nlines".to_owned()),
            ("a\u{202e}b", "a\\u{202e}b".to_owned()),
            ("grün ≥ 3", "grün ≥ 3".to_owned()),
            (&long, format!("{}…", "x".repeat(199))),
        ];
        for (text, expected) in cases {
            assert_eq!(line(text), expected);
        }
        assert!(line(&"\x07".repeat(500)).chars().count() <= LONGEST);
    }

    #[test]
    fn errors_are_words_and_have_an_owner() {
        let cases = [
            (Errno::ECONNREFUSED, "refused", false),
            (Errno::ECONNRESET, "connection reset", false),
            (Errno::EHOSTUNREACH, "host unreachable", false),
            (Errno::ENETUNREACH, "network unreachable", false),
            (Errno::ETIMEDOUT, "timed out", false),
            (Errno::EMFILE, "too many open files", true),
            (Errno::ENFILE, "file table overflow", true),
            (Errno::ENOBUFS, "no buffer space available", true),
            (Errno::EADDRNOTAVAIL, "no local address or port to connect from", true),
            (Errno::EPERM, "permission denied", true),
        ];
        for (errno, text, ours) in cases {
            let error = Error::from(errno);
            assert_eq!((fault(&error).as_str(), is_ours(&error)), (text, ours), "{errno}");
        }
    }

    #[test]
    fn times_are_short() {
        assert_eq!(time(Duration::from_millis(300)), "300 ms");
        assert_eq!(time(Duration::from_micros(299_800)), "300 ms");
        assert_eq!(time(Duration::from_micros(999_900)), "1 s");
        assert_eq!(time(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(took(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(took(Duration::from_micros(1_523_000)), "1.52 s");
        assert_eq!(age(Duration::from_micros(1_523_000)), "1.52 s");
        assert_eq!(age(Duration::from_millis(3_723_400)), "1h 2m 3s");
    }
}
