//! A scenario is played: each step does something to a node, waits until the traffic has moved, and looks whether all is as expected.

use std::time::Duration;

use super::{
    book::Seen,
    hands::Program,
    places::TARGETS,
    report::{Act, Failure, Source, ms},
    scenario::{Action, Expectation, Scenario, Step},
    stage::{Move, Stage, Way},
};
use crate::tools::record::{How, Nanos, Request};

/// The routers' hold time (RFC 4271 §6.5), as the lab's configuration has it.
const HOLD: Duration = Duration::from_secs(9);
/// What the router and the client may take on top of it.
const SLACK: Duration = Duration::from_secs(2);
/// How long a long request would take: longer than a drain.
const LONG: &str = "20";
/// How soon the end of the long request is seen once its route has moved.
const RESET: Duration = Duration::from_secs(10);
/// For how long all must have been well after a withdraw.
const CALM: Duration = Duration::from_millis(500);

/// Plays its steps, and adds to `shown` what each has found.
pub(super) async fn play(stage: &mut Stage, scenario: &Scenario, shown: &mut Vec<Act>) -> anyhow::Result<()> {
    for step in &scenario.steps {
        shown.push(one(stage, step).await?);
    }
    Ok(())
}

async fn one(stage: &mut Stage, step: &Step) -> anyhow::Result<Act> {
    let mut act = Act::new(&step.letter, &step.title, step.row.as_deref().unwrap_or_default(), step.node());
    stage.screen.act(&act.letter, &act.title);
    step.why.iter().for_each(|why| stage.screen.aside(why));
    let client = step.region().client;
    let long = if step.long_request { stage.long_request(client, LONG).await? } else { None };
    let returned = order(stage, step, &mut act).await?;
    follow(stage, step, &mut act, returned).await?;
    if step.long_request {
        long_request(stage, client, &mut act, long.is_some()).await?;
    }
    let mut good = Vec::new();
    for expectation in &step.expect {
        good.extend(look(stage, step, &mut act, *expectation).await?);
    }
    stage.show(&act);
    good.into_iter().for_each(|good| stage.screen.good(good));
    say_long(stage, &act);
    if step.action == Action::KillAgent {
        say_orphans(stage, step.node()).await?;
    }
    step.after.iter().for_each(|after| stage.screen.aside(after));
    Ok(act)
}

/// Does what the step says, and when. What an operator waits for tells when it returned.
async fn order(stage: &Stage, step: &Step, act: &mut Act) -> anyhow::Result<Option<Nanos>> {
    match step.action {
        Action::KillService => kill(stage, step, act, Program::Service, "kill").await?,
        Action::KillAgent => kill(stage, step, act, Program::Agent, "kill").await?,
        Action::StopAgent => kill(stage, step, act, Program::Agent, "term").await?,
        Action::StartService => start(stage, step, act, Program::Service, "the web service is started").await?,
        Action::StartAgent => start(stage, step, act, Program::Agent, "anycastd is started").await?,
        Action::CutOff => cut(stage, step, act, true, "all packets in and out are dropped").await?,
        Action::Mend => cut(stage, step, act, false, "packets pass again").await?,
        Action::Freeze => freeze(stage, step, act, true, "every program stands still").await?,
        Action::Thaw => freeze(stage, step, act, false, "every program goes on").await?,
        Action::Withdraw => {
            let argv = ["anycastctl", "withdraw", "--reason", "demo", "--wait", "--timeout", "15s"];
            return withdraw(stage, step, act, &argv).await.map(Some);
        }
        Action::WithdrawNow => {
            let argv = ["anycastctl", "withdraw", "--now", "--wait", "--timeout", "15s"];
            return withdraw(stage, step, act, &argv).await.map(Some);
        }
        Action::Announce => {
            act.at = Nanos::now();
            act.event(act.at, Source::Order, step.node(), "anycastctl announce");
            stage.hands.run(step.node(), &["anycastctl", "announce"]).await?;
        }
    }
    Ok(None)
}

