//! Whether a file is there, is not there, or has been written to lately.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anycast_core::config::{FileExpected, FileProbe};

use super::{Finding, words};
use crate::blocking::{FILES, Slot};

/// A file check, made ready.
#[derive(Debug)]
pub(super) struct FileProber {
    config: Arc<FileProbe>,
    /// Who asks the same has the same answer.
    question: String,
    slot: Slot,
}

impl FileProber {
    pub(super) fn new(config: &FileProbe) -> Self {
        let slot = Slot::of(&FILES, &config.path.display().to_string());
        let question = format!("file {:?}", config.expect);
        Self { config: Arc::new(config.clone()), question, slot }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let config = self.config.clone();
        let look = move || look(&config.path, config.expect, SystemTime::now());
        let looked = self.slot.share(timeout, &self.question, Duration::ZERO, look).await;
        looked.unwrap_or_else(|hang| Finding::hanging(&self.slot, hang, timeout))
    }
}

/// `now` by the clock that dates files.
fn look(path: &Path, expect: FileExpected, now: SystemTime) -> Finding {
    let name = path.display();
    let about = match std::fs::metadata(path) {
        Ok(about) => Some(about),
        // ENOTDIR: what should be a directory above it is none.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        // Whether it is there cannot be seen.
        Err(error) => return Finding::unknown(format!("cannot look at {name}: {}", words::fault(&error))),
    };
    match (expect, about) {
        (FileExpected::Absent, None) => Finding::up(format!("{name} is not there")),
        (FileExpected::Absent, Some(_)) => Finding::down(format!("{name} is there, and should be absent")),
        (FileExpected::Present, Some(_)) => Finding::up(format!("{name} is there")),
        (FileExpected::Present | FileExpected::Fresh(_), None) => Finding::down(format!("{name} is not there")),
        (FileExpected::Fresh(age), Some(about)) => match about.modified() {
            Ok(written) => fresh(&name.to_string(), written, age, now),
            Err(error) => Finding::unknown(format!("cannot tell the age of {name}: {error}")),
        },
    }
}

/// A date that is as far in the future is no better than one in the past: or such a file would be fresh for ever.
fn fresh(name: &str, written: SystemTime, age: Duration, now: SystemTime) -> Finding {
    let most = words::age(age);
    match now.duration_since(written) {
        Ok(since) if since <= age => Finding::up(format!("{name} was written {} ago", words::age(since))),
        Ok(since) => Finding::down(format!("{name} was written {} ago, more than {most}", words::age(since))),
        Err(ahead) if ahead.duration() <= age => Finding::up(format!("{name} was written just now")),
        Err(ahead) => {
            let ahead = words::age(ahead.duration());
            Finding::down(format!("{name} is dated {ahead} in the future, more than {most}: see the clock"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use anycast_core::{Health, config::ProbeConfig};

    use super::{
        super::{
            Prober,
            testing::{AMPLE, run},
        },
        *,
    };

    #[tokio::test]
    async fn a_file_is_there_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("ready"), directory.path().join("link"));
        symlink(&file, &link).unwrap();
        let below = file.join("below");
        let said = |path: &Path, words: &str| format!("{} {words}", path.display());
        let ask = async |path: &Path, expect: FileExpected| {
            let config = FileProbe { path: path.to_owned(), expect };
            let outcome = run(&Prober::new(&ProbeConfig::File(config)), AMPLE).await;
            (outcome.health, outcome.detail)
        };
        let hour = FileExpected::Fresh(Duration::from_secs(3600));
        for path in [&file, &link] {
            assert_eq!(ask(path, FileExpected::Present).await, (Health::Down, said(path, "is not there")));
            assert_eq!(ask(path, FileExpected::Absent).await, (Health::Up, said(path, "is not there")));
            assert_eq!(ask(path, hour).await, (Health::Down, said(path, "is not there")));
        }
        fs::write(&file, "").unwrap();
        for path in [&file, &link] {
            assert_eq!(ask(path, FileExpected::Present).await, (Health::Up, said(path, "is there")));
            assert_eq!(
                ask(path, FileExpected::Absent).await,
                (Health::Down, said(path, "is there, and should be absent"))
            );
            let (health, words) = ask(path, hour).await;
            assert!(health == Health::Up && words.starts_with(&said(path, "was written ")), "{words}");
        }
        assert_eq!(ask(&below, FileExpected::Present).await, (Health::Down, said(&below, "is not there")));
        assert_eq!(ask(directory.path(), FileExpected::Present).await.0, Health::Up);
        // A loop of links: nobody can say.
        let turn = directory.path().join("turn");
        symlink(&turn, &turn).unwrap();
        assert_eq!(ask(&turn, FileExpected::Absent).await.0, Health::Unknown);
    }

    #[test]
    fn freshness_has_an_end_in_both_directions() {
        let now = SystemTime::now();
        let minute = Duration::from_secs(60);
        let ago = |seconds| fresh("f", now - Duration::from_secs(seconds), minute, now);
        let ahead = |seconds| fresh("f", now + Duration::from_secs(seconds), minute, now);
        assert_eq!(ago(2), Finding::up("f was written 2.00 s ago"));
        assert_eq!(ago(60).health, Health::Up);
        assert_eq!(ago(61), Finding::down("f was written 1m 1s ago, more than 1m"));
        assert_eq!(ahead(60), Finding::up("f was written just now"));
        assert_eq!(ahead(61), Finding::down("f is dated 1m 1s in the future, more than 1m: see the clock"));
    }
}
