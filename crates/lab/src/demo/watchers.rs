//! The programs that watch, each in its node, and the tasks that read what they say into the book.

use std::{process::Stdio, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::book::Book;
use crate::{
    runner::{Process, Runner, Streams},
    tools::{
        record::Record,
        routes::{MONITOR, RouteChange},
    },
};

/// How long a program may take to end when it is told to.
const FAREWELL: Duration = Duration::from_secs(3);
/// How soon an agent that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(100);
/// How much of a program's complaints is kept.
const COMPLAINTS: u64 = 2048;

/// What watches.
pub(crate) struct Watchers {
    runner: Arc<dyn Runner>,
    book: Arc<Book>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Whether a program's end is the end of what can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// It watches until it is told to stop.
    Always,
    /// It has one thing to do.
    Once,
}

impl Watchers {
    pub(crate) fn new(runner: Arc<dyn Runner>, book: Arc<Book>) -> Self {
        Self { runner, book, tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    /// One of the lab's own tools.
    pub(crate) fn tool(&mut self, node: &str, words: &[&str], lasts: Lasts) -> anyhow::Result<()> {
        self.tool_as(node, node, words, lasts)
    }

    /// The same, what it says being entered under another name: two tools of a kind in one node are told apart so.
    pub(crate) fn tool_as(&mut self, node: &str, entry: &str, words: &[&str], lasts: Lasts) -> anyhow::Result<()> {
        let program = self.runner.tool(node);
        let argv: Vec<&str> = [&program, "tool"].into_iter().chain(words.iter().copied()).collect();
        let process = start(&*self.runner, node, &argv)?;
        let (book, node, stop) = (self.book.clone(), entry.to_owned(), self.stop.subscribe());
        let name = words.first().copied().unwrap_or_default().to_owned();
        self.tasks.spawn(async move {
            let stopped = stop.clone();
            let complaints = follow(process, stop, |line| match serde_json::from_str::<Record>(line) {
                Ok(record) => book.record(&node, record),
                Err(error) => book.fault(format!("{name} in {node} said what no tool says ({error}): {line}")),
            });
            let complaints = complaints.await;
            if lasts == Lasts::Always && !*stopped.borrow() {
                book.fault(format!("{name} in {node} has ended{complaints}"));
            }
        });
        Ok(())
    }

    /// The routing table of a router.
    pub(crate) fn routes(&mut self, router: &str) -> anyhow::Result<()> {
        let process = start(&*self.runner, router, &MONITOR)?;
        let (book, router, stop) = (self.book.clone(), router.to_owned(), self.stop.subscribe());
        self.tasks.spawn(async move {
            let stopped = stop.clone();
            let complaints = follow(process, stop, |line| {
                if let Some(change) = RouteChange::parse(line) {
                    book.route(&router, change);
                }
            });
            let complaints = complaints.await;
            if !*stopped.borrow() {
                book.fault(format!("`{}` in {router} has ended{complaints}", MONITOR.join(" ")));
            }
        });
        Ok(())
    }

    /// The events of an agent, of each that runs there one after the other: agents are killed here.
    pub(crate) fn agent(&mut self, node: &str, since: String) {
        let (runner, book, node) = (self.runner.clone(), self.book.clone(), node.to_owned());
        let stop = self.stop.subscribe();
        self.tasks.spawn(async move {
            while !*stop.borrow() {
                let argv = ["anycastctl", "--json", "events", "-f", "--since", &since];
                match start(&*runner, &node, &argv) {
                    Ok(process) => {
                        let hear = |line: &str| {
                            if let Ok(event) = serde_json::from_str(line) {
                                book.event(&node, event);
                            }
                        };
                        drop(follow(process, stop.clone(), hear).await);
                    }
                    Err(error) => book.fault(format!("{error:#}")),
                }
                sleep(AGAIN).await;
            }
        });
    }

    /// Tells all of them to end, and waits for it.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        // What does not end by itself is killed with its task.
        let _ = timeout(FAREWELL, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

fn start(runner: &dyn Runner, node: &str, argv: &[&str]) -> anyhow::Result<Process> {
    let streams = Streams { input: Stdio::piped(), output: Stdio::piped(), errors: Stdio::piped() };
    runner.spawn(node, argv, streams).with_context(|| format!("cannot run {} in {node}", argv.join(" ")))
}

/// Reads a program's lines until it ends, and returns what it complained about. Told to stop, it closes the program's input
/// and reads on: our tools end then. Others are killed.
async fn follow(mut process: Process, mut stop: watch::Receiver<bool>, mut line: impl FnMut(&str)) -> String {
    let mut input = process.child.stdin.take();
    let (Some(output), Some(errors)) = (process.child.stdout.take(), process.child.stderr.take()) else {
        return String::new();
    };
    let mut lines = BufReader::with_capacity(256 * 1024, output).lines();
    loop {
        tokio::select! {
            next = lines.next_line() => match next {
                Ok(Some(text)) => line(&text),
                Ok(None) | Err(_) => break,
            },
            _ = stop.wait_for(|stop| *stop), if input.is_some() => {
                input = None;
            }
            // Dropped, it is killed.
            () = sleep(FAREWELL / 2), if input.is_none() => break,
        }
    }
    let mut complaints = String::new();
    let mut errors = errors.take(COMPLAINTS);
    let _ = timeout(AGAIN, errors.read_to_string(&mut complaints)).await;
    let ended = timeout(AGAIN, process.wait()).await;
    let status = ended.ok().and_then(Result::ok).map_or(String::new(), |status| format!(" ({status})"));
    let complaints = complaints.trim();
    if complaints.is_empty() { status } else { format!("{status}: {complaints}") }
}