async fn kill(stage: &Stage, step: &Step, act: &mut Act, program: Program, signal: &str) -> anyhow::Result<()> {
    let killed = stage.hands.kill(step.node(), program, signal).await?;
    let name = if program == Program::Agent { "anycastd" } else { "the web service" };
    let word = if signal == "kill" { "kill -9 of" } else { "SIGTERM to" };
    act.at = killed.at;
    act.event(killed.at, Source::Order, step.node(), format!("{word} {name} (process {})", killed.pid));
    if signal != "kill" {
        act.event(killed.gone, Source::Order, step.node(), "the process has ended");
    }
    Ok(())
}

async fn start(stage: &Stage, step: &Step, act: &mut Act, program: Program, text: &str) -> anyhow::Result<()> {
    act.at = stage.hands.start(step.node(), program).await?;
    act.event(act.at, Source::Order, step.node(), text);
    Ok(())
}

async fn cut(stage: &Stage, step: &Step, act: &mut Act, off: bool, text: &str) -> anyhow::Result<()> {
    act.at = stage.hands.cut(step.node(), off).await?;
    act.event(act.at, Source::Order, step.node(), text);
    if off {
        last_word(stage, step, act);
    }
    Ok(())
}

async fn freeze(stage: &Stage, step: &Step, act: &mut Act, stop: bool, text: &str) -> anyhow::Result<()> {
    act.at = stage.hands.freeze(step.node(), stop).await?;
    act.event(act.at, Source::Order, step.node(), text);
    if stop {
        last_word(stage, step, act);
    }
    Ok(())
}

fn last_word(stage: &Stage, step: &Step, act: &mut Act) {
    if let Some(last_word) = stage.last_word(act, step.node()) {
        let text = "its last word to the router: the hold timer runs from here";
        act.event(last_word, Source::Capture, step.node(), text);
    }
}

async fn withdraw(stage: &Stage, step: &Step, act: &mut Act, argv: &[&str]) -> anyhow::Result<Nanos> {
    act.at = Nanos::now();
    act.event(act.at, Source::Order, step.node(), argv.join(" "));
    let said = stage.hands.run(step.node(), argv).await?;
    let last = said.lines().last().unwrap_or_default().trim().to_owned();
    let returned = Nanos::now();
    act.event(returned, Source::Agent, step.node(), format!("anycastctl returns: {last}"));
    Ok(returned)
}

/// Waits until the traffic has moved, and adds what was seen of it.
async fn follow(stage: &Stage, step: &Step, act: &mut Act, returned: Option<Nanos>) -> anyhow::Result<()> {
    let change = Move { node: step.node(), region: step.region(), expected: step.expected(), limit: step.within };
    let way = if step.action.brings_back() { Way::Back } else { Way::Away };
    let Some(returned) = returned else { return stage.moved(act, &change, way).await };
    // What is sent up to the return counts, however long the traffic has been elsewhere by then.
    let settled = stage.settled(act.at, &change, way, CALM).await?;
    let counted = settled.map(|settled| settled.max(returned));
    if let Some(counted) = counted {
        let decided = |seen: &Seen| (*seen.decided.get(change.region.client)? >= counted).then_some(());
        stage.book.until(step.within, decided).await?;
    }
    stage.add_seen(act, &change, way, counted).await
}

/// Adds a failure if it is not so; else what to say of it, if anything.
async fn look(
    stage: &Stage,
    step: &Step,
    act: &mut Act,
    expectation: Expectation,
) -> anyhow::Result<Option<&'static str>> {
    let failures = act.failures.len();
    let good = match expectation {
        Expectation::NothingLost => {
            lossless(act);
            None
        }
        Expectation::HoldTime => {
            hold_time(stage, step, act);
            None
        }
        Expectation::AddressesOwned => {
            owned(stage, step, act).await?;
            Some("Every address is the agent's own; none is stale.")
        }
        Expectation::NoAddressesLeft => {
            none_left(stage, step, act).await?;
            Some("No anycast address is left on the node.")
        }
    };
    Ok(good.filter(|_| act.failures.len() == failures))
}

