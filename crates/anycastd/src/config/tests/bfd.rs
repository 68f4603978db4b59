//! `bfd` of a neighbor.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use anycast_bfd::AuthType;
use anycast_core::config::Bfd;

use super::*;

/// [`SMALL`] with these lines of its neighbor.
fn with(lines: &str) -> String {
    small_with("asn: 65001", &format!("asn: 65001\n      {lines}"))
}

fn bfd(lines: &str) -> Option<Bfd> {
    good::settings(&with(lines)).core.neighbors.into_values().next().unwrap().bfd
}

/// What is warned of, each as `line:column message; hint`.
fn warnings(text: &str) -> Vec<String> {
    let found = read(text).unwrap_or_else(|error| panic!("{error}")).warnings;
    found.found().iter().map(|it| format!("{} {}; {}", place(it), it.message, it.hint)).collect()
}

fn one(text: &str) -> String {
    let all = warnings(text);
    let [one] = &all[..] else { panic!("{all:#?}") };
    one.clone()
}

#[test]
fn it_is_off_unless_asked_for() {
    for none in ["hold_time: 90s", "bfd: false", "bfd: none"] {
        assert_eq!(bfd(none), None, "{none}");
    }
    for usual in ["bfd: true", "bfd: {}", "bfd: { interval: 300ms, multiplier: 3 }"] {
        assert_eq!(bfd(usual), Some(Bfd::default()), "{usual}");
        assert_eq!(warnings(&with(usual)), [""; 0], "{usual}");
    }
    let usual = Bfd::default();
    assert_eq!((usual.interval, usual.multiplier.get()), (Duration::from_millis(300), 3));
    assert_eq!(bfd("bfd: { interval: 50ms }").unwrap().interval, Duration::from_millis(50));
    assert_eq!(bfd("bfd: { interval: 60s, strict: true }\n      hold_time: 600s").unwrap().interval.as_secs(), 60);
    assert_eq!(bfd("bfd: { interval: 12345678ns }").unwrap().interval, Duration::from_micros(12_345));
}

#[test]
fn mistakes() {
    let case = |lines: &str, at: &str, message: &str, hint: &str| {
        let found = findings(&with(lines));
        let [only] = &found[..] else { panic!("{lines}: {found:#?}") };
        assert_eq!((place(only).as_str(), only.severity), (at, Severity::Error), "{lines}: {only:#?}");
        assert!(only.message.contains(message) && only.hint.contains(hint), "{lines}: {only:#?}");
    };
    case("bfd: 50ms", "8:12", "`bfd` must be keys of its own, or true or false", "interval: 300ms");
    case("bfd: [300ms]", "8:12", "`bfd` must be keys of its own, or true or false", "interval: 300ms");
    case("bfd:", "8:7", "`bfd` has no value", "leave the key out");
    case("bfd: { intervall: 1s }", "8:14", "unknown key `intervall`", "did you mean `interval`?");
    case("bfd: { min_rx: 1s }", "8:14", "unknown key `min_rx`", "write `interval`: it holds for what is sent");
    case("bfd: { detect_mult: 3 }", "8:14", "unknown key `detect_mult`", "write `multiplier`");
    case("bfd: { echo: true }", "8:14", "unknown key `echo`", "without echoes");
    case(
        "bfd: { interval: 5ms }",
        "8:24",
        "`interval` of 5ms is shorter than 10ms",
        "`interval: 50ms` and `multiplier: 3`",
    );
    case("bfd: { interval: 0s }", "8:24", "`interval` of 0s is shorter than 10ms", "write 10ms or more");
    case("bfd: { interval: 61s }", "8:24", "`interval` of 1m1s is longer than 1m", "from 10ms to 1m");
    case("bfd: { interval: 300 }", "8:24", "`interval: 300` has no unit", "`300ms`");
    case("bfd: { multiplier: 0 }", "8:26", "a number from 1 to 255, not `0`", "decimal");
    case("bfd: { multiplier: 256 }", "8:26", "a number from 1 to 255, not `256`", "decimal");
    case("bfd: { strict: 1 }", "8:22", "`strict` must be true or false", "`true`");
    case("bfd: { multihop: 3 }", "8:24", "`multihop` must be true or false, not `3`", "`true`");
    case("bfd: { multihop: true, min_ttl: 0 }", "8:39", "`min_ttl` must be a number from 1 to 255", "decimal");
    case("bfd: { min_ttl: 250 }", "8:14", "`min_ttl` of a session over one hop", "write `multihop: true`");
    case("bfd: { multihop: false, min_ttl: 9 }\n      multihop: 1", "8:31", "over one hop", "remove it");
    case("bfd: { authentication: simple }", "8:30", "`authentication` must be a mapping", "`authentication: {");
    let key = |more: &str| format!("bfd: {{ authentication: {{ {more} }} }}");
    case(&key("type: keyed-sha1"), "8:14", "`authentication` without a key", "`credential`");
}

