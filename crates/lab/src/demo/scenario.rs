//! What is shown, as a file says it: `lab/scenarios/*.yml`, or one of somebody's own.
//!
//! Its words are a closed list. What a file says beyond them is an error that names it, with its place.

use std::{fs, path::Path, time::Duration};

use serde::{Deserialize, Deserializer};

use super::places::{self, REGIONS, Region};
use crate::{exit::Complaint, input, programs::repository};

/// Those that the demonstration shows when none is named, in this order.
const SHOWN: [&str; 4] = ["service-killed", "maintenance", "agent-killed", "node-cut-off"];
/// How long a move may take, where a step does not say.
const WITHIN: Duration = Duration::from_secs(10);
/// No step may take longer.
const LONGEST: Duration = Duration::from_secs(600);

/// A story in steps; each begins as the one before left the lab.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// What it is about.
    pub(super) title: String,
    /// In order.
    pub(super) steps: Vec<Step>,
}

/// Something is done to a node, and the traffic moves.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Step {
    /// What is done.
    #[serde(rename = "do")]
    pub(super) action: Action,
    /// To which edge node.
    node: Edge,
    /// What this shows.
    pub(super) title: String,
    /// In the first column of the table.
    #[serde(default = "dot")]
    pub(super) letter: String,
    /// In the table, what was done; without it the step is not in the table.
    pub(super) row: Option<String>,
    /// Said before.
    pub(super) why: Option<String>,
    /// Said after.
    pub(super) after: Option<String>,
    /// Who answers the region's client once the traffic has moved: without it the node itself if it comes back, and any other if it goes.
    served_by: Option<Vec<Edge>>,
    /// How long that may take.
    #[serde(default = "within", deserialize_with = "duration")]
    pub(super) within: Duration,
    /// Whether a client has one long request open all the while.
    #[serde(default)]
    pub(super) long_request: bool,
    /// What else must be so.
    #[serde(default)]
    pub(super) expect: Vec<Expectation>,
}

/// What can be done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    /// SIGKILL to the web service.
    KillService,
    /// The web service is started as the topology does it.
    StartService,
    /// SIGKILL to the agent.
    KillAgent,
    /// SIGTERM to the agent.
    StopAgent,
    /// The agent is started as the topology does it.
    StartAgent,
    /// All packets in and out are dropped.
    CutOff,
    /// They pass again.
    Mend,
    /// Every program stands still, and the kernel goes on.
    Freeze,
    /// They go on.
    Thaw,
    /// `anycastctl withdraw --wait`.
    Withdraw,
    /// `anycastctl withdraw --now --wait`.
    WithdrawNow,
    /// `anycastctl announce`.
    Announce,
}

impl Action {
    /// Whether traffic comes back to the node by it; else it leaves.
    pub(super) const fn brings_back(self) -> bool {
        matches!(self, Self::StartService | Self::StartAgent | Self::Mend | Self::Thaw | Self::Announce)
    }
}

/// What must be so once the traffic has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Expectation {
    /// No request was lost.
    NothingLost,
    /// The first answer from elsewhere came within the hold time of the node's last word, and a little.
    HoldTime,
    /// Every anycast address is bound, and the agent's.
    AddressesOwned,
    /// No anycast address is bound.
    NoAddressesLeft,
}

impl Expectation {
    /// After what it can be asked for, where not after everything.
    const fn follows(self) -> Option<(&'static [Action], &'static str)> {
        match self {
            Self::NothingLost => None,
            Self::HoldTime => Some((&[Action::CutOff, Action::Freeze], "`hold-time` goes with `cut-off` and `freeze`")),
            Self::AddressesOwned => Some((&[Action::StartAgent], "`addresses-owned` goes with `start-agent`")),
            Self::NoAddressesLeft => Some((&[Action::StopAgent], "`no-addresses-left` goes with `stop-agent`")),
        }
    }
}

