//! `withdraw` and `announce`, and waiting for the end of a withdraw.

use std::time::{Duration, Instant};

use anycast_api::{AnnounceRequest, Arrived, OrderReply, WaitReply, WaitRequest, WithdrawMode, WithdrawRequest};
use anyhow::Context as _;
use serde::Serialize;
use tokio::{signal, time};

use super::{Session, order};
use crate::{
    cli,
    client::{Answer, Fault},
    exit::Exit,
    json, output,
    render::{self, orders::Order},
};

/// The wait is asked for in slices, because the agent tells what it waits for at the end of each; the first is short
/// for an early word.
const FIRST_SLICE: Duration = Duration::from_millis(250);
/// Every other slice.
const SLICE: Duration = Duration::from_secs(2);

/// How often in a row an answer may be cut short.
const CUTS: usize = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(50);

impl Session {
    /// Begins a maintenance.
    pub(super) async fn withdraw(&self, args: cli::Withdraw) -> anyhow::Result<Exit> {
        let mode = match (args.now, args.degrade) {
            (true, _) => WithdrawMode::Now,
            (false, true) => WithdrawMode::Degrade,
            (false, false) => WithdrawMode::Graceful,
        };
        let request = WithdrawRequest {
            services: args.services,
            mode,
            reason: args.reason,
            for_seconds: args.duration.map(|time| time.as_secs_f64()),
            boot: args.boot,
        };
        let (answer, reply) = self.give("/v1/withdraw", &request).await?;
        let kind = if args.degrade { Order::Degrade } else { Order::Withdraw };
        if !args.wait {
            return self.show_order(&answer, &reply, kind, request.services.is_empty());
        }
        if !self.json {
            self.show_order(&answer, &reply, kind, request.services.is_empty())?;
        }
        // What is added to the node meanwhile was not asked for.
        let named = reply.services.into_iter().map(|service| service.service).collect();
        self.wait(&answer, named, args.timeout).await
    }

    /// Ends a maintenance.
    pub(super) async fn announce(&self, services: Vec<String>, force: bool) -> anyhow::Result<Exit> {
        let request = AnnounceRequest { services, force };
        let (answer, reply) = self.give("/v1/announce", &request).await?;
        self.show_order(&answer, &reply, Order::Announce, request.services.is_empty())
    }

    /// Gives an order. Where no good answer comes, it may be in force all the same, and that must be told.
    async fn give(&self, path: &str, request: &impl Serialize) -> anyhow::Result<(Answer, OrderReply)> {
        let call = order(path, request)?;
        match self.client.ask(call).await.and_then(|answer| Ok((answer.read()?, answer))) {
            Ok((reply, answer)) => Ok((answer, reply)),
            Err(fault) if fault.leaves_doubt() => {
                Err(fault).context("it is not known whether the order was heard (anycastctl status tells)")
            }
            Err(fault) => Err(fault.into()),
        }
    }

    fn show_order(&self, answer: &Answer, reply: &OrderReply, order: Order, all: bool) -> anyhow::Result<Exit> {
        if self.json {
            self.output.text(&json::pretty(answer.text()))?;
        } else {
            self.output.page(&render::orders::page(reply, order, all, self.output.view()))?;
        }
        Ok(Exit::Done)
    }

    /// Waits until it is safe to stop.
    async fn wait(&self, ordered: &Answer, services: Vec<String>, timeout: Duration) -> anyhow::Result<Exit> {
        let waited = tokio::select! {
            waited = self.drained(services, timeout) => waited,
            _ = signal::ctrl_c() => {
                output::progress("interrupted: the order stands, only the waiting ends");
                // 128 + SIGINT, as a shell would say of a program that does not catch it.
                std::process::exit(130);
            }
        };
        let (answer, reply) = match waited {
            Ok(waited) => waited,
            Err(error) => {
                if self.json {
                    self.output.text(&json::pretty(&joined(ordered.text(), "null")))?;
                }
                return Err(error).context("the order was accepted and stands, but waiting for its end failed");
            }
        };
        if self.json {
            self.output.text(&json::pretty(&joined(ordered.text(), answer.text())))?;
        } else if reply.done {
            if let Some(arrived) = &reply.traffic {
                self.output.text(&format!("{}\n", arriving(arrived)))?;
            }
            self.output.text("safe to stop\n")?;
        }
        if !reply.ended.is_empty() {
            let text = format!("not safe to stop: the maintenance of {} was ended meanwhile", reply.ended.join(", "));
            output::progress(&format!("{text} (`anycastctl events` tells by whom)"));
        } else if !reply.done {
            let text = format!("not yet safe to stop after {}", humantime::format_duration(timeout));
            output::progress(&waiting(&text, &reply.waiting_for));
        }
        Ok(if reply.done { Exit::Done } else { Exit::NotSo })
    }

    /// Asks until it is so or the time is over, and says what is waited for whenever that changes.
    async fn drained(&self, services: Vec<String>, timeout: Duration) -> anyhow::Result<(Answer, WaitReply)> {
        let end = Instant::now() + timeout;
        let mut slice = FIRST_SLICE;
        let (mut said, mut cuts) = (Vec::new(), 0);
        loop {
            let begun = Instant::now();
            let left = end.saturating_duration_since(begun);
            let now = slice.min(left);
            let request = WaitRequest { services: services.clone(), timeout_seconds: now.as_secs_f64() };
            let answer = match self.client.ask_patiently(order("/v1/wait", &request)?, now).await {
                // As when another program goes on for the agent: it is asked the same.
                Err(Fault::Talk(_)) if cuts < CUTS => {
                    cuts += 1;
                    time::sleep(PAUSE).await;
                    continue;
                }
                answer => answer?,
            };
            cuts = 0;
            let reply: WaitReply = answer.read()?;
            if reply.done || !reply.ended.is_empty() || left <= slice {
                return Ok((answer, reply));
            }
            if reply.waiting_for != said {
                output::progress(&waiting("waiting", &reply.waiting_for));
                said = reply.waiting_for;
            }
            // An agent that answers before the time is not asked any faster for it.
            time::sleep_until((begun + now).into()).await;
            slice = SLICE;
        }
    }
}

/// What is said on the way.
fn waiting(text: &str, waiting_for: &[String]) -> String {
    if waiting_for.is_empty() { text.to_owned() } else { format!("{text}: {}", waiting_for.join("; ")) }
}

/// Whether anything comes yet. That it does is no reason to wait: nobody knows when it ends.
fn arriving(arrived: &Arrived) -> String {
    if let Some(why) = &arrived.unknown {
        return format!("traffic: not known: {why}");
    }
    let some = arrived.packets.iter().filter(|(_, packets)| **packets > 0);
    let some: Vec<String> = some.map(|(service, packets)| format!("{packets} for {service}")).collect();
    let what = match some.is_empty() {
        true => "0 packets".to_owned(),
        false => format!("packets still arrive, {}", some.join(", ")),
    };
    format!("traffic: {what} in the last {:.1} s", arrived.seconds)
}

/// The answer to the order with the answer to the waiting as its field `wait`.
fn joined(order: &str, wait: &str) -> String {
    let order = order.trim();
    let head = order.strip_suffix('}').unwrap_or(order);
    format!("{head},\"wait\":{wait}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_are_one_document() {
        let text = joined("{\"services\":[{\"stays\":{}}]}\n", "{\"done\":true}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["wait"]["done"], true);
        assert!(value["services"][0]["stays"].is_object());
    }
}
