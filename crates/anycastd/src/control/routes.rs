//! One request, one answer.

use std::time::Duration;

use anycast_api::{ErrorReply, Event, ProbeReply, ProbeRequest, ReloadRequest, Timestamp, UpgradeRequest, WaitRequest};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Semaphore, SemaphorePermit, broadcast, oneshot};

use super::{Caller, Desk};
use crate::{
    agent::{About, Agent, Handle, NoAnswer, Refusal, probe_answers},
    peer::Ask,
    query::query,
    reload::Wish,
    upgrade::Refused,
};

/// The largest body of a request.
const BODY: usize = 64 * 1024;
/// How long a client may take to send it.
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// The whole node is written out for one at a time, of those who may change things and of the others: those who ask all the
/// time must not take the time of the sessions.
static OPERATORS: Semaphore = Semaphore::const_new(1);
static OTHERS: Semaphore = Semaphore::const_new(1);
/// How long a neighbor's task may take to write its recent messages.
const CAPTURE_WITHIN: Duration = Duration::from_secs(2);
/// The longest a client may wait for checks that it has run.
const LONGEST_PROBE: Duration = Duration::from_secs(3600);
/// The longest a client may wait for a drain.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

pub(super) type Answer = Response<BoxBody<Bytes, std::convert::Infallible>>;

/// Why a request gets no answer of its kind.
struct Fault {
    status: StatusCode,
    error: String,
    hint: Option<String>,
}

impl Fault {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: None }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::NoSuchService { .. }
            | Refusal::NoSuchCheck { .. }
            | Refusal::NoSuchNeighbor { .. }
            | Refusal::NoSuchTarget { .. } => StatusCode::NOT_FOUND,
            Refusal::NoServices | Refusal::Stopping => StatusCode::CONFLICT,
            Refusal::Bad(_) => StatusCode::BAD_REQUEST,
            Refusal::Disk(_) | Refusal::DiskHangs => StatusCode::INSUFFICIENT_STORAGE,
            Refusal::NoAnswer(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let hint = match &refusal {
            Refusal::Disk(_) | Refusal::DiskHangs => {
                Some(
                    "free space on the disk of the state directory, and try again; stopping the agent withdraws all as well".to_owned(),
                )
            }
            _ => None,
        };
        Self { status, error: refusal.to_string(), hint }
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Agent(refusal) => refusal.into(),
            refused @ (Refused::Not(_) | Refused::Program { .. }) => {
                let hint = refused.remedy().map(str::to_owned);
                Self { hint, ..Self::new(StatusCode::CONFLICT, refused.to_string()) }
            }
        }
    }
}

impl From<NoAnswer> for Fault {
    fn from(none: NoAnswer) -> Self {
        Refusal::from(none).into()
    }
}

/// Answers one request.
pub(super) async fn answer(request: Request<Incoming>, desk: &Desk, caller: &Caller) -> Answer {
    match route(request, desk, caller).await {
        Ok(answer) => answer,
        Err(Fault { status, error, hint }) => json(status, &ErrorReply { error, hint }),
    }
}

/// For whoever comes when every place is taken.
pub(super) fn no_place() -> Answer {
    let error = "too many connections to the control socket at a time".to_owned();
    let hint = Some("`ss -xp` shows who holds them; those who follow events count too".to_owned());
    json(StatusCode::TOO_MANY_REQUESTS, &ErrorReply { error, hint })
}

async fn route(request: Request<Incoming>, desk: &Desk, caller: &Caller) -> Result<Answer, Fault> {
    let bad = || Fault::new(StatusCode::BAD_REQUEST, "the query cannot be decoded");
    let query = query(request.uri().query().unwrap_or_default()).ok_or_else(bad)?;
    let wanted = |key: &str| query.get(key).cloned();
    let agent = &desk.agent;
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/v1/status") => told(agent, caller, |agent| Ok(agent.status())).await,
        (&Method::GET, "/v1/explain") => {
            let target =
                wanted("target").ok_or_else(|| Fault::new(StatusCode::BAD_REQUEST, "explain needs a target"))?;
            told(agent, caller, move |agent| agent.explain(&target)).await
        }
        (&Method::GET, "/v1/neighbors") => {
            let name = wanted("name");
            told(agent, caller, move |agent| agent.neighbors(name.as_deref())).await
        }
        (&Method::GET, "/v1/routes") => {
            let name = wanted("neighbor");
            told(agent, caller, move |agent| agent.routes(name.as_deref())).await
        }
        (&Method::GET, "/v1/events") => {
            let about = (wanted("service"), wanted("neighbor"));
            let follow = wanted("follow").as_deref() == Some("true");
            if follow {
                caller.served.leave();
            }
            events(desk, wanted("since"), follow, about).await
        }
        (&Method::GET, "/v1/capture") => {
            let name = wanted("neighbor")
                .ok_or_else(|| Fault::new(StatusCode::BAD_REQUEST, "a capture needs the name of a neighbor"))?;
            capture(agent, caller, name).await
        }
        (&Method::POST, "/v1/withdraw") => {
            permitted(caller)?;
            let order = body(request).await?;
            good(&desk.orders.withdraw(agent, order, caller.actor.clone()).await?)
        }
        (&Method::POST, "/v1/announce") => {
            permitted(caller)?;
            let order = body(request).await?;
            good(&desk.orders.announce(agent, order, caller.actor.clone()).await?)
        }
        (&Method::POST, "/v1/probe") => {
            permitted(caller)?;
            caller.served.leave();
            probe(agent, caller, body(request).await?).await
        }
        (&Method::GET, "/v1/doctor") => {
            permitted(caller)?;
            let _turn = turn(caller).await?;
            let (file, program) = (desk.reloader.file().to_owned(), desk.upgrader.program.clone());
            good(&crate::doctor::examine(agent, file, program).await?)
        }
        (&Method::POST, "/v1/reload") => {
            permitted(caller)?;
            reload(desk, caller, body(request).await?).await
        }
        (&Method::POST, "/v1/upgrade") => {
            permitted(caller)?;
            caller.served.leave();
            upgrade(desk, caller, body(request).await?).await
        }
        #[cfg(debug_assertions)]
        (&Method::POST, "/v1/fault") => {
            permitted(caller)?;
            crate::faults::order(body(request).await?, agent);
            good(&())
        }
        (&Method::POST, "/v1/wait") => {
            caller.served.leave();
            wait(desk, body(request).await?).await
        }
        _ => Err(Fault::new(StatusCode::NOT_FOUND, format!("there is no {} {path}", request.method()))),
    }
}

