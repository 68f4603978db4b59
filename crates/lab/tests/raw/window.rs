//! A neighbor that stops reading: its TCP closes the window, and what we have to say waits.

use std::{fmt::Write as _, time::Duration};

use anycast_lab::peer::{Peer, message::KEEPALIVE};
use tokio::time::{interval, timeout};

use crate::node::{Node, PREFIX, announced, config, hear, neighbor, open, story};

/// As few octets as the kernel lets a window have.
const NARROW: usize = 2048;
/// More than all that may be on the way takes.
const MANY: u32 = 20_000;
const LAST: &str = "10.78.31.0/24";

/// With a second service of [`MANY`] prefixes that is up while `/run/bulk` says 0.
fn bulky(hold_time: &str) -> String {
    let prefixes = (0..MANY).fold(String::new(), |mut list, n| {
        let _ = write!(list, "10.{}.{}.0/24, ", n >> 8, n & 255);
        list
    });
    let bulk = format!(
        r#"
  - name: bulk
    addresses: [10.0.0.1]
    prefixes: [{prefixes}]
    checks: [{{ name: told, type: exec, command: [/bin/sh, -c, "exit $(cat /run/bulk || echo 2)"], interval: 200ms, timeout: 5s }}]
anchor: none
log:"#
    );
    config(&neighbor(1, hold_time)).replacen("\nlog:", &bulk, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdraw_overtakes_the_announcements_that_wait() -> anyhow::Result<()> {
    let (node, [listener]) = Node::with(&bulky("60s"), [1], Some(NARROW)).await?;
    story(node, async |node: &Node| {
        let mut peer = announced(&listener, 1, 60).await?;
        node.lab.write("edge", "/run/bulk", "0").await?;
        let full = "more is announced than the neighbor's window takes";
        node.lab
            .wait(full, async || {
                let routes: serde_json::Value = serde_json::from_str(&node.ctl(&["--json", "routes"]).await?.output)?;
                let last = routes[0]["routes"].as_array().into_iter().flatten().find(|route| route["prefix"] == LAST);
                Ok(last.filter(|route| route["progress"] == "queued").map(drop))
            })
            .await?;
        let ordered = node.ctl(&["withdraw", "web", "--now"]).await?;
        assert!(ordered.status.success(), "{}", ordered.errors);

        let before = hear(&mut peer.ear, PREFIX, false).await?;
        assert!(before.len() < MANY as usize, "the withdraw waited for all {} announcements", before.len());
        let after = hear(&mut peer.ear, LAST, true).await?;
        assert!(before.len() + after.len() < MANY as usize, "nothing is said twice");
        let neighbor = node.neighbor(1).await?;
        assert_eq!((&neighbor["state"], &neighbor["counters"]["established"]), (&"Established".into(), &1.into()));
        Ok(())
    })
    .await
}

/// Takes all that is announced to be told, reads nothing of it, and lives: it is not the hold timer that ends the session.
async fn is_given_up(neighbor: &str, words: &str) -> anyhow::Result<()> {
    let (node, [listener]) = Node::with(&bulky(neighbor), [1], Some(NARROW)).await?;
    story(node, async |node: &Node| {
        node.lab.write("edge", "/run/bulk", "0").await?;
        let mut peer = Peer::establish(&listener, &open(1, 3)).await?;
        let mut pulse = interval(Duration::from_secs(1));
        let alive = async {
            loop {
                pulse.tick().await;
                if peer.say(&KEEPALIVE).await.is_err() {
                    break;
                }
            }
        };
        timeout(anycast_lab::harness::AMPLE, alive).await?;
        node.error(1, words).await?;
        Peer::establish(&listener, &open(1, 3)).await?;
        Ok(())
    })
    .await
}

/// The kernel's user timeout is the hold time.
#[tokio::test(flavor = "multi_thread")]
async fn a_neighbor_that_never_reads_again_is_given_up_and_dialled_anew() -> anyhow::Result<()> {
    is_given_up("3s", "timed out").await
}

/// RFC 9687: who says how long a neighbor may read nothing has the session's own timer decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_neighbor_that_reads_nothing_is_given_up_by_the_send_hold_timer() -> anyhow::Result<()> {
    is_given_up("3s, send_hold_time: 5s", "the neighbor did not read what we send for 5 s").await
}
