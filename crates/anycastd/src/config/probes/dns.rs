//! A DNS check: whom to ask what, and what is expected.

use anycast_core::config::{DnsFlag, DnsProbe, DnsTransport, ProbeConfig};
use domain::base::Rtype;

use super::{
    super::{
        diagnostic::{Report, quoted},
        reader::{Section, list},
        source::Span,
        values::{choice, number, text, truth},
        yaml::{Kind, Node},
    },
    Aim, Where, sockets,
};
use crate::dns::{Question, rcode, record_data};

const WHERE: Where = Where {
    kind: "dns",
    key: "server",
    usual_port: Some(53),
    hint: "write `server: 203.0.113.53`, or leave it out to ask at each address of the service",
};
const QUERY: &str = "write a name and a type: `query: health.example.net A`";
const EXPECT: &str = "`expect: { rcode: NOERROR, answer: 192.0.2.80, flags: [aa] }`";
const NOERROR: u16 = 0;

pub(super) fn read(section: &mut Section<'_>, aim: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let servers = sockets(section, aim, WHERE, report);
    let question = section.require("query", QUERY, report).and_then(|node| query(node, report));
    let transport = section.or("transport", DnsTransport::default(), report, |node, report| {
        let choices = [("udp", DnsTransport::Udp), ("tcp", DnsTransport::Tcp), ("both", DnsTransport::Both)];
        choice(node, "transport", &choices, report)
    });
    let recursion_desired =
        section.or("recursion_desired", true, report, |node, report| truth(node, "recursion_desired", report));
    let dnssec_ok = section.or("dnssec_ok", false, report, |node, report| truth(node, "dnssec_ok", report));
    let expected = expect(section, question.as_ref(), transport, report);
    let (question, expected) = (question?, expected?);
    Some(ProbeConfig::Dns(DnsProbe {
        servers: servers?,
        name: question.name.to_string(),
        kind: question.kind.to_string(),
        transport: transport?,
        recursion_desired: recursion_desired?,
        dnssec_ok: dnssec_ok?,
        rcode: expected.rcode,
        answers: expected.answers,
        min_answers: expected.min_answers,
        flags: expected.flags,
    }))
}

fn query(node: &Node, report: &mut Report<'_>) -> Option<Question> {
    let written = text(node, "query", report)?;
    let words: Vec<&str> = written.split_whitespace().collect();
    let question = match words[..] {
        [name, kind] => Question::new(name, kind),
        [_] => Err(format!("{} has no type", quoted(written))),
        _ => Err(format!("{} is not a name and a type", quoted(written))),
    };
    question.map_err(|why| report.error(node.span, format!("`query`: {why}"), QUERY)).ok()
}

struct Expected {
    rcode: u16,
    answers: Vec<String>,
    min_answers: u16,
    flags: Vec<(DnsFlag, bool)>,
}

/// A question and a transport that could not be read judge nothing.
fn expect(
    section: &mut Section<'_>,
    question: Option<&Question>,
    transport: Option<DnsTransport>,
    report: &mut Report<'_>,
) -> Option<Expected> {
    if section.has("expect").is_none() {
        return Some(Expected { rcode: NOERROR, answers: Vec::new(), min_answers: 1, flags: Vec::new() });
    }
    let mut section = section.inner("expect", EXPECT, report)?;
    let code = section.or("rcode", NOERROR, report, |node, report| {
        let mnemonic = text(node, "rcode", report)?;
        let code = rcode(mnemonic);
        if code.is_none() {
            let hint = "write `NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED`, or another by its name";
            report.error(node.span, format!("`rcode` cannot be {}", quoted(mnemonic)), hint);
        }
        code
    });
    let at_answer = section.has("answer");
    let answers = section.or("answer", Vec::new(), report, |node, report| answers(node, question, report));
    let flags = section.or("flags", Vec::new(), report, |node, report| flags(node, transport, report));
    let truncated = flags.iter().flatten().any(|(flag, set)| *flag == DnsFlag::Tc && *set);
    // NOERROR without a record may be a referral, or a zone that was not loaded: that serves nobody.
    let usual = u32::from(code == Some(NOERROR) && !truncated);
    let least = section
        .or("min_answers", usual, report, |node, report| number(node, "min_answers", 0..=u32::from(u16::MAX), report));
    section.close(report);
    let (rcode, min_answers) = (code?, u16::try_from(least?).ok()?);
    if let Some(span) = at_answer.filter(|_| rcode != NOERROR) {
        report.error(
            span,
            "`answer` beside another `rcode` than NOERROR",
            "an error has no answer: leave out one of the two",
        );
        return None;
    }
    Some(Expected { rcode, answers: answers?, min_answers, flags: flags? })
}

fn answers(node: &Node, question: Option<&Question>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let read = |node: &Node, report: &mut Report<'_>| answer(node, question?, report);
    if !matches!(node.kind, Kind::List(_)) {
        return Some(vec![read(node, report)?]);
    }
    let answers = list(node, "answer", "192.0.2.80", report, read);
    if answers.whole && answers.items.is_empty() {
        report.error(node.span, "`answer` is empty", "leave it out where any answer will do");
        return None;
    }
    answers.whole.then(|| answers.values().cloned().collect())
}

fn answer(node: &Node, question: &Question, report: &mut Report<'_>) -> Option<String> {
    let written = text(node, "answer", report)?;
    let kind = question.kind;
    if kind == Rtype::ANY {
        report.error(node.span, "`answer` to a query for ANY", "ask for the type of the record that is expected");
        return None;
    }
    match record_data(kind, written) {
        Ok(_) => Some(written.to_owned()),
        Err(why) => {
            let message = format!("`answer`: {} is not the data of a record of type {kind} ({why})", quoted(written));
            let hint = "write it as in a zone file, without name and type: `192.0.2.80`, `10 mail.example.net.`";
            report.error(node.span, message, hint);
            None
        }
    }
}

fn flags(node: &Node, transport: Option<DnsTransport>, report: &mut Report<'_>) -> Option<Vec<(DnsFlag, bool)>> {
    let mut seen: Vec<(DnsFlag, Span)> = Vec::new();
    let flags = list(node, "flags", "aa, no-ra", report, |node, report| {
        let (flag, set) = flag(node, report)?;
        if flag == DnsFlag::Tc && set && transport.is_some_and(|transport| transport != DnsTransport::Udp) {
            let hint = "only an answer over UDP is truncated: write `transport: udp`, or remove the flag";
            report.error(node.span, "the flag `tc` of answers over TCP", hint);
            return None;
        }
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == flag) {
            let message =
                format!("the flag `{}` twice in `flags`; it is first on line {}", flag.name(), report.line(*first));
            report.error(node.span, message, "remove one of the two");
            return None;
        }
        seen.push((flag, node.span));
        Some((flag, set))
    });
    flags.whole.then(|| flags.values().copied().collect())
}

/// `aa`: it is set. `no-aa`: it is not.
fn flag(node: &Node, report: &mut Report<'_>) -> Option<(DnsFlag, bool)> {
    let written = text(node, "flags", report)?;
    let (name, set) = written.strip_prefix("no-").map_or((written, true), |name| (name, false));
    let flag = DnsFlag::ALL.into_iter().find(|flag| flag.name() == name);
    if flag.is_none() {
        let hint = "write `aa`, `tc`, `rd`, `ra`, `ad` or `cd`, or one with `no-` before it that must not be set";
        report.error(node.span, format!("`flags` cannot have {}", quoted(written)), hint);
    }
    flag.map(|flag| (flag, set))
}
