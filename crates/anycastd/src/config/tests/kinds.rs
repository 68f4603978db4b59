//! What each type of check may be asked, beside what it was from the start.

use anycast_core::{
    ServiceName,
    config::{FileExpected, HttpMethod, HttpTarget, HttpVersion, ProbeConfig},
};

use super::*;

const TCP: &str = "type: tcp\n        port: 53";

/// The one check of the file, with other keys.
fn probe(keys: &str) -> ProbeConfig {
    let text = small_with(TCP, &keys.replace('\n', "\n        "));
    let mut settings = read(&text).unwrap_or_else(|error| panic!("{keys}: {error}")).settings;
    let service = settings.core.services.remove(&ServiceName::new("dns").unwrap()).unwrap();
    service.checks.into_values().next().unwrap().probe
}

/// Keys, and what is found: place, message, hint.
fn mistakes(cases: &[(&str, &str, &str, &str)]) {
    for (keys, at, message, hint) in cases {
        errors(&[(TCP, &keys.replace('\n', "\n        "), at, message, hint)]);
    }
}

#[test]
fn an_http_check_asks_the_services_own_addresses() {
    let target = |keys: &str| {
        let ProbeConfig::Http(http) = probe(&format!("type: http\n{keys}")) else { panic!("{keys}") };
        let to = match http.target {
            HttpTarget::Addresses(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            HttpTarget::Name { host, port } => format!("lookup {host} {port}"),
        };
        (to, http.authority, http.path)
    };
    let named = |authority: &str| Some(authority.to_owned());
    let cases = [
        ("url: http://www.example.net/x", "203.0.113.53:80", named("www.example.net"), "/x"),
        ("url: http://www.example.net:81/\naddress: 203.0.113.53", "203.0.113.53:81", named("www.example.net:81"), "/"),
        ("url: http://www.example.net/\naddress: 203.0.113.53:81", "203.0.113.53:81", named("www.example.net"), "/"),
        ("url: http://www.example.net/\naddress: \"[::1]:81\"", "[::1]:81", named("www.example.net"), "/"),
        ("url: http://www.example.net/\naddress: lookup", "lookup www.example.net 80", named("www.example.net"), "/"),
        ("url: http://localhost/", "lookup localhost 80", named("localhost"), "/"),
        ("port: 80", "203.0.113.53:80", None, "/"),
        ("port: 81\npath: /healthz?a", "203.0.113.53:81", None, "/healthz?a"),
    ];
    for (keys, to, authority, path) in cases {
        assert_eq!(target(keys), (to.to_owned(), authority, path.to_owned()), "{keys}");
    }
}

#[test]
fn an_http_check_asks_and_expects_more() {
    let keys = "type: http\nurl: https://203.0.113.53/\nmethod: HEAD\nhttp_version: 2\n\
                headers: { Authorization: \"Bearer hunter2\", x-probe: 1 }\n\
                expect: { header: { Content-Type: text/html, ETag: \"*\" } }";
    let ProbeConfig::Http(http) = probe(keys) else { panic!() };
    assert_eq!((http.method, http.version), (HttpMethod::Head, HttpVersion::Http2));
    let sent: Vec<_> = http.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(sent, [("authorization", &b"Bearer hunter2"[..]), ("x-probe", b"1")]);
    let wanted: Vec<_> = http.expect_headers.iter().map(|(name, text)| (name.as_str(), text.as_deref())).collect();
    assert_eq!(wanted, [("content-type", Some("text/html")), ("etag", None)]);
    assert!(!format!("{http:?}").contains("hunter2"));
}

#[test]
fn fields_may_come_from_a_file_that_others_cannot_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("fields");
    std::fs::write(&file, "Authorization: Bearer hunter2\n").unwrap();
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    let keys = format!("type: http\nport: 80\nheaders_file: {}", file.display());
    let ProbeConfig::Http(http) = probe(&keys) else { panic!() };
    assert_eq!(http.headers["authorization"].expose(), b"Bearer hunter2");
    let twice = format!("{keys}\nheaders: {{ authorization: x }}");
    mistakes(&[(&twice, "17:9", "the field `authorization` is in `headers` and in `headers_file`", "remove one")]);
    mode(0o644);
    mistakes(&[(&keys, "17:23", "can be read or changed by others", "chmod")]);
}

