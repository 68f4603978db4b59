//! What the table and the page say in the same words.

use super::{
    data::{Failure, Method, Report, Steering},
    statistics::{Lost, Wait},
};
use crate::input::plain;

/// A time in at most seven characters: three digits are more than a run can promise.
pub(super) fn time(ms: f64) -> String {
    match ms {
        ms if ms < 0.0 => format!("−{}", time(-ms)),
        0.0 => "0 ms".to_owned(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 99_950.0 => format!("{:.1} s", ms / 1e3),
        ms if ms < 999_500.0 => format!("{:.0} s", ms / 1e3),
        ms if ms < 5.9e8 => format!("{:.0} min", ms / 6e4),
        _ => "days".to_owned(),
    }
}

/// A moment of a run, in milliseconds, so that what is near another is told from it.
pub(super) fn moment(ms: f64) -> String {
    let digits = usize::from(ms.abs() < 99.95);
    format!("{ms:.digits$} ms").replace('-', "−")
}

/// A time that may not have come.
pub(super) fn wait(wait: Wait) -> String {
    wait.ms().map_or_else(|| "never".to_owned(), time)
}

/// A count, with a plus where there would have been more.
pub(super) fn lost(lost: Lost) -> String {
    format!("{}{}", lost.count, if lost.at_least { "+" } else { "" })
}

/// A part of a whole in per cent.
pub(super) fn share(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => "<0.01 %".to_owned(),
        percent if percent < 9.995 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// How many.
pub(super) fn runs(count: usize) -> String {
    format!("{count} run{}", if count == 1 { "" } else { "s" })
}

/// A method's title, with a star where nothing of it was measured.
pub(super) fn title(method: &Method) -> String {
    format!("{}{}", plain(method.title.chars()), if method.computed_from.is_some() { " *" } else { "" })
}

/// What the stars mean: a sentence for each.
pub(super) fn stars(report: &Report) -> Vec<String> {
    let star = |method: &Method| {
        let from = method.computed_from.as_ref()?;
        let source = report.methods.iter().find(|other| other.id == *from).map_or(from, |other| &other.title);
        Some(format!("* {}: computed from the runs of “{source}”; nothing of it was measured.", method.title))
    };
    report.methods.iter().filter_map(star).collect()
}

/// How users find a node.
pub(super) const fn steering(steering: Steering) -> &'static str {
    match steering {
        Steering::RoundRobin => "DNS, every address in every answer",
        Steering::SwitchedDns => "DNS, answers switched by a health check",
        Steering::Anycast => "Anycast, announced over BGP",
    }
}

/// What happens to the node.
pub(super) const fn failure(failure: Failure) -> &'static str {
    match failure {
        Failure::ServiceKilled => "its service is killed",
        Failure::AgentKilled => "its agent is killed, and it cannot serve any longer",
        Failure::NodeFrozen => "all of it stands still",
        Failure::Drained => "it is drained on purpose, and then stopped",
    }
}

/// Said of a report with too few runs.
pub(super) const QUICK: &str = "Too few runs to mean anything: this shows that it works, and nothing else.";

/// What each figure says.
pub(super) const DEFINITIONS: [(&str, &str); 7] = [
    (
        "First good answer",
        "From the failure to the first good answer that came to a client which the failed node had served until then.",
    ),
    (
        "Nothing lost after, or recovered",
        "From the failure to the moment at which the last request was sent that was lost; 0 where none was lost.",
    ),
    ("Never", "It had not come when the run ended. Such a run counts as longer than all others, in every percentile."),
    (
        "Requests lost",
        "Requests without a good answer, of those sent by all clients between the failure and the end of the run. \
         The ways ask at different paces (see the methods), so a number compares with those of the same pace only, and the time without \
         answers with all. A plus says that requests were lost still when the run ended.",
    ),
    ("Share", "Requests lost of requests sent, in all runs together; it depends on how long a run was watched."),
    (
        "p50, p95, p99",
        "By nearest rank: of n runs in order, the one at rank ⌈p / 100 × n⌉; always a run that was made. \
         With fewer than 100 runs, p99 is the worst.",
    ),
    (
        "The run that is shown",
        "The one with the median time to the first good answer. What an agent says of itself is drawn, and is in no figure.",
    ),
];

/// What the figures do not say.
pub(super) const LIMITS: [&str; 5] = [
    "The lab is one machine. Its links have no distance and lose nothing, and few routers stand between users and nodes: \
     in the Internet a withdrawal passes more routers, and takes longer the farther it has to go.",
    "The resolvers of the lab keep an answer for as long as its TTL says. Others keep short ones for longer, and programs \
     keep addresses without asking again: users of such are behind what is shown for DNS.",
    "The clients do not try a second address. A program that does hides a part of the losses of DNS that gives several.",
    "Requests are short, and each stands for itself. A connection that is open when anycast moves breaks; that is in no figure here.",
    "All programs share the processors of the machine, and the measuring is among them: times below a few milliseconds say little.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let table = [
            (0.0, "0 ms"),
            (0.04, "0.0 ms"),
            (9.94, "9.9 ms"),
            (9.96, "10 ms"),
            (999.4, "999 ms"),
            (999.6, "1.0 s"),
            (24_321.0, "24.3 s"),
            (99_960.0, "100 s"),
            (312_000.0, "312 s"),
            (3_600_000.0, "60 min"),
            (1e300, "days"),
            (-250.0, "−250 ms"),
        ];
        for (ms, expected) in table {
            assert_eq!(time(ms), expected, "{ms}");
            assert!(expected.chars().count() <= 7);
        }
        assert_eq!(wait(Wait::Never), "never");
        assert_eq!([0, 1, 2].map(runs), ["0 runs", "1 run", "2 runs"]);
        assert_eq!([-3.0, 0.0, 99.94, 16_312.4].map(moment), ["−3.0 ms", "0.0 ms", "99.9 ms", "16312 ms"]);
    }

    #[test]
    fn shares_do_not_round_a_loss_away() {
        let table = [(0.0, "0 %"), (0.00001, "<0.01 %"), (0.0123, "1.23 %"), (0.09999, "10.0 %"), (1.0, "100.0 %")];
        for (part, expected) in table {
            assert_eq!(share(part), expected, "{part}");
        }
    }
}