/// Waits for one's turn to be told something long.
async fn turn(caller: &Caller) -> Result<SemaphorePermit<'static>, Fault> {
    let readers = if caller.may_change { &OPERATORS } else { &OTHERS };
    readers.acquire().await.map_err(|_| NoAnswer.into())
}

/// What the loop says, written out where it takes nobody's time.
async fn told<T: Serialize + Send + 'static>(
    agent: &Handle,
    caller: &Caller,
    question: impl FnOnce(&mut Agent) -> Result<T, Refusal> + Send + 'static,
) -> Result<Answer, Fault> {
    let _turn = turn(caller).await?;
    let told = agent.ask(question).await??;
    tokio::task::spawn_blocking(move || good(&told)).await.unwrap_or_else(|_| Err(NoAnswer.into()))
}

/// The neighbor's task writes the file, between two messages.
async fn capture(agent: &Handle, caller: &Caller, name: String) -> Result<Answer, Fault> {
    let _turn = turn(caller).await?;
    let asks = agent.ask(move |agent| agent.peer_asks(&name)).await??;
    let (reply, answer) = oneshot::channel();
    let written = async {
        asks.send(Ask::Capture(reply)).await.map_err(|_| NoAnswer)?;
        answer.await.map_err(|_| NoAnswer)
    };
    // A session that is being closed takes its time; a task that takes longer hangs.
    let written = tokio::time::timeout(CAPTURE_WITHIN, written).await.unwrap_or(Err(NoAnswer))?;
    let mut answer = Response::new(Full::new(Bytes::from(written)).boxed());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(answer)
}

fn permitted(caller: &Caller) -> Result<(), Fault> {
    if caller.may_change {
        return Ok(());
    }
    Err(Fault {
        status: StatusCode::FORBIDDEN,
        error: format!("the user `{}` may only look, and changes nothing", caller.actor.0),
        hint: Some("run it as root, or add the user to `control: { operators: […] }`".to_owned()),
    })
}

async fn wait(desk: &Desk, request: WaitRequest) -> Result<Answer, Fault> {
    let bad = || Fault::new(StatusCode::BAD_REQUEST, "timeout_seconds is from 0 to 86400");
    let timeout = Duration::try_from_secs_f64(request.timeout_seconds).map_err(|_| bad())?;
    if timeout > LONGEST_WAIT {
        return Err(bad());
    }
    let services = request.services.clone();
    let over = desk.agent.ask(move |agent| agent.wait(&services)).await??;
    let _ = tokio::time::timeout(timeout, over).await;
    let services = request.services;
    let told = desk.agent.ask(move |agent| {
        let reply = agent.wait_reply(&services);
        let arriving = reply.done.then(|| agent.arriving(&services)).flatten();
        (reply, arriving)
    });
    let (mut reply, arriving) = told.await?;
    if let Some(arriving) = arriving {
        reply.traffic = Some(arriving.told().await);
    }
    good(&reply)
}

/// It changes nothing, but it makes the agent ask, and run programs: that is for those who may change things.
async fn probe(agent: &Handle, caller: &Caller, request: ProbeRequest) -> Result<Answer, Fault> {
    let ProbeRequest { service, check, timeout_seconds } = request;
    let bad = || Fault::new(StatusCode::BAD_REQUEST, "timeout_seconds is from 0 to 3600");
    let limit = Duration::try_from_secs_f64(timeout_seconds).map_err(|_| bad())?;
    if limit > LONGEST_PROBE {
        return Err(bad());
    }
    tracing::info!(by = %caller.actor.0, service, "checks are run on request");
    let name = service.clone();
    let awaited = agent.ask(move |agent| agent.probe(&name, check.as_deref())).await??;
    good(&ProbeReply { service, checks: probe_answers(awaited, limit).await })
}

