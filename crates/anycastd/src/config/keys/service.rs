//! `services`.

use super::{FAMILIES, HOST, Keys, LONGEST, NAME, PATH, PREFIX, Shape, TRUTH, check::CHECK, key, neighbor::attributes};

/// A service.
pub(super) const SERVICE: Keys = Keys {
    place: "services[]",
    keys: &[
        key("name", NAME, "Its name.").required(),
        key("addresses", Shape::List(&HOST), "The addresses it answers on; bound to `interface`.").required(),
        key("prefixes", Shape::List(&PREFIX), "What is announced; each address lies in one of them.")
            .else_says("the addresses themselves"),
        key("neighbors", Shape::List(&Shape::Either(&[NAME, Shape::Keys(&TOWARDS)])), "To whom it is announced.")
            .else_says("all"),
        key("checks", Shape::List(&Shape::Kinds(&CHECK)), "The proof that it works; at least one.").required(),
        key(
            "require",
            Shape::Form("^(all|any|at +least +[0-9]+)$", "`all`, `any` or `at least N`"),
            "How many of its local checks must pass.",
        )
        .or("all"),
        key("depends_on", Shape::List(&NAME), "Services of this node that it needs."),
        key("on_down", Shape::Word(&["withdraw", "degrade", "keep"]), "What becomes of its routes while it is down.")
            .or("withdraw"),
        key(
            "hold_down",
            Shape::Either(&[Shape::Keys(&HOLD_DOWN), Shape::Word(&["none"])]),
            "A service that flaps is held down for a time that doubles.",
        )
        .or("none"),
        key(
            "on_hold",
            Shape::Word(&["withdraw", "degrade"]),
            "What becomes of the routes of a healthy service that is held.",
        )
        .or("withdraw"),
        key("up", Shape::Keys(&UP), "Attributes while it is up."),
        key("degraded", Shape::Keys(&DEGRADED), "Attributes while it is degraded; nothing is taken over from `up`.")
            .else_says("those of `up` with three more prepends and half the local preference"),
        key("drain", Shape::Keys(&DRAIN), "The times of a planned withdraw."),
        key("watch", Shape::Word(&["none", "listener", "process"]), "What the kernel tells the checks of.").or("none"),
        key(
            "restart_grace",
            Shape::Time("0s", "1m"),
            "How long a listener that went may take to come back before the service is down for it.",
        )
        .or("0s"),
        key("disable_file", PATH, "While something is there, the service is drained."),
        key(
            "unbind",
            Shape::Word(&["never", "drained"]),
            "Whether a drained service keeps its addresses, and its checks go on.",
        )
        .or("never"),
        key("traffic", TRUTH, "Whether the kernel counts what comes for its addresses.").or("false"),
    ],
};

const UP: Keys = attributes("services[].up");
const DEGRADED: Keys = attributes("services[].degraded");
const OF_TOWARDS: Keys = attributes("services[].neighbors[].attributes");

const TOWARDS: Keys = Keys {
    place: "services[].neighbors[]",
    keys: &[
        key("name", NAME, "The neighbor.").required(),
        key("families", FAMILIES, "Which of the service's prefixes go there.")
            .else_says("all that the neighbor carries"),
        key("attributes", Shape::Keys(&OF_TOWARDS), "What is changed for it, on top of its own `attributes`."),
    ],
};

const HOLD_DOWN: Keys = Keys {
    place: "services[].hold_down",
    keys: &[
        key(
            "after",
            Shape::Form("^[0-9]+ +flaps? +in +.+$", "`3 flaps in 1m`: 1 to 1000, within 1 s to 24 h"),
            "So many flaps in so long begin a hold.",
        )
        .required(),
        key(
            "initial",
            Shape::Time("1s", LONGEST),
            "How long the first hold lasts; each further one lasts twice as long.",
        )
        .or("10s"),
        key("max", Shape::Time("1s", LONGEST), "No hold lasts longer.")
            .else_says("`2m`, or `initial` where that is longer"),
    ],
};

const DRAIN: Keys = Keys {
    place: "services[].drain",
    keys: &[
        key(
            "graceful_shutdown",
            Shape::Time("0s", LONGEST),
            "How long GRACEFUL_SHUTDOWN is announced before the withdraw.",
        )
        .or("10s"),
        key(
            "linger",
            Shape::Time("0s", LONGEST),
            "How long packets may still arrive after every neighbor has acknowledged the withdraw.",
        )
        .or("5s"),
    ],
};
