//! Two ends that do not come together: who waits for whom, and who does not take the other's word.

use anycast_api::{Finding, Severity};

use super::{Words, finding};
use crate::doctor::facts::{Facts, Knock, Session};

/// Both ends wait, or both dial.
pub(super) fn one_sided(facts: &Facts) -> Vec<Finding> {
    let waits = facts.known.sessions.iter().filter(|session| session.is_awaited_in_vain());
    let mut found: Vec<Finding> = waits.map(|session| awaited(session, facts.knocks.get(&session.name))).collect();
    let dialled = facts.known.refused.get("dialled_by_us").copied().unwrap_or_default();
    let dials = facts.known.sessions.iter().filter(|session| !session.passive && session.address.is_some());
    if dialled > 0 {
        found.extend(dials.filter(|session| session.is_idle()).map(|session| {
            finding("both_dial", Severity::Warning, &session.name, Words {
                seen: format!("we dial it, in vain for {} s, and {dialled} connections came from neighbors that we dial", session.since.as_secs()),
                why: "a connection from a neighbor that is to be dialled is closed: where only its dialling gets through, there is no session",
                remedy: "`connect: passive` for this neighbor, then `anycastctl reload`; or let TCP port 179 through to it".to_owned(),
            })
        }));
    }
    found
}

/// One that did not come, and what became of an attempt to go there instead.
fn awaited(session: &Session, knock: Option<&Knock>) -> Finding {
    let seconds = session.since.as_secs();
    let waited = match session.ever {
        false => format!("we wait for it (`connect: passive`), and it has not connected in {seconds} s"),
        true => format!(
            "we wait for it (`connect: passive`), and it has not connected since its session ended, {seconds} s ago"
        ),
    };
    let port = session.port;
    let dial = "`connect: active` for this neighbor, then `anycastctl reload`";
    let here = "let TCP port 179 through to here";
    let (id, seen, why, remedy) = match knock {
        Some(Knock::Listens) => (
            "both_passive",
            format!("{waited}; tried once, its port {port} takes a connection from here"),
            "it waits as well, or what it dials does not arrive: nobody ever connects",
            format!(
                "{dial}: that way is open; or take `passive` away there (FRR, IOS, Junos `passive`; BIRD `passive yes`) and {here}"
            ),
        ),
        Some(Knock::Refuses) => (
            "never_connects",
            format!("{waited}; tried once, its port {port} refuses a connection from here"),
            "its BGP does not run, or it does not know this node as a neighbor: then it does not dial either",
            format!(
                "see there whether BGP runs and has this node as a neighbor, by the address that it is to dial; {here}"
            ),
        ),
        Some(Knock::Silent) => (
            "never_connects",
            format!("{waited}; tried once, its port {port} does not answer"),
            "packets between the two are dropped, or it is away, or it wants a password (TCP MD5, TCP-AO) that is not configured here",
            format!(
                "`ping {}`; see the packet filters of both, and whether it has a password for this node; {here}",
                peer(session)
            ),
        ),
        // Signed otherwise than we expect, nothing of it is seen here.
        None if session.way.signed => (
            "both_passive",
            format!("{waited}; it has a password here"),
            "if it waits as well (FRR, IOS, Junos `passive`; BIRD `passive yes`) nobody ever dials; if it has no password for this node, or another \
             one, the kernel drops what it sends and tells nobody",
            format!(
                "the same password there; {dial}, or take `passive` away there, and {here}; a count that rises tells that it dials with another or \
                 none: `nstat -az TcpExtTCPMD5NotFound TcpExtTCPMD5Failure TcpExtTCPAOKeyNotFound TcpExtTCPAOBad`"
            ),
        ),
        None => (
            "both_passive",
            waited,
            "if it waits as well (FRR, IOS `passive`; Junos `passive`; BIRD `passive yes`), nobody ever dials",
            format!("{dial}; or take `passive` away there, and {here}"),
        ),
    };
    // One that was here knows how to come: it may just be away.
    let severity = if session.ever { Severity::Warning } else { Severity::Problem };
    finding(id, severity, &session.name, Words { seen, why, remedy })
}

fn peer(session: &Session) -> String {
    session.address.map_or_else(|| session.name.clone(), |address| address.to_string())
}

/// There is no session, and nothing else says why.
pub(super) fn away(facts: &Facts) -> Vec<Finding> {
    // One that waits for BFD is told of there.
    let waits = |session: &Session| {
        let is_told = |bfd: &crate::doctor::Bfd| (!bfd.established && bfd.ailment.is_some()) || bfd.held.is_some();
        facts.known.bfd.iter().any(|bfd| bfd.name == session.name && is_told(bfd))
    };
    let explained = |session: &&Session| session.remedy.is_some() || session.is_awaited_in_vain() || waits(session);
    let away = facts.known.sessions.iter().filter(|session| !session.established && !explained(session));
    let told = away.filter_map(|session| {
        let error = session.last_error.clone()?;
        let name = &session.name;
        let remedy = if error.contains("refused") {
            format!("see there whether BGP runs, and takes connections from this node's address; `anycastctl neighbors {name}`")
        } else if error.contains("no answer") {
            format!(
                "`ping {}`; the packet filters of both; whether both have the same password (TCP MD5), or both have none; \
                 `anycastctl neighbors {name}`",
                peer(session)
            )
        } else {
            format!("`anycastctl neighbors {name}` tells more, and `anycastctl capture {name} FILE` what was said")
        };
        Some(finding("no_session", Severity::Problem, name, Words {
            seen: format!("no session: {error}"),
            why: "this neighbor is told nothing, and sends nobody here",
            remedy,
        }))
    });
    told.collect()
}

/// One end did not take the other's OPEN, and it is known what to do.
pub(super) fn refused(facts: &Facts) -> Vec<Finding> {
    let known = facts.known.sessions.iter().filter(|session| !session.established);
    let told = known.filter_map(|session| {
        let (error, remedy) = session.last_error.clone().zip(session.remedy.clone())?;
        Some(finding(
            "open_refused",
            Severity::Problem,
            &session.name,
            Words {
                seen: error,
                why: "the two ends do not agree on who they are: there is no session until one of them is mended",
                remedy,
            },
        ))
    });
    told.collect()
}
