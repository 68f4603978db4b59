//! What a process takes of the machine, by the kernel's word (proc(5)).

use std::{fs, str::FromStr, time::Duration};

use anyhow::{Context as _, anyhow};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// At one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burden {
    /// Octets of memory that are resident.
    pub memory: u64,
    /// The most of them since it started.
    pub peak: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Processor time, its own and the kernel's on its behalf.
    pub processor: Duration,
    /// The same of its children that have ended and were waited for, with theirs; the kernel counts it in ticks of 10 ms, each.
    pub children: Duration,
}

/// Of a process of this machine.
///
/// # Errors
/// When it has ended.
pub fn of(process: u32) -> anyhow::Result<Burden> {
    let read = |file: &str| {
        let path = format!("/proc/{process}/{file}");
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has it ended?"))
    };
    let (status, stat) = (read("status")?, read("stat")?);
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
    let memory = kibibytes(&status, "VmRSS:")? * 1024;
    let peak = kibibytes(&status, "VmHWM:")? * 1024;
    Ok(Burden { memory, peak, descriptors, processor: processor(process)?, children: children(&stat)? })
}

/// How often the threads of a process have given up a processor of themselves: each time they were woken first.
///
/// # Errors
/// When it has ended.
pub fn sleeps(process: u32) -> anyhow::Result<u64> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).context("it has ended")?;
    // A thread may end between the two looks.
    let texts = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    texts.map(|status| number::<u64>(line(&status, "voluntary_ctxt_switches:"))).sum()
}

/// Processor time of the whole machine since it was started, by what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Programs.
    pub programs: Duration,
    /// The kernel, for programs.
    pub system: Duration,
    /// The kernel, for interrupts and what follows from them: received packets, mostly.
    pub interrupts: Duration,
}

/// What the machine has done so far.
///
/// # Errors
/// When the kernel does not say.
pub fn machine() -> anyhow::Result<Machine> {
    machine_in(&fs::read_to_string("/proc/stat")?)
}

/// `user nice system idle iowait irq softirq`.
fn machine_in(stat: &str) -> anyhow::Result<Machine> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let fields = line.split_whitespace().map(|field| ticks(field.parse()?)).collect::<anyhow::Result<Vec<_>>>()?;
    let &[user, nice, system, _idle, _wait, hard, soft, ..] = &fields[..] else {
        return Err(anyhow!("/proc/stat is not understood"));
    };
    Ok(Machine { programs: user + nice, system, interrupts: hard + soft })
}

fn kibibytes(status: &str, key: &str) -> anyhow::Result<u64> {
    number(line(status, key).map(|value| value.trim_end_matches(" kB"))).with_context(|| format!("{key} is missing"))
}

fn line<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// Of all its threads, those that have ended too; exact, unlike what `/proc` says of it.
fn processor(process: u32) -> anyhow::Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(process)?)).context("it has ended")?;
    Ok(clock_gettime(clock)?.into())
}

/// Fields 16 and 17, `cutime` and `cstime`; the second is a name in parentheses that may hold anything.
fn children(stat: &str) -> anyhow::Result<Duration> {
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(13);
    ticks(number::<u64>(fields.next())? + number::<u64>(fields.next())?)
}

fn ticks(count: u64) -> anyhow::Result<Duration> {
    Ok(Duration::from_secs(count) / u32::try_from(rustix::param::clock_ticks_per_second())?.max(1))
}

fn number<T: FromStr>(text: Option<&str>) -> anyhow::Result<T> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| anyhow!("/proc is not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something() {
        let burden = of(std::process::id()).unwrap();
        assert!(burden.memory > 1 << 20 && burden.peak >= burden.memory && burden.descriptors > 2, "{burden:?}");
        assert!(burden.processor > Duration::ZERO, "{burden:?}");
        assert!(of(0).is_err() && sleeps(0).is_err());
    }

    #[test]
    fn who_sleeps_is_counted() {
        let before = sleeps(std::process::id()).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        assert!(sleeps(std::process::id()).unwrap() > before);
    }

    #[test]
    fn a_name_with_spaces_does_not_move_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 250 150 20 0 4 0 100 0 0";
        assert_eq!(children(stat).unwrap(), ticks(400).unwrap());
    }

    #[test]
    fn the_machine_is_read_as_a_whole() {
        let stat = "cpu  1 2 30 400 5 6 7 0 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\n";
        let [programs, system, interrupts] = [3, 30, 13].map(|count| ticks(count).unwrap());
        assert_eq!(machine_in(stat).unwrap(), Machine { programs, system, interrupts });
        assert!(machine_in("cpu 1 2\n").is_err() && machine().is_ok());
    }
}
