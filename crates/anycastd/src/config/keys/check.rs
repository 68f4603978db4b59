//! `services[].checks`: what all have, and what each type has.

use super::{ADDRESS, ADDRESS_AND_PORT, COUNT, Key, Keys, Kinds, LONGEST, NAME, PATH, PORT, Shape, TEXT, TRUTH, key};

/// A check.
pub(super) const CHECK: Kinds = Kinds {
    by: key("type", TEXT, "How it asks.").required(),
    common: &Keys {
        place: "services[].checks[]",
        keys: &[
            key("name", NAME, "Its name, unique within the service.").required(),
            key("interval", Shape::Time("10ms", LONGEST), "From start to start while nothing changes.").or("1s"),
            key(
                "fast_interval",
                Shape::Time("10ms", LONGEST),
                "The same while it rises, falls or is undecided; at most `interval`.",
            )
            .else_says("a fifth of `interval`"),
            key("timeout", Shape::Time("1ms", LONGEST), "A run that takes longer has failed.")
                .else_says("`1s`, or `interval` where that is shorter"),
            key("rise", COUNT, "Good answers in a row until it counts as good.").or("2"),
            key("fall", COUNT, "Bad answers in a row until it counts as bad.").or("2"),
            key("start_delay", Shape::Time("0s", LONGEST), "How long the first run waits.").or("0s"),
            key(
                "scope",
                Shape::Word(&["local", "shared"]),
                "`shared`: what every node depends on; it degrades the service and never withdraws it.",
            )
            .or("local"),
        ],
    },
    kinds: &[
        ("tcp", Keys { place: "type: tcp", keys: &[AIM, EACH_PORT, HOLD] }),
        ("http", Keys { place: "type: http", keys: HTTP }),
        (
            "grpc",
            Keys {
                place: "type: grpc",
                keys: &[
                    AIM,
                    EACH_PORT,
                    HOLD,
                    SERVICE,
                    key("tls", Shape::Keys(&TLS), "TLS is spoken.").else_says("in the clear"),
                ],
            },
        ),
        ("dns", Keys { place: "type: dns", keys: DNS }),
        ("udp", Keys { place: "type: udp", keys: UDP }),
        ("icmp", Keys { place: "type: icmp", keys: ICMP }),
        ("tls", Keys { place: "type: tls", keys: HANDSHAKE }),
        (
            "systemd",
            Keys {
                place: "type: systemd",
                keys: &[
                    key("unit", Shape::Form("\\.[a-z]+$", "full name of a unit"), "The unit.").required(),
                    key("bus", Shape::Either(&[PATH, Shape::Word(&["system"])]), "The socket of the bus.").or("system"),
                ],
            },
        ),
        (
            "process",
            Keys {
                place: "type: process",
                keys: &[
                    key("pid_file", PATH, "The file with the number on its first line.").required(),
                    key("comm", TEXT, "The name that the process must have, as `ps -o comm` shows it.")
                        .else_says("any"),
                ],
            },
        ),
        (
            "file",
            Keys {
                place: "type: file",
                keys: &[
                    key("path", PATH, "Where it is.").required(),
                    key("expect", Shape::Word(&["present", "absent", "fresh"]), "How it is to be.")
                        .else_says("`present`; with `max_age`, `fresh`"),
                    key("max_age", Shape::Time("1ms", LONGEST), "The greatest age of a fresh file."),
                ],
            },
        ),
        (
            "exec",
            Keys {
                place: "type: exec",
                keys: &[
                    key(
                        "command",
                        Shape::List(&TEXT),
                        "The program, by its absolute path, and its arguments; there is no shell.",
                    )
                    .required(),
                    key("user", TEXT, "The user as whom it runs; not root.").else_says("the agent's"),
                    key("environment", Shape::Named(&TEXT), "Variables, never shown."),
                ],
            },
        ),
    ],
};

const EITHER_PORT: Shape = Shape::Either(&[ADDRESS_AND_PORT, ADDRESS]);
const AIM: Key = key("address", ADDRESS_AND_PORT, "Whom to ask.").else_says("`address` or `port` is required");
const EACH_PORT: Key = key("port", PORT, "Instead: this port on each of the service's addresses; all must answer.");
const HOLD: Key =
    key("hold_connection", TRUTH, "Hold a connection open whose end has the check ask at once.").or("false");
const SERVICE: Key =
    key("service", TEXT, "The full name of the service that is asked about; empty: the server as a whole.");
const CA_FILE: Key = key("ca_file", PATH, "PEM file of the trusted roots.").else_says("the system's");
const VERIFY: Key = key("verify", TRUTH, "`false`: chain and name are not verified.").or("true");
const TLS: Keys = Keys {
    place: "tls",
    keys: &[
        key("name", TEXT, "The name that the certificate must carry.")
            .else_says("the host of a URL; else required, unless `verify: false`"),
        CA_FILE,
        VERIFY,
    ],
};

