use std::{collections::BTreeSet, fs};

use anycast_core::{Outcome, config::ProbeConfig};
use nix::sys::signal::kill;

use super::{
    super::{
        Prober,
        testing::{AMPLE, SHORT, alone, exec, run, shell},
    },
    *,
};

fn check(outcome: &Outcome, health: Health, words: &str) {
    assert_eq!((outcome.health, outcome.detail.as_str()), (health, words));
}

/// Waits for something that must come true, and takes its time on a busy machine.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + AMPLE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process is there and not dead; nobody may reap orphans here.
fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()))
        .is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The number in a file, once a program has written it.
async fn pid_in(file: &Path) -> i32 {
    let read = || fs::read_to_string(file).ok().filter(|text| text.ends_with('\n'))?.trim().parse::<i32>().ok();
    eventually("the program tells its number", || read().is_some()).await;
    read().unwrap()
}

#[tokio::test]
async fn the_exit_code_decides_and_the_first_line_is_kept() {
    let cases = [
        ("exit 0", Health::Up, "exit 0"),
        ("echo 'OK - load 0.1|load1=0.1;8;16'; echo more", Health::Up, "exit 0: OK - load 0.1"),
        ("echo; echo '  WARNING'; exit 1", Health::Degraded, "exit 1: WARNING"),
        ("echo 'DISK CRITICAL - 95%'; exit 2", Health::Down, "exit 2: DISK CRITICAL - 95%"),
        ("echo UNKNOWN >&2; exit 3", Health::Down, "exit 3: UNKNOWN"),
        ("echo err >&2; echo out; exit 3", Health::Down, "exit 3: out"),
        ("exit 77", Health::Down, "exit 77"),
        ("kill -9 $$", Health::Down, "killed by signal 9"),
        ("echo bye; kill -TERM $$", Health::Down, "killed by signal 15: bye"),
        ("printf 'a\\033[2Jb'", Health::Up, "exit 0: a\\u{1b}[2Jb"),
        ("head -c 300000 /dev/zero | tr '\\0' x; exit 2", Health::Down, &format!("exit 2: {}…", "x".repeat(191))),
        ("head -c 300000 /dev/zero >&2; exit 0", Health::Up, &format!("exit 0: {}…", "\\u{0}".repeat(38))),
        ("yes | head -n 100000", Health::Up, "exit 0: y"),
    ];
    for (script, health, words) in cases {
        check(&run(&shell(script), AMPLE).await, health, words);
    }
}

#[tokio::test]
async fn what_it_measured_is_kept() {
    let outcome = run(&shell("echo 'LOAD WARNING|load1=9.5;8;16;0 users=3'; echo more; exit 1"), AMPLE).await;
    check(&outcome, Health::Degraded, "exit 1: LOAD WARNING");
    let measured: Vec<_> = outcome.performance.iter().map(|one| (one.label.as_str(), one.value)).collect();
    assert_eq!(measured, [("load1", Some(9.5)), ("users", Some(3.0))]);
    // What a killed program said is cut off anywhere.
    let outcome = run(&shell("echo 'OK|load1=9.5'; sleep 1000"), Duration::from_secs(1)).await;
    assert_eq!((outcome.health, outcome.performance.len()), (Health::Down, 0));
}

fn configured(script: &str, user: Option<&str>, environment: &[(&str, &str)]) -> Prober {
    let secret = |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new((*value).into()));
    Prober::new(&ProbeConfig::Exec(ExecProbe {
        command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        user: user.map(str::to_owned),
        environment: environment.iter().map(secret).collect(),
    }))
}

#[tokio::test]
async fn variables_are_added_and_shown_to_nobody() {
    let prober = configured("echo $TOKEN $LANG", None, &[("TOKEN", "hunter2"), ("LANG", "tlh")]);
    check(&run(&prober, AMPLE).await, Health::Up, "exit 0: hunter2 tlh");
    assert!(!format!("{prober:?}").contains("hunter2"));
}

