//! Checks that are run because somebody asks: begun here, waited for by who asks.

use std::time::{Duration, SystemTime};

use anycast_api::ProbedCheck;
use futures_util::future::join_all;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{Agent, Refusal, report};
use crate::checker::Reply;

/// A check that somebody waits for.
pub(crate) struct Awaited {
    name: String,
    kind: &'static str,
    /// Or why it is not run.
    reply: Result<oneshot::Receiver<Reply>, String>,
}

impl Agent {
    /// Has the checks of a service run, or one of them, each when it has no run under way.
    pub(crate) fn probe(&self, service: &str, check: Option<&str>) -> Result<Vec<Awaited>, Refusal> {
        let named = self.named(&[service.to_owned()])?;
        let found = named.first().and_then(|name| Some((name, self.settings.core.services.get(name)?)));
        let Some((name, service)) = found else { return Err(Refusal::NoServices) };
        let wanted = service.checks.iter().filter(|(known, _)| check.is_none_or(|check| known.as_str() == check));
        let awaited: Vec<_> = wanted
            .map(|(known, config)| {
                let checker = self.checkers.get(name).and_then(|checkers| checkers.get(known));
                let reply = match checker {
                    Some(checker) if !checker.state.borrow().enabled => Err(self.paused_because(name)),
                    Some(checker) => checker.ask().ok_or_else(|| "too many wait for it already".to_owned()),
                    None => Err("it has not begun yet".to_owned()),
                };
                Awaited { name: known.to_string(), kind: config.probe.kind(), reply }
            })
            .collect();
        match check {
            Some(check) if awaited.is_empty() => Err(Refusal::NoSuchCheck {
                service: name.to_string(),
                name: check.to_owned(),
                known: service.checks.keys().map(ToString::to_string).collect(),
            }),
            _ => Ok(awaited),
        }
    }
}

/// What they found, as far as it is found in time.
pub(crate) async fn answers(awaited: Vec<Awaited>, limit: Duration) -> Vec<ProbedCheck> {
    let deadline = Instant::now() + limit;
    let each = awaited.into_iter().map(|Awaited { name, kind, reply }| async move {
        let reply = match reply {
            Err(why) => Err(why),
            Ok(reply) => match timeout_at(deadline, reply).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => Err("the run was lost: its check was removed, or its task ended".to_owned()),
                Err(_) => {
                    let limit = humantime::format_duration(limit);
                    Err(format!("no answer within {limit}: a run before it, or this one, has not ended"))
                }
            },
        };
        let (answer, not_run) = match reply {
            Ok(outcome) => (Some(report::answer(outcome, SystemTime::now())), None),
            Err(why) => (None, Some(why)),
        };
        ProbedCheck { name, kind: kind.to_owned(), answer, not_run }
    });
    join_all(each).await
}
