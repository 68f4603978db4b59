//! Files that are no configuration, or no YAML at all; and how reports look.

use super::*;
use crate::config::load;

/// The only mistake of a file: place, message, hint.
fn only(text: &[u8]) -> (String, String, String) {
    let error = read_bytes(text).unwrap_err();
    let [only] = error.found().found() else { panic!("{error}") };
    (place(only), only.message.clone(), only.hint.clone())
}

#[test]
fn what_is_no_configuration_is_said_to_be_none() {
    let deep = format!("bgp: {}", "[".repeat(40));
    let deepest = format!("bgp: {}", "[".repeat(100_000));
    let bomb = (1..40).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 8].join(", "))
    });
    let large = format!("# {}", "x".repeat(1024 * 1024));
    // (text, place, message, hint)
    let cases: &[(&str, &str, &str, &str)] = &[
        ("", "1:1", "the file is empty", "`bgp`"),
        ("# only a comment\n", "1:1", "the file is empty", "`services`"),
        ("---\n...\n", "2:1", "the configuration must be a mapping of keys to values, not nothing", "`bgp:`"),
        ("- a\n- b\n", "1:1", "must be a mapping of keys to values, not a list", "`bgp:`"),
        ("hello\n", "1:1", "not `hello`", "`bgp:`"),
        ("bgp:\n\tasn: 1\n", "2:1", "a tab in the indentation", "spaces"),
        ("bgp:\n  asn: 1\n \tx: 1\n", "3:2", "a tab in the indentation", "spaces"),
        ("bgp:\n  asn: [1\nx: 2\n", "3:2", "not valid YAML: ", "brackets"),
        ("bgp:\n  asn: @x\n", "2:8", "not valid YAML: ", "quote"),
        ("bgp:\n  asn: *x\n", "2:8", "not valid YAML: ", "quote"),
        ("bgp: a: b\n", "1:7", "not valid YAML: ", "quoted"),
        ("bgp:\n  asn: \"1\n", "2:8", "not valid YAML: ", "quotes"),
        ("bgp: {}\n---\nbgp: {}\n", "2:1", "a second document", "remove `---`"),
        ("bgp: {{ asn }}\n", "1:7", "a key must be a plain text", "quoted"),
        ("? [a]\n: b\n", "1:3", "a key must be a plain text", "`key: value`"),
        ("a: \u{0}b\n", "1:4", "control character U+0000", "remove"),
        ("ü: \u{7}b\n", "1:4", "control character U+0007", "remove"),
        ("a: b\rc: d\n", "1:5", "control character U+000D", "remove"),
        ("bgp: &a [*a]\n", "1:10", "an alias within its own anchor", "complete"),
        (&deep, "1:37", "nested more than 32 deep", "bracket"),
        (&deepest, "1:261", "not valid YAML: recursion limit exceeded", "brackets"),
        (&bomb, "5:25", "aliases repeat more than 20000 values", "write the values out"),
        (&large, "-", "the configuration is larger than 1 MiB", "smaller"),
    ];
    for (text, at, message, hint) in cases {
        let start: String = text.chars().take(60).collect();
        let (place, found, remedy) = only(text.as_bytes());
        assert_eq!(place, *at, "{start:?}: {found}");
        assert!(found.contains(message), "{start:?}: {found}");
        assert!(remedy.contains(hint), "{start:?}: {remedy}");
    }
    let (place, message, hint) = only(b"bgp:\n  asn: \xFF1\n");
    assert_eq!((place.as_str(), message.as_str(), hint.as_str()), ("2:8", "not UTF-8", "save the file as UTF-8"));
}

