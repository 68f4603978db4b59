//! The question of an HTTP check.

use std::net::SocketAddr;

use anycast_core::config::{HttpMethod, HttpProbe, HttpVersion};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Method, Request,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

pub(super) const AGENT: &str = concat!("anycastd/", env!("CARGO_PKG_VERSION"));

pub(super) type Question = Request<Empty<Bytes>>;

/// What `at` is asked. `Err`: why it cannot be asked; there is no value of a field in that.
pub(super) fn question(config: &HttpProbe, at: Option<SocketAddr>) -> Result<Question, String> {
    let authority = match (&config.authority, at) {
        (Some(authority), _) => authority.clone(),
        (None, Some(address)) if address.port() == 80 && address.is_ipv4() => address.ip().to_string(),
        (None, Some(address)) if address.port() == 80 => format!("[{}]", address.ip()),
        (None, Some(address)) => address.to_string(),
        (None, None) => String::new(),
    };
    let method = match config.method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
    };
    let failed = |error: &dyn std::fmt::Display| format!("cannot ask for {}: {error}", config.url);
    let builder = Request::builder().method(method);
    let builder = match config.version {
        HttpVersion::Http1 => builder
            .uri(config.path.as_str())
            .header(header::HOST, authority.as_str())
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close"),
        // RFC 9113 §8.3.1: whom to ask is in `:authority`; §8.2.2: and nothing is said of the connection.
        HttpVersion::Http2 => {
            let scheme = if config.tls.is_some() { "https" } else { "http" };
            builder
                .uri(format!("{scheme}://{authority}{}", config.path))
                .header(header::USER_AGENT, AGENT)
                .header(header::ACCEPT, "*/*")
        }
    };
    let mut request = builder.body(Empty::new()).map_err(|error| failed(&error))?;
    add(config, request.headers_mut()).map_err(|error| failed(&error))?;
    Ok(request)
}

fn add(config: &HttpProbe, headers: &mut HeaderMap) -> Result<(), hyper::http::Error> {
    for (name, secret) in &config.headers {
        let mut value = HeaderValue::from_bytes(secret.expose())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, value);
    }
    Ok(())
}
