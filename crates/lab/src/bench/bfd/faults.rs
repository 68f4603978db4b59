//! A node hangs, or is cut off: how long until nobody is sent there.

use std::time::Duration;

use anyhow::Context as _;

use super::{
    Sizes,
    scene::{Fault, Moved, Scene},
    subject::Subject,
};
use crate::bench::{
    health::{Quantiles, phase},
    report::{Figure, Outcome, Row, Section},
};

/// What was seen of one of them.
#[derive(Debug)]
struct Runs {
    subject: Subject,
    /// Frozen, and cut off.
    moved: [Vec<Moved>; 2],
}

const FAULTS: [Fault; 2] = [Fault::Frozen, Fault::CutOff];

pub(super) async fn measure(scene: &Scene, sizes: &Sizes, with_others: bool) -> anyhow::Result<[Section; 2]> {
    let others = if with_others { &Subject::OTHERS[..] } else { &[] };
    let subjects = Subject::OURS.iter().chain(others).filter(|subject| subject.is_installed());
    let mut all: Vec<Runs> =
        subjects.map(|subject| Runs { subject: *subject, moved: [Vec::new(), Vec::new()] }).collect();
    // In turn: what else the machine does meanwhile is in the figures of all of them.
    for n in 0..sizes.runs {
        eprintln!("anycast-lab: faults, round {} of {}", n + 1, sizes.runs);
        for Runs { subject, moved } in &mut all {
            for (fault, moved) in FAULTS.into_iter().zip(moved) {
                let phase = Duration::from_secs_f64(phase(n) * f64::from(subject.interval().unwrap_or(1000)) / 1000.0);
                let one = scene.run(*subject, fault, phase).await;
                moved.push(one.with_context(|| format!("round {}: {}: {fault:?}", n + 1, subject.name()))?);
            }
        }
    }
    Ok([
        section(
            &all,
            0,
            "A node is frozen: SIGSTOP for every program of it",
            "ROUTE: until the node's router has no route to it any more, as `ip monitor` tells; ANSWER: until the first answer from the other \
             node came to the client, who asks by UDP each millisecond. From right before the first signal, of the family that was later.",
        ),
        section(
            &all,
            1,
            "A node is cut off: nft drops all packets of its link, which stays up",
            "The same, from right before `nft` is run: what it takes to begin, a few milliseconds, is in the figures.",
        ),
    ])
}

fn section(all: &[Runs], fault: usize, title: &str, meaning: &'static str) -> Section {
    let row = |runs: &Runs| {
        let of = |value: fn(&Moved) -> f64| Quantiles::of(runs.moved[fault].iter().map(value).collect());
        let (route, answer) = (of(|moved| moved.route), of(|moved| moved.answer));
        let figures = vec![
            Figure::new("runs", runs.moved[fault].len() as f64, 0),
            Figure::new("route_p50_ms", route.p50, 0),
            Figure::new("route_p95_ms", route.p95, 0),
            Figure::new("route_max_ms", route.most, 0),
            Figure::new("answer_p50_ms", answer.p50, 0),
            Figure::new("answer_p95_ms", answer.p95, 0),
            Figure::new("answer_max_ms", answer.most, 0),
        ];
        Row { subject: runs.subject.name(), outcome: Outcome::Figures(figures) }
    };
    Section { title: title.to_owned(), meaning, rows: all.iter().map(row).collect() }
}