impl Step {
    /// The edge node to which it is done.
    pub(super) const fn node(&self) -> &'static str {
        self.node.0
    }

    /// The region of the node.
    pub(super) fn region(&self) -> Region {
        REGIONS.into_iter().find(|region| region.edges.contains(&self.node())).unwrap_or(REGIONS[0])
    }

    /// Who may answer the region's client once it is over.
    pub(super) fn expected(&self) -> Vec<&'static str> {
        match &self.served_by {
            Some(edges) => edges.iter().map(|edge| edge.0).collect(),
            None if self.action.brings_back() => vec![self.node()],
            None => places::edges_without(&[self.node()]),
        }
    }

    /// What cannot be, and what would be right.
    fn fault(&self) -> Option<String> {
        let unfit = |expectation: &Expectation| {
            let (actions, fault) = expectation.follows()?;
            (!actions.contains(&self.action)).then(|| format!("expect: {fault}"))
        };
        let long = self.long_request && self.action != Action::Withdraw;
        let itself = !self.action.brings_back() && self.expected().contains(&self.node());
        let table = [
            (long, "long-request: it goes with `withdraw`"),
            (itself, "served-by: it names the node that the traffic leaves; name those that serve then"),
            (self.expected().is_empty(), "served-by: name at least one node, or leave it out"),
        ];
        let fault = table.iter().find(|(is, _)| *is).map(|(_, fault)| (*fault).to_owned());
        self.expect.iter().find_map(unfit).or(fault)
    }
}

impl Scenario {
    /// Understands the text of `file`.
    fn parse(text: &str, file: &Path) -> anyhow::Result<Self> {
        let wrong = |fault: String| Complaint::usage(format!("{}: {}", file.display(), input::brief(&fault)));
        let scenario: Self = input::yaml(text).map_err(wrong)?;
        if scenario.steps.is_empty() {
            return Err(wrong("steps: there is none; a scenario has at least one".to_owned()));
        }
        let fault = scenario.steps.iter().enumerate().find_map(|(index, step)| Some((index, step.fault()?)));
        fault.map_or(Ok(scenario), |(index, fault)| Err(wrong(format!("steps[{index}].{fault}"))))
    }

    /// By its name in `lab/scenarios`, or by the path of its file.
    pub(super) fn find(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(name);
        let shipped = repository().join("lab/scenarios").join(format!("{name}.yml"));
        let is_name = path.components().count() == 1 && path.extension().is_none();
        let file = if is_name { shipped.as_path() } else { path };
        let text = input::read(file).map_err(|error| {
            let known = names().join(", ");
            let remedy = format!("name one of {known}, or the path of a file that ends in .yml");
            Complaint::usage(format!("cannot read the scenario {}: {error}; {remedy}", file.display()))
        })?;
        Self::parse(&text, file)
    }
}

/// Those named, or those that are shown when none is.
///
/// # Errors
/// When a file cannot be read, or says what is not understood.
pub(super) fn all(named: &[String]) -> anyhow::Result<Vec<Scenario>> {
    if named.is_empty() {
        return SHOWN.into_iter().map(Scenario::find).collect();
    }
    named.iter().map(|name| Scenario::find(name)).collect()
}

/// What stands in `lab/scenarios`, sorted.
pub(super) fn names() -> Vec<String> {
    let entries = fs::read_dir(repository().join("lab/scenarios")).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "yml"));
    let mut names: Vec<_> = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

fn dot() -> String {
    "·".to_owned()
}

const fn within() -> Duration {
    WITHIN
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let fault = || {
        serde::de::Error::custom(format!("`{text}` is no time from 1s to {}s; write it like 20s", LONGEST.as_secs()))
    };
    let found = humantime::parse_duration(&text).map_err(|_| fault())?;
    if (Duration::from_secs(1)..=LONGEST).contains(&found) { Ok(found) } else { Err(fault()) }
}

/// An edge node that the lab has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edge(&'static str);

