//! The configuration as it lies on the disk: what the next start would make of it, and who can read and change it.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::facts::{File, Owned};
use crate::config;

/// Reads it as a start would, the files with passwords that it names too, and keeps nothing of it.
pub(super) fn look(path: &Path) -> File {
    let mistakes = match config::load(path, false) {
        Ok(_) => Vec::new(),
        Err(refused) => refused.parts().collect(),
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let about = owned(path).zip(owned(directory)).map(|(file, directory)| [file, directory]);
    File { path: path.to_owned(), about, mistakes }
}

fn owned(path: &Path) -> Option<Owned> {
    let about = fs::metadata(path).ok()?;
    let trusted = about.uid() == 0 || about.uid() == nix::unistd::geteuid().as_raw();
    Some(Owned { mode: about.mode() & 0o7777, uid: about.uid(), gid: about.gid(), trusted })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_that_others_can_read_since_is_what_the_next_start_stumbles_over() {
        let home = tempfile::tempdir().unwrap();
        let (file, password) = (home.path().join("anycastd.yaml"), home.path().join("leaf1.password"));
        let neighbor =
            format!("{{ name: leaf1, address: 192.0.2.1, asn: 65001, password_file: {} }}", password.display());
        let text =
            format!("node: {{ name: here }}\nbgp: {{ asn: 65010, router_id: 192.0.2.2, neighbors: [{neighbor}] }}\n");
        fs::write(&file, text).unwrap();
        fs::write(&password, "hunter2\n").unwrap();
        let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&password, 0o640);
        mode(&file, 0o644);
        let good = look(&file);
        assert_eq!(good.mistakes, [[""; 3]; 0]);
        assert_eq!(
            good.about.map(|[file, directory]| (file.mode, file.trusted, directory.trusted)),
            Some((0o644, true, true))
        );
        mode(&password, 0o644);
        let [[place, fault, remedy]] = &look(&file).mistakes[..] else { panic!("one mistake") };
        assert!(place.ends_with("anycastd.yaml:2:109") || place.contains("anycastd.yaml:2:"), "{place}");
        assert!(fault.contains("can be read or changed by others (mode 0644)"), "{fault}");
        assert!(remedy.contains("chmod 640"), "{remedy}");
        fs::remove_file(&file).unwrap();
        let gone = look(&file);
        assert!(gone.about.is_none() && gone.mistakes.len() == 1, "{gone:?}");
    }
}
