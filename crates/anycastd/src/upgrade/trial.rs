//! The installed program is asked whether it could go on, as a child with nothing but the document.
//!
//! It is judged by its end, and by what it has written by then: what it has begun itself, and left behind, may keep the streams open.

use std::{
    io,
    path::Path,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    time::timeout,
};

use crate::handover::{Document, TRIAL, Verdict};

/// How long it may take: it reads a configuration, and the disk may be slow.
const WITHIN: Duration = Duration::from_secs(anycast_api::TRIAL_SECONDS);
/// How long what it has written may take to arrive once it has ended.
const ARRIVES: Duration = Duration::from_millis(300);
/// The most that is read of what it says.
const LONGEST: u64 = 1 << 20;
/// The most that is told of that.
const TOLD: usize = 2_000;

/// Why a program cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// In words, which may be the program's own, on several lines.
    pub(crate) why: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Unfit {
    /// One that is good for all that is known.
    pub(super) fn at_last(program: &Path, why: String) -> Self {
        Self { why, remedy: format!("see `ls -l {}`, and try again: `anycastctl upgrade`", program.display()) }
    }
}

/// What it says; `Err`: why it says nothing good.
pub(super) async fn hold(program: &Path, file: &Path, document: &Document) -> Result<Verdict, Unfit> {
    hold_within(WITHIN, program, file, document).await
}

async fn hold_within(within: Duration, program: &Path, file: &Path, document: &Document) -> Result<Verdict, Unfit> {
    let remedies = Remedies { program, file };
    let unfit = |why: String, remedy: String| Unfit { why, remedy };
    let document = document.write().map_err(|error| unfit(error.to_string(), remedies.restart()))?;
    let mut command = Command::new(program);
    command.arg("--config").arg(file).arg(TRIAL);
    let said = match run(command, document, within).await {
        Ok(said) => said,
        Err(Fault::Spawn(error)) => return Err(unfit(format!("cannot be run: {error}"), remedies.of_spawn(&error))),
        Err(Fault::Wait(error)) => {
            return Err(unfit(format!("cannot be waited for: {error}"), remedies.look()));
        }
        Err(Fault::Late) => {
            let why = format!("does not tell within {} s whether it can go on", within.as_secs());
            return Err(unfit(why, remedies.look()));
        }
    };
    let Said { status, output, errors } = said;
    if status.success() {
        return serde_json::from_slice(&output).map_err(|_| unfit(unknown(&output, &errors), remedies.another()));
    }
    let words = in_words(&errors);
    Err(match (status.code(), words.is_empty()) {
        // What clap says of an option that it does not know.
        (Some(64), _) => unfit(
            format!("does not know how to go on for another: an older anycastd, or another program: {words}"),
            remedies.restart(),
        ),
        // What anycastd says of a configuration.
        (Some(78), false) => unfit(words, remedies.mend()),
        (_, false) => unfit(words, remedies.look()),
        (_, true) => unfit(format!("ended without a word: {status}"), remedies.look()),
    })
}

/// The version that a program says it has, as its own words, on one line.
///
/// # Errors
/// Why it does not say, in words.
pub(crate) async fn version(program: &Path, within: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command.arg("--version");
    let said = run(command, Vec::new(), within).await.map_err(|fault| fault.to_string())?;
    let text = in_words(if said.status.success() { &said.output } else { &said.errors });
    let line: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
    if said.status.success() && !line.is_empty() { Ok(line) } else { Err(format!("{}: {line}", said.status)) }
}

/// What a program has said by its end.
struct Said {
    status: ExitStatus,
    output: Vec<u8>,
    errors: Vec<u8>,
}

/// Why it has said nothing.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot be run: {0}")]
    Spawn(io::Error),
    #[error("cannot be waited for: {0}")]
    Wait(io::Error),
    #[error("does not end")]
    Late,
}

