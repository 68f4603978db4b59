//! The program at the path from which the agent was started: what the next start, and an upgrade, would run.

use std::{
    fs::{self, File, Metadata},
    io::{self, BufRead, BufReader},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{AccessFlags, access};

use super::facts::{Installed, Program};
use crate::{
    blocking::{FILES, Slot},
    upgrade,
};

/// This one, though its file may be gone.
const RUNS: &str = "/proc/self/exe";
/// How long the disk may take.
const READ: Duration = Duration::from_secs(1);
/// How long it may take to tell its version: less than an upgrade waits for the end of programs.
const TELLS: Duration = Duration::from_millis(1500);

/// Looks at it, and asks for its version where it is not the one that runs.
///
/// # Errors
/// Why it could not be looked at, in words.
pub(super) async fn look(program: Result<PathBuf, String>) -> Result<Program, String> {
    let path = program?;
    let slot = Slot::of(&FILES, "the installed program");
    let looked = slot.run(READ, {
        let path = path.clone();
        move || is_other(Path::new(RUNS), &path)
    });
    let installed = match looked.await {
        Ok(Ok(false)) => Installed::Same,
        Ok(Ok(true)) => Installed::Other(upgrade::version(&path, TELLS).await),
        Ok(Err(fault)) => Installed::Unfit(fault.to_string()),
        Err(_) => return Err(format!("{} cannot be read in time", path.display())),
    };
    Ok(Program { path, installed })
}

/// Whether it is another program than the one that runs, and not the same once more.
fn is_other(runs: &Path, path: &Path) -> io::Result<bool> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    access(path, AccessFlags::X_OK)?;
    let ours = fs::metadata(runs)?;
    let identity = |about: &Metadata| (about.dev(), about.ino());
    if identity(&about) == identity(&ours) {
        return Ok(false);
    }
    if about.len() != ours.len() {
        return Ok(true);
    }
    match File::open(path) {
        Ok(file) => differ(BufReader::new(file), BufReader::new(File::open(runs)?)),
        // It can be run all the same.
        Err(_) => Ok(true),
    }
}

fn differ(mut one: impl BufRead, mut other: impl BufRead) -> io::Result<bool> {
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if count == 0 {
            return Ok(left.len() != right.len());
        }
        if left[..count] != right[..count] {
            return Ok(true);
        }
        one.consume(count);
        other.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn another_program_is_one_with_other_octets() {
        let home = tempfile::tempdir().unwrap();
        let (runs, path) = (home.path().join("runs"), home.path().join("installed"));
        let install = |path: &Path, content: &[u8], mode: u32| {
            fs::write(path, content).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        install(&runs, &[b'x'; 20_000], 0o755);
        assert!(!is_other(&runs, &runs).unwrap());
        let fault = || is_other(&runs, &path).unwrap_err().to_string();
        assert!(fault().contains("No such file"));
        install(&path, &[b'x'; 20_000], 0o755);
        assert!(!is_other(&runs, &path).unwrap(), "the same once more");
        let mut other = [b'x'; 20_000];
        other[19_999] = b'y';
        for content in [&other[..], &other[..100], b""] {
            install(&path, content, 0o755);
            assert!(is_other(&runs, &path).unwrap());
        }
        install(&path, &other, 0o644);
        assert!(fault().contains("EACCES") || fault().contains("ermission"), "{}", fault());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(fault().contains("not a regular file"));
    }

    #[tokio::test]
    async fn the_program_of_this_test_is_the_one_that_runs() {
        let program = look(Ok(std::env::current_exe().unwrap())).await.unwrap();
        assert_eq!(program.installed, Installed::Same);
        let gone = look(Ok(PathBuf::from("/no/such/program"))).await.unwrap();
        assert!(matches!(gone.installed, Installed::Unfit(_)), "{gone:?}");
        let other = look(Ok(PathBuf::from("/bin/true"))).await.unwrap();
        assert!(matches!(other.installed, Installed::Other(_)), "{other:?}");
        assert_eq!(look(Err("why".to_owned())).await, Err("why".to_owned()));
    }
}
