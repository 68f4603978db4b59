//! An exec check: the program, its arguments, and as whom and in what environment it runs.

use std::collections::BTreeMap;

use anycast_core::{
    Secret,
    config::{ExecProbe, ProbeConfig},
};

use super::{
    super::{
        diagnostic::{Report, quoted},
        needs::Need,
        reader::{Section, list, wrong_type},
        source::Span,
        values::text,
        yaml::{Kind, Node},
    },
    Aim,
    http::quoted_name,
};

pub(super) fn read(section: &mut Section<'_>, _: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let command = command(section, report);
    let user = section.maybe("user", report, user);
    if let (Some((span, command)), Some(user)) = (&command, &user) {
        report.need(*span, Need::Program(command[0].clone().into(), user.clone()));
    }
    let command = command.map(|(_, command)| command);
    let environment = section.or("environment", BTreeMap::new(), report, environment);
    Some(ProbeConfig::Exec(ExecProbe { command: command?, user: user?, environment: environment? }))
}

/// The words, and where the first is.
fn command(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<(Span, Vec<String>)> {
    const EXAMPLE: &str = "/usr/lib/nagios/plugins/check_load, -w, \"8\", -c, \"16\"";
    let node = section.require("command", &format!("write `command: [{EXAMPLE}]`"), report)?;
    let words = list(node, "command", EXAMPLE, report, |node, report| {
        let word = text(node, "command", report)?;
        if word.contains('\0') {
            report.error(node.span, "a word of `command` with U+0000 in it", "no program can be given it: remove it");
            return None;
        }
        Some(word.to_owned())
    });
    let span = match words.items.first() {
        _ if !words.whole => return None,
        Some((span, program)) if program.starts_with('/') => *span,
        Some((span, program)) => {
            // A whole line of a shell may be written there, with all that is in it.
            let program = program.split_whitespace().next().unwrap_or_default();
            let message = format!("`command`: {} is not an absolute path", quoted(program));
            report.error(*span, message, "write the whole path of the program, beginning with `/`; there is no shell");
            return None;
        }
        None => {
            report.error(node.span, "`command` is empty", format!("write `command: [{EXAMPLE}]`"));
            return None;
        }
    };
    Some((span, words.items.into_iter().map(|(_, word)| word).collect()))
}

fn user(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let user = text(node, "user", report)?;
    let fits = |character: char| character.is_ascii_alphanumeric() || "_-.$@".contains(character);
    let number = user.bytes().all(|byte| byte.is_ascii_digit());
    if number || user.len() > 255 || user.starts_with('-') || !user.chars().all(fits) {
        let message = format!("`user` cannot be {}", quoted(user));
        report.error(node.span, message, "write the name of a user of this system: `user: nagios`");
        return None;
    }
    if user == "root" {
        report.error(node.span, "`user: root`", "leave it out: the agent makes nobody root that it is not itself");
        return None;
    }
    report.need(node.span, Need::User(user.to_owned()));
    Some(user.to_owned())
}

/// The values may be passwords, and are shown to nobody.
fn environment(node: &Node, report: &mut Report<'_>) -> Option<BTreeMap<String, Secret>> {
    const EXAMPLE: &str = "write `environment: { LANG: C }`";
    let Kind::Map(entries) = &node.kind else {
        wrong_type(node, "`environment`", "a mapping of names to values", EXAMPLE, report);
        return None;
    };
    let mut variables = BTreeMap::new();
    for entry in entries {
        report.hide(entry.value.span);
        let name = &entry.key.name;
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fits || name.is_empty() || name.as_bytes()[0].is_ascii_digit() || name.starts_with("ANYCASTD_") {
            let message = format!("`environment`: {} cannot be set", quoted_name(name));
            let hint = "a name has letters, digits and `_`; those that begin with `ANYCASTD_` are the agent's own";
            report.error(entry.key.span, message, hint);
            continue;
        }
        let Some(value) = text(&entry.value, name, report) else { continue };
        if value.contains('\0') {
            report.error(entry.value.span, format!("the value of `{name}` has U+0000 in it"), "remove it");
            continue;
        }
        variables.insert(name.clone(), Secret::new(value.as_bytes().to_vec()));
    }
    (variables.len() == entries.len()).then_some(variables)
}