async fn run(mut command: Command, input: Vec<u8>, within: Duration) -> Result<Said, Fault> {
    command
        // It is no service of the service manager's.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(Fault::Spawn)?;
    let (to, from, from_errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let told = async move {
        if let Some(mut to) = to {
            // One that does not read says why on its own.
            let _ = to.write_all(&input).await;
        }
    };
    let talk = async {
        tokio::join!(told, read(from, &mut output), read(from_errors, &mut errors));
    };
    let Ok(status) = timeout(within, ended(&mut child, talk)).await else {
        kill(child).await;
        return Err(Fault::Late);
    };
    Ok(Said { status: status.map_err(Fault::Wait)?, output, errors })
}

/// Waits for its end; the talk goes on until then, and for a moment longer.
async fn ended(child: &mut Child, talk: impl Future<Output = ()>) -> io::Result<ExitStatus> {
    let mut talk = pin!(talk);
    tokio::select! {
        () = &mut talk => child.wait().await,
        status = child.wait() => {
            let _ = timeout(ARRIVES, talk).await;
            status
        }
    }
}

/// Nothing of it is left behind: it leads a group of its own, and is not reaped yet.
async fn kill(mut child: Child) {
    if let Some(leader) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    }
    let _ = child.kill().await;
}

async fn read(stream: Option<impl AsyncRead + Unpin>, text: &mut Vec<u8>) {
    if let Some(mut stream) = stream {
        let _ = (&mut stream).take(LONGEST).read_to_end(text).await;
        // It is to be able to end.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

/// What to do about a program, and about the file that it is given.
#[derive(Clone, Copy)]
struct Remedies<'a> {
    program: &'a Path,
    file: &'a Path,
}

impl Remedies<'_> {
    fn of_spawn(self, error: &io::Error) -> String {
        let program = self.program.display();
        let look = match error.kind() {
            io::ErrorKind::NotFound => format!("`ls -l {program}`: install it there"),
            io::ErrorKind::PermissionDenied => {
                format!(
                    "`ls -l {program}`, `findmnt -no OPTIONS -T {program}`: it must be executable, as `chmod 755` makes it"
                )
            }
            _ => format!("`file {program}`, `uname -m`: install one for this machine"),
        };
        format!("{look}; until then a restart of the agent would fail")
    }

    /// Somebody has to look.
    fn look(self) -> String {
        let (program, file) = (self.program.display(), self.file.display());
        format!(
            "`{program} --version` and `{program} --config {file} --check` tell more; mend or install it again, for a restart would begin the \
             same program"
        )
    }

    fn another(self) -> String {
        format!(
            "`{} --version` tells what it is; put anycastd there, for a restart would begin the same program",
            self.program.display()
        )
    }

    fn mend(self) -> String {
        format!(
            "mend what it names (`{} --config {} --check`), `anycastctl reload`, and upgrade again",
            self.program.display(),
            self.file.display()
        )
    }

    /// Without the sessions, if it is the right program.
    fn restart(self) -> String {
        format!(
            "`{} --version` tells what it is; if it is to run, restart: `anycastctl withdraw --wait`, `systemctl restart anycastd`, \
             `anycastctl announce`",
            self.program.display()
        )
    }
}

/// So many characters of what is no answer.
const STRANGE: usize = 80;

fn unknown(output: &[u8], errors: &[u8]) -> String {
    let said = if output.is_empty() { errors } else { output };
    let said = in_words(said);
    if said.is_empty() {
        "ends and says nothing: it is no anycastd".to_owned()
    } else {
        let start: String = said.chars().take(STRANGE).collect();
        let more = if start.len() < said.len() { " …" } else { "" };
        format!("is no anycastd: it says {start:?}{more}")
    }
}

