//! The files that people write for the lab: read only so far, and quoted only so far.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use nix::fcntl::OFlag;
use serde::de::DeserializeOwned;

/// The largest file in bytes: a hundred times what the largest topology here needs.
const LARGEST: u64 = 1 << 20;
/// Of what is said of a file, how many characters at its beginning are kept.
const HEAD: usize = 400;
/// And at its end.
const TAIL: usize = 200;

/// The text of a file.
///
/// # Errors
/// When it cannot be read, is no regular file, is larger than 1 MiB, or is no UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    read_up_to(path, LARGEST)
}

/// The same with a limit of its own, in bytes: whole MiB.
///
/// # Errors
/// When it cannot be read, is no regular file, is larger than that, or is no UTF-8.
pub(crate) fn read_up_to(path: &Path, largest: u64) -> io::Result<String> {
    // Not to wait for somebody who writes into a pipe: it is refused anyway.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    // Whatever length it claims: files of /proc claim none.
    file.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other(format!("it is larger than {} MiB", largest >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// What the text of a file in YAML says.
///
/// # Errors
/// In words, with the place, when it is no such thing.
pub(crate) fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // What is nested without end is only refused at once where all of it is wanted: what nobody asks for is skipped in quadratic time.
    let all: Result<serde_yaml::Value, _> = serde_yaml::from_str(text);
    match all {
        Err(error) if error.to_string().contains("recursion limit") => Err(error.to_string()),
        _ => serde_yaml::from_str(text).map_err(|error| error.to_string()),
    }
}

/// What is said of a file, on one line and never endless, however much of the file it quotes: the middle is left out then.
pub(crate) fn brief(text: &str) -> String {
    let count = text.chars().count();
    if count <= HEAD + TAIL {
        return plain(text.chars());
    }
    format!("{} … {}", plain(text.chars().take(HEAD)), plain(text.chars().skip(count - TAIL)))
}

/// Without what moves a terminal's cursor.
pub(crate) fn plain(text: impl Iterator<Item = char>) -> String {
    text.fold(String::new(), |mut plain, c| {
        if c.is_control() {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file.yml");
        // An odd number of bytes is no whole number of these letters: that must not be what is complained of.
        let letters = "ä".repeat(LARGEST as usize / 2);
        fs::write(&path, &letters).unwrap();
        assert!(read(&path).unwrap() == letters);
        fs::write(&path, letters + "ä").unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "it is larger than 1 MiB");
        fs::write(&path, [b'a', 0xff]).unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "it is no UTF-8 text");
        assert_eq!(read(&home.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        #[derive(Debug, serde::Deserialize)]
        struct File {
            name: String,
        }
        assert_eq!(yaml::<File>("{name: a, other: [[1]]}").unwrap().name, "a");
        let deep = |open: &str| open.repeat(50_000);
        for text in [format!("{{name: a, other: {}", deep("[")), format!("name: a\nother:\n{}1", deep("- "))] {
            let error = yaml::<File>(&text).unwrap_err();
            assert!(error.contains("recursion limit exceeded"), "{error:.200}");
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        for path in [Path::new("/dev/zero"), &pipe, home.path()] {
            assert_eq!(read(path).unwrap_err().to_string(), "it is no regular file", "{}", path.display());
        }
    }

    #[test]
    fn what_is_said_has_a_beginning_and_an_end() {
        assert_eq!(brief("`a\tb\u{1b}[2J\nc` is none"), "`a\\tb\\u{1b}[2J\\nc` is none");
        let kept = "ä".repeat(HEAD + TAIL);
        assert_eq!(brief(&kept), kept);
        let cut = brief(&format!("unknown field `{}` at line 3", "ä".repeat(1000)));
        assert!(cut.starts_with("unknown field `ä") && cut.ends_with("ä` at line 3"), "{cut}");
        assert_eq!(cut.chars().count(), HEAD + TAIL + " … ".chars().count());
    }
}
