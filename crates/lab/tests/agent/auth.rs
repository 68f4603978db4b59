//! What protects a session: TCP MD5, GTSM, and the distance it may span.

use crate::edge::{Edge, PLAIN, V4, router, story};

const PASSWORD: &str = "/etc/anycastd/rtr.password";

/// [`PLAIN`] with more keys for its neighbor.
fn with(keys: &str) -> String {
    PLAIN.replace("hold_time: 9s", &format!("hold_time: 9s, {keys}"))
}

async fn password(edge: &Edge, text: &str) -> anyhow::Result<()> {
    edge.lab.write("edge", PASSWORD, text).await?;
    edge.run(&["chmod", "600", PASSWORD]).await.map(|_| ())
}

/// What the agent says is wrong, once it says it.
async fn error(edge: &Edge, part: &str) -> anyhow::Result<()> {
    edge.wait(&format!("the agent says: {part}"), async || {
        let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
        Ok(neighbor[0]["last_error"].as_str().is_some_and(|error| error.contains(part)))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_have_the_same_password_or_none_hears_the_other() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(edge, &["neighbor 192.0.2.2 password hunter2"]).await?;
        password(edge, "hunter3\n").await?;
        edge.configure(&with(&format!("password_file: {PASSWORD}"))).await?;
        edge.start().await?;
        error(edge, "is the TCP MD5 password the same at both ends?").await?;
        assert_eq!(edge.path(V4).await?, None);

        // The file is read again with the configuration, and a changed password is a changed neighbor.
        password(edge, "hunter2\n").await?;
        edge.reload().await?;
        edge.announced(V4).await?;
        let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
        assert_eq!(neighbor[0]["transport"]["authentication"], "tcp-md5", "{neighbor}");
        let log = edge.run(&["cat", "/var/log/anycastd.log"]).await?;
        assert!(!log.contains("hunter"), "a password is in the log");
        let status = edge.ask(&["status"]).await?.to_string() + &edge.ask(&["neighbors"]).await?.to_string();
        assert!(!status.contains("hunter"), "a password is in the status");
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_others_can_read_is_refused() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        password(edge, "hunter2\n").await?;
        edge.run(&["chmod", "644", PASSWORD]).await?;
        edge.configure(&with(&format!("password_file: {PASSWORD}"))).await?;
        let said = edge.said(&["anycastd", "--config", "/etc/anycastd/anycastd.yaml"]).await?;
        assert_eq!(said.status.code(), Some(78), "{said:?}");
        assert!(said.errors.contains("can be read or changed by others"), "{}", said.errors);
        assert!(said.errors.contains("chmod 640"), "{}", said.errors);
        assert!(!said.errors.contains("hunter2"), "{}", said.errors);
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_from_farther_away_than_allowed_are_not_heard() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        // The router sends with TTL 1, as it does for a neighbor on the same link: GTSM hears none of it.
        edge.configure(&with("ttl_security: 1")).await?;
        edge.start().await?;
        error(edge, "GTSM: does the neighbor send with TTL 255").await?;
        assert_eq!(edge.path(V4).await?, None);

        router(edge, &["neighbor 192.0.2.2 ttl-security hops 1"]).await?;
        edge.announced(V4).await?;
        let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
        assert_eq!(neighbor[0]["transport"]["ttl"], 255, "{neighbor}");
        assert_eq!(neighbor[0]["transport"]["min_ttl"], 255, "{neighbor}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// The router asks for GTSM and the agent does not send with TTL 255.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_with_gtsm_does_not_hear_an_agent_without() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        router(edge, &["neighbor 192.0.2.2 ttl-security hops 1"]).await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.wait("the agent has dialled and was not heard", async || {
            let neighbor = edge.ask(&["neighbors", "rtr"]).await?;
            Ok(neighbor[0]["last_error"].is_string())
        })
        .await?;
        assert_eq!(edge.path(V4).await?, None);
        edge.configure(&with("ttl_security: 1")).await?;
        edge.reload().await?;
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_bound_to_its_device() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&with("bind_device: lo")).await?;
        edge.start().await?;
        error(edge, "connect:").await?;
        assert_eq!(edge.path(V4).await?, None);
        edge.configure(&with("bind_device: eth1, source: 192.0.2.2")).await?;
        edge.reload().await?;
        edge.announced(V4).await?;
        edge.configure(&with("bind_device: eth9")).await?;
        edge.reload().await?;
        error(edge, "cannot set the device: No such device").await
    };
    story(told, Edge::new().await).await
}
