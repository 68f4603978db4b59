//! From the kill of a service to the withdraw of its address, and from its return to the announcement.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::{
    Sizes,
    config::{PORT, PREFIX},
    moments::{Cycle, Quantiles, Reactions, phase},
    node::Watched,
    service::Service,
    watcher::{Pace, Program, Watcher},
};
use crate::{
    bench::{
        report::{Figure, Outcome, Row, Section},
        stand::Stand,
    },
    tools::record::Message,
};

/// Between an answer and the next fault, at least: for what was begun to be over.
const REST: Duration = Duration::from_millis(300);

/// Measures everybody.
pub(super) async fn measure(stand: &Stand, sizes: &Sizes, with_others: bool) -> anyhow::Result<[Section; 2]> {
    let (mut gone, mut back) = (Vec::new(), Vec::new());
    for watcher in Watcher::OURS.into_iter().chain(Watcher::OTHERS) {
        let runs = match (watcher.program, watcher.pace) {
            (Program::Anycastd, _) => sizes.kills,
            (_, Pace::Fast) => sizes.kills_of_others,
            (_, Pace::Listener | Pace::Default) => sizes.slow_kills,
        };
        let [withdraws, announcements] = outcomes(stand, watcher, runs, with_others).await?;
        gone.push(Row { subject: watcher.name(), outcome: withdraws });
        back.push(Row { subject: watcher.name(), outcome: announcements });
    }
    Ok([
        Section {
            title: "A service is killed: until the withdraw is on the wire".to_owned(),
            meaning: "From right before kill(2) with SIGKILL to the packet, at the neighbor, with the withdraw; the kills come at \
                      moments spread evenly over the interval of the checks. anycastd asks by http itself; the others start curl for it. \
                      At 100 ms one answer decides (rise and fall 1); the defaults are everybody's own. FALSE ALARMS: \
                      withdraws while the service was there, and announcements while it was not. P99 of fewer than 100 runs \
                      is the largest.",
            rows: gone,
        },
        Section {
            title: "It is started again: until the announcement is on the wire".to_owned(),
            meaning: "From right before listen(2) to the packet, at the neighbor, with the announcement. Nothing tells of a new \
                      listener: everybody has to look.",
            rows: back,
        },
    ])
}

/// The outcome of withdraws, and that of announcements.
async fn outcomes(stand: &Stand, watcher: Watcher, runs: usize, with_others: bool) -> anyhow::Result<[Outcome; 2]> {
    let not = |why: &str| Ok([Outcome::Not(why.to_owned()), Outcome::Not(why.to_owned())]);
    let other = watcher.program != Program::Anycastd;
    if other && !with_others {
        return not("only --with-others");
    }
    if let Some(missing) = watcher.missing() {
        return not(missing);
    }
    eprintln!("anycast-lab: measuring {}, {runs} kills", watcher.name());
    match reactions(stand, watcher, runs).await {
        Ok(reactions) => Ok(figures(reactions)),
        Err(error) if other => not(&format!("{error:#}")),
        Err(error) => Err(error.context(watcher.name())),
    }
}

fn figures(reactions: Reactions) -> [Outcome; 2] {
    let figures = |values: Vec<f64>, more: Vec<Figure>| {
        let runs = Figure::new("runs", values.len() as f64, 0);
        let Quantiles { p50, p99, most, .. } = Quantiles::of(values);
        let times = [("p50_ms", p50), ("p99_ms", p99), ("max_ms", most)];
        let times = times.into_iter().map(|(key, value)| Figure::new(key, value, 2));
        Outcome::Figures(std::iter::once(runs).chain(times).chain(more).collect())
    };
    let false_alarms = vec![Figure::new("false_alarms", reactions.false_alarms as f64, 0)];
    [figures(reactions.withdraws, false_alarms), figures(reactions.announcements, Vec::new())]
}

async fn reactions(stand: &Stand, watcher: Watcher, runs: usize) -> anyhow::Result<Reactions> {
    let at = format!("0.0.0.0:{PORT}");
    let words = ["http", "--at", &at];
    let service = Service::start(&stand.lab, &words).await?;
    let mut watched = Watched::start(stand, watcher).await?;
    let series = series(stand, &mut watched, service, &words, runs).await;
    let said = watcher.said(&stand.lab).await;
    watched.end(stand).await?;
    let (cycles, updates) = series.with_context(|| format!("it says: {said}"))?;
    let reactions = Reactions::of(PREFIX, &cycles, &updates);
    anyhow::ensure!(reactions.unanswered == 0, "{} faults or returns were not answered", reactions.unanswered);
    Ok(reactions)
}

async fn series(
    stand: &Stand,
    watched: &mut Watched,
    mut service: Service,
    words: &[&str],
    runs: usize,
) -> anyhow::Result<(Vec<Cycle>, Vec<Message>)> {
    let (mut cycles, mut updates) = (Vec::new(), Vec::new());
    let interval = watched.watcher.interval();
    for n in 0..runs {
        sleep(REST + interval.mul_f64(phase(2 * n))).await;
        let killed = service.kill()?;
        service.gone().await?;
        updates.extend(answer(watched, |update| update.withdrawn.iter().any(|prefix| prefix == PREFIX)).await?);
        sleep(REST + interval.mul_f64(phase(2 * n + 1))).await;
        service = Service::start(&stand.lab, words).await?;
        cycles.push(Cycle { killed, listening: service.listening });
        updates.extend(answer(watched, |update| update.announced.iter().any(|prefix| prefix == PREFIX)).await?);
    }
    service.end().await?;
    Ok((cycles, updates))
}

async fn answer(watched: &mut Watched, wanted: impl FnMut(&Message) -> bool) -> anyhow::Result<Vec<Message>> {
    watched.wire.updates(wanted).await
}
