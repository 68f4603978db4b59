//! The installed program is asked whether it could go on, as a child with nothing but the document.

use std::{path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

use crate::handover::{Document, TRIAL, Verdict};

/// How long it may take: it reads a configuration, and the disk may be slow.
const WITHIN: Duration = Duration::from_secs(20);
/// The most that is read of what it says.
const LONGEST: u64 = 1 << 20;
/// The most that is told of that.
const TOLD: usize = 2_000;

/// What it says; `Err`: why it says nothing good, in words.
pub(super) async fn hold(program: &Path, file: &Path, document: &Document) -> Result<Verdict, String> {
    hold_within(WITHIN, program, file, document).await
}

async fn hold_within(within: Duration, program: &Path, file: &Path, document: &Document) -> Result<Verdict, String> {
    let document = document.write().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(file)
        .arg(TRIAL)
        // It is no service of the service manager's.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("cannot be run: {error}"))?;
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let told = async move {
        if let Some(mut input) = input {
            // One that does not read says why on its own.
            let _ = input.write_all(&document).await;
        }
    };
    let talk = async { tokio::join!(told, read(output), read(errors), child.wait()) };
    let late = |_| format!("does not tell within {} s whether it can go on", within.as_secs());
    let talked = timeout(within, talk).await;
    if talked.is_err() {
        // Nothing of it is left behind: it leads a group of its own, and is not reaped yet.
        if let Some(leader) = child.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
        let _ = child.kill().await;
    }
    let ((), output, errors, status) = talked.map_err(late)?;
    let status = status.map_err(|error| format!("cannot be waited for: {error}"))?;
    if status.success() {
        return serde_json::from_slice(&output).map_err(|_| unknown(&output, &errors));
    }
    let words = in_words(&errors);
    Err(match (status.code(), words.is_empty()) {
        // What clap says of an option that it does not know.
        (Some(64), _) => {
            format!("does not know how to go on for another: an older anycastd, or another program: {words}")
        }
        (_, false) => words,
        (_, true) => format!("ended without a word: {status}"),
    })
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(mut stream) = stream {
        let _ = (&mut stream).take(LONGEST).read_to_end(&mut text).await;
        // It is to be able to end.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    text
}

fn unknown(output: &[u8], errors: &[u8]) -> String {
    let said = if output.is_empty() { errors } else { output };
    let said = in_words(said);
    if said.is_empty() {
        "says nothing: it is no anycastd".to_owned()
    } else {
        format!("is no anycastd: it says {said:?}")
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

    async fn held(script: &str) -> Result<Verdict, String> {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("anycastd");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
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
            ("echo 'it is broken' >&2; exit 78", "it is broken"),
            ("exit 3", "ended without a word: exit status: 3"),
            ("kill -9 $$", "ended without a word: signal: 9 (SIGKILL)"),
            ("echo 'unexpected argument' >&2; exit 64", "does not know how to"),
            ("exit 0", "it is no anycastd"),
            ("echo hello", "is no anycastd: it says \"hello\""),
            ("yes | head -c 3000000; exit 0", "is no anycastd"),
            ("head -c 3000000 /dev/zero | tr '\\0' y >&2; exit 1", "yyyy"),
        ];
        for (script, words) in table {
            let why = held(script).await.unwrap_err();
            assert!(why.contains(words) && why.len() < 3 * TOLD, "{script}: {why}");
        }
    }

    #[tokio::test]
    async fn one_that_hangs_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let (program, pid) = (home.path().join("anycastd"), home.path().join("pid"));
        let script = format!("#!/bin/sh\nsleep 1000 & echo $! > {}; wait\n", pid.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let document = Document::new(Vec::new(), Timestamp::now(), Duration::ZERO);
        let second = Duration::from_secs(1);
        let why = hold_within(second, &program, Path::new("/etc/f"), &document).await.unwrap_err();
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
            let why = hold(Path::new(program), Path::new("/etc/f"), &document).await.unwrap_err();
            assert!(why.starts_with("cannot be run: ") && why.contains(words), "{program}: {why}");
        }
    }
}