impl<'de> Deserialize<'de> for Edge {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (name, all) = (String::deserialize(from)?, places::edges_without(&[]));
        let found = all.iter().find(|edge| **edge == name).copied().map(Self);
        let fault = || format!("`{name}` is no edge node of the lab; there are {}", all.join(", "));
        found.ok_or_else(|| serde::de::Error::custom(fault()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(steps: &str) -> anyhow::Result<Scenario> {
        Scenario::parse(&format!("title: A story\nsteps:\n{steps}"), Path::new("own.yml"))
    }

    #[test]
    fn what_is_in_the_repository_is_understood() {
        let names = names();
        assert!(SHOWN.iter().all(|shown| names.iter().any(|name| name == shown)), "{names:?}");
        for name in names {
            Scenario::find(&name).unwrap();
        }
    }

    #[test]
    fn a_step_needs_little() {
        let scenario =
            parse("  - {do: cut-off, node: us-edge1, title: Cut}\n  - {do: mend, node: us-edge1, title: Mended}")
                .unwrap();
        let [cut, mend] = &scenario.steps[..] else { panic!("{scenario:?}") };
        assert_eq!((cut.expected(), cut.within), (vec!["eu-edge1", "ap-edge1", "ap-edge2"], WITHIN));
        assert_eq!((mend.expected(), mend.region().client), (vec!["us-edge1"], "us-client"));
    }

    #[test]
    fn a_fault_has_its_place_and_its_remedy() {
        // (a step, of what the message tells)
        let table = [
            ("  - {do: explode, node: us-edge1, title: x}", ["steps[0].do", "`explode`", "`cut-off`"]),
            ("  - {do: mend, node: mars, title: x}", ["steps[0]: `mars`", "line 3", "there are us-edge1"]),
            ("  - {do: mend, node: us-edge1, titel: x}", ["steps[0]", "`titel`", "line 3"]),
            ("  - {do: mend, node: us-edge1, title: x, within: soon}", ["steps[0]: `soon`", "line 3", "like 20s"]),
            ("  - {do: mend, node: us-edge1, title: x, within: 1h}", ["steps[0]: `1h`", "line 3", "600s"]),
            (
                "  - {do: mend, node: us-edge1, title: x, expect: [hold-time]}",
                ["steps[0].expect", "goes with", "`cut-off`"],
            ),
            (
                "  - {do: cut-off, node: us-edge1, title: x, served-by: [us-edge1]}",
                ["steps[0].served-by", "leaves", "name"],
            ),
            (
                "  - {do: mend, node: us-edge1, title: x, long-request: true}",
                ["steps[0].long-request", "goes with", "`withdraw`"],
            ),
            ("  []", ["own.yml", "steps", "at least one"]),
        ];
        for (step, words) in table {
            let message = format!("{:#}", parse(step).unwrap_err());
            assert!(words.iter().all(|word| message.contains(word)), "{step}: {message}");
            assert!(message.starts_with("own.yml: "), "{message}");
        }
    }

    #[test]
    fn a_fault_is_told_once_and_in_few_words() {
        let long = "x".repeat(100_000);
        let message = format!("{:#}", parse(&format!("  - {{do: {long}, node: us-edge1, title: x}}")).unwrap_err());
        assert!(message.starts_with("own.yml: steps[0].do: unknown variant `xxx"), "{message}");
        assert!(message.contains("`announce`") && message.chars().count() < 700, "{message}");
        assert_eq!(message.matches("unknown variant").count(), 1, "{message}");
        let message = format!("{:#}", Scenario::find("/dev/zero").unwrap_err());
        assert!(message.contains("/dev/zero: it is no regular file; name one of "), "{message}");
    }

    #[test]
    fn a_name_that_is_none_tells_of_those_that_are() {
        let message = format!("{:#}", Scenario::find("nothing").unwrap_err());
        assert!(message.contains("service-killed") && message.contains(".yml"), "{message}");
    }
}
