//! That the judge of every story would have something to say.

use std::path::Path;

use anycast_lab::harness::{Lab, wire::Wire};

use crate::{
    bird::Bird,
    peer::{Options, Peer},
};

/// An UPDATE whose only attribute, an ORIGIN, claims more octets than there are.
const BROKEN: &str =
    r"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x1b\x02\x00\x00\x00\x04\x40\x01\x09\x00";
/// A KEEPALIVE.
const SOUND: &str = r"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x13\x04";

/// What tshark says of one message from the edge node.
async fn judged(message: &str) -> anyhow::Result<String> {
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topologies/pair.clab.yml");
    let lab = Lab::up(&topology).await?;
    Bird::configure(&lab, &Options::default()).await?;
    Bird::start(&lab).await?;
    let wire = Wire::watch(&lab, "edge").await?;
    let script = r#"exec 3<>/dev/tcp/192.0.2.1/179 && printf "$0" >&3 && cat <&3 >/dev/null"#;
    // It ends when BIRD has closed the connection.
    lab.run("edge", &["bash", "-c", script, message]).await?;
    let judged = wire.judge().await;
    Ok(judged.map_or_else(|error| error.to_string(), |sent| format!("{sent:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_message_is_not_overlooked() -> anyhow::Result<()> {
    let fault = judged(BROKEN).await?;
    assert!(fault.contains("finds fault"), "{fault}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_message_is_counted() -> anyhow::Result<()> {
    let sent = judged(SOUND).await?;
    assert_eq!(sent, "Sent { messages: {4: 1}, longest: 19 }");
    Ok(())
}