#[test]
fn mistakes_of_http_checks() {
    let url = |keys: &str| format!("type: http\nurl: http://203.0.113.53/\n{keys}");
    let name = |keys: &str| format!("type: http\nurl: http://www.example.net/\n{keys}");
    let cases = [
        (url("port: 80"), "17:9", "`url` and `port` together", "within the URL"),
        (url("path: /"), "17:9", "`path` without `port`", "within the URL"),
        (url("address: 203.0.113.53"), "17:9", "`address` beside a URL that has one, 203.0.113.53", "host's name"),
        (name("address: example.net"), "17:18", "`address`: `example.net` is not an address", "`lookup`"),
        (name("address: 203.0.113.53:0"), "17:18", "is not an address", "`lookup`"),
        (name("address: 0.0.0.0"), "17:18", "nobody answers at 0.0.0.0", "at which"),
        ("type: http\nport: 80\naddress: 203.0.113.53".to_owned(), "17:9", "`address` and `port` together", "URL"),
        ("type: http\nport: 80\npath: healthz".to_owned(), "17:15", "`path` cannot be `healthz`", "`path: /healthz`"),
        ("type: http\nport: 80\ntls: { verify: false }".to_owned(), "17:9", "`tls` for an http URL", "https"),
        (url("method: POST"), "17:17", "`method` cannot be `POST`", "`GET` and `HEAD`"),
        (url("http_version: 3"), "17:23", "`http_version` cannot be `3`", "write one of `1.1` and `2`"),
        (url("method: HEAD\nexpect: { body: ok }"), "18:25", "`body` of an answer to HEAD", "leave it out"),
        (url("headers: [a]"), "17:18", "`headers` must be a mapping of names to values, not a list", "`headers: {"),
        (url("headers: { Host: x }"), "17:20", "`Host` says whom to ask", "`address`"),
        (url("headers: { TE: x }"), "17:20", "`TE` is up to the connection", "leave it out"),
        (url("headers: { \"a b\": x }"), "17:20", "`a b` is not the name of a field", "`content-type`"),
        (url("headers: { a: 1, A: 2 }"), "17:26", "the field `a` twice; it is first on line 17", "capitals"),
        (url("headers: { a: \"hunter2\\n\" }"), "17:23", "the value of `a` cannot be sent", "plain ASCII"),
        (url("expect: { header: { a: \"\" } }"), "17:32", "the value of `a` cannot be ``", "`\"*\"`"),
        (url("expect: { header: etag }"), "17:27", "`header` must be a mapping", "`header: {"),
        (url("headers_file: fields"), "17:23", "`headers_file` is not an absolute path", "beginning with `/`"),
    ];
    for (keys, at, message, hint) in &cases {
        mistakes(&[(keys, at, message, hint)]);
    }
}