const HTTP: &[Key] = &[
    key("url", Shape::Form("^https?://", "`http://…` or `https://…`, without a user"), "What to ask for.")
        .else_says("`url` or `port` is required"),
    key("port", PORT, "Instead of a URL: this port on each of the service's addresses."),
    key("path", Shape::Form("^/", "begins with `/`"), "With `port`: what to ask for.").or("/"),
    key(
        "address",
        Shape::Either(&[EITHER_PORT, Shape::Word(&["lookup"])]),
        "Where to connect for a URL with a host name; `lookup` asks the resolver at each run.",
    )
    .else_says("the service's own; for `localhost`, the loopback"),
    HOLD,
    key("method", Shape::Word(&["GET", "HEAD"]), "The method.").or("GET"),
    key("http_version", Shape::Word(&["1.1", "2"]), "HTTP/1.1, or HTTP/2.").or("\"1.1\""),
    key("headers", Shape::Named(&TEXT), "Fields to send; never shown."),
    key("headers_file", PATH, "A file with more of them, `Name: value` on each line."),
    key("expect", Shape::Keys(&HTTP_EXPECT), "What the answer must be."),
    key("tls", Shape::Keys(&TLS), "What is asked of the certificate."),
];

const HTTP_EXPECT: Keys = Keys {
    place: "type: http, expect",
    keys: &[
        key(
            "status",
            Shape::Either(&[STATUS, Shape::List(&STATUS)]),
            "A code, a range, or a list of both, from 100 to 599.",
        )
        .or("200-299"),
        key("body", TEXT, "A text that the first 64 KiB of the body must hold."),
        key(
            "header",
            Shape::Named(&TEXT),
            "Fields that the answer must have, each with a text that it holds; `\"*\"`: it is there.",
        ),
    ],
};

const STATUS: Shape = Shape::Form("^[1-5][0-9]{2}(-[1-5][0-9]{2})?$", "code or range");

const DNS: &[Key] = &[
    key("query", Shape::Form("^[^ ]+ +[A-Za-z0-9]+$", "name and type"), "What is asked for, `health.example.net A`.")
        .required(),
    key("server", EITHER_PORT, "The address to ask.").else_says("each of the service's addresses; all must answer"),
    key("port", PORT, "The port at that address, or at each of the service's.").else_says("53"),
    key("transport", Shape::Word(&["udp", "tcp", "both"]), "How it is asked.").or("udp"),
    key("recursion_desired", TRUTH, "The flag RD of the query.").or("true"),
    key("dnssec_ok", TRUTH, "Ask for signatures too (EDNS with DO).").or("false"),
    key("expect", Shape::Keys(&DNS_EXPECT), "What the answer must be."),
];

const DNS_EXPECT: Keys = Keys {
    place: "type: dns, expect",
    keys: &[
        key("rcode", TEXT, "The response code by its name.").or("NOERROR"),
        key(
            "answer",
            Shape::Either(&[TEXT, Shape::List(&TEXT)]),
            "Data of a record as in a zone file, or a list of them; all must be in the answer.",
        ),
        key("min_answers", Shape::Number(0, 65_535), "How many records of the type asked for there must be.")
            .else_says("`1`; `0` where an error or `tc` is expected"),
        key(
            "flags",
            Shape::List(&Shape::Form("^(no-)?(aa|tc|rd|ra|ad|cd)$", "flag, or `no-` and a flag")),
            "Flags that must be set, or must not.",
        ),
    ],
};

const UDP: &[Key] = &[
    AIM,
    EACH_PORT,
    key("send", TEXT, "The text that is sent, 1 to 1232 bytes.").else_says("`send` or `send_hex` is required"),
    key("send_hex", TEXT, "Instead: the bytes, as pairs of hexadecimal digits."),
    key("expect", TEXT, "A text that the answer must hold.").else_says("any answer will do"),
    key("expect_hex", TEXT, "The same for bytes."),
    key("reply", Shape::Word(&["required", "optional"]), "`optional`: only a refusal is bad.").or("required"),
];

const ICMP: &[Key] = &[
    key("address", ADDRESS, "Whom to send them.").else_says("each of the service's addresses; all must answer"),
    key("packets", Shape::Number(1, 100), "How many echoes are sent to each at most.").or("1"),
    key("max_loss", Shape::Number(0, 100), "How many of them may be lost; less than `packets`.").or("0"),
];

const HANDSHAKE: &[Key] = &[
    key("tls", Shape::Keys(&TLS), "What is asked of the certificate.").required(),
    key("address", EITHER_PORT, "Where to connect.").else_says("each of the service's addresses; all must be good"),
    key("port", PORT, "The port at that address, or at each of the service's.").else_says("443"),
    key("alpn", Shape::List(&TEXT), "Protocols to offer; the server must choose one."),
    key(
        "warn_before",
        Shape::Form(TIME, "duration; here `d` for days too"),
        "With less validity left the service is degraded.",
    )
    .else_says("`14d`, or a sixth of the certificate's lifetime where that is shorter"),
    key("fail_before", Shape::Form(TIME, "duration; here `d` for days too"), "With less validity left it is down.")
        .or("0s"),
];

/// A duration without bounds.
const TIME: &str = "^([0-9]+ ?[a-z]+ ?)+$";