/// A task of its own: what has begun does not break off with the connection of whoever asked.
async fn reload(desk: &Desk, caller: &Caller, request: ReloadRequest) -> Result<Answer, Fault> {
    let wish = Wish { dry_run: request.dry_run, yes: request.yes, by: caller.actor.0.clone() };
    let reloader = desk.reloader.clone();
    let reply = tokio::spawn(async move { reloader.now(wish).await }).await.unwrap_or(Err(NoAnswer))?;
    tokio::task::spawn_blocking(move || good(&reply)).await.unwrap_or_else(|_| Err(NoAnswer.into()))
}

/// Likewise. Where it is done there is no answer: another program has this process by then.
async fn upgrade(desk: &Desk, caller: &Caller, request: UpgradeRequest) -> Result<Answer, Fault> {
    let good_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !(1..=64).contains(&request.id.len()) || !request.id.bytes().all(good_id) {
        return Err(Fault::new(StatusCode::BAD_REQUEST, "the id of an upgrade is 1 to 64 letters, digits and hyphens"));
    }
    let (upgrader, by) = (desk.upgrader.clone(), caller.actor.0.clone());
    if request.dry_run {
        let tried =
            tokio::spawn(async move { upgrader.try_out().await }).await.unwrap_or_else(|_| Err(NoAnswer.into()));
        return good(&tried?);
    }
    let refused = tokio::spawn(async move { upgrader.upgrade(request, by).await }).await;
    Err(refused.unwrap_or_else(|_| NoAnswer.into()).into())
}

async fn events(
    desk: &Desk,
    since: Option<String>,
    follow: bool,
    (service, neighbor): (Option<String>, Option<String>),
) -> Result<Answer, Fault> {
    let bad = |_| Fault::new(StatusCode::BAD_REQUEST, "since is a time such as 2026-11-23T20:16:21Z");
    let since = since.map(|text| text.parse::<Timestamp>()).transpose().map_err(bad)?;
    let since = since.map(Timestamp::system_time);
    let question = move |agent: &mut Agent| {
        let about = agent.about(service.as_deref(), neighbor.as_deref())?;
        Ok::<_, Refusal>((about, agent.ring().since(since), agent.ring().follow()))
    };
    let (about, past, live) = desk.agent.ask(question).await??;
    let past: String = past.iter().filter(|event| about.concerns(event)).map(line).collect();
    let first = stream::iter([Ok(Frame::data(Bytes::from(past)))]);
    let body = if follow {
        BodyExt::boxed(StreamBody::new(first.chain(stream::unfold((live, about), next_line))))
    } else {
        BodyExt::boxed(StreamBody::new(first))
    };
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(answer)
}

type Lines = (broadcast::Receiver<Event>, About);

async fn next_line((mut live, about): Lines) -> Option<(Result<Frame<Bytes>, std::convert::Infallible>, Lines)> {
    let next = loop {
        match live.recv().await {
            Ok(event) if !about.concerns(&event) => {}
            next => break next,
        }
    };
    let text = match next {
        Ok(event) => line(&event),
        Err(broadcast::error::RecvError::Lagged(missed)) => line(&Event {
            id: 0,
            at: Timestamp::now(),
            kind: "agent".to_owned(),
            subject: "events".to_owned(),
            text: format!("{missed} events came too fast for this reader and are not shown"),
        }),
        Err(broadcast::error::RecvError::Closed) => return None,
    };
    Some((Ok(Frame::data(Bytes::from(text))), (live, about)))
}

fn line(event: &Event) -> String {
    let mut text = serde_json::to_string(event).unwrap_or_default();
    text.push('\n');
    text
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Fault> {
    let read = Limited::new(request.into_body(), BODY).collect();
    let late = |_| Fault::new(StatusCode::REQUEST_TIMEOUT, "the request's body did not come");
    let broken = |error| Fault::new(StatusCode::BAD_REQUEST, format!("the request's body: {error}"));
    let bytes = tokio::time::timeout(BODY_WITHIN, read).await.map_err(late)?.map_err(broken)?.to_bytes();
    parse(&bytes).map_err(|error| Fault::new(StatusCode::BAD_REQUEST, format!("the request's body: {error}")))
}

/// An object and nothing else: an empty list would pass for an order without a field, and that is one for the whole node.
fn parse<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body)?;
    serde_json::from_value(object.into())
}

fn good<T: Serialize>(value: &T) -> Result<Answer, Fault> {
    Ok(json(StatusCode::OK, value))
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    let mut answer = Response::new(Full::new(Bytes::from(text)).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use anycast_api::WithdrawRequest;

    use super::*;

    #[test]
    fn an_order_is_an_object() {
        let good = parse::<WithdrawRequest>(br#" {"services":["dns"]} "#).unwrap();
        assert_eq!(good, WithdrawRequest { services: vec!["dns".into()], ..WithdrawRequest::default() });
        for bad in ["[]", "", "null", "{", "{}x", r#"[["dns"]]"#, r#"{"service":["dns"]}"#] {
            assert!(parse::<WithdrawRequest>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
