//! The ratios that Hallpass is held to. Each is taken within a round, so that what else the machine does
//! is in both of its terms.

use crate::{
    report::{Spread, line},
    scenarios::{Measured, Scenario, Scenarios},
};

/// Which figure of a round.
type Value = fn(&Measured) -> f64;

const CPU: Value = |round| round.cpu_us;
const RATE: Value = |round| round.rate;
const P50: Value = |round| round.p50_us;
const P99: Value = |round| round.p99_us;

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// It is printed for comparison alone.
    None,
}

/// Prints each ratio whose terms were measured.
pub(crate) fn report(all: &Scenarios, tokens: &[u64]) {
    line("");
    line("| ratio | median | least–most | goal | |");
    line("|---|---|---|---|---|");
    let ratios = Ratios(&all.list);
    ratios.print(
        "CPU: noop proto / bare axum",
        CPU,
        ["noop proto", "bare axum"],
        Goal::AtMost(1.5),
    );
    let sizes: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    for size in &sizes {
        ratios.of_size(size);
    }
    if let (Some(small), Some(large)) = (sizes.first(), sizes.last())
        && small != large
    {
        for get in ["get proto", "get alone"] {
            let terms = [&*format!("{get} {large}"), &*format!("{get} {small}")];
            let text = format!("p50: {} / {}", terms[0], terms[1]);
            ratios.print(&text, P50, terms, Goal::AtMost(1.3));
        }
    }
}

struct Ratios<'a>(&'a [Scenario]);

impl Ratios<'_> {
    fn of_size(&self, size: &str) {
        self.reads(size);
        self.checks(size);
        self.creates(size);
        self.beside(size);
    }

    fn print_of(&self, size: &str, text: &str, value: Value, [over, under]: [&str; 2], goal: Goal) {
        self.print(&format!("{text} ({size})"), value, [over, under], goal);
    }

    fn reads(&self, size: &str) {
        let named = |what: &str| format!("{what} {size}");
        for wire in ["json", "proto", "grpc"] {
            let (noop, whoami) = (format!("noop {wire}"), named(&format!("whoami {wire}")));
            let get = named(&format!("get {wire}"));
            let text = format!("CPU: get {wire} / whoami {wire}");
            self.print_of(size, &text, CPU, [&get, &whoami], Goal::AtMost(1.3));
            let text = format!("CPU: whoami {wire} / noop {wire}");
            self.print_of(size, &text, CPU, [&whoami, &noop], Goal::None);
        }
        let (get, json) = (named("get proto"), named("get json"));
        let text = "CPU: get proto / bare axum";
        self.print_of(size, text, CPU, [&get, "bare axum"], Goal::AtMost(2.2));
        self.print_of(
            size,
            "CPU: get json / get proto",
            CPU,
            [&json, &get],
            Goal::None,
        );
        let (deep, list) = (named("list deep"), named("list"));
        let goal = Goal::AtMost(1.2);
        self.print_of(size, "CPU: list deep / list", CPU, [&deep, &list], goal);
        self.print_of(size, "p50: list deep / list", P50, [&deep, &list], goal);
    }

    fn checks(&self, size: &str) {
        for (name, under, rate) in [
            ("forward-auth", "bare axum", 0.8),
            ("introspect", "bare axum", 0.6),
            ("verify", "noop proto", 0.75),
        ] {
            let (known, unknown) = (format!("{name} {size}"), format!("unknown {name} {size}"));
            let terms = [&*known, under];
            let text = |what| format!("{what}: {name} / {under}");
            self.print_of(size, &text("rate"), RATE, terms, Goal::AtLeast(rate));
            self.print_of(size, &text("CPU"), CPU, terms, Goal::None);
            let text = format!("p99: {name} / bare axum");
            self.print_of(size, &text, P99, [&known, "bare axum"], Goal::AtMost(2.0));
            let text = format!("rate: unknown {name} / {name}");
            self.print_of(size, &text, RATE, [&unknown, &known], Goal::AtLeast(0.6));
        }
    }

    fn creates(&self, size: &str) {
        for (clients, rate, p99) in [
            (1, Goal::AtLeast(0.95), Goal::None),
            (16, Goal::None, Goal::None),
            (64, Goal::AtLeast(4.0), Goal::AtMost(0.15)),
        ] {
            let create = format!("create {size} x{clients}");
            let terms = [&*create, &*format!("pool {size} x{clients}")];
            let text = |what| format!("{what}: create x{clients} / pool");
            self.print_of(size, &text("rate"), RATE, terms, rate);
            self.print_of(size, &text("p99"), P99, terms, p99);
        }
    }

    /// This hallpass and the one beside it.
    fn beside(&self, size: &str) {
        for name in ["whoami proto", "get json", "get proto", "get grpc", "list"] {
            let terms = [format!("{name} {size}"), format!("{name} beside {size}")];
            let text = format!("CPU: {name} / beside");
            self.print_of(size, &text, CPU, [&terms[0], &terms[1]], Goal::None);
        }
        for clients in [1, 16, 64] {
            let one = format!("create {size} x{clients}");
            let other = format!("create beside {size} x{clients}");
            let text = format!("rate: create x{clients} / beside");
            self.print_of(size, &text, RATE, [&one, &other], Goal::None);
        }
    }

    fn print(&self, text: &str, value: Value, [over, under]: [&str; 2], goal: Goal) {
        let find = |name: &str| self.0.iter().find(|scenario| scenario.name == name);
        let (Some(over), Some(under)) = (find(over), find(under)) else {
            return;
        };
        let rounds = over.rounds.iter().zip(&under.rounds);
        let spread = Spread::of(rounds.map(|(over, under)| value(over) / value(under)));
        let (bound, met) = match goal {
            Goal::AtMost(most) => (format!("≤ {most}"), Some(spread.median <= most)),
            Goal::AtLeast(least) => (format!("≥ {least}"), Some(spread.median >= least)),
            Goal::None => (String::new(), None),
        };
        let met = met.map_or("", |met| if met { "met" } else { "MISSED" });
        let Spread {
            median,
            least,
            most,
        } = spread;
        line(&format!(
            "| {text} | {median:.3} | {least:.3}–{most:.3} | {bound} | {met} |"
        ));
    }
}
