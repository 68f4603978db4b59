//! Man pages and shell completions, made from the command line's own description.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    cli::{self, Cli},
    exit::{self, Exit},
    output::Output,
};

/// Prints a shell's completion script.
pub(crate) fn completions(shell: Shell, output: &Output) -> anyhow::Result<Exit> {
    // Into memory first: the generator panics where its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "anycastctl", &mut script);
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Prints the whole manual as one page, or writes one page per verb into a directory.
pub(crate) fn man(dir: Option<&Path>, output: &Output) -> anyhow::Result<Exit> {
    if let Some(dir) = dir {
        let pages = || -> io::Result<()> {
            fs::create_dir_all(dir)?;
            let mut command = cli::command().disable_help_subcommand(true);
            command.build();
            let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
            verbs.chain([&command]).try_for_each(|command| page(command, dir))
        };
        pages().with_context(|| format!("cannot write the man pages into {}", dir.display()))?;
    } else {
        output.text(&whole().context("cannot make the man page")?)?;
    }
    Ok(Exit::Done)
}

/// Writes a command's own page.
fn page(command: &Command, dir: &Path) -> io::Result<()> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    fs::write(dir.join(man.get_filename()), mended(&String::from_utf8_lossy(&page), command))
}

/// The generator's text, with what it leaves out: the values of options in the synopsis, that there may be several of an argument, and
/// what the text at the end is about.
fn mended(text: &str, command: &Command) -> String {
    let mut text = exit_status(&text.replace(".SH EXTRA\n", ".SH NOTES\n"));
    let several = |argument: &&Arg| argument.is_positional() && matches!(argument.get_action(), ArgAction::Append);
    for name in command.get_arguments().filter(several).filter_map(Arg::get_value_names).flatten() {
        text = text.replace(&format!("[\\fI{name}\\fR]"), &format!("[\\fI{name}\\fR]..."));
    }
    for option in command.get_arguments().filter(|option| option.get_action().takes_values()) {
        let (Some(long), Some(value)) = (option.get_long(), option.get_value_names()) else { continue };
        let name = format!("[\\fB\\-\\-{}\\fR", long.replace('-', "\\-"));
        text = text.replace(&format!("{name}]"), &format!("{name} \\fI{}\\fR]", value.join(" ")));
    }
    text
}

/// The codes below the notes, in a section of their own.
fn exit_status(text: &str) -> String {
    let Some((before, rest)) = text.split_once(exit::HEADING) else { return text.to_owned() };
    let before = before.trim_end();
    let before = before.strip_suffix(".SH NOTES").unwrap_or(before).trim_end();
    let mut section = format!("{before}\n.SH \"EXIT STATUS\"\n");
    let mut lines = rest.trim_start_matches('\n').lines().peekable();
    while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
        match line.trim_start().split_once("  ") {
            Some((code, means)) if code.parse::<u8>().is_ok() => section += &format!(".TP\n\\fB{code}\\fR\n{means}\n"),
            _ => section += &format!("{}\n", line.trim_start()),
        }
    }
    lines.for_each(|line| section += &format!("{line}\n"));
    section
}

/// One page with every verb on it.
fn whole() -> io::Result<String> {
    // The codes that all verbs have are told once.
    let command = Cli::command().disable_help_subcommand(true);
    let root = Man::new(command.clone());
    let mut page = Vec::new();
    root.render_title(&mut page)?;
    root.render_name_section(&mut page)?;
    root.render_synopsis_section(&mut page)?;
    root.render_description_section(&mut page)?;
    root.render_options_section(&mut page)?;
    page.extend_from_slice(b".SH VERBS\n");
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        page.extend_from_slice(section(verb)?.as_bytes());
    }
    root.render_extra_section(&mut page)?;
    root.render_version_section(&mut page)?;
    Ok(mended(&String::from_utf8_lossy(&page), &command))
}

/// A verb's part of the one page: the sections of its own page as paragraphs below its name.
///
/// It is taken from the command before it is built, so that the global options are not told again with each verb.
fn section(verb: &Command) -> io::Result<String> {
    let name = verb.get_name();
    let alone = verb.clone().bin_name(format!("anycastctl {name}")).disable_help_flag(true);
    let has_options = alone.get_arguments().next().is_some();
    let man = Man::new(alone.clone());
    let mut page = Vec::new();
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if has_options {
        man.render_options_section(&mut page)?;
    }
    man.render_extra_section(&mut page)?;
    let text = mended(&String::from_utf8_lossy(&page), &alone);
    let mut section = format!(".SS {name}\n");
    for line in text.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el ")) {
        section.push_str(if line.starts_with(".SH ") { ".PP" } else { line });
        section.push('\n');
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_every_verb_and_option() {
        let page = whole().unwrap();
        for verb in ["status", "explain", "withdraw", "announce", "probe", "neighbors", "routes", "events", "capture"] {
            assert!(page.contains(&format!(".SS {verb}\n")), "{verb}");
        }
        for option in ["socket", "json", "reason", "degrade", "timeout", "since", "follow", "pcap", "exit\\-code"] {
            assert!(page.contains(&format!("\\-\\-{option}")), "{option}");
        }
        for synopsis in
            ["[\\fB\\-\\-socket\\fR \\fIPATH\\fR]", "[\\fB\\-\\-reason\\fR \\fITEXT\\fR]", "[\\fB\\-\\-wait\\fR]"]
        {
            assert!(page.contains(synopsis), "{synopsis}");
        }
        assert!(!page.contains("request"), "hidden options stay hidden");
        assert_eq!(
            page.matches("\\-\\-socket").count(),
            page.split(".SH VERBS").next().unwrap().matches("\\-\\-socket").count()
        );
    }

    #[test]
    fn every_verb_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let output = Output::new(crate::cli::Color::Never);
        man(Some(directory.path()), &output).unwrap();
        for (name, end) in [
            ("anycastctl", ".SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR\ndone\n"),
            ("anycastctl-withdraw", ".SH NOTES\nIt returns once"),
            ("anycastctl-withdraw", ".SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR\nthe order is accepted"),
            ("anycastctl-withdraw", "[\\fISERVICE\\fR]..."),
            ("anycastctl-status", "[\\fISERVICE\\fR] \n"),
            ("anycastctl-neighbors", ".TP\n\\fB2\\fR\nthere is no such neighbor\n"),
            ("anycastctl-capture", ".SH NOTES\nThe agent keeps"),
        ] {
            let page = fs::read_to_string(directory.path().join(format!("{name}.1"))).unwrap();
            assert!(page.contains("[\\fB\\-\\-socket\\fR \\fIPATH\\fR]"), "{page}");
            assert!(page.contains(end) && !page.contains("EXTRA"), "{page}");
        }
    }
}
