//! The status page in a real browser, on the node itself.

use std::time::{Duration, SystemTime};

use anycast_lab::harness::browser::{Browser, View};
use anyhow::Context as _;
use nix::sys::signal::Signal;

use crate::edge::{Edge, PLAIN, V4, V6, router, story};

const PAGE: &str = "http://127.0.0.1:9273/";
const DESK: View = View { width: 1400, height: 900, dark: false };
const PHONE: View = View { width: 375, height: 700, dark: true };

const EVENTS: &str = "http://127.0.0.1:9273/api/events";
/// What was heard there.
const FOLLOWED: &str = "/run/followed";

async fn followed(edge: &Edge) -> String {
    edge.run(&["cat", FOLLOWED]).await.unwrap_or_default()
}

/// What would run if it were anything but text, and what would turn the rest of a line round.
const HOSTILE: &str = "<img src=x onerror=window.stolen=1><script>window.stolen=1</script>&lt;b&gt; \u{202e}gnp.exe";

/// Notes when an expression becomes true in the page, in milliseconds since 1970.
fn note(name: &str, expression: &str) -> String {
    format!(
        "window.{name} = null; window.mark = 'here'; (() => {{ \
           const look = () => {{ if (window.{name} === null && ({expression})) window.{name} = Date.now(); }}; \
           new MutationObserver(look).observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }}); \
         }})()"
    )
}

/// The service is that, by its card.
fn is(state: &str) -> String {
    format!("document.querySelector('#service-list .pill')?.textContent.endsWith(' {state}') === true")
}

const IS_GONE: &str = "!document.getElementById('gone').hidden && document.body.classList.contains('stale')";
const IS_THERE: &str = "document.getElementById('gone').hidden && !document.body.classList.contains('stale')";

async fn looking(edge: &Edge, view: View) -> anyhow::Result<Browser> {
    let mut browser = Browser::start(&edge.lab, "edge").await?;
    browser.view(view).await?;
    browser.go(PAGE).await?;
    browser.until(&is("up")).await?;
    browser.until("document.querySelector('#neighbor-list .pill')?.textContent === '✓ Established'").await?;
    Ok(browser)
}

const DAY: u64 = 86_400;