#[test]
fn a_tag_is_refused_and_the_rest_is_read() {
    let found = findings(&small_with("asn: 65010", "asn: !!int 65010"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((place(&found[0]).as_str(), found[0].message.as_str()), ("2:8", "a YAML tag"));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let home = tempfile::tempdir().unwrap();
    let missing = load(&home.path().join("none.yaml"), false).unwrap_err().to_string();
    assert!(missing.starts_with("error: cannot read the configuration: No such file"), "{missing}");
    assert!(missing.contains("--config FILE"), "{missing}");
    assert!(missing.ends_with("/none.yaml"), "{missing}");
    let directory = load(home.path(), false).unwrap_err().to_string();
    assert!(directory.starts_with("error: the configuration is not a regular file"), "{directory}");
    let pipe = home.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(load(&pipe, false).is_err(), "and does not wait for a writer");
}

#[test]
fn a_file_on_disk_is_read() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("anycastd.yaml");
    std::fs::write(&path, SMALL).unwrap();
    assert_eq!(load(&path, false).unwrap().settings.core.asn.get(), 65010);
}

#[test]
fn all_mistakes_come_at_once_each_with_its_line_and_remedy() {
    let text = SMALL
        .replace("asn: 65010", "asn: 0")
        .replace("address: 192", "adress: 192")
        .replace("203.0.113.0/24", "203.0.113.1/24")
        .replace("neighbors: [leaf1]", "neighbors: [leaf]");
    insta::assert_snapshot!(read(&text).unwrap_err());
}

#[test]
fn one_mistake_is_one_and_warnings_are_none() {
    let text = small_with("asn: 65010", "asn: 0") + "http: { listen: \"0.0.0.0:1\" }\n";
    let error = read(&text).unwrap_err();
    assert_eq!((error.count(), error.found().warnings()), (1, 1));
    assert!(error.to_string().ends_with("\n\n1 mistake in anycastd.yaml"), "{error}");
    assert_eq!(
        error.summary(),
        "anycastd.yaml:2:8: AS number 0 is reserved (RFC 7607); write a number from 1 to 4294967295; 64512 to 65534 are for \
         private use"
    );
}

/// However many warnings come before it.
#[test]
fn the_first_mistake_is_named_and_not_a_warning_before_it() {
    let service = |count| {
        format!("  - {{ name: s{count}, addresses: [198.51.100.{count}], checks: [{{ name: c, type: icmp }}] }}\n")
    };
    let warned: String = (0..200).map(service).collect();
    let text = format!(
        "bgp: {{ asn: 65010, router_id: 192.0.2.2, neighbors: [] }}\nservices:\n{warned}no_such_key: 1\nnor_this: 2\n"
    );
    let error = read(&text).unwrap_err();
    assert!(error.found().warnings() > 100, "{error}");
    let summary = error.summary();
    assert!(summary.contains("no_such_key") && summary.ends_with(" (and 1 more)"), "{summary}");
    assert_eq!(error.parts().count(), 2, "{error}");
}

#[test]
fn colour_is_for_terminals() {
    let error = read("x").unwrap_err();
    assert!(error.render(true).contains('\u{1b}'));
    assert!(!error.render(false).contains('\u{1b}'));
}

#[test]
fn nothing_of_the_file_commands_a_terminal() {
    let error = read(&small_with("name: leaf1", "name: \"a\\e[2J\\nb\"")).unwrap_err().to_string();
    assert!(error.contains("`a\\u{1b}[2J\\nb` cannot be a name"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_line_that_may_hold_a_secret_is_not_shown() {
    const NEIGHBOR: &str = "name: leaf1\n      address: 192.0.2.1\n      asn: 65001";
    let cases = [
        ("asn: 65001", "asn: 65001\n      tcp_md5: hunter2"),
        // Nor for another mistake on the same line.
        (NEIGHBOR, "{ name: leaf1, address: x, password: hunter2, asn: 65001 }"),
        ("type: tcp\n        port: 53", "type: http\n        url: http://me:hunter2@127.0.0.1/"),
        ("type: tcp\n        port: 53", "type: http\n        url: ftp://127.0.0.1/?token=hunter2"),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        path: x?token=hunter2"),
        (
            "type: tcp\n        port: 53",
            "type: http\n        port: 80\n        headers: \"Authorization: Bearer hunter2\"",
        ),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        headers: hunter2"),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        headers: [\"X-Api: hunter2\"]"),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        headers: { \"X-Api: hunter2\": }"),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        headers:\n          x api: hunter2"),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        headers_file: \"X-Api: hunter2\""),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        headers: X-Api: hunter2"),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        headers:\n          a: \"\"b: hunter2"),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        authorization: Bearer hunter2"),
        ("type: tcp\n        port: 53", "type: exec\n        command: [/x]\n        environment: [\"X=hunter2\"]"),
        ("type: tcp\n        port: 53", "type: exec\n        command: [/x]\n        environment: X=hunter2"),
        ("type: tcp\n        port: 53", "type: exec\n        command: [/x]\n        environment: { X=hunter2 }"),
        (
            "type: tcp\n        port: 53",
            "type: exec\n        command: [/x]\n        environment:\n        - X: @hunter2",
        ),
        ("type: tcp\n        port: 53", "type: exec\n        command: [/x]\n        enviroment: { X: hunter2 }"),
        ("type: tcp\n        port: 53", "type: exec\n        command: [x, --token=hunter2]"),
        ("asn: 65001", "asn: 65001\n      password_file: hunter2"),
        ("asn: 65001", "asn: 65001\n      password: \"hunter2"),
        ("asn: 65001", "asn: 65001\n      password_file: /hunter2"),
        ("asn: 65001", "asn: 65001\n      credential: \"hunter2 !\""),
        ("asn: 65001", "asn: 65001\n      tcp_ao: hunter2"),
        ("asn: 65001", "asn: 65001\n      tcp_ao: { send_id: hunter2 }"),
        ("asn: 65001", "asn: 65001\n      hdrs: { X: hunter2 }"),
        ("port: 53", "address: \"me:hunter2@127.0.0.1:80\""),
        ("type: tcp\n        port: 53", "type: http\n        url: http:/me:hunter2@localhost/"),
        ("type: tcp\n        port: 53", "type: http\n        url: me:hunter2@localhost/"),
        ("type: tcp\n        port: 53", "type: http\n        url: http://localhost:99999/?code=hunter2"),
        ("type: tcp\n        port: 53", "type: http\n        port: 80\n        headers: {\n  X: hunter2,\n  Host: x}"),
        ("type: tcp\n        port: 53", "type: exec\n        command: [curl, -u, \"me:hunter2\"]"),
        ("type: tcp\n        port: 53", "type: exec\n        command: curl -u me:hunter2"),
        (
            "type: tcp\n        port: 53",
            "type: exec\n        command: [/x]\n        environment: { PW:\n    hunter2, B: [1]}",
        ),
        ("type: tcp\n        port: 53", "type: exec\n        command: [/x]\n        environment:\n\t  X: hunter2"),
        ("type: tcp\n        port: 53", "type: udp\n        port: 9\n        send_hex: hunter2"),
        ("type: tcp\n        port: 53", "type: udp\n        port: 9\n        send: [hunter2]"),
    ];
    for (from, to) in cases {
        let error = read(&small_with(from, to)).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains("--> anycastd.yaml:"), "{error}");
        assert!(error.contains('…'), "the line is there, and it is said that something is not: {error}");
        let lines: String = read(&small_with(from, to)).unwrap_err().graded().map(|(_, line)| line).collect();
        assert!(!lines.contains("hunter2"), "nor in a log: {lines}");
    }
}

