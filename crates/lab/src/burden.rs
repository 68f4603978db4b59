//! What a process takes of the machine, by the kernel's word (proc(5)).

use std::{fs, str::FromStr, time::Duration};

use anyhow::{Context as _, anyhow};

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
    Ok(Burden { memory, peak: kibibytes(&status, "VmHWM:")? * 1024, descriptors, processor: processor(&stat)? })
}

fn kibibytes(status: &str, key: &str) -> anyhow::Result<u64> {
    let value =
        status.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().trim_end_matches(" kB"));
    number(value).with_context(|| format!("{key} is missing"))
}

/// Fields 14 and 15, `utime` and `stime`; the second is a name in parentheses that may hold anything.
fn processor(stat: &str) -> anyhow::Result<Duration> {
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11);
    let ticks: u64 = number::<u64>(fields.next())? + number::<u64>(fields.next())?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?.max(1))
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
        assert!(of(0).is_err());
    }

    #[test]
    fn a_name_with_spaces_does_not_move_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 150 0 0 20 0 4 0 100 0 0";
        assert_eq!(processor(stat).unwrap(), Duration::from_secs(400) / rustix::param::clock_ticks_per_second() as u32);
    }
}
