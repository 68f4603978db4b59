//! What is measured of a speaker that runs.

use std::{collections::BTreeSet, iter, net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

use super::{
    report::{Figure, Outcome, Row, Section, middle_and_most},
    stand::{Stand, Wire},
    subject::Subject,
};
use crate::{
    burden::{self, Burden},
    harness::AMPLE,
    peer::{
        Ear, Peer,
        flood::{Flood, Silence, listening},
        message::{prefixes, table as routes},
    },
    runner::Process,
    tools::record::{Message, Nanos},
};

/// Enough of the others, who start slowly.
const FEW: usize = 5;
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(10);
/// For how long a process must do next to nothing to have done all it was given.
const QUIET: Duration = Duration::from_secs(2);
/// What next to nothing is: ExaBGP takes 20 ms a second when it has nothing to do.
const IDLE: Duration = Duration::from_millis(80);
/// The longest that a full table is waited for.
const PATIENCE: Duration = Duration::from_secs(900);
/// Routes in an UPDATE, about as many as routers put there.
const USUAL: u32 = 10;

/// From the start of the process to what it announces first.
pub(super) async fn start(stand: &Stand, runs: usize) -> anyhow::Result<Section> {
    let mut rows = Vec::new();
    for subject in Subject::ALL {
        let runs = if subject == Subject::Anycastd { runs } else { runs.min(FEW) };
        rows.push(
            row(subject, subject.name().to_owned(), async || {
                let (mut firsts, mut announced) = (Vec::new(), Vec::new());
                for _ in 0..runs {
                    let [first, announcement] = started(stand, subject).await?;
                    firsts.push(first);
                    announced.push(announcement);
                }
                let ((first, _), (middle, most)) = (middle_and_most(firsts), middle_and_most(announced));
                Ok(vec![
                    Figure::new("runs", runs as f64, 0),
                    Figure::new("first_update_p50_ms", first, 1),
                    Figure::new("first_route_p50_ms", middle, 1),
                    Figure::new("first_route_max_ms", most, 1),
                ])
            })
            .await?,
        );
    }
    Ok(Section {
        title: "From process start to the first UPDATE".to_owned(),
        meaning: "From right before the program is started to the packet, at the neighbor, with its first UPDATE (which may be \
                  an End-of-RIB) and its first route. anycastd binds the address and runs a check (/bin/true, rise 1) before \
                  it announces; ExaBGP has the route in its file; GoBGP is given it by its own command as soon as it listens, \
                  and is dialled, not dialling.",
        rows,
    })
}

async fn started(stand: &Stand, subject: Subject) -> anyhow::Result<[f64; 2]> {
    subject.prepare(&stand.lab, 1, 1).await?;
    let (mut wire, listener) = (stand.wire().await?, stand.listen(1)?);
    let before = Nanos::now();
    let process = subject.start(&stand.lab)?;
    let updates = async {
        let peer = async {
            let peer = stand.meet(subject.dials(), &listener, 1).await?;
            Ok((listening(peer.ear), peer.mouth))
        };
        let updates = wire.updates(|update| !update.announced.is_empty());
        let (_open, (), updates) = tokio::try_join!(peer, subject.announce(&stand.lab), updates)?;
        anyhow::Ok(updates)
    };
    let updates = updates.await;
    subject.end(&stand.lab, process).await?;
    let (updates, since) = (updates?, |update: &Message| update.at.millis_since(before));
    let ends = updates.first().zip(updates.last()).context("there is no UPDATE")?;
    Ok([since(ends.0), since(ends.1)])
}

/// Everything withdrawn at once.
pub(super) async fn withdraw(stand: &Stand, count: u32) -> anyhow::Result<Section> {
    let mut rows = Vec::new();
    for subject in Subject::ALL {
        rows.push(row(subject, subject.name().to_owned(), async || withdrawn(stand, subject, count).await).await?);
    }
    Ok(Section {
        title: format!("{} prefixes withdrawn at once", thousands(count)),
        meaning: "All UPDATEs after the order until there is none for half a second, and their octets without TCP's. FIRST and LAST: from right before the order's own \
                  command is started (`anycastctl withdraw --now`; for ExaBGP lines into its API's pipe; for GoBGP `gobgp global \
                  rib del all`) to the packets, at the neighbor, with the first withdraw and with the end of the last. SPAN: \
                  between these two. DECIDED TO LAST: from the agent's own word that it took the order.",
        rows,
    })
}

async fn withdrawn(stand: &Stand, subject: Subject, count: u32) -> anyhow::Result<Vec<Figure>> {
    subject.prepare(&stand.lab, count, 1).await?;
    let (mut wire, listener) = (stand.wire().await?, stand.listen(1)?);
    let process = subject.start(&stand.lab)?;
    let measured = async {
        let peer = stand.meet(subject.dials(), &listener, 1).await?;
        let (_heard, _pulse) = (listening(peer.ear), Flood::begin(peer.mouth, iter::empty()));
        let (_, ()) = tokio::try_join!(told(&mut wire, count, false), subject.announce(&stand.lab))?;
        let ordered = Nanos::now();
        let (mut updates, ()) = tokio::try_join!(told(&mut wire, count, true), subject.withdraw(&stand.lab))?;
        updates.extend(wire.rest().await?);
        let decided = subject.decided(&stand.lab).await?;
        let withdraws = || updates.iter().filter(|update| !update.withdrawn.is_empty());
        let (first, last) = withdraws().next().zip(withdraws().next_back()).context("there is no withdraw")?;
        Ok(vec![
            Figure::new("messages", updates.len() as f64, 0),
            Figure::new("octets", updates.iter().map(|update| update.octets).sum::<usize>() as f64, 0),
            Figure::new("first_ms", first.at.millis_since(ordered), 2),
            Figure::new("last_ms", last.at.millis_since(ordered), 2),
            Figure::new("span_ms", last.at.millis_since(first.at), 2),
            Figure::new("decided_to_last_ms", decided.map_or(f64::NAN, |at| last.at.millis_since(at)), 2),
        ])
    };
    let measured = measured.await;
    subject.end(&stand.lab, process).await?;
    measured
}

/// The UPDATEs until each of so many prefixes is announced, or withdrawn.
async fn told(wire: &mut Wire, count: u32, withdrawn: bool) -> anyhow::Result<Vec<Message>> {
    let mut seen = BTreeSet::new();
    wire.updates(|update| {
        seen.extend(if withdrawn { update.withdrawn.clone() } else { update.announced.clone() });
        seen.len() >= count as usize
    })
    .await
}

/// A full table from the neighbor.
pub(super) async fn table(stand: &Stand, count: u32, with_others: bool) -> anyhow::Result<Section> {
    let mut rows = Vec::new();
    for (subject, each) in
        [(Subject::Anycastd, USUAL), (Subject::Anycastd, 1), (Subject::ExaBgp, USUAL), (Subject::GoBgp, USUAL)]
    {
        let name = format!("{}, {each} a message", subject.name());
        if subject != Subject::Anycastd && !with_others {
            rows.push(Row { subject: name, outcome: Outcome::Not("only --with-others".to_owned()) });
            continue;
        }
        rows.push(row(subject, name, async || flooded(stand, subject, count, each).await).await?);
    }
    Ok(Section {
        title: format!("{} routes received", thousands(count)),
        meaning: "As fast as TCP takes them, until the speaker rests. Resident memory before, at most, and then; processor time \
                  (user and system); the longest silence of the speaker, as the neighbor's hold timer of 9 s would see it (a \
                  KEEPALIVE is due every 3 s).",
        rows,
    })
}

async fn flooded(stand: &Stand, subject: Subject, count: u32, each: u32) -> anyhow::Result<Vec<Figure>> {
    subject.prepare(&stand.lab, 1, 1).await?;
    let listener = stand.listen(1)?;
    let process = subject.start(&stand.lab)?;
    let measured = async {
        let met = async {
            let mut peer = stand.meet(subject.dials(), &listener, 1).await?;
            first_route(&mut peer.ear).await?;
            anyhow::Ok(peer)
        };
        let (peer, ()) = tokio::try_join!(met, subject.announce(&stand.lab))?;
        let figures = flood(&process, peer, count, each).await?;
        let received = subject.received(&stand.lab).await?;
        ensure!(received.is_none_or(|received| received == u64::from(count)), "it has counted {received:?} routes");
        Ok(figures)
    };
    let measured = measured.await;
    subject.end(&stand.lab, process).await?;
    measured
}

async fn flood(process: &Process, peer: Peer, count: u32, each: u32) -> anyhow::Result<Vec<Figure>> {
    let look = || look(process);
    let before = look()?;
    let (started, mut most) = (Instant::now(), before.memory);
    let mut silence = Silence::since(started.into_std());
    let mut heard = listening(peer.ear);
    let flood = Flood::begin(peer.mouth, routes(count, each, Ipv4Addr::new(192, 0, 2, 1)));
    // When it last did something, and what it had done by then; at the first look it has.
    let (mut busy, mut done) = (started, Duration::ZERO);
    let after = loop {
        if let Ok(message) = timeout(LOOK, heard.recv()).await {
            let seconds = started.elapsed().as_secs();
            silence.broken(message.with_context(|| format!("its session ended after {seconds} s"))?.at);
        }
        let now = look()?;
        most = most.max(now.memory);
        if !flood.is_poured() || now.processor.saturating_sub(done) > IDLE {
            (busy, done) = (Instant::now(), now.processor);
        }
        if busy.elapsed() >= QUIET {
            break now;
        }
        ensure!(started.elapsed() < PATIENCE, "it is not done after {} s", PATIENCE.as_secs());
    };
    Ok(vec![
        Figure::mebibytes("before_mib", before.memory),
        Figure::mebibytes("most_mib", most),
        Figure::mebibytes("after_mib", after.memory),
        Figure::new("cpu_s", (after.processor - before.processor).as_secs_f64(), 2),
        Figure::new("took_s", (busy - started).as_secs_f64(), 2),
        Figure::new("silence_s", silence.longest(Instant::now().into_std()).as_secs_f64(), 2),
    ])
}

/// What neighbors cost.
pub(super) async fn neighbors(stand: &Stand, counts: &[u8]) -> anyhow::Result<Section> {
    let mut rows = Vec::new();
    for &count in counts {
        let name = format!("anycastd, {count}");
        rows.push(row(Subject::Anycastd, name, async || held(stand, count).await).await?);
    }
    Ok(Section {
        title: "Resident memory by number of neighbors".to_owned(),
        meaning: "Each session Established and told one route.",
        rows,
    })
}

async fn held(stand: &Stand, count: u8) -> anyhow::Result<Vec<Figure>> {
    let subject = Subject::Anycastd;
    subject.prepare(&stand.lab, 1, count).await?;
    let listeners = (1..=count).map(|n| stand.listen(n)).collect::<anyhow::Result<Vec<TcpListener>>>()?;
    let process = subject.start(&stand.lab)?;
    let mut peers = Vec::new();
    for (n, listener) in (1..=count).zip(&listeners) {
        let mut peer = stand.meet(subject.dials(), listener, n).await?;
        first_route(&mut peer.ear).await?;
        peers.push((listening(peer.ear), Flood::begin(peer.mouth, iter::empty())));
    }
    let Burden { memory, descriptors, .. } = look(&process)?;
    subject.end(&stand.lab, process).await?;
    Ok(vec![Figure::mebibytes("memory_mib", memory), Figure::new("descriptors", descriptors as f64, 0)])
}

/// Listens until it announces something.
async fn first_route(ear: &mut Ear) -> anyhow::Result<()> {
    let deadline = Instant::now() + AMPLE;
    while Instant::now() < deadline {
        let heard = ear.word().await?.context("the connection ended")?;
        let [_, announced] = prefixes(heard.body())?;
        if !announced.is_empty() {
            return Ok(());
        }
    }
    anyhow::bail!("it announces nothing")
}

fn look(process: &Process) -> anyhow::Result<Burden> {
    burden::of(process.child.id().context("it has ended")?)
}

/// What cannot be measured of somebody else is a row too.
async fn row(
    subject: Subject,
    name: String,
    measure: impl AsyncFnOnce() -> anyhow::Result<Vec<Figure>>,
) -> anyhow::Result<Row> {
    eprintln!("anycast-lab: measuring {name}");
    let outcome = match (subject.is_installed(), subject) {
        (false, _) => Outcome::Not("not installed".to_owned()),
        (true, Subject::Anycastd) => Outcome::Figures(measure().await.context(name.clone())?),
        (true, Subject::ExaBgp | Subject::GoBgp) => {
            measure().await.map_or_else(|error| Outcome::Not(format!("{error:#}")), Outcome::Figures)
        }
    };
    Ok(Row { subject: name, outcome })
}

pub(super) fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_can_be_read() {
        let written: Vec<_> = [7, 999, 1000, 20_000, 1_000_000].map(thousands).into();
        assert_eq!(written, ["7", "999", "1,000", "20,000", "1,000,000"]);
    }
}