#[test]
fn what_is_shown_of_a_line_with_a_secret_is_its_key() {
    let http = "type: http\n        port: 80\n        headers: \"Authorization: Bearer hunter2\"";
    let error = read(&small_with("type: tcp\n        port: 53", http)).unwrap_err().to_string();
    assert!(error.contains("`headers` must be a mapping of names to values, not what is there"), "{error}");
    assert!(error.contains("17 |         headers: …\n"), "{error}");
    assert!(error.contains("--> anycastd.yaml:17:18"), "the column is that of the file: {error}");
}

/// Whoever writes the file may do so elsewhere, and what is missing may come later.
#[test]
fn what_is_not_on_this_machine_is_a_warning_at_its_place() {
    let exec = "type: exec\n        command: [/no/such/program]\n        user: no-such-user";
    let text = small_with("type: tcp\n        port: 53", exec)
        + "control: { group: no-such-group, operators: [no-such-user] }\n";
    let looks = Host { looks: true, ..host() };
    let loaded = parse("anycastd.yaml", &text, &looks).unwrap();
    let found: Vec<_> = loaded.warnings.found().iter().map(|found| (place(found), found.message.as_str())).collect();
    let told = |at: &str, message: &'static str| (at.to_owned(), message);
    assert_eq!(
        found,
        [
            told("16:19", "cannot run /no/such/program: no such file"),
            told("17:15", "there is no user `no-such-user` here"),
            told("18:19", "there is no group `no-such-group` here"),
            told("18:46", "there is no user `no-such-user` here"),
        ]
    );
    let tls = "type: http\n        url: https://203.0.113.53/\n        tls: { ca_file: /no/such/file }";
    let loaded = parse("anycastd.yaml", &small_with("type: tcp\n        port: 53", tls), &looks).unwrap();
    let [only] = loaded.warnings.found() else { panic!("{:?}", loaded.warnings) };
    assert!(only.message.contains("cannot read /no/such/file"), "{only:?}");
    assert_eq!((place(only).as_str(), only.severity), ("17:25", Severity::Warning));
}

/// It is what checks, the log and the API tell of whom a check asks.
#[test]
fn a_good_url_is_told_without_its_secret() {
    let http = "type: http\n        url: http://203.0.113.53/?a=1&token=hunter2";
    let loaded = read(&small_with("type: tcp\n        port: 53", http)).unwrap();
    let check = loaded.settings.core.services["dns"].checks.values().next().unwrap();
    let anycast_core::config::ProbeConfig::Http(probe) = &check.probe else { panic!("{check:?}") };
    assert_eq!(probe.url, "http://203.0.113.53/?a=1&token=…");
    assert_eq!(probe.path, "/?a=1&token=hunter2");
}

#[test]
fn a_long_line_is_shown_in_part_with_its_true_column() {
    let names = (0..200).map(|n| format!("leaf{n}")).collect::<Vec<_>>().join(", ");
    let error = read(&small_with("[leaf1]", &format!("[{names}]"))).unwrap_err().to_string();
    assert!(error.contains("--> anycastd.yaml:12:"), "{error}");
    assert!(error.contains("… and 99 more"), "199 unknown ones, 100 of them shown: {error}");
    assert!(error.lines().all(|line| line.chars().count() < 240), "{error}");
}
