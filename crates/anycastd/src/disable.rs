//! Looks for the `disable_file` of each service, every second: for those who manage nodes by putting files there.
//!
//! A file system may hang, or not let us see: then nothing is known of the file, which is not the same as that it is gone.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc, time::Duration};

use anycast_core::ServiceName;
use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    agent::Handle,
    blocking::{FILES, Hang, Slot},
    config::Settings,
};

/// The files, by service.
pub(crate) type DisableFiles = Arc<BTreeMap<ServiceName, PathBuf>>;

const EVERY: Duration = Duration::from_secs(1);
/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(1);
/// So many looks are under way at a time: each takes a thread.
const AT_A_TIME: usize = 16;

/// What a look has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    Present,
    Absent,
    /// It cannot be told, for this reason.
    Unseen(String),
}

/// Those that a configuration names.
pub(crate) fn files_of(settings: &Settings) -> BTreeMap<ServiceName, PathBuf> {
    let services = settings.core.services.iter();
    services.filter_map(|(name, service)| Some((name.clone(), service.disable_file.clone()?))).collect()
}

/// Looks until it is dropped, and tells what has changed.
pub(crate) async fn run(mut files: watch::Receiver<DisableFiles>, agent: Handle) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = BTreeMap::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            changed = files.changed() => match changed {
                // Of a file that another service has now, something else may have been told.
                Ok(()) => told.clear(),
                Err(_) => return,
            },
        }
        let wanted = files.borrow_and_update().clone();
        let looks = look(&wanted).await;
        if looks != told {
            let (news, files) = (looks.clone(), Arc::clone(&wanted));
            // Where it does not answer it is told again.
            if agent.order(move |agent| agent.saw_disable_files(&files, &news)).await.is_ok() {
                told = looks;
            }
        }
    }
}

/// Looks for all of them once.
pub(crate) async fn look(files: &BTreeMap<ServiceName, PathBuf>) -> BTreeMap<ServiceName, Look> {
    let looks = files.iter().map(|(name, file)| {
        let (name, file) = (name.clone(), file.clone());
        async move { (name, look_for(file).await) }
    });
    stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(AT_A_TIME).collect().await
}

async fn look_for(file: PathBuf) -> Look {
    let slot = Slot::of(&FILES, &file.display().to_string());
    // A link that leads nowhere is there.
    let seen = slot.share(LIMIT, "disable_file", Duration::ZERO, move || seen(std::fs::symlink_metadata(file))).await;
    seen.unwrap_or_else(|hang| {
        Look::Unseen(match hang {
            Hang::Late | Hang::Before(_) => "the file system does not answer".to_owned(),
            Hang::Busy | Hang::Full(_) => "too many files hang".to_owned(),
            Hang::Fault(why) => why,
        })
    })
}

fn seen(about: io::Result<std::fs::Metadata>) -> Look {
    match about {
        Ok(_) => Look::Present,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Look::Absent,
        Err(error) => Look::Unseen(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_gone_or_not_to_be_seen() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("/nowhere", at("link")).unwrap();
        let files = [
            ("a", at("file"), Look::Present),
            ("b", home.path().to_owned(), Look::Present),
            ("c", at("link"), Look::Present),
            ("d", at("nothing"), Look::Absent),
            ("e", at("file/below"), Look::Absent),
        ];
        let name = |name: &str| ServiceName::new(name).unwrap();
        let wanted = files.iter().map(|(service, file, _)| (name(service), file.clone())).collect();
        let looks = look(&wanted).await;
        for (service, file, expected) in &files {
            assert_eq!(&looks[&name(service)], expected, "{}", file.display());
        }
        let long = home.path().join("x".repeat(300));
        assert!(matches!(look_for(long).await, Look::Unseen(_)), "a name that is too long tells nothing");
    }
}
