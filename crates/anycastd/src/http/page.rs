//! The status page, and what it asks for: nothing of it changes anything.
//!
//! What a check, a neighbor or a file has said comes here as JSON and stays text: the page puts it nowhere but into text nodes. The headers
//! are there for the day that it does not: no script runs, and nothing is loaded, but our own.

use std::{sync::Arc, time::Duration};

use anycast_api::ErrorReply;
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
        RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Answer, DRAWING,
    board::Board,
    events::{Follower, LASTS, Seen},
    followers::Followers,
    host::{self, Asked},
    is_reading,
    life::Life,
    read_only, text, whole,
};
use crate::{
    agent::{Agent, Handle, Refusal},
    query::query,
};

/// Who follows at a time; a quarter of the connections at most, so that scrapers find a place.
const FOLLOWERS: usize = 8;
/// When whoever finds no place is to come again, in seconds.
const COME_AGAIN: &str = "5";
/// What is left of a connection after its stream has ended.
const AFTERWARDS: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";

/// What the page is made of: where, of which type, and what it is.
const ASSETS: [(&str, &str, &str); 5] = [
    ("/", "text/html; charset=utf-8", include_str!("assets/page.html")),
    ("/assets/page.css", "text/css; charset=utf-8", include_str!("assets/page.css")),
    ("/assets/page.js", "text/javascript; charset=utf-8", include_str!("assets/page.js")),
    ("/assets/parts.js", "text/javascript; charset=utf-8", include_str!("assets/parts.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// What every answer has.
const GUARDS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// What everybody who looks at the page shares.
pub(super) struct Site {
    agent: Handle,
    board: Arc<Board>,
    places: Arc<Semaphore>,
    followers: Followers,
    host: String,
}

impl Site {
    /// For a listener with so many connections.
    pub(super) fn new(agent: Handle, connections: usize, followers: Followers) -> Self {
        let places = Arc::new(Semaphore::new((connections / 4).clamp(1, FOLLOWERS)));
        Self { board: Arc::new(Board::new(agent.clone())), places, followers, agent, host: host::own() }
    }

    /// Whether a name is ours.
    async fn is_called(&self, name: &str) -> bool {
        if host::is(name, &self.host) {
            return true;
        }
        let asked = name.to_owned();
        self.agent.ask(move |agent| host::is(&asked, agent.node_name())).await.unwrap_or(false)
    }
}

/// Answers one request.
pub(super) async fn answer(request: &Request<Incoming>, site: &Site, life: &Life) -> Answer {
    let mut answer = match refused(request, site).await {
        Some(refused) => refused,
        None => route(request, site, life).await,
    };
    guard(answer.headers_mut());
    answer
}

fn guard(headers: &mut HeaderMap) {
    for (name, value) in GUARDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// What must not be answered, whatever it asks for.
async fn refused(request: &Request<Incoming>, site: &Site) -> Option<Answer> {
    if !is_reading(request.method()) {
        return Some(read_only());
    }
    match host::asked(request) {
        Asked::Surely => {}
        Asked::Name(name) if site.is_called(&name).await => {}
        Asked::Garbage => {
            let why = "a request has one Host field, with a name or an address in it (RFC 9112 §3.2)\n";
            return Some(text(StatusCode::BAD_REQUEST, why.to_owned()));
        }
        Asked::Name(_) => {
            let why = "this node is asked by a name that is not its own (DNS rebinding looks like that): use an address, `localhost`, \
                       the machine's host name, or `node.name` of the configuration; a proxy sets the Host header to one of them\n";
            return Some(text(StatusCode::MISDIRECTED_REQUEST, why.to_owned()));
        }
    }
    // A page of somebody else's has no use for any of it. That somebody follows a link to the page is another matter.
    let site = request.headers().get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let elsewhere = matches!(site, Some("cross-site" | "same-site")) && request.uri().path() != "/";
    elsewhere.then(|| text(StatusCode::FORBIDDEN, "this is for the node's own page\n".to_owned()))
}

async fn route(request: &Request<Incoming>, site: &Site, life: &Life) -> Answer {
    let uri = request.uri();
    if let Some((_, kind, body)) = ASSETS.iter().find(|(path, ..)| *path == uri.path()) {
        return whole(StatusCode::OK, kind, Bytes::from_static(body.as_bytes()));
    }
    let Some(query) = query(uri.query().unwrap_or_default()) else {
        return fault(StatusCode::BAD_REQUEST, "the query cannot be decoded");
    };
    match uri.path() {
        "/api/status" => site.board.after(Instant::now()).await.status.map_or_else(silent, json_body),
        "/api/history" => told(site, |agent| Ok(agent.history())).await,
        "/api/explain" => match query.get("target").cloned() {
            Some(target) => told(site, move |agent| agent.explain(&target)).await,
            None => fault(StatusCode::BAD_REQUEST, "explain needs a target"),
        },
        "/api/events" if request.method() == Method::HEAD => whole(StatusCode::OK, EVENT_STREAM, Bytes::new()),
        "/api/events" => {
            let field = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
            follow(site, life, field.or(query.get("after").map(String::as_str))).await
        }
        _ => {
            let known = "there is the status page at /, /metrics, /healthz and /readyz\n";
            text(StatusCode::NOT_FOUND, known.to_owned())
        }
    }
}

const EVENT_STREAM: &str = "text/event-stream";

async fn follow(site: &Site, life: &Life, seen: Option<&str>) -> Answer {
    let Ok(place) = Arc::clone(&site.places).try_acquire_owned() else {
        return later("as many follow the events as may at a time; `/api/status` tells how all is");
    };
    let follows = site.followers.take_in().await;
    let seen = seen.and_then(Seen::read);
    let follower = Follower::begin(&site.agent, Arc::clone(&site.board), seen, (place, follows)).await;
    let Ok(follower) = follower else { return silent() };
    life.at_least(LASTS + AFTERWARDS);
    let mut answer = Response::new(StreamBody::new(follower.told()).boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    answer
}

/// What the loop says, written out where it takes nobody's time, for one at a time.
async fn told<T: Serialize + Send + 'static>(
    site: &Site,
    question: impl FnOnce(&mut Agent) -> Result<T, Refusal> + Send + 'static,
) -> Answer {
    let Ok(_turn) = DRAWING.acquire().await else { return silent() };
    match site.agent.ask(question).await {
        Ok(Ok(told)) => {
            let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&told)).await;
            written.ok().and_then(Result::ok).map_or_else(silent, |json| json_body(json.into()))
        }
        Ok(Err(refusal)) => fault(StatusCode::NOT_FOUND, refusal.to_string()),
        Err(_) => silent(),
    }
}

fn json_body(json: Bytes) -> Answer {
    whole(StatusCode::OK, JSON, json)
}

fn silent() -> Answer {
    later("the decision loop does not answer")
}

fn later(error: &str) -> Answer {
    let mut answer = fault(StatusCode::SERVICE_UNAVAILABLE, error);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(COME_AGAIN));
    answer
}

fn fault(status: StatusCode, error: impl Into<String>) -> Answer {
    let reply = ErrorReply { error: error.into(), hint: None };
    whole(status, JSON, serde_json::to_vec(&reply).unwrap_or_default().into())
}