/// Needs to be root, as the tests of the network do.
#[tokio::test]
async fn a_program_runs_as_another_user_and_has_no_power() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let (uid, gid) = (nobody.uid, nobody.gid);
    let said = async |script: &str| {
        let outcome = run(&configured(script, Some("nobody"), &[]), AMPLE).await;
        (outcome.health, outcome.detail)
    };
    let up = |words: &str| (Health::Up, format!("exit 0: {words}"));
    let script = "grep -E '^(Uid|Gid|Groups):' /proc/self/status | tr -s '\\t\\n ' ' '";
    let who = format!("Uid: {uid} {uid} {uid} {uid} Gid: {gid} {gid} {gid} {gid} Groups: {gid}");
    assert_eq!(said(script).await, up(&who));
    let none = "CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000";
    assert_eq!(said("grep -E '^Cap(Inh|Prm|Eff):' /proc/self/status | tr -s '\\t\\n ' ' '").await, up(none));
    assert_eq!(said("grep CapAmb /proc/self/status | tr -s '\\t' ' '").await, up("CapAmb: 0000000000000000"));
    assert_eq!(said("echo $USER $LOGNAME").await, up("nobody nobody"));
    assert_eq!(said("cat /etc/shadow >/dev/null 2>&1 || echo no").await, up("no"));

    // The agent itself is who it was, and the timeout still kills.
    assert!(nix::unistd::geteuid().is_root());
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let file = directory.path().join("pid");
    let prober = configured(&format!("echo $$ >{}; exec sleep 1000", file.display()), Some("nobody"), &[]);
    let outcome = run(&prober, Duration::from_secs(1)).await;
    check(&outcome, Health::Down, "timed out after 1 s; killed");
    let pid = pid_in(&file).await;
    eventually("it is dead", || !lives(pid)).await;
}

#[tokio::test]
async fn a_user_that_cannot_be_assumed_proves_nothing() {
    let outcome = run(&configured("exit 0", Some("no-such-user"), &[]), AMPLE).await;
    check(&outcome, Health::Unknown, "cannot run programs as no-such-user: this system has no such user");
}

#[test]
fn without_the_capabilities_no_user_is_assumed() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    let thread = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.effective -= CapabilitySet::SETUID | CapabilitySet::KILL;
        if !nix::unistd::geteuid().is_root() || set_capabilities(None, sets).is_err() {
            return;
        }
        // Threads of this runtime are begun by this one, and have its capabilities.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(run(&configured("exit 0", Some("nobody"), &[]), AMPLE));
        let words = "cannot run programs as nobody: the agent lacks CAP_SETUID and CAP_KILL; the unit's drop-in users.conf gives them";
        check(&outcome, Health::Unknown, words);
    });
    thread.join().unwrap();
}

#[tokio::test]
async fn what_cannot_be_run_proves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("check");
    let path = script.to_str().unwrap();
    fs::write(&script, "#!/nonexistent/interpreter\n").unwrap();
    check(&run(&exec(&[path]), AMPLE).await, Health::Unknown, &format!("cannot run {path}: permission denied"));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, mode).unwrap();
    check(
        &run(&exec(&[path]), AMPLE).await,
        Health::Unknown,
        &format!("cannot run {path}: its interpreter is missing"),
    );
    check(&run(&exec(&["/no/such"]), AMPLE).await, Health::Unknown, "cannot run /no/such: no such file");
    let words = "cannot run no-such-program-anywhere: not found in PATH";
    check(&run(&exec(&["no-such-program-anywhere"]), AMPLE).await, Health::Unknown, words);
    fs::write(&script, "exit 0\n").unwrap();
    check(&run(&exec(&[path]), AMPLE).await, Health::Unknown, &format!("cannot run {path}: exec format error"));
}

#[tokio::test]
async fn a_program_is_found_in_the_path_and_sees_a_small_world() {
    let prober = exec(&["sh", "-c", "env | grep -vE '^(PWD|SHLVL|_|OLDPWD)=' | cut -d= -f1 | sort | tr '\\n' ' '"]);
    check(&run(&prober, AMPLE).await, Health::Up, "exit 0: LANG PATH");
    let prober = shell("echo $ANYCASTD_SERVICE/$ANYCASTD_CHECK").named("dns", "load");
    check(&run(&prober, AMPLE).await, Health::Up, "exit 0: dns/load");
    let prober = shell("set -- $(cat /proc/$$/stat); test $5 = $$ && cat && echo leads");
    check(&run(&prober, AMPLE).await, Health::Up, "exit 0: leads");
}