/// So much of it as somebody reads.
fn in_words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= TOLD).last().unwrap_or_default();
    if text.len() > TOLD { format!("{}…", &text[..end]) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use anycast_api::Timestamp;

    use super::*;

    fn install(home: &Path, script: &str) -> std::path::PathBuf {
        let program = home.join("anycastd");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    async fn held(script: &str) -> Result<Verdict, Unfit> {
        let home = tempfile::tempdir().unwrap();
        let program = install(home.path(), script);
        let mut document = Document::new(vec![b'#'; 300_000], Timestamp::now(), Duration::ZERO);
        document.agent = "before".to_owned();
        hold(&program, Path::new("/etc/f"), &document).await
    }

    #[tokio::test]
    async fn what_it_says_is_what_it_is_judged_by() {
        let verdict =
            held("cat > /dev/null; echo '{\"version\":\"9.9\",\"lost\":{\"leaf\":\"why\"},\"news\":1}'").await.unwrap();
        assert_eq!((verdict.version.as_str(), verdict.lost.len()), ("9.9", 1));
        let table = [
            ("echo 'it is broken' >&2; exit 78", "it is broken", "anycastctl reload"),
            ("echo 'it is broken' >&2; exit 1", "it is broken", "--check"),
            ("exit 3", "ended without a word: exit status: 3", "anycastd --version"),
            ("kill -9 $$", "ended without a word: signal: 9 (SIGKILL)", "--config /etc/f --check"),
            ("echo 'unexpected argument' >&2; exit 64", "does not know how to", "systemctl restart anycastd"),
            ("exit 0", "it is no anycastd", "put anycastd there"),
            ("echo hello", "is no anycastd: it says \"hello\"", "put anycastd there"),
            ("yes | head -c 3000000; exit 0", "is no anycastd", "put anycastd there"),
            ("head -c 3000000 /dev/zero | tr '\\0' y >&2; exit 1", "yyyy", "--version"),
        ];
        for (script, words, remedy) in table {
            let unfit = held(script).await.unwrap_err();
            let Unfit { why, remedy: told } = &unfit;
            assert!(why.contains(words) && why.len() < 3 * TOLD && told.contains(remedy), "{script}: {unfit:?}");
        }
    }

    /// What it has left behind holds its streams, and is no part of it.
    #[tokio::test]
    async fn its_end_is_the_end_of_the_trial() {
        let behind = "setsid sleep 1000 & echo $! >$(dirname $0)/pid;";
        let good = "cat >/dev/null; echo '{\"version\":\"9.9\",\"lost\":{}}'";
        let table = [
            (format!("{behind} {good}"), Ok("9.9")),
            (format!("{behind} echo 'it is broken' >&2; exit 1"), Err("it is broken")),
        ];
        for (script, expected) in table {
            let home = tempfile::tempdir().unwrap();
            let program = install(home.path(), &script);
            let document = Document::new(vec![b'#'; 300_000], Timestamp::now(), Duration::ZERO);
            // Whoever waits for the streams waits for much longer.
            let ample = Duration::from_secs(100);
            let held = tokio::time::timeout(ample, hold_within(10 * ample, &program, Path::new("/etc/f"), &document));
            let held = held.await.expect("it is over");
            let pid = std::fs::read_to_string(home.path().join("pid")).unwrap().trim().parse().unwrap();
            nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            match (held, expected) {
                (Ok(verdict), Ok(version)) => assert_eq!(verdict.version, version),
                (Err(unfit), Err(words)) => assert!(unfit.why.contains(words), "{unfit:?}"),
                (held, _) => panic!("{script}: {held:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_version_is_one_line_or_none() {
        let home = tempfile::tempdir().unwrap();
        let ample = Duration::from_secs(60);
        let table = [
            ("echo anycastd 9.9; echo more", Ok("anycastd 9.9")),
            ("exit 0", Err("exit status: 0")),
            ("echo broken >&2; exit 1", Err("exit status: 1: broken")),
        ];
        for (script, expected) in table {
            let program = install(home.path(), script);
            let told = version(&program, ample).await;
            match (&told, expected) {
                (Ok(told), Ok(line)) => assert_eq!(told, line),
                (Err(told), Err(words)) => assert!(told.contains(words), "{told}"),
                _ => panic!("{script}: {told:?}"),
            }
        }
        let program = install(home.path(), "sleep 1000");
        assert_eq!(version(&program, Duration::from_millis(200)).await, Err("does not end".to_owned()));
    }

    #[tokio::test]
    async fn one_that_hangs_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let pid = home.path().join("pid");
        let program = install(home.path(), &format!("sleep 1000 & echo $! > {}; wait", pid.display()));
        let document = Document::new(Vec::new(), Timestamp::now(), Duration::ZERO);
        let second = Duration::from_secs(1);
        let why = hold_within(second, &program, Path::new("/etc/f"), &document).await.unwrap_err().why;
        assert!(why.contains("does not tell within 1 s"), "{why}");
        let sleeper = std::fs::read_to_string(&pid).unwrap();
        let stat = format!("/proc/{}/stat", sleeper.trim());
        // Dead, or reaped by whoever is its parent now.
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while !gone() {
            assert!(std::time::Instant::now() < end);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn what_cannot_be_run_is_no_program() {
        let document = Document::new(Vec::new(), Timestamp::now(), Duration::ZERO);
        for (program, words) in
            [("/no/such/program", "No such file"), ("/etc/passwd", "Permission denied"), ("/tmp", "denied")]
        {
            let Unfit { why, remedy } = hold(Path::new(program), Path::new("/etc/f"), &document).await.unwrap_err();
            assert!(why.starts_with("cannot be run: ") && why.contains(words), "{program}: {why}");
            assert!(remedy.contains(&format!("ls -l {program}")), "{remedy}");
        }
    }
}
