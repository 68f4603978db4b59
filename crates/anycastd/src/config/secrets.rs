//! Secrets: from a file or a systemd credential, never from the configuration itself.

use std::{
    fs::OpenOptions,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anycast_core::Secret;

use nix::unistd::{Uid, User, geteuid};

use super::{
    diagnostic::{Report, quoted},
    reader::Section,
    redact,
    settings::Host,
    source::Span,
    values::{path, text},
};
use crate::drop_in;

/// How long a password may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) octets: usize,
    /// What says so.
    pub(super) says: &'static str,
}

/// The longest key of TCP MD5 (`TCP_MD5SIG_MAXKEYLEN`), and of TCP-AO in the kernel.
pub(super) const OF_TCP: Most = Most { octets: 80, says: "RFC 2385" };
/// The largest file with secrets.
const LARGEST: usize = 64 * 1024;
/// Who may do more than this is refused: its group may read the file, nobody else may do anything with it.
const FORBIDDEN: u32 = 0o027;

/// `password_file` or `credential`, whichever is there. The inner `None`: neither.
pub(super) fn password(
    section: &mut Section<'_>,
    most: Most,
    host: &Host,
    report: &mut Report<'_>,
) -> Option<Option<Secret>> {
    let (file, credential) = (section.has("password_file"), section.has("credential"));
    if let (Some(_), Some(span)) = (file, credential) {
        report.error(span, "`password_file` and `credential` together", "remove one of the two");
        let _ = (section.take("password_file", report), section.take("credential", report));
        return None;
    }
    if file.is_some() {
        let node = section.take("password_file", report)?;
        let path = path(node, "password_file", report)?;
        return read(&path, FORBIDDEN, most, node.span, report).map(Some);
    }
    if credential.is_some() {
        let node = section.take("credential", report)?;
        let name = text(node, "credential", report)?;
        return self::credential(name, most, node.span, host, report);
    }
    Some(None)
}

/// A file of systemd's credentials directory (systemd.exec(5), `LoadCredential=`).
fn credential(name: &str, most: Most, span: Span, host: &Host, report: &mut Report<'_>) -> Option<Option<Secret>> {
    // systemd's own rule for the name: that of a file (systemd.exec(5)).
    if name.is_empty() || name.len() > 255 || name.starts_with('.') || name.contains(['/', '\0', ':']) {
        let message = format!("{} cannot be the name of a credential", named(name));
        report.error(span, message, "write the name that the unit's `LoadCredential=NAME:/path` gives it");
        return None;
    }
    let Some(directory) = &host.credentials else {
        let message = format!("the credential {} cannot be read: systemd passes none here", named(name));
        let shown = if redact::names_credential(name) { name } else { "NAME" };
        let hint = format!("add `LoadCredential={shown}:/path/to/the/password` to the unit of anycastd");
        if host.only_checks {
            // Who checks the file by hand is not the unit.
            report.warning(span, message, "the unit has it if it says `LoadCredential=`; it is read at the start");
            return Some(None);
        }
        report.error(span, message, hint);
        return None;
    };
    // Who may read it is systemd's business: it may have given the agent's user an ACL, which shows as rights of the group.
    read(&directory.join(name), 0o007, most, span, report).map(Some)
}

/// What hardly is a name may be the password itself.
fn named(name: &str) -> String {
    if redact::names_credential(name) { quoted(name) } else { "`…`".to_owned() }
}

/// What is wrong with a file, and the remedy.
type Fault = (String, String);

/// The secret in a file, without the newline that editors end it with.
fn read(path: &Path, forbidden: u32, most: Most, span: Span, report: &mut Report<'_>) -> Option<Secret> {
    told(octets(path, forbidden, most), path, span, report)
}

/// A file with secrets in it, whatever its form.
pub(super) fn file(path: &Path, span: Span, report: &mut Report<'_>) -> Option<Secret> {
    let fits = |(octets, owner): (zeroize::Zeroizing<Vec<u8>>, Uid)| match octets.len() {
        0..=LARGEST => Ok((octets.to_vec(), owner)),
        _ => {
            let message = format!("{} is larger than {LARGEST} octets", called(path));
            Err((message, "write only what is needed into it".to_owned()))
        }
    };
    told(content(path, FORBIDDEN, LARGEST).and_then(fits), path, span, report)
}

