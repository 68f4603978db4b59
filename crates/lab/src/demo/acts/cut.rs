//! A whole node is cut off: no packet gets in or out, and no link goes down.

use std::time::Duration;

use crate::demo::{
    places::{US, edges_without},
    report::{Act, Failure, Source, ms},
    stage::{Move, Stage, Way},
};

/// The routers' hold time (RFC 4271 §6.5), as the lab's configuration has it.
const HOLD: Duration = Duration::from_secs(9);
/// What the router and the client may take on top of it.
const SLACK: Duration = Duration::from_secs(2);
/// How long the move may take in all before it is given up.
const LIMIT: Duration = Duration::from_secs(20);
/// How long the return may take: the agent dials again, later and later.
const RETURN: Duration = Duration::from_secs(60);
const NODE: &str = "us-edge1";

/// Cuts it off, and mends it.
pub(in crate::demo) async fn node_cut_off(stage: &mut Stage, shown: &mut Vec<Act>) -> anyhow::Result<()> {
    let mut act = Act::new("f", "A whole node is cut off: traffic moves at the hold time", "node cut off", NODE);
    stage.screen.act(&act.letter, &act.title);
    stage.screen.aside(&format!(
        "All its packets are dropped (nft), as if a switch on the way were dead. Nobody can tell the router; it waits until it \
         has heard nothing for the hold time, {} s.",
        HOLD.as_secs()
    ));
    act.at = stage.hands.cut(NODE, true).await?;
    act.event(act.at, Source::Order, NODE, "all packets in and out are dropped");
    let last_word = stage.last_word(&act, NODE);
    if let Some(last_word) = last_word {
        act.event(last_word, Source::Capture, NODE, "its last word to the router: the hold timer runs from here");
    }
    let away = Move { node: NODE, region: US, expected: edges_without(&[NODE]), limit: LIMIT };
    stage.moved(&mut act, &away, Way::Away).await?;
    if let Some((answer, start)) = act.steps.answer.zip(last_word)
        && answer.after(start) > HOLD + SLACK
    {
        act.failures.push(Failure {
            expected: format!("an answer from elsewhere within {} s of its last word", (HOLD + SLACK).as_secs()),
            seen: format!("the first came after {} ms", ms(answer.millis_since(start))),
            look: format!("`show bgp neighbors` and the log of {}", US.router),
            log: Vec::new(),
        });
    }
    stage.show(&act);
    shown.push(act);

    let mut act = Act::new("f", "The node is reachable again: traffic returns", "node back", NODE);
    stage.screen.act(&act.letter, &act.title);
    act.at = stage.hands.cut(NODE, false).await?;
    act.event(act.at, Source::Order, NODE, "packets pass again");
    let back = Move { node: NODE, region: US, expected: vec![NODE], limit: RETURN };
    stage.moved(&mut act, &back, Way::Back).await?;
    stage.show(&act);
    shown.push(act);
    Ok(())
}
