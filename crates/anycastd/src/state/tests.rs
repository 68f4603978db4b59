use super::*;

fn save(path: &Path, orders: &Orders) -> Result<(), StateError> {
    super::save(path, &Book { orders: orders.clone(), ..Book::default() })
}

fn orders() -> Orders {
    let order = Order {
        mode: WithdrawMode::Graceful,
        by: "root".into(),
        at: "2026-11-23T20:00:00Z".parse().unwrap(),
        reason: Some("kernel update".into()),
        until: None,
        whole_node: true,
        boot: None,
        file: None,
    };
    Orders::from([(ServiceName::new("dns").unwrap(), order)])
}

const BOOT: &str = "5f2b";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_500_000)
}

fn load(state: &StateDirectory) -> Loaded {
    state.load(BOOT, now()).unwrap()
}

#[test]
fn orders_survive() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(home.path()).unwrap();
    assert_eq!(load(&state).orders, Orders::new());
    save(&state.orders_file(), &orders()).unwrap();
    assert_eq!(load(&state).orders, orders());
    save(&state.orders_file(), &Orders::new()).unwrap();
    assert_eq!(load(&state).orders, Orders::new());
}

#[test]
fn the_services_of_a_whole_node_survive() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(home.path()).unwrap();
    let services: BTreeSet<_> = ["dns", "web"].map(|name| ServiceName::new(name).unwrap()).into();
    super::save(&state.orders_file(), &Book { orders: orders(), services: services.clone() }).unwrap();
    assert_eq!((load(&state).orders, load(&state).services), (orders(), services));
    save(&state.orders_file(), &orders()).unwrap();
    assert!(load(&state).services.is_empty());
}

/// As [`StateDirectory::load`], within a time: what hangs must fail, not hang the tests.
fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(what()));
    waits.recv_timeout(Duration::from_secs(30)).expect("it does not hang")
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(home.path()).unwrap();
    let orders = state.orders_file();
    nix::unistd::mkfifo(&orders, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (loaded, state) = in_time(move || (load(&state), state));
    assert_eq!(loaded.unreadable.as_deref(), Some("not a regular file"));
    fs::remove_file(&orders).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &orders).unwrap();
    assert!(load(&state).unreadable.is_some_and(|why| why.contains("not a regular file")));
    fs::remove_file(&orders).unwrap();
    // Nor is what lies in the way of a write.
    nix::unistd::mkfifo(&orders.with_extension("json.new"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    in_time(move || save(&orders, &Orders::new())).unwrap();
    drop(state);
    fs::remove_file(home.path().join("lock")).unwrap();
    nix::unistd::mkfifo(&home.path().join("lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let path = home.path().to_owned();
    assert!(in_time(move || StateDirectory::open(&path)).is_err());
}

#[test]
fn a_second_agent_is_refused_until_the_first_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let first = StateDirectory::open(home.path()).unwrap();
    assert!(matches!(StateDirectory::open(home.path()), Err(StateError::Locked { .. })));
    drop(first);
    StateDirectory::open(home.path()).unwrap();
}

/// A file of the state with everything that can be in one.
fn full() -> String {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(home.path()).unwrap();
    let mut orders = orders();
    let until = Some((now() + Duration::from_secs(3600)).into());
    let order = Order { until, mode: WithdrawMode::Degrade, ..orders.values().next().unwrap().clone() };
    orders.insert(ServiceName::new("web").unwrap(), order.clone());
    orders.insert(ServiceName::new("shop").unwrap(), Order { until: None, boot: Some(BOOT.into()), ..order });
    save(&state.orders_file(), &orders).unwrap();
    assert_eq!(load(&state).orders, orders);
    fs::read_to_string(state.orders_file()).unwrap()
}

#[test]
fn what_is_not_whole_is_never_taken_for_no_orders() {
    let whole = full();
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(home.path()).unwrap();
    for length in 0..whole.len() {
        fs::write(state.orders_file(), &whole[..length]).unwrap();
        let loaded = load(&state);
        assert!(loaded.unreadable.is_some(), "the first {length} bytes");
    }
    // As file systems leave it when the power goes: the size is there, the content is not.
    for from in (0..whole.len()).step_by(7) {
        let text = whole[..from].bytes().chain(std::iter::repeat_n(0, whole.len() - from));
        fs::write(state.orders_file(), text.collect::<Vec<_>>()).unwrap();
        assert!(load(&state).unreadable.is_some(), "zeros from {from}");
    }
}

#[test]
fn what_cannot_be_understood_is_kept_aside_and_stays_until_it_is_replaced() {
    let bad: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00garbage",
        br#"{"orders":{}}"#,
        br#"{"version":2,"orders":{}}"#,
        br#"{"version":1,"orders":{"a b":{}}}"#,
        br#"{"version":1,"orders":{"dns":{"mode":"sideways","by":"root","at":"2026-11-23T20:00:00Z"}}}"#,
    ];
    for text in bad {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(home.path()).unwrap();
        fs::write(state.orders_file(), text).unwrap();
        // An agent that cannot write starts again and again.
        for _ in 0..3 {
            assert!(load(&state).unreadable.is_some(), "{}", text.escape_ascii());
            assert_eq!(fs::read(state.orders_file()).unwrap(), text, "nothing else has taken its place");
        }
        save(&state.orders_file(), &orders()).unwrap();
        assert_eq!(load(&state).orders, orders());
        let kept = kept_aside(&state.orders_file());
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(fs::read(&kept[0]).unwrap(), text);
        assert!(kept[0].to_string_lossy().contains("orders.json.unreadable-2026"), "{kept:?}");
    }
}

#[test]
fn only_the_latest_few_are_kept_aside() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(home.path()).unwrap();
    for round in 0..9 {
        // A directory can have no second name.
        match round {
            8 => fs::remove_file(state.orders_file()).and_then(|()| fs::create_dir(state.orders_file())).unwrap(),
            _ => write_atomically(&state.orders_file(), format!("garbage {round}").as_bytes()).unwrap(),
        }
        let loaded = state.load(BOOT, now() + Duration::from_secs(round)).unwrap();
        assert!(loaded.unreadable.is_some());
    }
    let kept = kept_aside(&state.orders_file());
    assert_eq!(kept.len(), 5, "{kept:?}");
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "garbage 4");
    assert!(kept[4].is_dir());
    save(&state.orders_file(), &orders()).unwrap();
    assert_eq!(load(&state).orders, orders());
}

