//! A browser in a node: Chromium without a screen, driven over the pipe of its DevTools protocol.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, ChildStdout},
    time::{Instant, sleep, timeout},
};

use super::{AMPLE, Lab};
use crate::runner::{Process, Streams};

/// A machine that is busy takes its time to start one.
const STARTS: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Its pipe is descriptors 3 and 4. It asks nobody for anything on its own, and does without a sandbox, for it runs as root.
const START: &str = "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --disable-extensions --user-data-dir=/tmp/browser \
    --remote-debugging-pipe about:blank 3<&0 4>&1 >/dev/null 2>/var/log/browser.log";
/// What a page may not do, told by itself from its beginning on.
const WITNESS: &str = "window.violations = []; \
    document.addEventListener('securitypolicyviolation', (one) => window.violations.push(`${one.violatedDirective} ${one.blockedURI}`)); \
    window.addEventListener('error', (one) => window.violations.push(one.message)); \
    window.addEventListener('unhandledrejection', (one) => window.violations.push(String(one.reason)));";

/// A browser with one page; it ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    number: u64,
    session: Option<String>,
    _process: Process,
    /// Held, so that it goes after the browser; see [`super::wire::Wire`].
    _lab: Lab,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// In pixels of CSS.
    pub width: u32,
    /// In pixels of CSS.
    pub height: u32,
    /// The user likes it dark.
    pub dark: bool,
}

impl Browser {
    /// Starts one in the network of a node, with an empty page.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(lab: &Lab, node: &str) -> anyhow::Result<Self> {
        let streams = Streams { input: Stdio::piped(), output: Stdio::piped(), errors: Stdio::null() };
        // The node's files are read-only, but for some.
        let argv = ["env", "HOME=/tmp", "TMPDIR=/tmp", "sh", "-c", START];
        let mut process = lab.runner().spawn(node, &argv, streams)?;
        let commands = process.child.stdin.take().context("the browser has no pipe")?;
        let answers = BufReader::new(process.child.stdout.take().context("the browser has no pipe")?);
        let mut browser = Self { commands, answers, number: 0, session: None, _process: process, _lab: lab.clone() };
        let opened = async {
            let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await?;
            let attach = json!({ "targetId": target["targetId"], "flatten": true });
            let attached = browser.call("Target.attachToTarget", attach).await?;
            browser.session = attached["sessionId"].as_str().map(str::to_owned);
            browser.call("Page.enable", json!({})).await?;
            browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WITNESS })).await
        };
        timeout(STARTS, opened).await.context("the browser does not start")??;
        Ok(browser)
    }

    /// Looks at pages in this way from now on.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn view(&mut self, view: View) -> anyhow::Result<()> {
        let View { width, height, dark } = view;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", size).await?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).await.map(drop)
    }

    /// Goes to a page.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn go(&mut self, url: &str) -> anyhow::Result<()> {
        let went = self.call("Page.navigate", json!({ "url": url })).await?;
        ensure!(went["errorText"].is_null(), "{url}: {}", went["errorText"]);
        self.until("document.readyState === 'complete'").await
    }

    /// Presses and releases a key, by its name in DOM.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn press(&mut self, key: &str) -> anyhow::Result<()> {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            _ => bail!("no test presses {key} yet"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// What an expression is in the page.
    ///
    /// # Errors
    /// When it throws.
    pub async fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked).await?;
        ensure!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true in the page.
    ///
    /// # Errors
    /// When it is not in [`AMPLE`] time: then it shows what stands there instead.
    pub async fn until(&mut self, expression: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + AMPLE;
        loop {
            // It may throw as long as there is nothing there.
            let found = self.evaluate(expression).await;
            if matches!(found, Ok(Value::Bool(true))) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let text = self.evaluate("document.body?.innerText").await?;
                bail!("within {AMPLE:?} it was not so: {expression} ({found:?}); the page says {text}");
            }
            sleep(POLL).await;
        }
    }

    async fn call(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        self.number += 1;
        let mut command = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut line = serde_json::to_vec(&command)?;
        line.push(0);
        self.commands.write_all(&line).await.context("the browser has ended")?;
        let mut answer = timeout(STARTS, self.answer()).await.with_context(|| format!("{method} takes too long"))??;
        ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        Ok(answer["result"].take())
    }

    /// What else it tells is of no interest.
    async fn answer(&mut self) -> anyhow::Result<Value> {
        loop {
            let mut message = Vec::new();
            let read = self.answers.read_until(0, &mut message).await?;
            ensure!(read > 0, "the browser has ended");
            message.pop();
            let message: Value = serde_json::from_slice(&message)?;
            if message["id"] == self.number {
                return Ok(message);
            }
        }
    }
}