#[tokio::test]
async fn no_descriptor_of_ours_is_passed_on() {
    let _ours = fs::File::open("/dev/null").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let prober = shell(&format!("echo $$ >{}; exec sleep 1000", file.display()));
    let look = async {
        let pid = pid_in(&file).await;
        let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        eventually("the shell has become sleep", || name() == "sleep\n").await;
        let held = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        held.map(|descriptor| descriptor.file_name().into_string().unwrap()).collect::<BTreeSet<_>>()
    };
    let held = tokio::select! {
        outcome = prober.run(AMPLE) => panic!("{outcome:?}"),
        held = look => held,
    };
    // Whoever started these tests may have left descriptors open for everybody.
    let mut expected = passed_on_to_everybody();
    expected.extend(["0", "1", "2"].map(str::to_owned));
    assert_eq!(held, expected);
}

/// Our descriptors without FD_CLOEXEC.
fn passed_on_to_everybody() -> BTreeSet<String> {
    let cloexec = |info: &str| {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000 != 0
    };
    let infos = fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let open = infos.filter(|info| fs::read_to_string(info.path()).is_ok_and(|info| !cloexec(&info)));
    open.map(|info| info.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn the_timeout_kills_program_and_descendants() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let path = file.display();
    let cases = [
        format!("sleep 1000 & echo $! >{path}; echo waiting; wait"),
        format!(
            "trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo $! >{path}; echo waiting; while :; do sleep 0.05; done"
        ),
        format!("sleep 1000 & echo $! >{path}; echo waiting; kill -STOP $$"),
        format!("sleep 1000 & echo $! >{path}; echo waiting; yes"),
    ];
    for script in cases {
        let _ = fs::remove_file(&file);
        let prober = shell(&script);
        // Long enough for the shell to have begun, even here and now.
        let timeout = Duration::from_secs(1);
        let outcome = run(&prober, timeout).await;
        check(&outcome, Health::Down, "timed out after 1 s; killed; it said: waiting");
        assert!(outcome.took < timeout + OVERRUN + AMPLE);
        let pid = pid_in(&file).await;
        eventually("the descendant is dead", || !lives(pid)).await;
    }
}

#[tokio::test]
async fn what_a_program_leaves_in_its_group_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!("sleep 1000 & echo $! >{}; echo done", file.display());
    check(&run(&shell(&script), AMPLE).await, Health::Up, "exit 0: done");
    let pid = pid_in(&file).await;
    eventually("the survivor is dead", || !lives(pid)).await;
}

#[tokio::test]
async fn a_daemon_that_holds_stdout_does_not_hold_us() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    // The program ends only when the daemon has left its group, or it would be killed with it.
    let daemon = format!("echo $$ >{}; exec sleep 1000", file.display());
    let script = format!("setsid sh -c '{daemon}' & while ! [ -s {} ]; do sleep 0.01; done; echo done", file.display());
    check(&run(&shell(&script), AMPLE).await, Health::Up, "exit 0: done");
    let pid = pid_in(&file).await;
    assert!(lives(pid), "out of reach, as documented");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

/// It leads its group, so that `setsid` fails; but it can join the group of a child of its own.
const LEAVES: &str = r#"
$| = 1;
defined(my $child = fork) or die;
if (!$child) { setpgrp(0, 0); open(my $file, ">", "$ARGV[0].child"); print $file "$$\n"; close $file; sleep 1000; exit }
while (getpgrp($child) != $child) { select(undef, undef, undef, 0.01) }
setpgrp(0, $child) or die "it cannot leave: $!";
open(my $file, ">", $ARGV[0]); print $file "$$\n"; close $file;
print "left\n";
$SIG{TERM} = 'IGNORE';
sleep 1000 while 1;
"#;

#[tokio::test]
async fn a_program_that_leaves_its_group_is_killed_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (file, child) = (directory.path().join("pid"), directory.path().join("pid.child"));
    let prober = exec(&["/usr/bin/perl", "-e", LEAVES, &file.display().to_string()]);
    let outcome = run(&prober, Duration::from_secs(1)).await;
    check(&outcome, Health::Down, "timed out after 1 s; killed; it said: left");
    let pid = pid_in(&file).await;
    eventually("the program is dead", || !lives(pid)).await;
    // What it left its group for is out of reach.
    let child = pid_in(&child).await;
    assert!(lives(child), "out of reach, as documented");
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
    // And when nobody waits for it any more.
    fs::remove_file(&file).unwrap();
    let pid = tokio::select! {
        outcome = prober.run(AMPLE) => panic!("{outcome:?}"),
        pid = pid_in(&file) => pid,
    };
    eventually("the program is dead", || !lives(pid)).await;
    let child = pid_in(&directory.path().join("pid.child")).await;
    let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
}

