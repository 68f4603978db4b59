//! What Prometheus scrapes of an agent beside a router.

use anyhow::ensure;

use super::edge::{Edge, PLAIN, V4, V6, story};

const SCRAPED: &str = "http://127.0.0.1:9273/metrics";

async fn scraped(edge: &Edge) -> anyhow::Result<String> {
    edge.run(&["curl", "-s", SCRAPED]).await
}

/// The value of a series; `None`: there is none.
pub(crate) async fn value(edge: &Edge, series: &str) -> anyhow::Result<Option<f64>> {
    let text = scraped(edge).await?;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(line.and_then(|value| value.parse().ok()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_linter_of_prometheus_finds_nothing_in_what_an_agent_says() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let text = scraped(edge).await?;
        for name in ["cpu_seconds_total", "open_fds", "max_fds", "resident_memory_bytes", "start_time_seconds"] {
            ensure!(text.contains(&format!("\nprocess_{name} ")), "{name}: {text}");
        }
        let lint = format!("curl -s {SCRAPED} | promtool check metrics");
        let said = edge.said(&["/bin/sh", "-c", &lint]).await?;
        ensure!(said.output.trim().is_empty(), "{}", said.output);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_withdraw_takes_is_seen_once_the_router_has_it() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let neighbors = format!("anycastd_prefix_neighbors{{prefix=\"{V4}\",service=\"web\"}}");
        ensure!(value(edge, &neighbors).await? == Some(1.0));
        let count = |what: &str| format!("anycastd_route_{what}_seconds_count{{kind=\"withdraw\",neighbor=\"rtr\"}}");
        ensure!(value(edge, &count("acked")).await? == Some(0.0), "nothing is withdrawn yet");
        edge.health("2").await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        let acked = count("acked");
        edge.wait("both withdraws are acknowledged", async || Ok(value(edge, &acked).await? == Some(2.0))).await?;
        ensure!(value(edge, &count("written")).await? == Some(2.0));
        ensure!(value(edge, &neighbors).await? == Some(0.0));
        // What is taken out of the configuration takes its series with it.
        edge.configure(&PLAIN.replace("rtr", "router").replace("told", "asked")).await?;
        edge.reload().await?;
        let gone = async || {
            let text = scraped(edge).await?;
            let old = text.contains("neighbor=\"rtr\"") || text.contains("check=\"told\"");
            Ok(!old && text.contains("check=\"asked\""))
        };
        edge.wait("there is nothing of what was before", gone).await
    };
    story(told, Edge::announcing().await).await
}
