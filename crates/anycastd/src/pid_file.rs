//! Files in which a service writes the number of its process.

use std::{fs::File, io::Read as _, path::Path};

use rustix::process::Pid;

/// More than a number and its newline.
const LARGEST: u64 = 64;

/// Reads one. Blocks, as long as the file system does.
///
/// # Errors
/// In words, why there is no number.
pub(crate) fn read(path: &Path) -> Result<Pid, String> {
    let name = path.display();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{name} is not there"),
        _ => format!("cannot read {name}: {error}"),
    };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        // A pipe would not let go of us.
        return Err(format!("{name} is not a regular file"));
    }
    let mut octets = Vec::new();
    File::open(path).map_err(failed)?.take(LARGEST).read_to_end(&mut octets).map_err(failed)?;
    parse(&octets).ok_or_else(|| match octets.trim_ascii() {
        b"" => format!("{name} is empty"),
        _ => format!("{name} does not hold the number of a process"),
    })
}

/// The number on the first line. Negative ones and zero would mean whole groups.
fn parse(octets: &[u8]) -> Option<Pid> {
    let line = octets.split(|octet| *octet == b'\n').next()?.trim_ascii();
    let digits = !line.is_empty() && line.iter().all(u8::is_ascii_digit);
    let number = digits.then(|| std::str::from_utf8(line).ok()?.parse::<i32>().ok()).flatten()?;
    Pid::from_raw(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_on_the_first_line() {
        for (text, number) in [("1", 1), ("4711\n", 4711), (" 4711 \nmore\n", 4711), ("4194304\r\n", 4_194_304)] {
            assert_eq!(
                parse(text.as_bytes()).map(Pid::as_raw_nonzero).map(std::num::NonZero::get),
                Some(number),
                "{text:?}"
            );
        }
        for text in ["", "\n4711", "0", "-1", "+1", "0x10", "1 2", "99999999999", "nginx"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let name = path.display();
        assert_eq!(read(&path).unwrap_err(), format!("{name} is not there"));
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(read(&path).unwrap_err(), format!("{name} is empty"));
        std::fs::write(&path, "me\n").unwrap();
        assert_eq!(read(&path).unwrap_err(), format!("{name} does not hold the number of a process"));
        std::fs::write(&path, "12\n").unwrap();
        assert_eq!(read(&path).unwrap().as_raw_nonzero().get(), 12);
        let place = directory.path();
        assert_eq!(read(place).unwrap_err(), format!("{} is not a regular file", place.display()));
    }
}
