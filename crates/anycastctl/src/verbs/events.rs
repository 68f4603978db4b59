//! `events`: those that are kept, and those to come.

use std::time::SystemTime;

use anycast_api::{Event, Timestamp};

use super::Session;
use crate::{
    cli::{self, Since},
    client::{Call, Fault},
    exit::Exit,
    json, render,
};

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
        let mut lines = self.client.follow(call).await?;
        while let Some(lines) = lines.next().await? {
            self.print_events(lines.iter().map(String::as_str))?;
        }
        Err(Fault::Ended.into())
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

/// The point in time meant.
fn point(since: Since, now: SystemTime) -> Timestamp {
    match since {
        Since::At(time) => time,
        Since::Ago(ago) => now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH).into(),
    }
}
