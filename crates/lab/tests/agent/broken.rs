//! The agent breaks, or the kernel refuses to answer it: what is announced is what was proven, before and after.

use anyhow::ensure;

use crate::{
    edge::{ADDRESS_V4, Edge, PLAIN, V4, V6, story},
    fence::{order, seen, settled},
};

/// ENOBUFS, and ENOMEM; and which address the service is given meanwhile, after those that it has.
const REFUSALS: [(i32, &str, &str); 2] =
    [(105, "No buffer space available", "203.0.113.81"), (12, "Cannot allocate memory", "203.0.113.82")];
/// Somebody else's.
const FOREIGN: &str = "198.51.100.77/32";

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_without_memory_for_an_answer_moves_nothing() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let before = settled(edge).await?;
        let mut addresses = format!("{ADDRESS_V4},");
        for (errno, words, more) in REFUSALS {
            order(edge, &format!(r#"{{"what":"netlink_fails","errno":{errno}}}"#)).await?;
            // What makes the agent look.
            edge.run(&["ip", "address", "replace", FOREIGN, "dev", "lo"]).await?;
            let problem = async || {
                let problems = edge.ask(&["status"]).await?["problems"].to_string();
                Ok((problems.contains("netlink") && problems.contains(words)).then_some(()))
            };
            edge.lab.wait(&format!("`{words}` is a problem"), problem).await?;
            // Nor is the address announced as bound that cannot be bound.
            addresses += &format!(" {more},");
            edge.configure(&PLAIN.replace("203.0.113.80,", &addresses)).await?;
            edge.reload().await?;
            edge.wait("it waits for the address", async || {
                let addresses = edge.ask(&["status"]).await?["addresses"].clone();
                let new = addresses
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|one| one["address"].as_str().is_some_and(|at| at.starts_with(more)));
                Ok(new.is_some_and(|one| one["bound"] == false))
            })
            .await?;
            ensure!(seen(edge).await? == before, "{:?} {before:?}", seen(edge).await?);

            order(edge, r#"{"what":"netlink_fails","errno":null}"#).await?;
            edge.wait("the address is there", async || Ok(edge.addresses().await?.contains(&format!("{more}/32"))))
                .await?;
            edge.wait("it is no problem any more", async || {
                Ok(!edge.ask(&["status"]).await?["problems"].to_string().contains(words))
            })
            .await?;
            edge.run(&["ip", "address", "delete", FOREIGN, "dev", "lo"]).await?;
            ensure!(seen(edge).await? == before, "{:?} {before:?}", seen(edge).await?);
        }
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_the_agent_and_the_next_one_sets_things_right() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.run(&["ip", "address", "add", FOREIGN, "dev", "lo"]).await?;
        order(edge, r#"{"what":"loop_panics"}"#).await?;
        edge.wait("it is gone", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        ensure!(edge.addresses().await?.contains(&format!("{ADDRESS_V4}/32")), "nobody is there to remove it");

        edge.configure(&PLAIN.replace("203.0.113.80,", "203.0.113.81,")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        let mut addresses = edge.addresses().await?;
        addresses.sort();
        ensure!(addresses == [FOREIGN, "2001:db8:53::80/128", "203.0.113.81/32"], "{addresses:?}");
        let mut anchors = edge.anchors().await?;
        anchors.sort();
        ensure!(anchors == [V6, V4], "{anchors:?}");
        ensure!(edge.sessions().await? == 2);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}
