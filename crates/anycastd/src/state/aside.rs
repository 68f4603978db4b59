//! Files of the state that cannot be read: somebody may want to see what was in them.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anycast_api::Timestamp;

/// How many of one file are kept.
const MOST: usize = 5;
/// What stands between the name of the file and the time.
const MARK: &str = ".unreadable-";

/// Keeps a file under another name, and leaves it where it is until something else takes its place: at no moment is there none. Only
/// what can have no second name, such as a directory, is moved away.
pub(crate) fn keep_aside(file: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let time = Timestamp::from(now).to_string().replace([':', '-'], "");
    // The agent is started again and again, and cannot write another one.
    let same = |kept: &PathBuf| Some(identity(kept)? == identity(file)?);
    if let Some(kept) = kept_aside(file).into_iter().find(|kept| same(kept) == Some(true)) {
        return Ok(kept);
    }
    let free = |kept: &PathBuf| fs::symlink_metadata(kept).is_err();
    let names = (1..).map(|number| match number {
        1 => format!("{name}{MARK}{time}"),
        _ => format!("{name}{MARK}{time}-{number}"),
    });
    let Some(kept) = names.take(MOST).map(|name| file.with_file_name(name)).find(free) else {
        return Err(io::ErrorKind::AlreadyExists.into());
    };
    if fs::hard_link(file, &kept).is_err() {
        fs::rename(file, &kept)?;
    }
    forget_oldest(file);
    Ok(kept)
}

/// The files that were kept aside, the oldest first.
pub(crate) fn kept_aside(file: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else { return Vec::new() };
    let head = format!("{}{MARK}", name.to_string_lossy());
    let is_one = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&head));
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let mut kept: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_one).collect();
    kept.sort();
    kept
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    let about = fs::symlink_metadata(file).ok()?;
    Some((about.dev(), about.ino()))
}

fn forget_oldest(file: &Path) {
    let kept = kept_aside(file);
    for old in kept.iter().take(kept.len().saturating_sub(MOST)) {
        if let Err(error) = fs::remove_file(old) {
            tracing::debug!(path = %old.display(), %error, "an old state file stays");
        }
    }
}
