//! An operator takes a node out of service: gracefully, and at once.

use std::time::Duration;

use crate::{
    demo::{
        places::{EU, edges_without},
        report::{Act, Failure, Source},
        stage::{Move, Stage, Way},
    },
    tools::record::{How, Nanos, Request},
};

/// How long traffic may take to move.
const LIMIT: Duration = Duration::from_secs(15);
/// Ireland's only node: all of its region's traffic moves.
const NODE: &str = "eu-edge1";
/// How long the long request would take: longer than the drain.
const LONG: &str = "20";
/// How soon the end of the long request is seen once its route has moved.
const RESET: Duration = Duration::from_secs(10);

/// Withdraws, announces, withdraws at once, announces.
pub(in crate::demo) async fn maintenance(stage: &mut Stage, shown: &mut Vec<Act>) -> anyhow::Result<()> {
    let title = "anycastctl withdraw on Ireland's only node: nothing is lost";
    let mut act = Act::new("d", title, "withdraw", NODE);
    stage.screen.act(&act.letter, title);
    stage.screen.aside(
        "It announces GRACEFUL_SHUTDOWN first (RFC 8326) and goes on serving, so the routers move to another way while this \
         one still works; then it withdraws, and waits until its neighbor's TCP has acknowledged that.",
    );
    let long = stage.long_request(EU.client, LONG).await?;
    withdraw(stage, &mut act, &["anycastctl", "withdraw", "--reason", "demo", "--wait", "--timeout", "15s"]).await?;
    long_request(stage, &mut act, long.as_deref()).await?;
    lossless(&mut act);
    stage.show(&act);
    say_long(stage, &act);
    shown.push(act);
    announce(stage, shown).await?;

    let title = "The same with --now: withdrawn at once";
    let mut act = Act::new("d", title, "withdraw --now", NODE);
    stage.screen.act(&act.letter, title);
    withdraw(stage, &mut act, &["anycastctl", "withdraw", "--now", "--wait", "--timeout", "15s"]).await?;
    stage.show(&act);
    stage.screen.aside(
        "The node still serves what comes, but routers that knew no other way must first hear of one: FRR holds each change \
         back for 50 ms, at every hop.",
    );
    shown.push(act);
    announce(stage, shown).await
}

async fn withdraw(stage: &Stage, act: &mut Act, argv: &[&str]) -> anyhow::Result<()> {
    let change = Move { node: NODE, region: EU, expected: edges_without(&[NODE]), limit: LIMIT };
    act.at = Nanos::now();
    act.event(act.at, Source::Order, NODE, argv.join(" "));
    let said = stage.hands.run(NODE, argv).await?;
    let last = said.lines().last().unwrap_or_default().trim().to_owned();
    let returned = Nanos::now();
    act.event(returned, Source::Agent, NODE, format!("anycastctl returns: {last}"));
    // What is sent up to the return counts, however long the traffic has been elsewhere by then.
    let settled = stage.settled(act.at, &change, Way::Away, Duration::from_millis(500)).await?;
    let counted = settled.map(|settled| settled.max(returned));
    if let Some(counted) = counted {
        let decided = |seen: &crate::demo::book::Seen| (*seen.decided.get(EU.client)? >= counted).then_some(());
        stage.book.until(LIMIT, decided).await?;
    }
    stage.add_seen(act, &change, Way::Away, counted).await
}

/// The end of the maintenance, as `anycastctl announce` orders it.
async fn announce(stage: &Stage, shown: &mut Vec<Act>) -> anyhow::Result<()> {
    let mut act = Act::new("d", "anycastctl announce: traffic returns", "announce", NODE);
    stage.screen.act(&act.letter, &act.title);
    act.at = Nanos::now();
    act.event(act.at, Source::Order, NODE, "anycastctl announce");
    stage.hands.run(NODE, &["anycastctl", "announce"]).await?;
    let change = Move { node: NODE, region: EU, expected: vec![NODE], limit: LIMIT };
    stage.moved(&mut act, &change, Way::Back).await?;
    stage.show(&act);
    shown.push(act);
    Ok(())
}

fn lossless(act: &mut Act) {
    for how in [How::Udp, How::Http] {
        let sum = act.sum(how);
        if sum.lost > 0 {
            act.failures.push(Failure {
                expected: format!("no {how} request is lost in a graceful withdraw"),
                seen: format!("{} of {} were, the longest gap was {:.1} ms", sum.lost, sum.sent, sum.longest_gap_ms),
                look: "the times of the route changes above; --keep-pcap DIR keeps the packets of the session"
                    .to_owned(),
                log: Vec::new(),
            });
        }
    }
}

/// What became of the connection that was open all the time.
async fn long_request(stage: &Stage, act: &mut Act, by: Option<&str>) -> anyhow::Result<()> {
    let since = act.at.minus(RESET);
    let ended = |seen: &crate::demo::book::Seen| -> Option<Request> {
        let mut series = seen.series(EU.client, How::Long);
        series.find_map(|(_, requests)| requests.range(since..).next().map(|(_, request)| request.clone()))
    };
    match stage.book.until(RESET, ended).await? {
        Some(request) => act.long.push(request),
        None if by.is_some() => act.failures.push(Failure {
            expected: "the long TCP request ends when its packets reach another node".to_owned(),
            seen: format!("it was still open {} s later", RESET.as_secs()),
            look: format!("routes and traffic of {}", EU.client),
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
