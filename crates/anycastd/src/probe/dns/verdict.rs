//! Whether an answer is the one that was expected.

use anycast_core::config::{DnsFlag, DnsProbe};
use domain::{
    base::{
        Message, ParsedName, Rtype, ToName as _,
        iana::{Class, OptRcode},
        wire::ParseError,
    },
    rdata::ZoneRecordData,
};

use crate::dns::{DnsName, Question, canonical, record_data};

/// How many records are shown.
const SHOWN: usize = 3;

/// What is asked and what must be in the answer, made ready.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) question: Question,
    /// Each as it was written, and in canonical form.
    answers: Vec<(String, Vec<u8>)>,
}

/// A record of the answer.
struct Found {
    shown: String,
    canonical: Vec<u8>,
}

impl Expected {
    pub(super) fn new(config: &DnsProbe) -> Result<Self, String> {
        let question = Question::new(&config.name, &config.kind)?;
        let answers = config.answers.iter().map(|text| Ok((text.clone(), record_data(question.kind, text)?)));
        Ok(Self { answers: answers.collect::<Result<_, String>>()?, question })
    }

    /// `NOERROR, 192.0.2.80, aa ra`.
    ///
    /// # Errors
    /// What came and what was expected.
    pub(super) fn judge(&self, answer: &Message<Vec<u8>>, config: &DnsProbe) -> Result<String, String> {
        let rcode = answer.opt_rcode();
        if rcode.to_int() != config.rcode {
            return Err(format!("{rcode}, expected {}", OptRcode::masked_from_int(config.rcode)));
        }
        let set: Vec<DnsFlag> = flags(answer).filter(|(_, set)| *set).map(|(flag, _)| flag).collect();
        for (flag, wanted) in &config.flags {
            if set.contains(flag) != *wanted {
                let what = if *wanted { "without" } else { "with" };
                return Err(format!("{rcode} {what} the flag {}; set are {}", flag.name(), listed(&set)));
            }
        }
        let found = self.found(answer).map_err(|_| format!("{rcode}, but the answer is malformed"))?;
        self.complete(&found, config.min_answers).map_err(|why| format!("{rcode}, {why}"))?;
        // The other two say again what was said in the query.
        let own: Vec<DnsFlag> = set.into_iter().filter(|flag| !matches!(flag, DnsFlag::Rd | DnsFlag::Cd)).collect();
        let flags = if own.is_empty() { String::new() } else { format!(", {}", listed(&own)) };
        let records = if found.is_empty() { String::new() } else { format!(", {}", records(&found)) };
        Ok(format!("{rcode}{records}{flags}"))
    }

    fn complete(&self, found: &[Found], least: u16) -> Result<(), String> {
        let kind = self.question.kind;
        let came = || if found.is_empty() { format!("no {kind} record") } else { records(found) };
        let missing: Vec<&str> = self
            .answers
            .iter()
            .filter(|(_, wanted)| !found.iter().any(|found| found.canonical == *wanted))
            .map(|(text, _)| text.as_str())
            .collect();
        if !missing.is_empty() {
            return Err(format!("{}, expected {}", came(), missing.join(", ")));
        }
        if found.len() >= usize::from(least) {
            return Ok(());
        }
        match found.len() {
            0 => Err(format!("no {kind} record in the answer")),
            some => Err(format!("{some} of at least {least} {kind} records: {}", records(found))),
        }
    }

    /// The records of the type asked for, at the end of the chain of CNAMEs.
    fn found(&self, answer: &Message<Vec<u8>>) -> Result<Vec<Found>, ParseError> {
        let kind = self.question.kind;
        // A chain that leads nowhere, or in circles, has no end.
        let end: DnsName = match kind {
            Rtype::CNAME | Rtype::ANY => self.question.name.clone(),
            _ => answer.canonical_name().map_or_else(|| self.question.name.clone(), |name| name.to_name()),
        };
        let mut found = Vec::new();
        for record in answer.answer()? {
            let Some(record) = record?.into_record::<ZoneRecordData<_, ParsedName<_>>>()? else { continue };
            let fits = kind == Rtype::ANY || record.rtype() == kind;
            if fits && record.class() == Class::IN && *record.owner() == end {
                found.push(Found { shown: record.data().to_string(), canonical: canonical(record.data()) });
            }
        }
        Ok(found)
    }
}

fn flags(answer: &Message<Vec<u8>>) -> impl Iterator<Item = (DnsFlag, bool)> {
    let header = answer.header();
    DnsFlag::ALL.into_iter().map(move |flag| {
        let set = match flag {
            DnsFlag::Aa => header.aa(),
            DnsFlag::Tc => header.tc(),
            DnsFlag::Rd => header.rd(),
            DnsFlag::Ra => header.ra(),
            DnsFlag::Ad => header.ad(),
            DnsFlag::Cd => header.cd(),
        };
        (flag, set)
    })
}

fn listed(flags: &[DnsFlag]) -> String {
    let words: Vec<&str> = flags.iter().map(|flag| flag.name()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

/// `192.0.2.80, 192.0.2.81 and 3 more`.
fn records(found: &[Found]) -> String {
    let shown: Vec<&str> = found.iter().take(SHOWN).map(|found| found.shown.as_str()).collect();
    let more = if found.len() > SHOWN { format!(" and {} more", found.len() - SHOWN) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