#[test]
fn what_spans_several_keys() {
    let endpoint =
        |endpoint: &str, bfd: &str| small_with("address: 192.0.2.1", &format!("{endpoint}\n      bfd: {bfd}"));
    let error = |text: &str| match &findings(text)[..] {
        [one] if one.severity == Severity::Error => format!("{} {}; {}", place(one), one.message, one.hint),
        other => panic!("{text}: {other:#?}"),
    };
    let unnumbered = error(&endpoint("interface: eth1", "{ multihop: true }"));
    assert!(unnumbered.contains("7:14 `bfd.multihop` with `interface`; remove it"), "{unnumbered}");
    let hops = error(&endpoint("interface: eth1", "{ min_ttl: 250 }"));
    assert!(hops.contains("7:14 `min_ttl` of a session over one hop"), "{hops}");
    let network = error(&endpoint("prefix: 192.0.2.0/24", "{ strict: true }"));
    assert!(network.contains("7:14 `strict` with `prefix`"), "{network}");
    for good in [
        endpoint("interface: eth1", "{ multihop: false }"),
        endpoint("interface: eth1", "true"),
        endpoint("prefix: 192.0.2.0/24", "{ interval: 100ms }"),
        endpoint("address: 192.0.2.1\n      connect: passive", "{ strict: true }"),
        with("multihop: 3\n      bfd: { min_ttl: 250 }"),
        with("ttl_security: 2\n      bfd: { min_ttl: 250 }"),
        with("bfd: { multihop: true, min_ttl: 250 }"),
        // One of our own AS may be anywhere.
        with("bfd: { min_ttl: 250 }").replace("asn: 65001", "asn: internal"),
        with("bfd: { min_ttl: 250 }").replace("asn: 65001", "asn: 65010"),
    ] {
        assert_eq!(warnings(&good), [""; 0], "{good}");
    }
}

#[test]
fn what_a_careful_engineer_is_told() {
    let table = [
        ("bfd: { multiplier: 1 }", "8:26 `multiplier: 1`: a single lost packet ends the session", "write 3"),
        (
            "bfd: { interval: 1s }\n      hold_time: 3s",
            "8:14 BFD notices a dead path after 3s, and the hold timer after 3s",
            "shorter",
        ),
        (
            "bfd: true\n      hold_time: 3s\n      graceful_restart: true",
            "may attract traffic for 2m more, BFD or not",
            "leave it off",
        ),
        (
            "multihop: 3\n      bfd: { multihop: false }",
            "9:14 `multihop: false` of BFD, and the neighbor is up to 3 hops away",
            "nothing comes over a router",
        ),
    ];
    for (lines, message, hint) in table {
        let one = one(&with(lines));
        assert!(one.contains(message) && one.contains(hint), "{lines}: {one}");
    }
    assert_eq!(warnings(&with("bfd: { interval: 60s }\n      hold_time: 0s")), [""; 0], "there is no hold timer");
    assert_eq!(warnings(&with("bfd: true\n      hold_time: 3s")), [""; 0]);
    let kept = with("graceful_restart: true\n      bfd: true").replace("services:", "on_exit: keep\nservices:");
    let kept = warnings(&kept);
    assert!(
        kept.iter().any(|it| it.contains("(AdminDown) for a dead path drops the routes all the same")),
        "{kept:#?}"
    );
    assert!(kept.iter().any(|it| it.contains("BFD or not") && it.contains("RFC 5882 §4.3")), "{kept:#?}");
}

