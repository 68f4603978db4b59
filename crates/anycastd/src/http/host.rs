//! Whom a browser believes to speak to.
//!
//! A page of somebody else's may have its own name point at this machine, so that a browser within takes our answers for that page's own
//! (DNS rebinding). The browser tells by what name it came. An address is nobody else's name; neither is `localhost`, nor what this node is called.

use std::net::IpAddr;

use hyper::{Request, header::HOST, http::uri::Authority};

/// What a request says of where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing, as no browser does; or it names what nobody else can have.
    Surely,
    /// By a name.
    Name(String),
    /// What cannot be read.
    Garbage,
}

/// By what name a request came.
pub(super) fn asked<T>(request: &Request<T>) -> Asked {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(field), None) => Some(field),
        (None, _) => None,
        // RFC 9112 §3.2: that is no request.
        (Some(_), Some(_)) => return Asked::Garbage,
    };
    // RFC 9112 §3.2.2: the authority of the target goes before the field.
    if let Some(authority) = request.uri().authority() {
        return judge(authority.as_str());
    }
    match field.map(|field| field.to_str()) {
        None => Asked::Surely,
        Some(Ok(text)) => judge(text),
        Some(Err(_)) => Asked::Garbage,
    }
}

fn judge(text: &str) -> Asked {
    let Ok(authority) = text.parse::<Authority>() else { return Asked::Garbage };
    if authority.as_str().contains('@') {
        return Asked::Garbage;
    }
    let host = authority.host();
    if host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok() {
        return Asked::Surely;
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    // RFC 6761 §6.3: all of them are the loopback.
    if name == "localhost" || name.ends_with(".localhost") { Asked::Surely } else { Asked::Name(name) }
}

/// Whether a name that was asked for is this one.
pub(super) fn is(asked: &str, own: &str) -> bool {
    !own.is_empty() && own.strip_suffix('.').unwrap_or(own).eq_ignore_ascii_case(asked)
}

/// The machine's own.
pub(super) fn own() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_nobody_elses() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:9273",
            "[::1]:9273",
            "[::1]",
            "192.0.2.7:80",
            "localhost:9273",
            "LocalHost.",
            "a.localhost",
        ] {
            assert_eq!(judge(good), Asked::Surely, "{good}");
        }
        for name in [
            "edge1",
            "edge1.example.net:9273",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "2130706433",
        ] {
            assert!(matches!(judge(name), Asked::Name(_)), "{name}");
        }
        for bad in ["", "a b", "127.0.0.1@evil.example", "[::1", "a/b"] {
            assert_eq!(judge(bad), Asked::Garbage, "{bad}");
        }
        assert_eq!(judge("Edge1.Example.NET.:9273"), Asked::Name("edge1.example.net".to_owned()));
    }

    #[test]
    fn the_target_goes_before_the_field() {
        let of = |uri: &str, hosts: &[&str]| {
            let request = hosts.iter().fold(Request::builder().uri(uri), |request, host| request.header(HOST, *host));
            asked(&request.body(()).unwrap())
        };
        let evil = Asked::Name("evil.example".to_owned());
        assert_eq!(of("http://evil.example/", &["127.0.0.1"]), evil);
        assert_eq!(of("/", &["evil.example:9273"]), evil);
        assert_eq!(of("/", &["127.0.0.1:9273"]), Asked::Surely);
        assert_eq!(of("/", &[]), Asked::Surely);
        assert_eq!(of("/", &["127.0.0.1", "127.0.0.1"]), Asked::Garbage);
    }

    #[test]
    fn names_are_told_apart() {
        assert!(is("edge1", "Edge1") && is("edge1.example.net", "edge1.example.net."));
        assert!(!is("edge1.example.net", "edge1") && !is("", "") && !is("edge1", "edge10"));
    }
}
