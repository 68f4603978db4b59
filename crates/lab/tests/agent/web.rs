//! A web service that is asked at its anycast addresses, over both families.

use crate::edge::{Edge, PLAIN, V4, V6, story};

/// [`PLAIN`] with checks of the service itself.
fn config() -> String {
    let checks = r#"checks:
      - { name: ipv4, type: http, url: "http://203.0.113.80/healthz", expect: { status: 200, body: ok }, interval: 200ms }
      - { name: ipv6, type: http, url: "http://[2001:db8:53::80]/healthz", interval: 200ms }
      - { name: accepts, type: tcp, port: 80, interval: 200ms }
    up:"#;
    let (before, rest) = PLAIN.split_once("checks:").expect("it has checks");
    let (_, after) = rest.split_once("up:").expect("and attributes");
    format!("{before}{checks}{after}")
}

async fn serve(edge: &Edge) -> anyhow::Result<()> {
    let tool = edge.lab.runner().tool("edge");
    let argv = [tool.as_str(), "tool", "serve", "--node", "edge", "--region", "test"];
    edge.lab.start("edge", &argv, "/var/log/service.log").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_is_withdrawn_and_announced_again_when_it_is_back() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&config()).await?;
        serve(edge).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;

        let tool = edge.lab.runner().tool("edge");
        edge.run(&[&tool, "tool", "kill", "--signal", "kill", "anycast-lab", "tool", "serve"]).await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        let why = edge.ctl(&["explain", V4]).await?.output;
        assert!(why.contains("refused"), "it says what was seen: {why}");

        serve(edge).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::new().await).await
}
