//! The top of the file, and what belongs to the node and the agent.

use super::{
    ADDRESS_AND_PORT, INTERFACE, Key, Keys, MOST, PATH, Shape, TEXT, key, neighbor::NEIGHBOR, service::SERVICE,
};

/// The whole file.
pub(in crate::config) const TOP: Keys = Keys {
    place: "",
    keys: &[
        key("node", Shape::Keys(&NODE), "What the node is called."),
        key("bgp", Shape::Keys(&BGP), "Who this node is in BGP, and its neighbors.").required(),
        key("services", Shape::List(&Shape::Keys(&SERVICE)), "What is served here, each with the proof that it works.")
            .else_says("nothing is announced, with a warning"),
        key("interface", INTERFACE, "The interface that carries the addresses.").or("lo"),
        key(
            "anchor",
            Shape::Word(&["unreachable", "blackhole", "none"]),
            "The route for an announced prefix that is wider than its addresses, so that it cannot loop.",
        )
        .or("unreachable"),
        key("prefixes", Shape::Named(&Shape::Keys(&RULE)), "Rules for prefixes that several services share."),
        key(
            "on_exit",
            Shape::Word(&["withdraw", "keep"]),
            "Whether routes and addresses go with the agent, or neighbors keep the routes for their restart time and the addresses stay.",
        )
        .or("withdraw"),
        key(
            "shutdown",
            Shape::Word(&["fast", "drain"]),
            "How the agent ends: withdraw, Cease, unbind, within 2 s; or the services' full drain first.",
        )
        .or("fast"),
        key(
            "stale_after",
            Shape::Time("1s", "1h"),
            "How long the agent is believed without a sign of life, and a check without an answer.",
        )
        .or("10s"),
        key("state", Shape::Keys(&STATE), "Where the agent keeps what outlives it."),
        key("control", Shape::Keys(&CONTROL), "The control socket, and who may use it."),
        key(
            "http",
            Shape::Either(&[Shape::Keys(&HTTP), Shape::Word(&["none"])]),
            "The read-only HTTP listener, or `none`.",
        ),
        key("log", Shape::Keys(&LOG), "The log."),
    ],
};

const NODE: Keys = Keys {
    place: "node",
    keys: &[
        key("name", TEXT, "The node's name in status, logs and metrics.").else_says("the host name"),
        key("region", TEXT, "A label."),
        key("country", Shape::Form("^[A-Z]{2}$", "two capital letters, ISO 3166-1"), "The country, as a label."),
    ],
};

const BGP: Keys = Keys {
    place: "bgp",
    keys: &[
        key("asn", Shape::Number(1, MOST), "Our AS number; not 23456 (AS_TRANS).").required(),
        key(
            "router_id",
            Shape::Form("^[0-9.]+$", "IPv4 address below 224.0.0.0"),
            "Our BGP Identifier, which no other router has.",
        )
        .else_says("the node's first IPv4 address that is not on the loopback and no service's"),
        key("listen", Shape::List(&ADDRESS_AND_PORT), "Where neighbors that connect find us.")
            .else_says("port 179 on every address of the families such neighbors have"),
        key("neighbors", Shape::List(&Shape::Keys(&NEIGHBOR)), "The upstream routers.")
            .else_says("none, with a warning"),
    ],
};

const RULE: Keys = Keys {
    place: "prefixes.*",
    keys: &[key(
        "require",
        Shape::Word(&["all", "any"]),
        "Whether all services of the prefix must serve for it to be announced, or any of them.",
    )
    .required()],
};

const STATE: Keys = Keys {
    place: "state",
    keys: &[key("directory", PATH, "Where the orders of operators, and what is known of flaps, are kept.")
        .else_says("`$STATE_DIRECTORY`, else `/var/lib/anycastd`")],
};

const CONTROL: Keys = Keys {
    place: "control",
    keys: &[
        key("socket", PATH, "The control socket; at most 107 bytes.").or("/run/anycastd/control.sock"),
        key("group", TEXT, "The group that may open it.").else_says("the agent's own"),
        key("operators", Shape::List(&TEXT), "Users, besides root and the agent's own, who may change things."),
    ],
};

const HTTP: Keys = Keys {
    place: "http",
    keys: &[key(
        "listen",
        Shape::Either(&[ADDRESS_AND_PORT, Shape::Word(&["none"])]),
        "Where `/metrics`, `/healthz` and `/readyz` are served; `none`: nowhere.",
    )
    .or("127.0.0.1:9273")],
};

const LOG: Keys = Keys {
    place: "log",
    keys: &[key("format", Shape::Word(&["journal", "text", "json"]), "The form of the log.").or("journal"), LEVEL],
};

const LEVEL: Key =
    key("level", Shape::Word(&["error", "warn", "info", "debug", "trace"]), "The least grave level that is written.")
        .or("info");