/// Of `19:06:00`.
fn seconds_of_day(clock: &str) -> anyhow::Result<u64> {
    clock.split(':').try_fold(0, |sum, part| Ok(sum * 60 + part.parse::<u64>()?))
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Prints how long it took from `from` until the page noted it. A figure, not a verdict: the machine is shared.
async fn took(browser: &mut Browser, what: &str, from: Duration, noted: &str) -> anyhow::Result<()> {
    browser.until(&format!("window.{noted} !== null")).await?;
    let at = browser.evaluate(&format!("window.{noted}")).await?.as_f64().unwrap_or_default();
    println!("{what}: on the page after {:.0} ms", at - from.as_secs_f64() * 1000.0);
    Ok(())
}

/// The page was never loaded again, and did nothing that its policy forbids.
async fn is_the_same(browser: &mut Browser) -> anyhow::Result<()> {
    assert_eq!(browser.evaluate("window.mark").await?, "here");
    assert_eq!(browser.evaluate("window.violations.join()").await?, "");
    assert_eq!(browser.evaluate("window.stolen === undefined").await?, true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_dies_is_seen_to_without_a_reload() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let mut browser = looking(edge, DESK).await?;
        browser.evaluate(&note("down", &is("down"))).await?;
        edge.health("2").await?;
        browser.until(&is("down")).await?;
        let at = went_down(&edge.run(&["anycastctl", "--json", "events"]).await?)?;
        took(&mut browser, "a service that is down", at, "down").await?;
        browser.until("document.getElementById('verdict').textContent === '✗ web not up'").await?;
        browser.until("document.getElementById('said').textContent.includes('web is down')").await?;
        browser.until("document.getElementById('event-list').textContent.includes('up → down')").await?;
        // The strip, for those who see it and for those who do not.
        browser.until("document.querySelectorAll('.strip rect.bad').length === 1").await?;
        browser.until("/^Last hour: .*down \\d+ s.*changes?$/.test(document.querySelector('.strip').getAttribute('aria-label'))").await?;

        edge.health("0").await?;
        browser.until(&is("up")).await?;
        edge.ctl(&["withdraw", "web", "--reason", "kernel update", "--for", "2h"]).await?;
        browser.until("/By root at .*“kernel update”, until .* for 1 h 59 min more/.test(document.querySelector('.order').textContent)").await?;
        browser.until(&is("drained")).await?;
        let order = "/^↓ web drained by root until (\\d\\d-\\d\\d )?\\d\\d:\\d\\d$/";
        browser.until(&format!("{order}.test(document.getElementById('verdict').textContent)")).await?;
        is_the_same(&mut browser).await
    };
    story(told, Edge::announcing().await).await
}

/// When the service went down last, by the agent's events.
fn went_down(events: &str) -> anyhow::Result<Duration> {
    let events = events.lines().map(serde_json::from_str::<anycast_api::Event>);
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let down = events.iter().rfind(|event| event.kind == "service" && event.text == "up → down");
    Ok(down.context("it is an event")?.at.system_time().duration_since(SystemTime::UNIX_EPOCH)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_is_seen_to_and_so_is_its_return() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let mut browser = looking(edge, DESK).await?;
        browser.evaluate(&note("gone", IS_GONE)).await?;
        let killed = now();
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        took(&mut browser, "an agent that was killed", killed, "gone").await?;
        browser.until("document.getElementById('gone-text').textContent.includes('has not answered since')").await?;
        browser.until("document.getElementById('as-of').textContent.includes('as of')").await?;
        let remedy = "['journalctl -u anycastd', 'its routes are gone from the neighbors'].every((one) => ";
        browser.until(&format!("{remedy}document.getElementById('gone').innerText.includes(one))")).await?;

        browser.evaluate(&note("back", IS_THERE)).await?;
        let started = now();
        edge.start().await?;
        took(&mut browser, "an agent that was started again", started, "back").await?;
        browser.until(&is("up")).await?;
        edge.announced(V4).await?;

        // Another program in the same process: it says so before the stream ends, and nobody has to load anything again.
        edge.lab.start("edge", &["curl", "-sN", EVENTS], FOLLOWED).await?;
        edge.wait("it is followed", async || Ok(followed(edge).await.contains("event: status"))).await?;
        browser.evaluate(&note("missed", IS_GONE)).await?;
        let upgraded = edge.ctl(&["upgrade"]).await?;
        assert!(upgraded.status.success(), "{}", upgraded.errors);
        edge.wait("it has ended", async || Ok(edge.lab.pids("edge", "curl").await?.is_empty())).await?;
        let heard = followed(edge).await;
        assert!(heard.ends_with("event: bye\ndata: {\"reason\":\"upgrade\"}\n\n"), "{heard}");
        edge.health("2").await?;
        browser.until(&is("down")).await?;
        browser.until(IS_THERE).await?;
        let missed = browser.evaluate("window.missed !== null").await?;
        println!("an agent that was upgraded: taken for one that is gone: {missed}");

        // It hangs: nothing is closed, and nothing comes.
        browser.evaluate(&note("hangs", IS_GONE)).await?;
        let stopped = now();
        edge.lab.kill("edge", "anycastd", Signal::SIGSTOP).await?;
        let silent = now();
        took(&mut browser, "an agent that was stopped", stopped, "hangs").await?;
        // It is as of its last word, not as of when that was noticed, seconds later.
        let since =
            browser.evaluate("document.getElementById('gone-text').textContent.match(/since ([0-9:]+)/)[1]").await?;
        let since = seconds_of_day(since.as_str().context("it is a time")?)?;
        let before = (silent.as_secs() % DAY + DAY - since) % DAY;
        assert!(before < DAY / 2, "{since} s after midnight, and it was silent from {silent:?} on");
        edge.lab.kill("edge", "anycastd", Signal::SIGCONT).await?;
        browser.until(IS_THERE).await?;
        is_the_same(&mut browser).await
    };
    story(told, Edge::announcing().await).await
}

/// [`PLAIN`] with a check that says what a file says.
fn saying() -> String {
    PLAIN.replace("\"exit $(cat /run/health || echo 2)\"", "\"cat /run/said; exit $(cat /run/health || echo 2)\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_stays_text() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.lab.write("edge", "/run/said", HOSTILE).await?;
        edge.configure(&saying()).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let mut browser = looking(edge, DESK).await?;
        browser.evaluate(&note("nothing", "false")).await?;
        let text = |of: &str| format!("document.querySelector('{of}').textContent.includes('<img src=x onerror=')");
        browser.until(&text(".checks .say")).await?;
        browser.evaluate("document.querySelector('.why').open = true").await?;
        browser.until("document.querySelectorAll('.chain li').length > 3").await?;
        edge.ctl(&["withdraw", "web", "--reason", HOSTILE]).await?;
        browser.until(&text(".order")).await?;
        browser.until(&text("#event-list")).await?;
        browser.until(&text(".chain")).await?;
        // RFC 9003: the neighbor says why it ends the session.
        router(edge, &[&format!("neighbor 192.0.2.2 shutdown message {HOSTILE}")]).await?;
        browser.until(&text("#neighbor-list")).await?;

        // What turns a line round is shown as what it is, wherever it stands.
        browser.until("document.querySelector('.order').textContent.includes('⟨U+202E⟩gnp.exe')").await?;
        assert_eq!(browser.evaluate("document.body.textContent.includes('\\u202e')").await?, false);
        let made = "document.querySelectorAll('img, b, body script, iframe, object, embed, [onerror], [style]').length";
        assert_eq!(browser.evaluate(made).await?, 0);
        is_the_same(&mut browser).await
    };
    story(told, Edge::new().await).await
}

/// What a page must have, for those who do not see it or have no mouse: what is amiss, in words.
const FAULTS: &str = r#"(() => {
    const faults = [];
    const fault = (what, node) => faults.push(`${what}: ${node?.outerHTML?.slice(0, 120) ?? ''}`);
    if (!document.documentElement.lang) fault('no language');
    if (!document.title.includes('edge')) fault('no title');
    for (const one of ['header', 'main', 'footer', 'h1']) if (document.querySelectorAll(one).length !== 1) fault(`not one ${one}`);
    let level = 0;
    for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
        if (heading.closest('[hidden]')) continue;
        const own = Number(heading.tagName[1]);
        if (own > level + 1) fault('a heading leaves one out', heading);
        if (!heading.textContent.trim()) fault('an empty heading', heading);
        level = own;
    }
    for (const control of document.querySelectorAll('a, button, input, summary, [role=img], [tabindex="0"]')) {
        const of = control.getAttribute('aria-labelledby');
        const name = control.getAttribute('aria-label') || (of && document.getElementById(of)?.textContent)
            || control.closest('label')?.textContent || (control.getAttribute('role') === 'img' ? '' : control.textContent);
        if (!name?.trim()) fault('no name', control);
    }
    const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
    if (new Set(ids).size !== ids.length) fault('an id twice');
    for (const node of document.querySelectorAll('[aria-labelledby]'))
        if (!document.getElementById(node.getAttribute('aria-labelledby'))) fault('named by nothing', node);
    if (document.documentElement.scrollWidth > innerWidth) fault(`wider than the screen: ${document.documentElement.scrollWidth}`);
    const rgb = (text) => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, index) => sum + one * [0.2126, 0.7152, 0.0722][index], 0);
    for (const node of document.querySelectorAll('body *')) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!own || !node.checkVisibility() || node.closest('noscript')) continue;
        let behind = node;
        while (behind && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
        const [one, other] = [light(rgb(getComputedStyle(node).color)), light(rgb(getComputedStyle(behind ?? document.body).backgroundColor))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        // WCAG 2.2, 1.4.3.
        if (contrast < 4.5) fault(`a contrast of ${contrast.toFixed(2)}`, node);
    }
    return faults.join('\n');
})()"#;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_for_phones_keyboards_and_ears_too() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let mut browser = looking(edge, PHONE).await?;
        browser.evaluate(&note("nothing", "false")).await?;
        browser.until("document.querySelector('.past summary').textContent.startsWith('Last hour: up')").await?;
        browser.press("Tab").await?;
        assert_eq!(browser.evaluate("document.activeElement.className").await?, "skip");
        let mut presses = 0;
        while browser.evaluate("document.activeElement.textContent === 'Why'").await? != true {
            presses += 1;
            assert!(presses < 40, "the keyboard does not lead there");
            browser.press("Tab").await?;
        }
        let outline = "getComputedStyle(document.activeElement).outlineStyle";
        assert_ne!(browser.evaluate(outline).await?, "none", "it is seen where one is");
        browser.press("Enter").await?;
        browser.until("document.querySelector('.chain')?.textContent.includes('rtr')").await?;
        // Whatever is told meanwhile, who has come there stays there.
        edge.health("2").await?;
        browser.until(&is("down")).await?;
        browser.until("document.querySelector('.chain .hint:not([hidden])') !== null").await?;
        assert_eq!(browser.evaluate("document.activeElement.textContent").await?, "Why");

        for view in [PHONE, View { dark: false, ..PHONE }, View { dark: true, ..DESK }, DESK] {
            browser.view(view).await?;
            let dark = format!("matchMedia('(prefers-color-scheme: dark)').matches === {}", view.dark);
            browser.until(&dark).await?;
            assert_eq!(browser.evaluate(FAULTS).await?, "", "{view:?}");
        }
        is_the_same(&mut browser).await
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_nobody_has_are_seen_to() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        // The router takes no IPv6 in this session.
        router(edge, &["address-family ipv6 unicast", "no neighbor 192.0.2.2 activate"]).await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let mut browser = looking(edge, View { width: 1280, ..DESK }).await?;
        browser.evaluate(&note("nothing", "false")).await?;
        browser.until("document.getElementById('verdict').textContent === '✗ 1 problem'").await?;
        // The same words as in a terminal, however wide that is.
        let listed = browser.evaluate("document.getElementById('problem-list').innerText").await?;
        let listed = listed.as_str().unwrap_or_default();
        assert!(listed.starts_with(&format!("rtr cannot be given {V6}: ")), "{listed}");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let terminal = words(&edge.run(&["anycastctl", "status"]).await?);
        assert!(terminal.contains(&words(listed)), "{listed}: {terminal}");
        let card = |what: &str| format!("document.querySelector('.facts').innerText.includes('{what}')");
        browser.until(&card(&format!("✓ {V4} announced"))).await?;
        browser.until(&card(&format!("! {V6} to be announced, nobody has it"))).await?;
        // What is to be said of a neighbor has room.
        let wide =
            "document.querySelector('.rows .more').offsetWidth > 0.9 * document.querySelector('.rows').offsetWidth";
        for width in [1280, 390] {
            browser.view(View { width, ..DESK }).await?;
            browser.until(&format!("innerWidth === {width} && {wide}")).await?;
            assert_eq!(browser.evaluate(FAULTS).await?, "", "{width}");
        }
        router(edge, &["neighbor 192.0.2.2 shutdown message moved to another rack"]).await?;
        browser.until(&card(&format!("! {V4} to be announced, nobody has it"))).await?;
        browser.until("document.getElementById('verdict').textContent.startsWith('✗ no session with rtr')").await?;
        is_the_same(&mut browser).await
    };
    story(told, Edge::new().await).await
}
