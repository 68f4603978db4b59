//! Checks are run on request, by the agent, and what they find changes nothing.

use serde_json::Value;

use crate::edge::{Edge, PLAIN, V4, story};

/// [`PLAIN`] with a check that runs once a minute, and one that takes a while and fails where it is not alone.
fn config() -> String {
    let alone = r#"
      - name: alone
        type: exec
        command: [/bin/sh, -c, "mkdir /run/alone || exit 2; sleep 0.2; rmdir /run/alone"]
        interval: 50ms
        fast_interval: 50ms
        timeout: 10s
    up:"#;
    PLAIN.replace("interval: 200ms\n        fast_interval: 50ms", "interval: 60s\n        rise: 1").replacen(
        "\n    up:",
        alone,
        1,
    )
}

async fn check(edge: &Edge, number: usize) -> anyhow::Result<Value> {
    Ok(edge.ask(&["status"]).await?["services"][0]["checks"][number].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_run_on_request_and_change_nothing() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&config()).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let before = check(edge, 1).await?;
        let good = edge.ask(&["probe", "web", "told"]).await?;
        assert_eq!(good["checks"].as_array().map(Vec::len), Some(1), "{good}");
        assert_eq!(
            (&good["checks"][0]["answer"]["health"], &good["checks"][0]["answer"]["detail"]),
            (&"up".into(), &"exit 0".into())
        );

        edge.health("2").await?;
        let said = edge.ctl(&["probe", "web", "told"]).await?;
        assert_eq!(said.status.code(), Some(1), "{}", said.output);
        assert!(said.output.contains("down") && said.output.contains("exit 2"), "{}", said.output);
        let after = check(edge, 1).await?;
        for key in ["health", "since", "runs", "failures", "turning", "last"] {
            assert_eq!(before[key], after[key], "{key}");
        }
        edge.health("0").await?;

        // Many at a time, beside the runs of its own.
        let probe = || edge.ctl(&["probe", "web", "--timeout", "25s"]);
        let all = tokio::join!(probe(), probe(), probe(), probe());
        for said in [all.0?, all.1?, all.2?, all.3?] {
            assert_eq!(said.status.code(), Some(0), "{}", said.output);
        }
        let alone = check(edge, 0).await?;
        assert_eq!((&alone["name"], &alone["failures"]), (&"alone".into(), &0.into()), "two runs at a time: {alone}");

        let said = edge.ctl(&["probe", "web", "tolt"]).await?;
        assert_eq!(said.status.code(), Some(2), "{}", said.output);
        let said = edge.ctl(&["probe", "wbe"]).await?;
        assert_eq!(said.status.code(), Some(2), "{}", said.output);
        assert_eq!(edge.sessions().await?, 1);
        assert!(edge.path(V4).await?.is_some());
        Ok(())
    };
    story(told, Edge::new().await).await
}
