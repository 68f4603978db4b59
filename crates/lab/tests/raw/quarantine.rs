//! A neighbor that ends the session whenever it is told of one route.

use anycast_lab::peer::{
    Peer,
    message::{Kind, message},
};
use anyhow::ensure;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::node::{Node, PREFIX, config, hear, neighbor, open, story};

/// What the neighbor refuses, and the attribute for which it does: a MED of 2.
const REFUSED: &str = "198.51.100.0/24";
const MED: [u8; 7] = [0x80, 4, 4, 0, 0, 0, 2];

/// Two services, and two neighbors.
fn both() -> String {
    let shop = format!(
        r#"  - name: shop
    addresses: [198.51.100.80]
    prefixes: [{REFUSED}]
    checks: [{{ name: told, type: exec, command: [/bin/sh, -c, "exit $(cat /run/health)"], interval: 200ms, timeout: 5s }}]
    up: {{ med: 2 }}
log:"#
    );
    config(&(neighbor(1, "0s") + &neighbor(2, "0s"))).replace("log:", &shop)
}

/// A session that lasts until it comes to that route.
async fn refuse(listener: &TcpListener) -> anyhow::Result<()> {
    let mut peer = Peer::establish(listener, &open(1, 0)).await?;
    hear(&mut peer.ear, REFUSED, true).await?;
    // RFC 4271 §6.3: the data is the attribute.
    peer.say(&message(Kind::Notification, &[&[3, 5], &MED[..]].concat())).await?;
    while let Ok(Some(_)) = peer.ear.next().await {}
    Ok(())
}

async fn held(node: &Node, n: u8) -> anyhow::Result<Value> {
    Ok(node.neighbor(n).await?["quarantined"][REFUSED].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_route_is_held_back_from_that_neighbor_and_seen_everywhere() -> anyhow::Result<()> {
    let (node, [picky, other]) = Node::with(&both(), [1, 2], None).await?;
    story(node, async |node| {
        let mut other = Peer::establish(&other, &open(2, 0)).await?;
        hear(&mut other.ear, REFUSED, true).await?;
        refuse(&picky).await?;
        refuse(&picky).await?;
        let mut picky = Peer::establish(&picky, &open(1, 0)).await?;
        let before = hear(&mut picky.ear, PREFIX, true).await?;
        assert_eq!(before, [], "the other route is told, and it alone");

        assert!(held(node, 1).await?["reason"].to_string().contains("3/5"), "{}", node.neighbor(1).await?);
        assert_eq!(held(node, 2).await?, Value::Null, "another neighbor has taken it");
        for (argv, words) in [
            (&["status"][..], "peer1 cannot be given 198.51.100.0/24: in quarantine"),
            (&["neighbors", "peer1"], "198.51.100.0/24 for another "),
            (&["routes", "peer1"], "in quarantine: 198.51.100.0/24"),
            (&["explain", "shop"], "`anycastctl announce shop --force`"),
            (&["events"], "quarantine: 198.51.100.0/24 held back for 1 h"),
        ] {
            let said = node.ctl(argv).await?.output;
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            ensure!(said.contains(words), "{argv:?} does not say {words}, but {said}");
        }
        let ask = r#"exec 3<>/dev/tcp/127.0.0.1/9273; printf 'GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n' >&3; cat <&3"#;
        let metrics = node.lab.run("edge", &["bash", "-c", ask]).await?;
        for (n, routes) in [(1, 1), (2, 0)] {
            let line = format!("anycastd_neighbor_quarantined_routes{{neighbor=\"peer{n}\"}} {routes}\n");
            ensure!(metrics.contains(&line), "{metrics}");
        }

        // The neighbor was mended.
        let ordered = node.ctl(&["announce", "shop", "--force"]).await?;
        assert!(ordered.status.success(), "{}", ordered.errors);
        let said = ordered.output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("announces 198.51.100.0/24"), "{said}");
        assert!(said.contains("tells peer1 198.51.100.0/24 again"), "{said}");
        assert!(!said.contains("198.51.100.0/24: announced already"), "{said}");
        hear(&mut picky.ear, REFUSED, true).await?;
        assert_eq!(held(node, 1).await?, Value::Null);
        assert_eq!(node.neighbor(1).await?["counters"]["established"], 3);
        assert_eq!(node.neighbor(2).await?["counters"]["established"], 1);
        Ok(())
    })
    .await
}