/// What was read of a file, and who owns it: that is judged here, for who only checks need not be the agent's user.
fn told(read: Result<(Vec<u8>, Uid), Fault>, path: &Path, span: Span, report: &mut Report<'_>) -> Option<Secret> {
    let (octets, owner) = read.map_err(|fault| report.error_in(called(path), span, fault)).ok()?;
    let secret = Secret::new(octets);
    let agents = || User::from_name(drop_in::USER).ok().flatten().is_some_and(|user| user.uid == owner);
    // Whoever owns it can change it, and read what is written into it.
    if is_trusted(owner, geteuid()) || (report.only_checks() && agents()) {
        return Some(secret);
    }
    let name = called(path);
    let (message, hint) = foreign(&name, owner);
    if report.only_checks() {
        report.warning(span, message, format!("unless the agent runs as that user it refuses it: {hint}"));
        return Some(secret);
    }
    report.error_in(name, span, (message, hint));
    None
}

/// Root may change everything anyhow, and our own user is us.
fn is_trusted(owner: Uid, us: Uid) -> bool {
    owner.is_root() || owner == us
}

fn foreign(name: &str, owner: Uid) -> Fault {
    let message = format!("{name} belongs to somebody else (uid {owner}), who can read and change it");
    (message, format!("`chown root {name}`, or let it belong to the agent's user; and change what is secret in it"))
}

/// What hardly is a path may be the password itself.
pub(super) fn called(path: &Path) -> String {
    let text = path.display().to_string();
    if redact::names_file(&text) { text } else { "/…".to_owned() }
}

/// The secret, and whose file it is.
fn octets(path: &Path, forbidden: u32, most: Most) -> Result<(Vec<u8>, Uid), Fault> {
    let name = called(path);
    let (octets, owner) = content(path, forbidden, most.octets + 2)?;
    let key = octets.strip_suffix(b"\n").unwrap_or(&octets);
    let key = key.strip_suffix(b"\r").unwrap_or(key);
    if key.is_empty() {
        return Err((format!("{name} is empty"), "write the password into it, on one line".to_owned()));
    }
    if key.len() > most.octets {
        return Err((
            format!("the password in {name} is longer than {} octets", most.octets),
            format!("choose a shorter one ({})", most.says),
        ));
    }
    if key.iter().any(u8::is_ascii_control) {
        let message = format!("the password in {name} holds a control character, or has more than one line");
        return Err((message, "write it on one line, and nothing else".to_owned()));
    }
    Ok((key.to_vec(), owner))
}