#[tokio::test]
async fn a_descendant_in_a_session_of_its_own_is_out_of_reach_and_holds_nobody_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let daemon = format!("echo $$ >{}; exec sleep 1000", file.display());
    // It has stdout, and the program waits for it.
    let outcome = run(&shell(&format!("echo waiting; setsid sh -c '{daemon}' & wait")), Duration::from_secs(1)).await;
    check(&outcome, Health::Down, "timed out after 1 s; killed; it said: waiting");
    let pid = pid_in(&file).await;
    assert!(lives(pid), "out of reach, as documented");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_reload_does_not_start_a_program_that_has_not_ended() {
    let prober = |program: &str| {
        let mut prober = ExecProber::new(&ExecProbe::new(vec![program.to_owned()]));
        prober.set_names("web", "load");
        prober
    };
    let before = prober("/bin/true");
    let unkillable = before.slot.take(Span::of(AMPLE)).await.unwrap();
    unkillable.set_running();
    drop(before);
    let refused = Finding::down("the last run of /bin/true has not ended yet");
    assert_eq!(prober("/bin/true").run(SHORT).await, refused);
    assert_eq!(prober("/bin/echo").run(AMPLE).await, Finding::up("exit 0"), "another one has nothing to wait for");
    drop(unkillable);
    assert_eq!(prober("/bin/true").run(AMPLE).await, Finding::up("exit 0"));
}

#[tokio::test]
async fn a_run_waits_for_one_that_was_dropped_while_it_was_started() {
    let prober = ExecProber::new(&ExecProbe::new(vec!["/bin/true".to_owned()]));
    for steps in 0..40 {
        let mut dropped = Box::pin(prober.run(AMPLE));
        for _ in 0..=steps {
            let _ = futures_util::poll!(&mut dropped);
            if steps % 2 == 0 {
                std::thread::yield_now();
            }
        }
        drop(dropped);
        assert_eq!(prober.run(AMPLE).await, Finding::up("exit 0"));
    }
}

#[tokio::test]
async fn a_start_that_takes_long_proves_nothing() {
    let prober = ExecProber::new(&ExecProbe::new(vec!["/bin/true".to_owned()]));
    let starting = prober.slot.take(Span::of(AMPLE)).await.unwrap();
    let finding = prober.run(SHORT).await;
    assert!(finding.health == Health::Unknown && finding.detail.contains("/bin/true: not started for "), "{finding:?}");
    let (finding, ()) = tokio::join!(prober.run(AMPLE), async { drop(starting) });
    assert_eq!(finding, Finding::up("exit 0"), "it waits for its turn");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_takes_few_threads_and_holds_no_other_up() {
    let prober = |check: &str, argument: &str| {
        let mut prober = ExecProber::new(&ExecProbe::new(vec!["/hung/program".to_owned(), argument.to_owned()]));
        prober.set_names("web", check);
        prober
    };
    let mut held = vec![];
    // Many checks, and many reloads.
    for number in 0..20 {
        let prober = prober(&number.to_string(), &number.to_string());
        let (go, wait) = std::sync::mpsc::channel::<()>();
        held.push(go);
        let hang = move || {
            let _ = wait.recv();
        };
        assert!(prober.starts.run(Duration::from_millis(20), hang).await.is_err());
    }
    let last = prober("last", "last");
    assert!(last.starts.holders() <= 4);
    let finding = last.run(SHORT).await;
    assert_eq!(finding.health, Health::Unknown, "{finding:?}");
    assert!(
        finding.detail.starts_with("cannot start /hung/program: the file system has not answered for "),
        "{finding:?}"
    );
    let good = ExecProber::new(&ExecProbe::new(vec!["/bin/true".to_owned()]));
    assert_eq!(good.run(AMPLE).await, Finding::up("exit 0"));
}

#[tokio::test]
async fn a_program_that_was_kept_waiting_and_is_late_proves_nothing() {
    let prober = ExecProber::new(&ExecProbe::new(["/bin/sleep", "1000"].map(str::to_owned).into()));
    let busy = prober.slot.take(Span::of(AMPLE)).await.unwrap();
    let wait = async {
        tokio::time::sleep(SHORT).await;
        drop(busy);
    };
    let (finding, ()) = tokio::join!(prober.run(SHORT + SHORT), wait);
    assert_eq!(finding.health, Health::Unknown, "{finding:?}");
}

#[tokio::test]
async fn a_dropped_run_kills_its_program() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let prober = shell(&format!("sleep 1000 & echo $! >{}; wait", file.display()));
    let pid = tokio::select! {
        outcome = prober.run(AMPLE) => panic!("{outcome:?}"),
        pid = pid_in(&file) => pid,
    };
    eventually("the descendant is dead", || !lives(pid)).await;
    // And the check can run again.
    let outcome = run(&prober, SHORT).await;
    assert!(outcome.detail.starts_with("timed out after 300 ms; killed"), "{outcome:?}");
}