#[test]
fn a_newer_version_may_have_said_more() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(home.path()).unwrap();
    save(&state.orders_file(), &orders()).unwrap();
    let text = fs::read_to_string(state.orders_file()).unwrap();
    let more = text.replacen("\"by\"", "\"colour\": [\"red\"], \"by\"", 1).replacen('{', "{ \"regions\": {},", 1);
    assert_ne!(more, text);
    fs::write(state.orders_file(), more).unwrap();
    assert_eq!(load(&state).orders, orders());
    // An older one had less to say.
    fs::write(
        state.orders_file(),
        r#"{"version":1,"orders":{"dns":{"mode":"graceful","by":"root","at":"2026-11-23T20:00:00Z"}}}"#,
    )
    .unwrap();
    let older = Order { reason: None, whole_node: false, ..orders().into_values().next().unwrap() };
    assert_eq!(load(&state).orders.into_values().collect::<Vec<_>>(), [older]);
}

#[test]
fn descriptors_that_are_missing_say_nothing_of_the_file() {
    use nix::errno::Errno;
    for (errno, passing) in [
        (Errno::EMFILE, true),
        (Errno::ENFILE, true),
        (Errno::ENOMEM, true),
        (Errno::EIO, false),
        (Errno::EACCES, false),
    ] {
        assert_eq!(is_passing(&errno.into()), passing, "{errno}");
    }
}

/// (until in so many hours, the boot it was given in; in another boot: whether it is over, and when it ends then)
#[test]
fn an_order_ends_with_the_boot_or_with_its_time_or_with_both() {
    let hour = |hours: i64| match u64::try_from(hours) {
        Ok(hours) => now() + Duration::from_secs(3600 * hours),
        Err(_) => now() - Duration::from_secs(3600 * hours.unsigned_abs()),
    };
    let table: [(Option<i64>, Option<&str>, bool); 9] = [
        (None, None, false),
        (Some(1), None, false),
        (Some(-1), None, true),
        (None, Some(BOOT), false),
        (None, Some("another"), true),
        (Some(-1), Some(BOOT), false),
        (Some(1), Some(BOOT), false),
        (Some(1), Some("another"), false),
        (Some(-1), Some("another"), true),
    ];
    for (until, boot, over) in table {
        let home = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(home.path()).unwrap();
        let order = Order {
            at: hour(-5).into(),
            until: until.map(|hours| hour(hours).into()),
            boot: boot.map(Into::into),
            ..orders().into_values().next().unwrap()
        };
        save(&state.orders_file(), &Orders::from([(ServiceName::new("dns").unwrap(), order)])).unwrap();
        let loaded = load(&state);
        assert_eq!((loaded.orders.len(), loaded.over.len()), if over { (0, 1) } else { (1, 0) }, "{until:?} {boot:?}");
        // Where the kernel does not tell which boot it is, no boot ends anything.
        if boot.is_some() {
            assert_eq!(state.load("", now()).unwrap().orders.len(), 1, "{until:?} {boot:?}");
        }
        let left = loaded.orders.values().next().and_then(|order| order.remaining(now()));
        let expected = until.filter(|_| !over && boot != Some(BOOT)).map(|_| Duration::from_secs(3600));
        assert_eq!(left, expected, "{until:?} {boot:?}");
    }
}

#[test]
fn a_clock_that_is_years_behind_prolongs_nothing() {
    let until = now() + Duration::from_secs(7200);
    let order = Order { at: now().into(), until: Some(until.into()), ..orders().into_values().next().unwrap() };
    assert_eq!(order.remaining(SystemTime::UNIX_EPOCH), Some(Duration::from_secs(7200)));
}

#[test]
fn a_write_that_fails_leaves_the_old_orders() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(home.path()).unwrap();
    save(&state.orders_file(), &orders()).unwrap();
    // The name beside is taken by a directory: the write must fail before it touches the file.
    fs::create_dir(state.orders_file().with_extension("json.new")).unwrap();
    assert!(save(&state.orders_file(), &Orders::new()).is_err());
    assert_eq!(load(&state).orders, orders());
}