/// Reads at most one octet more than `most`; who owns what was read.
fn content(path: &Path, forbidden: u32, most: usize) -> Result<(zeroize::Zeroizing<Vec<u8>>, Uid), Fault> {
    // From here on this process holds a secret: no core dump of it, and nobody but root looks into its memory.
    let _ = nix::sys::prctl::set_dumpable(false);
    let name = called(path);
    let failed = |error: std::io::Error| {
        (
            format!("cannot read {name}: {error}"),
            "write what is secret into that file, and let the agent's user read it".into(),
        )
    };
    let irregular = || (format!("{name} is not a regular file"), "write what is secret into a file".to_owned());
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(irregular());
    }
    // What it is may change before it is open: hence the second look, at what is open.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(irregular());
    }
    let mode = about.permissions().mode() & 0o7777;
    if mode & forbidden != 0 {
        let hint = format!(
            "`chmod {:o} {name}`, and change what is secret in it: others may have seen it",
            mode & !forbidden & 0o770
        );
        return Err((format!("{name} can be read or changed by others (mode {mode:04o})"), hint));
    }
    // Room for all that is good and a little more, so that nothing is moved about in memory and left behind.
    let mut octets = zeroize::Zeroizing::new(Vec::with_capacity(most + 16));
    (&mut file).take(most as u64 + 1).read_to_end(&mut octets).map_err(failed)?;
    Ok((octets, Uid::from_raw(about.uid())))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn file(directory: &Path, content: &[u8], mode: u32) -> std::path::PathBuf {
        let path = directory.join("password");
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_password_is_one_line_that_nobody_else_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let full = vec![b'x'; OF_TCP.octets];
        let good: [(&[u8], u32, &[u8]); 6] = [
            (b"hunter2\n", 0o600, b"hunter2"),
            (b"hunter2", 0o400, b"hunter2"),
            (b"hunter2\r\n", 0o640, b"hunter2"),
            (b" two words \n", 0o600, b" two words "),
            ("pässwörd\n".as_bytes(), 0o600, "pässwörd".as_bytes()),
            (&full, 0o600, &full),
        ];
        for (content, mode, key) in good {
            assert_eq!(octets(&file(directory.path(), content, mode), FORBIDDEN, OF_TCP).unwrap().0, key);
        }
        let long = vec![b'x'; OF_TCP.octets + 1];
        let bad: [(&[u8], u32, &str); 9] = [
            (b"hunter2\n", 0o644, "can be read or changed by others (mode 0644)"),
            (b"hunter2\n", 0o604, "by others"),
            (b"hunter2\n", 0o660, "by others"),
            (b"hunter2\n", 0o602, "by others"),
            (b"", 0o600, "is empty"),
            (b"\n", 0o600, "is empty"),
            (&long, 0o600, "longer than 80 octets"),
            (b"one\ntwo\n", 0o600, "more than one line"),
            (b"nul\0\n", 0o600, "control character"),
        ];
        for (content, mode, part) in bad {
            let (message, hint) = octets(&file(directory.path(), content, mode), FORBIDDEN, OF_TCP).unwrap_err();
            assert!(message.contains(part), "{message}");
            assert!(!message.contains("hunter2") && !hint.contains("hunter2"), "a message must not tell it");
        }
    }

    #[test]
    fn only_a_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let (message, _) = octets(&directory.path().join("none"), FORBIDDEN, OF_TCP).unwrap_err();
        assert!(message.contains("No such file"), "{message}");
        assert!(octets(directory.path(), FORBIDDEN, OF_TCP).unwrap_err().0.contains("not a regular file"));
        assert!(octets(Path::new("/dev/zero"), FORBIDDEN, OF_TCP).unwrap_err().0.contains("not a regular file"));
        let target = file(directory.path(), b"hunter2\n", 0o600);
        let link = directory.path().join("link");
        symlink(target, &link).unwrap();
        assert_eq!(octets(&link, FORBIDDEN, OF_TCP).unwrap().0, b"hunter2");
    }

    /// Root's own agent too: a file of somebody else is that one's to change.
    #[test]
    fn a_file_of_somebody_else_is_refused_and_who_only_checks_is_warned() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path(), b"hunter2\n", 0o600);
        let other = Uid::from_raw(64_123);
        for (owner, us, trusted) in
            [(0, 0, true), (0, 997, true), (997, 997, true), (64_123, 997, false), (64_123, 0, false)]
        {
            assert_eq!(is_trusted(Uid::from_raw(owner), Uid::from_raw(us)), trusted, "{owner} {us}");
        }
        let judge = |owner, only_checks| {
            let source = crate::config::source::Source::new("anycastd.yaml", "x\n".to_owned());
            let mut report = Report::new(&source);
            report.set_only_checks(only_checks);
            let read = octets(&path, FORBIDDEN, OF_TCP).map(|(octets, _)| (octets, owner));
            let secret = told(read, &path, Span::new(0, 1), &mut report);
            (secret.is_some(), report.finish())
        };
        assert_eq!(judge(geteuid(), false).1.found(), []);
        let (read, refused) = judge(other, false);
        let line: String = refused.lines().collect();
        assert!(!read && refused.errors() == 1, "{line}");
        assert!(line.contains("belongs to somebody else (uid 64123)") && line.contains("`chown root "), "{line}");
        let (read, warned) = judge(other, true);
        assert!(read && warned.errors() == 0 && warned.warnings() == 1, "{warned}");
    }

    /// Whoever can read our memory can read the password.
    #[test]
    fn a_process_that_read_a_secret_dumps_no_core() {
        let directory = tempfile::tempdir().unwrap();
        octets(&file(directory.path(), b"hunter2\n", 0o600), FORBIDDEN, OF_TCP).unwrap();
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
    }
}