fn lossless(act: &mut Act) {
    for how in [How::Udp, How::Http] {
        let sum = act.sum(how);
        if sum.lost > 0 {
            act.failures.push(Failure {
                expected: format!("no {how} request is lost"),
                seen: format!("{} of {} were, the longest gap was {:.1} ms", sum.lost, sum.sent, sum.longest_gap_ms),
                look: "the times of the route changes above; --keep-pcap DIR keeps the packets of the session"
                    .to_owned(),
                log: Vec::new(),
            });
        }
    }
}

fn hold_time(stage: &Stage, step: &Step, act: &mut Act) {
    if let Some((answer, start)) = act.steps.answer.zip(stage.last_word(act, step.node()))
        && answer.after(start) > HOLD + SLACK
    {
        act.failures.push(Failure {
            expected: format!("an answer from elsewhere within {} s of its last word", (HOLD + SLACK).as_secs()),
            seen: format!("the first came after {} ms", ms(answer.millis_since(start))),
            look: format!("`show bgp neighbors` and the log of {}", step.region().router),
            log: Vec::new(),
        });
    }
}

async fn owned(stage: &Stage, step: &Step, act: &mut Act) -> anyhow::Result<()> {
    let addresses = stage.hands.status(step.node()).await?.addresses;
    let is_owned = |target: &&str| {
        addresses.iter().any(|address| {
            let address_only = address.address.split('/').next();
            address_only == Some(*target) && address.bound && !address.foreign
        })
    };
    if !TARGETS.iter().all(is_owned) {
        let expected = format!("{} are bound, and owned by the agent", TARGETS.join(" and "));
        act.failures.push(with_log(stage, step, expected, format!("{addresses:?}")).await);
    }
    Ok(())
}

async fn none_left(stage: &Stage, step: &Step, act: &mut Act) -> anyhow::Result<()> {
    let left = stage.hands.addresses(step.node()).await?.anycast;
    if !left.is_empty() {
        let expected = "no anycast address is left after the agent has stopped".to_owned();
        act.failures.push(with_log(stage, step, expected, format!("{} still bound", left.join(", "))).await);
    }
    Ok(())
}

async fn with_log(stage: &Stage, step: &Step, expected: String, seen: String) -> Failure {
    let log = Program::Agent.log();
    let look = format!("{log} in {}, whose end is", step.node());
    Failure { expected, seen, look, log: stage.hands.tail(step.node(), log).await }
}

/// What became of the connection that was open all the time.
async fn long_request(stage: &Stage, client: &str, act: &mut Act, begun: bool) -> anyhow::Result<()> {
    let since = act.at.minus(RESET);
    let ended = |seen: &Seen| -> Option<Request> {
        let mut series = seen.series(client, How::Long);
        series.find_map(|(_, requests)| requests.range(since..).next().map(|(_, request)| request.clone()))
    };
    match stage.book.until(RESET, ended).await? {
        Some(request) => act.long.push(request),
        None if begun => act.failures.push(Failure {
            expected: "the long TCP request ends when its packets reach another node".to_owned(),
            seen: format!("it was still open {} s later", RESET.as_secs()),
            look: format!("routes and traffic of {client}"),
            log: Vec::new(),
        }),
        None => {}
    }
    Ok(())
}

fn say_long(stage: &Stage, act: &Act) {
    for request in act.long.iter().filter(|request| request.how == How::Long) {
        let node = request.node.as_deref().unwrap_or("nobody");
        let end = request.error.as_deref().unwrap_or("it was answered whole");
        stage.screen.say(&format!(
            "Counted apart: one TCP request, open on {node} all the while: {end}. Anycast cannot save it: its packets now \
             reach a node that never heard of the connection."
        ));
    }
}

async fn say_orphans(stage: &Stage, node: &str) -> anyhow::Result<()> {
    let orphans = stage.hands.addresses(node).await?.anycast;
    stage.screen.say(&match orphans.is_empty() {
        true => "Its addresses are gone.".to_owned(),
        false => {
            format!("Nobody is left to unbind {}: still bound, and no traffic comes for them.", orphans.join(", "))
        }
    });
    Ok(())
}
