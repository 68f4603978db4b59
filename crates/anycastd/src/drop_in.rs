//! What the unit does not give to everybody, and the drop-in that gives it.
//!
//! The drop-ins are `deploy/systemd/anycastd.service.d/NAME.conf`; a package has them among its examples.

/// As whom the unit runs the agent; the group is called so too.
pub(crate) const USER: &str = "anycastd";
/// To listen below port 1024.
pub(crate) const BIND: &str = "CAP_NET_BIND_SERVICE, which the unit's drop-in bind.conf gives it";
/// To send and hear router advertisements and echoes.
pub(crate) const RAW: &str = "CAP_NET_RAW, which the unit's drop-in raw.conf gives it";
/// To run programs as other users: what it is called, without the capabilities.
pub(crate) const USERS: &str = "the unit's drop-in users.conf gives them";
/// To run BFD ahead of all that is not real-time.
pub(crate) const REAL_TIME: &str =
    "leave to take a real-time priority (LimitRTPRIO=10), which the unit's drop-in real-time.conf gives it";
/// The priority that is taken, and that the drop-in allows.
pub(crate) const PRIORITY: u8 = 10;
/// To give a file to a group.
pub(crate) const CONTROL_GROUP: &str = "the agent must be in that group, and the unit must let it change groups: see the unit's drop-in control-group.conf";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_unit_runs_it_as_that_user() {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/anycastd.service");
        let text = std::fs::read_to_string(unit).unwrap();
        assert!(text.contains(&format!("User={USER}\nGroup={USER}\n")));
    }

    #[test]
    fn what_is_named_is_there_and_gives_that() {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/anycastd.service.d");
        for (words, gives) in [
            (BIND, &["CAP_NET_BIND_SERVICE"][..]),
            (RAW, &["CAP_NET_RAW"]),
            (REAL_TIME, &[&format!("LimitRTPRIO={PRIORITY}"), "RestrictRealtime=no", "SystemCallFilter=@resources"]),
            (USERS, &["CAP_SETUID", "CAP_SETGID", "CAP_KILL", "@setuid"]),
            (CONTROL_GROUP, &["SupplementaryGroups=", "@chown"]),
        ] {
            let name = words.split_whitespace().find(|word| word.ends_with(".conf")).unwrap();
            let text = std::fs::read_to_string(unit.join(name)).unwrap();
            for given in gives {
                assert!(text.contains(given), "{name} lacks {given}");
            }
        }
    }
}
