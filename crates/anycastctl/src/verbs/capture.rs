//! `capture`: the recent messages of a neighbor, into a file.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anycast_api::Timestamp;
use serde_json::json;

use super::Session;
use crate::{
    cli,
    client::Call,
    exit::{Complaint, Exit},
    json, mrt,
    render::clean,
};

impl Session {
    /// Asks for the messages, writes the file and says what is in it.
    pub(super) async fn capture(&self, args: cli::Capture) -> anyhow::Result<Exit> {
        let to_stdout = args.file.as_os_str() == "-";
        if to_stdout && self.output.is_terminal() {
            return Err(
                complaint("a terminal shows no such file", "give a file, or pipe it on: … - | bgpdump -H -").into()
            );
        }
        if !to_stdout {
            may_write(&args.file, args.force)?;
        }
        let file = self.client.ask_for_octets(Call::get("/v1/capture", &[("neighbor", Some(&args.neighbor))])).await?;
        let records = mrt::records(&file).ok_or_else(garbled)?;
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Err(nothing(&args.neighbor).into());
        };
        let pcap = args.pcap.then(|| mrt::pcap(&records));
        let octets = pcap.as_deref().unwrap_or(&file);
        let messages = records.iter().filter(|record| record.message.is_some()).count();
        let [since, until] = [first, last].map(|record| Timestamp::from(record.at));
        if to_stdout {
            self.output.octets(octets)?;
            return Ok(Exit::Done);
        }
        write(&args.file, octets, args.force)?;
        if self.json {
            let told = json!({"file": args.file, "octets": octets.len(), "messages": messages, "since": since, "until": until});
            self.output.text(&json::pretty(&told.to_string()))?;
        } else {
            let file = args.file.display();
            let are = if messages == 1 { "message" } else { "messages" };
            let told = format!("{messages} {are} of {}, from {since} to {until}, are in {file}", args.neighbor);
            self.output.text(&format!("{}\n", clean(&told)))?;
        }
        Ok(Exit::Done)
    }
}

/// Looks before the agent is asked. What is there and no plain file (a device, a link to one) is never written over: the new file
/// would take its place.
fn may_write(path: &Path, force: bool) -> Result<(), Complaint> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => Err(complaint(
            &format!("{} is there and is not a file", path.display()),
            "give another name, or `-` for the standard output",
        )),
        Ok(_) if !force => Err(exists(path)),
        // What else is wrong shows when it is written.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// All of it or nothing: into a file of another name beside it, which then gets its own.
fn write(path: &Path, octets: &[u8], force: bool) -> Result<(), Complaint> {
    let failed = |error: &io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space there, or write it elsewhere",
            _ => "give a path that this user can write to",
        };
        complaint(&format!("cannot write {}: {}; nothing is left there", path.display(), cause(error)), hint)
    };
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_owned);
    if !directory.is_dir() {
        let text = format!("there is no directory {}", directory.display());
        return Err(complaint(&text, "make it, or give a path in one that is there"));
    }
    // As any other program's file: the umask decides who may read it.
    let mode = Permissions::from_mode(0o666);
    let made = tempfile::Builder::new().prefix(".anycastctl-").permissions(mode).tempfile_in(&directory);
    let mut file = made.map_err(|error| failed(&error))?;
    file.write_all(octets).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
    let named = if force { file.persist(path) } else { file.persist_noclobber(path) };
    named.map(drop).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => failed(&error.error),
    })
}

/// The kernel's word: what stands round it names the file beside, of which nobody needs to know.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path ").map_or(text.clone(), |(cause, _)| cause.to_owned())
}

fn complaint(message: &str, hint: &str) -> Complaint {
    Complaint { exit: Exit::Output, message: message.to_owned(), hint: Some(hint.to_owned()) }
}

fn exists(path: &Path) -> Complaint {
    complaint(&format!("{} is there already", path.display()), "--force writes over it")
}

fn garbled() -> Complaint {
    Complaint {
        exit: Exit::Unavailable,
        message: "the agent's answer is garbled: it is no MRT file".to_owned(),
        hint: Some("do the versions of anycastctl and anycastd fit?".to_owned()),
    }
}

fn nothing(neighbor: &str) -> Complaint {
    Complaint {
        exit: Exit::NotSo,
        message: format!("there was no connection with {neighbor} yet: nothing to write"),
        hint: Some(format!("anycastctl neighbors {neighbor} tells why")),
    }
}