#[tokio::test]
async fn never_two_programs_of_one_check() {
    let prober = ExecProber::new(&ExecProbe::new(vec!["/bin/true".to_owned()]));
    let unkillable = prober.slot.take(Span::of(AMPLE)).await.unwrap();
    unkillable.set_running();
    assert_eq!(prober.run(SHORT).await, Finding::down("the last run of /bin/true has not ended yet"));
    drop(unkillable);
    assert_eq!(prober.run(AMPLE).await, Finding::up("exit 0"));
}

#[test]
fn no_command_proves_nothing_and_is_no_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(exec(&[]).run(AMPLE)).health, Health::Unknown);
}

#[test]
fn runs_leave_neither_zombie_nor_descriptor() {
    alone(module_path!(), "many_runs");
}

#[tokio::test]
#[ignore = "run alone, by another test"]
async fn many_runs() {
    let probers = [exec(&["/bin/true"]), shell("exit 2"), shell("sleep 1000 & exit 0"), exec(&["/no/such"])];
    let slow = shell("sleep 1000 & sleep 1000");
    // The first run leaves what the runtime keeps for good: its signal pipe and the like.
    run(&probers[0], AMPLE).await;
    let (descriptors, mut wave) = (open_descriptors(), 0);
    while wave < 50 {
        for prober in &probers {
            run(prober, AMPLE).await;
        }
        wave += 1;
    }
    for _ in 0..10 {
        run(&slow, Duration::from_millis(10)).await;
        // And some that nobody waits for.
        let _ = timeout(Duration::from_millis(10), slow.run(AMPLE)).await;
    }
    eventually("every child is reaped", || children().is_empty()).await;
    eventually("every descriptor is closed", || open_descriptors() <= descriptors).await;
}

#[test]
fn ten_thousand_runs_leave_neither_zombie_nor_descriptor() {
    alone(module_path!(), "ten_thousand_runs");
}

#[tokio::test]
#[ignore = "run alone, by another test"]
async fn ten_thousand_runs() {
    const CHECKS: usize = 16;
    let prober = exec(&["/bin/true"]);
    run(&prober, AMPLE).await;
    let descriptors = open_descriptors();
    let check = async || {
        let prober = exec(&["/bin/true"]);
        for _ in 0..10_000 / CHECKS {
            check(&run(&prober, AMPLE).await, Health::Up, "exit 0");
        }
    };
    futures_util::future::join_all((0..CHECKS).map(|_| check())).await;
    eventually("every child is reaped", || children().is_empty()).await;
    eventually("every descriptor is closed", || open_descriptors() <= descriptors).await;
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Children of every thread, the dead ones too.
fn children() -> BTreeSet<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn ambient_capabilities_are_not_passed_on() {
    use rustix::thread::{
        CapabilitySet, capabilities, capability_is_in_ambient_set, configure_capability_in_ambient_set,
        set_capabilities,
    };

    let thread = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        sets.inheritable |= CapabilitySet::NET_RAW;
        let raised = set_capabilities(None, sets)
            .and_then(|()| configure_capability_in_ambient_set(CapabilitySet::NET_RAW, true));
        if raised.is_err() {
            return; // Without the capability there is nothing to pass on.
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(run(&shell("grep CapAmb /proc/self/status"), AMPLE));
        check(&outcome, Health::Up, "exit 0: CapAmb:\\t0000000000000000");
        assert!(capability_is_in_ambient_set(CapabilitySet::NET_RAW).unwrap(), "the agent keeps its own");
    });
    thread.join().unwrap();
}

#[tokio::test]
async fn a_program_has_no_signal_blocked_that_the_agent_blocks() {
    crate::signals::hold();
    // Not through a shell: some take such blocks off by themselves.
    let grep = exec(&["/bin/grep", "-q", "^SigBlk:[[:space:]]*0*$", "/proc/self/status"]);
    check(&run(&grep, AMPLE).await, Health::Up, "exit 0");
}
