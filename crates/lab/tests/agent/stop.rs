//! How the agent ends.

use anycast_lab::runner::Streams;
use nix::sys::signal::Signal;

use crate::edge::{Edge, PLAIN, V4, V6, story};

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_end_withdraws_says_why_unbinds_and_is_clean() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(PLAIN).await?;
        let argv = ["anycastd", "--config", "/etc/anycastd/anycastd.yaml"];
        let mut agent = edge.lab.runner().spawn("edge", &argv, Streams::captured())?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        agent.signal(Signal::SIGTERM)?;
        let status = agent.wait().await?;
        assert_eq!(status.code(), Some(0));
        assert_eq!((edge.addresses().await?, edge.anchors().await?), (vec![], vec![]));
        edge.withdrawn(V4).await?;
        let session = edge.session().await?;
        assert_eq!(session["lastNotificationReason"], "Cease/Administrative Shutdown", "{session}");
        assert_eq!(session["lastShutdownDescription"], "anycastd is shutting down", "{session}");
        assert!(edge.run(&["test", "-e", "/run/anycastd/control.sock"]).await.is_err(), "the socket goes with it");
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// Whoever withdraws and stops at once does not wait for the linger of the drain; what it has bound goes with it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_while_a_drain_lingers_leaves_nothing_bound() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&PLAIN.replace("linger: 200ms", "linger: 1h")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        assert!(edge.ctl(&["withdraw", "web", "--now"]).await?.status.success());
        edge.wait("it lingers", async || Ok(edge.ctl(&["explain", "web"]).await?.output.contains("linger"))).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.wait("it has ended", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        assert_eq!((edge.addresses().await?, edge.anchors().await?), (vec![], vec![]));
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_end_says_goodbye_first_and_a_second_signal_hurries() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let slow = PLAIN.replace("graceful_shutdown: 1s", "graceful_shutdown: 1h");
        edge.configure(&format!("{slow}shutdown: drain\n")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.announced_with(V4, "gracefulShutdown").await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.withdrawn(V4).await?;
        edge.wait("it has ended", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        assert_eq!(edge.addresses().await?, Vec::<String>::new());
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_ends_with_its_own_code_and_every_mistake() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&PLAIN.replace("asn: 65010", "asn: 0").replace("type: exec", "type: exce")).await?;
        let argv = ["anycastd", "--config", "/etc/anycastd/anycastd.yaml", "--check"];
        let said = anycast_lab::runner::run(edge.lab.runner(), "edge", &argv, anycast_lab::harness::AMPLE).await?;
        assert_eq!(said.status.code(), Some(78));
        assert!(said.errors.contains("2 mistakes in /etc/anycastd/anycastd.yaml"), "{}", said.errors);
        assert!(said.errors.contains("anycastd.yaml:3:8"), "{}", said.errors);
        edge.configure(PLAIN).await?;
        assert!(edge.run(&argv).await?.contains("good"));
        Ok(())
    };
    story(told, Edge::new().await).await
}
