//! `events`: those that are kept, and those to come.

use std::time::{Duration, SystemTime};

use anycast_api::{Event, Timestamp};
use tokio::time::sleep;

use super::Session;
use crate::{
    cli::{self, Since},
    client::{Call, Fault, Lines},
    exit::Exit,
    json, render,
};

/// How often in a row an agent is followed anew that then says nothing new, or not at all.
const TRIES: usize = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(50);

impl Session {
    /// Prints events, one a line.
    pub(super) async fn events(&self, args: cli::Events) -> anyhow::Result<Exit> {
        let since = args.since.map(|since| point(since, SystemTime::now()).to_string());
        let follow = args.follow.then_some("true");
        let query = [
            ("since", since.as_deref()),
            ("follow", follow),
            ("service", args.service.as_deref()),
            ("neighbor", args.neighbor.as_deref()),
        ];
        let call = Call::get("/v1/events", &query);
        if !args.follow {
            let answer = self.client.ask(call).await?;
            self.print_events(answer.text().lines().filter(|line| !line.trim().is_empty()))?;
            return Ok(Exit::Done);
        }
        let (mut last, mut tries) = (None, 0);
        let mut lines = self.client.follow(call).await?;
        loop {
            while let Some(lines) = lines.next().await.or_else(ended)? {
                (last, tries) = (seen(&lines)?.or(last), 0);
                self.print_events(lines.iter().map(String::as_str))?;
            }
            // As when another program goes on for the agent: then it knows the last of them.
            let news;
            (lines, news) = loop {
                let Some(last) = last.as_ref().filter(|_| tries < TRIES) else { return Err(Fault::Ended.into()) };
                tries += 1;
                sleep(PAUSE).await;
                if let Some(resumed) = self.resume(&args, last).await {
                    break resumed;
                }
            };
            if news.len() > 1 {
                tries = 0;
            }
            last = seen(&news)?;
            self.print_events(news.iter().skip(1).map(String::as_str))?;
        }
    }

    /// Follows on from an event; `None`: whoever answers does not know it. What there is, that event first.
    async fn resume(&self, args: &cli::Events, last: &Event) -> Option<(Lines, Vec<String>)> {
        let since = last.at.to_string();
        let query = [
            ("since", Some(since.as_str())),
            ("follow", Some("true")),
            ("service", args.service.as_deref()),
            ("neighbor", args.neighbor.as_deref()),
        ];
        let mut lines = self.client.follow(Call::get("/v1/events", &query)).await.ok()?;
        let first = lines.next().await.ok()??;
        let at = first.iter().position(|line| serde_json::from_str::<Event>(line).is_ok_and(|event| event == *last))?;
        Some((lines, first.into_iter().skip(at).collect()))
    }

    fn print_events<'a>(&self, lines: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in lines {
            let event: Event = serde_json::from_str(line).map_err(Fault::Meaning)?;
            if self.json {
                text.push_str(&json::harmless(line));
                text.push('\n');
            } else {
                text.push_str(&self.output.paint(&render::events::page(&event)));
            }
        }
        Ok(self.output.text(&text)?)
    }
}

/// A stream that breaks off is one that ends.
fn ended(fault: Fault) -> Result<Option<Vec<String>>, Fault> {
    match fault {
        Fault::Talk(_) | Fault::Body(_) | Fault::Ended => Ok(None),
        fault => Err(fault),
    }
}

/// The last of them.
fn seen(lines: &[String]) -> Result<Option<Event>, Fault> {
    lines.last().map(|line| serde_json::from_str(line).map_err(Fault::Meaning)).transpose()
}

/// The point in time meant.
fn point(since: Since, now: SystemTime) -> Timestamp {
    match since {
        Since::At(time) => time,
        Since::Ago(ago) => now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH).into(),
    }
}
