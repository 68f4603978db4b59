//! The HTTP listener: `/metrics`, `/healthz`, `/readyz`, and the status page at `/` with what it asks for. Read-only.

mod board;
mod events;
mod followers;
mod host;
mod life;
mod page;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anycast_api::{ServiceState, Status};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

pub(crate) use self::followers::Followers;
use self::{life::Life, page::Site};
use crate::{agent::Handle, complaints::Complaints, descriptors, metrics, unread::Heard};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 32;
/// A connection's whole life: a scraper that keeps it open longer dials again.
const LIFE: Duration = Duration::from_secs(60);
const HEAD: Duration = Duration::from_secs(5);

/// The whole node is drawn for one at a time: those who scrape all the time must not take the time of the sessions.
static DRAWING: Semaphore = Semaphore::const_new(1);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// How soon an address that cannot be had is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Serves at `address` until it is dropped. A node whose metrics cannot be read serves all the same: an address that cannot
/// be had is a problem the status shows, and is tried again.
pub(crate) async fn run(address: SocketAddr, agent: Handle, instruments: metrics::Instruments, followers: Followers) {
    let mut failed = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => {
                let problem = format!("http.listen {address}: {error}; trying again every {} s", RETRY.as_secs());
                if !failed {
                    tracing::warn!("{problem}");
                }
                failed = true;
                let _ = agent.order(|agent| agent.problem("http", Some(problem))).await;
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    if failed {
        tracing::info!(%address, "http listener");
        let _ = agent.order(|agent| agent.problem("http", None)).await;
    }
    serve(listener, agent, instruments, followers).await;
}

/// Serves what comes there until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    agent: Handle,
    instruments: metrics::Instruments,
    followers: Followers,
) {
    let connections = descriptors::at_most(CONNECTIONS);
    let places = Arc::new(Semaphore::new(connections));
    let site = Arc::new(Site::new(agent.clone(), connections, followers));
    let mut complaints = Complaints::default();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if let Some(times) = complaints.due(Instant::now()) {
                    tracing::warn!(%error, times, "http listener: accept failed; who asks has to wait");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (agent, instruments, site) = (agent.clone(), instruments.clone(), Arc::clone(&site));
        tokio::spawn(async move {
            let life = Life::new(LIFE);
            let longer = life.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (agent, instruments, site, life) =
                    (agent.clone(), instruments.clone(), Arc::clone(&site), longer.clone());
                async move { Ok::<_, Infallible>(answer(&request, &agent, &instruments, &site, &life).await) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(Heard::new(stream)), service);
            tokio::select! {
                _ = served => {}
                () = life.over() => {}
            }
            drop(place);
        });
    }
}

async fn answer(
    request: &Request<Incoming>,
    agent: &Handle,
    instruments: &metrics::Instruments,
    site: &Site,
    life: &Life,
) -> Answer {
    match request.uri().path() {
        "/metrics" | "/healthz" | "/readyz" => {}
        _ => return page::answer(request, site, life).await,
    }
    if !is_reading(request.method()) {
        return read_only();
    }
    match request.uri().path() {
        // That the loop answers is all there is to it.
        "/healthz" => match agent.ask(|_| ()).await {
            Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
            Err(_) => no_answer(),
        },
        path => drawn(path == "/metrics", agent, instruments).await,
    }
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn read_only() -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "read-only: GET and HEAD\n".to_owned());
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

async fn drawn(metrics: bool, agent: &Handle, instruments: &metrics::Instruments) -> Answer {
    let Ok(_turn) = DRAWING.acquire().await else { return no_answer() };
    let known = agent.ask(|agent| (agent.status(), agent.dropped_happenings())).await.ok();
    if !metrics {
        return known.map_or_else(no_answer, |(status, _)| ready(&status));
    }
    // That the loop does not answer is what the rest has to tell.
    let instruments = instruments.clone();
    let draw = move || instruments.render(known.as_ref().map(|(status, dropped)| (status, *dropped)));
    let drawn = tokio::task::spawn_blocking(draw).await;
    let mut answer = text(StatusCode::OK, drawn.unwrap_or_default());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn no_answer() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "the decision loop does not answer\n".to_owned())
}

/// Ready: every service is decided, every address bound, a neighbor listens, and the agent is not ending.
fn ready(status: &Status) -> Answer {
    let mut missing = Vec::new();
    if status.stopping {
        missing.push("the agent is stopping".to_owned());
    }
    let undecided = status.services.iter().filter(|service| service.state == ServiceState::Unknown);
    missing.extend(undecided.map(|service| format!("service {} is not decided yet", service.name)));
    let unbound = status.addresses.iter().filter(|address| !address.bound);
    missing.extend(unbound.map(|address| format!("address {} is not bound", address.address)));
    if !status.neighbors.iter().any(|neighbor| neighbor.state == "Established") {
        missing.push("no neighbor is Established".to_owned());
    }
    match missing.is_empty() {
        true => text(StatusCode::OK, "ready\n".to_owned()),
        false => text(StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n"),
    }
}

fn text(status: StatusCode, text: String) -> Answer {
    whole(status, "text/plain; charset=utf-8", Bytes::from(text))
}

/// An answer that is known as a whole.
fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