/// A report ends up in logs.
#[test]
fn no_report_quotes_what_may_be_secret() {
    let cases = [
        "type: http\nport: 80\nheaders: { a: \"hunter2\\n\" }",
        "type: http\nport: 80\nheaders: { hunter2: [hunter2], te: hunter2 }",
        "type: exec\ncommand: [/bin/true]\nenvironment: { A: [hunter2], B: \"hunter2\\0\", 1: hunter2 }",
        "type: exec\ncommand: [/bin/true]\nuser: 0 0\nenvironment: { A: hunter2 }",
    ];
    for keys in cases {
        let text = small_with(TCP, &keys.replace('\n', "\n        "));
        let error = read(&text).unwrap_err().to_string();
        let values = error.replace("the field `hunter2`", "");
        assert!(!values.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_grpc_check_asks_for_a_service() {
    let ProbeConfig::Grpc(grpc) = probe("type: grpc\nport: 50051") else { panic!() };
    assert_eq!(
        (grpc.addresses, grpc.service, grpc.tls),
        (vec!["203.0.113.53:50051".parse().unwrap()], String::new(), None)
    );
    let keys = "type: grpc\naddress: 203.0.113.53:443\nservice: example.v1.Search\n\
                tls: { name: grpc.example.net, ca_file: /etc/ssl/ca.pem }";
    let ProbeConfig::Grpc(grpc) = probe(keys) else { panic!() };
    assert_eq!((grpc.service.as_str(), grpc.tls.unwrap().name.as_str()), ("example.v1.Search", "grpc.example.net"));
    mistakes(&[
        ("type: grpc", "14:9", "a grpc check without `address` or `port`", "`port: 50051`"),
        ("type: grpc\nport: 1\nservice: \"a\\nb\"", "17:18", "`service` cannot be `a", "full name"),
        ("type: grpc\nport: 1\ntls: {}", "17:9", "missing key `name`", "that the certificate carries"),
        ("type: grpc\nport: 1\ntls: true", "17:14", "`tls` must be a mapping", "`tls: {"),
    ]);
}

#[test]
fn a_systemd_check_names_a_unit() {
    for unit in ["nginx.service", "getty@tty1.service", "dev-sda\\x2d1.device", "a:b_c-d.socket"] {
        let ProbeConfig::Systemd(systemd) = probe(&format!("type: systemd\nunit: '{unit}'")) else { panic!() };
        assert_eq!((systemd.unit.as_str(), systemd.bus.to_str()), (unit, Some("/run/dbus/system_bus_socket")));
    }
    let ProbeConfig::Systemd(systemd) = probe("type: systemd\nunit: a.service\nbus: /run/c/bus") else { panic!() };
    assert_eq!(systemd.bus.to_str(), Some("/run/c/bus"));
    mistakes(&[
        ("type: systemd", "14:9", "missing key `unit`", "`unit: nginx.service`"),
        ("type: systemd\nunit: nginx", "16:15", "`nginx` does not say what kind of unit it is", "`nginx.service`"),
        ("type: systemd\nunit: nginx.servce", "16:15", "does not say what kind", "`service`"),
        ("type: systemd\nunit: /etc/x.service", "16:15", "`/etc/x.service` is not the name of a unit", "systemctl"),
        (
            "type: systemd\nunit: getty@.service",
            "16:15",
            "`getty@.service` is a template and no unit",
            "`getty@1.service`",
        ),
        ("type: systemd\nunit: a.service\nbus: session", "17:14", "`session` is not an absolute path", "`/`"),
    ]);
}

#[test]
fn a_process_check_names_a_pid_file() {
    let ProbeConfig::Process(process) = probe("type: process\npid_file: /run/x.pid\ncomm: systemd-resolved") else {
        panic!()
    };
    assert_eq!((process.pid_file.to_str(), process.comm.as_deref()), (Some("/run/x.pid"), Some("systemd-resolve")));
    mistakes(&[
        ("type: process", "14:9", "missing key `pid_file`", "`pid_file: /run/nginx.pid`"),
        ("type: process\npid_file: x.pid", "16:19", "`x.pid` is not an absolute path", "`/`"),
        ("type: process\npid_file: /x.pid\ncomm: /bin/x", "17:15", "`comm` cannot be `/bin/x`", "`comm: nginx`"),
    ]);
}

#[test]
fn a_file_check_says_what_must_be_so() {
    let expect = |keys: &str| {
        let ProbeConfig::File(file) = probe(&format!("type: file\npath: /run/x\n{keys}")) else { panic!() };
        file.expect
    };
    let minute = FileExpected::Fresh(std::time::Duration::from_secs(60));
    assert_eq!(expect("expect: present"), FileExpected::Present);
    assert_eq!(expect("rise: 1"), FileExpected::Present);
    assert_eq!(expect("expect: absent"), FileExpected::Absent);
    assert_eq!(expect("expect: fresh\nmax_age: 1m"), minute);
    assert_eq!(expect("max_age: 1m"), minute);
    mistakes(&[
        ("type: file", "14:9", "missing key `path`", "`path: /run/dns.ready`"),
        ("type: file\npath: /x\nexpect: frsh", "17:17", "`expect` cannot be `frsh`", "did you mean `fresh`?"),
        ("type: file\npath: /x\nexpect: fresh", "17:9", "`expect: fresh` without `max_age`", "`max_age: 5m`"),
        ("type: file\npath: /x\nexpect: absent\nmax_age: 1m", "18:9", "`max_age` of a file that need not be", "leave"),
        ("type: file\npath: /x\nmax_age: 5", "17:18", "`max_age: 5` has no unit", "`5s`"),
    ]);
}

#[test]
fn an_exec_check_runs_as_whom_and_with_what() {
    let keys = "type: exec\ncommand: [/bin/true]\nuser: nagios\nenvironment: { LANG: C, TOKEN: hunter2 }";
    let ProbeConfig::Exec(exec) = probe(keys) else { panic!() };
    assert_eq!(exec.user.as_deref(), Some("nagios"));
    assert_eq!(exec.environment["TOKEN"].expose(), b"hunter2");
    assert!(!format!("{exec:?}").contains("hunter2"));
    let exec = |keys: &str| format!("type: exec\ncommand: [/bin/true]\n{keys}");
    let cases = [
        (exec("user: 0"), "17:15", "`user` cannot be `0`", "the name of a user"),
        (exec("user: root"), "17:15", "`user: root`", "leave it out"),
        (exec("user: a/b"), "17:15", "`user` cannot be `a/b`", "`user: nagios`"),
        (exec("environment: [A=1]"), "17:22", "`environment` must be a mapping of names to values", "`environment: {"),
        (exec("environment: { 1A: x }"), "17:24", "`environment`: `1A` cannot be set", "letters, digits"),
        (exec("environment: { ANYCASTD_CHECK: x }"), "17:24", "`ANYCASTD_CHECK` cannot be set", "agent's own"),
        (exec("environment: { A: \"\\0\" }"), "17:27", "the value of `A` has U+0000", "remove it"),
    ];
    for (keys, at, message, hint) in &cases {
        mistakes(&[(keys, at, message, hint)]);
    }
}