/// Who checks the file does not know what the unit may do; who starts does.
#[test]
fn intervals_that_need_to_be_ahead_of_others() {
    let text = with("bfd: { interval: 49ms }");
    assert_eq!(warnings(&text), [""; 0], "this process may");
    let checks = Host { only_checks: true, ..host() };
    let told = |text: &str| parse("anycastd.yaml", text, &checks).unwrap().warnings.lines().collect::<Vec<_>>();
    let [one] = &told(&text)[..] else { panic!("{:#?}", told(&text)) };
    assert!(one.contains(":8:14: `interval: 49ms` unless the agent may take a real-time priority"), "{one}");
    assert!(one.contains("drop-in real-time.conf") && one.contains("or write 50ms or more"), "{one}");
    assert_eq!(told(&with("bfd: { interval: 50ms }")), [""; 0]);
}

#[test]
fn keys_are_read_from_files() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("leaf1.bfd");
    let write = |password: &str, mode: u32| {
        let _ = fs::remove_file(&file);
        fs::write(&file, password).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    let text = |keys: &str| {
        with(&format!("bfd:\n        authentication:\n          password_file: {}\n          {keys}", file.display()))
    };
    let types = [
        ("keyed-md5", AuthType::KeyedMd5, 16),
        ("meticulous-keyed-md5", AuthType::MeticulousKeyedMd5, 16),
        ("keyed-sha1", AuthType::KeyedSha1, 20),
        ("meticulous-keyed-sha1", AuthType::MeticulousKeyedSha1, 20),
        ("simple", AuthType::Simple, 16),
    ];
    for (name, auth_type, longest) in types {
        let keys = format!("type: {name}");
        write(&"x".repeat(longest), 0o400);
        let loaded = read(&text(&keys)).unwrap();
        let bfd = loaded.settings.core.neighbors.into_values().next().unwrap().bfd.unwrap();
        let it = bfd.authentication.unwrap();
        assert_eq!((it.auth_type, it.key_id, it.key.expose().len()), (auth_type, 1, longest));
        let clear =
            loaded.warnings.lines().filter(|line| line.contains("sends the password with every packet")).count();
        assert_eq!(clear, usize::from(auth_type == AuthType::Simple), "{name}");
        write(&"x".repeat(longest + 1), 0o400);
        let error = read(&text(&keys)).unwrap_err().to_string();
        assert!(error.contains(&format!("is longer than {longest} octets")) && error.contains("RFC 5880"), "{error}");
        assert_eq!(read(&text(&keys)).unwrap_err().at_fault().len(), 1, "the file is at fault, not what names it");
    }
    write("hunter2\n", 0o400);
    let bfd = |keys: &str| read(&text(keys)).unwrap().settings.core.neighbors.into_values().next().unwrap().bfd;
    assert_eq!(bfd("type: keyed-sha1\n          key_id: 0").unwrap().authentication.unwrap().key_id, 0);
    let error = read(&text("type: keyed-sha1\n          key_id: 256")).unwrap_err().to_string();
    assert!(error.contains("`key_id` must be a number from 0 to 255") && !error.contains("256"), "{error}");
    let error = read(&text("type: sha1")).unwrap_err().to_string();
    assert!(error.contains("`type` cannot be `sha1`") && error.contains("`keyed-sha1`"), "{error}");
    write("hunter2\n", 0o644);
    let error = read(&text("type: keyed-sha1")).unwrap_err().to_string();
    assert!(error.contains("can be read or changed by others") && !error.contains("hunter2"), "{error}");
}

/// What is under `authentication` is not shown, whatever is wrong with it.
#[test]
fn no_report_shows_a_key() {
    for lines in [
        "bfd: { authentication: { type: keyed-md5, password: hunter2 } }",
        "bfd: { authentication: { type: hunter2, password_file: hunter2 } }",
        "bfd: { authentication: hunter2 }",
        "bfd:\n        authentication:\n          type: keyed-md5\n          key: hunter2",
        "bfd: { password: hunter2 }",
        "bfd: { key_id: hunter2 }",
        "bfd: { authentication: { key_id: hunter2, type: simple, credential: x } }",
    ] {
        let error = read(&with(lines)).unwrap_err().to_string();
        // What is no type is said to be none.
        let told = error.replace("`type` cannot be `hunter2`", "");
        assert!(!told.contains("hunter2"), "{error}");
    }
}
