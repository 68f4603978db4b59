//! The agent itself is killed, started again, and stopped in good order.

use std::time::Duration;

use crate::demo::{
    hands::Program,
    places::{AP, TARGETS},
    report::{Act, Failure, Source},
    stage::{Move, Stage, Way},
};

/// How long traffic may take to move; a new agent dials at once, and its checks must pass first.
const LIMIT: Duration = Duration::from_secs(20);
const NODE: &str = "ap-edge1";

/// Kills it, starts it, stops it, starts it.
pub(in crate::demo) async fn agent_dies(stage: &mut Stage, shown: &mut Vec<Act>) -> anyhow::Result<()> {
    let mut act = Act::new("e", "The agent is killed (kill -9): traffic moves", "agent killed", NODE);
    stage.screen.act(&act.letter, &act.title);
    stage
        .screen
        .aside("The kernel closes its BGP connection for it, which the router takes as a withdraw of everything.");
    let killed = stage.hands.kill(NODE, Program::Agent, "kill").await?;
    act.at = killed.at;
    act.event(killed.at, Source::Order, NODE, format!("kill -9 of anycastd (process {})", killed.pid));
    let away = Move { node: NODE, region: AP, expected: vec!["ap-edge2"], limit: LIMIT };
    stage.moved(&mut act, &away, Way::Away).await?;
    stage.show(&act);
    shown.push(act);

    let orphans = stage.hands.addresses(NODE).await?.anycast;
    stage.screen.say(&match orphans.is_empty() {
        true => "Its addresses are gone.".to_owned(),
        false => {
            format!("Nobody is left to unbind {}: still bound, and no traffic comes for them.", orphans.join(", "))
        }
    });
    shown.push(started(stage, "Started again: it takes over the addresses it finds", true).await?);
    let mut act = Act::new("e", "Stopped in good order (SIGTERM): nothing stays behind", "agent stopped", NODE);
    stage.screen.act(&act.letter, &act.title);
    stage.screen.aside(
        "It withdraws, says goodbye, answers for a moment what the router still sends, and unbinds (`shutdown: fast`). A \
         connection that stays open longer than that moment is lost; `anycastctl withdraw --wait` gives more.",
    );
    let clean = stopped(stage, &mut act).await?;
    stage.show(&act);
    if clean {
        stage.screen.good("No anycast address is left on the node.");
    }
    shown.push(act);
    shown.push(started(stage, "Started once more", false).await?);
    Ok(())
}

async fn started(stage: &Stage, title: &str, after_crash: bool) -> anyhow::Result<Act> {
    let method = if after_crash { "agent back" } else { "" };
    let mut act = Act::new("e", title, method, NODE);
    stage.screen.act(&act.letter, &act.title);
    act.at = stage.hands.start(NODE, Program::Agent).await?;
    act.event(act.at, Source::Order, NODE, "anycastd is started");
    let back = Move { node: NODE, region: AP, expected: AP.edges.to_vec(), limit: LIMIT };
    stage.moved(&mut act, &back, Way::Back).await?;
    let owned = owned(stage, &mut act).await?;
    stage.show(&act);
    if owned && after_crash {
        stage.screen.good("Every address is the agent's own again; none is stale.");
    }
    Ok(act)
}

/// Whether all anycast addresses are bound and the agent's.
async fn owned(stage: &Stage, act: &mut Act) -> anyhow::Result<bool> {
    let addresses = stage.hands.status(NODE).await?.addresses;
    let is_owned = |target: &&str| {
        addresses.iter().any(|address| {
            let address_only = address.address.split('/').next();
            address_only == Some(*target) && address.bound && !address.foreign
        })
    };
    let owned = TARGETS.iter().all(is_owned);
    if !owned {
        act.failures.push(Failure {
            expected: format!("{} are bound, and owned by the agent", TARGETS.join(" and ")),
            seen: format!("{addresses:?}"),
            look: format!("{} in {NODE}, whose end is", Program::Agent.log()),
            log: stage.hands.tail(NODE, Program::Agent.log()).await,
        });
    }
    Ok(owned)
}

/// Whether nothing stayed behind.
async fn stopped(stage: &Stage, act: &mut Act) -> anyhow::Result<bool> {
    let stopped = stage.hands.kill(NODE, Program::Agent, "term").await?;
    act.at = stopped.at;
    act.event(stopped.at, Source::Order, NODE, format!("SIGTERM to anycastd (process {})", stopped.pid));
    act.event(stopped.gone, Source::Order, NODE, "the process has ended");
    let away = Move { node: NODE, region: AP, expected: vec!["ap-edge2"], limit: LIMIT };
    stage.moved(act, &away, Way::Away).await?;
    let left = stage.hands.addresses(NODE).await?.anycast;
    if !left.is_empty() {
        act.failures.push(Failure {
            expected: "no anycast address is left after the agent has stopped".to_owned(),
            seen: format!("{} still bound", left.join(", ")),
            look: format!("{} in {NODE}, whose end is", Program::Agent.log()),
            log: stage.hands.tail(NODE, Program::Agent.log()).await,
        });
    }
    Ok(left.is_empty())
}
