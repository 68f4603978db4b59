//! From a value to a place in a drawing.

use super::super::words;

/// Where values are between the left edge and the right one, in per cent of the width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    kind: Kind,
    most: f64,
    left: f64,
    right: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    /// Of one more than the value, so that there is a place for zero.
    Logarithmic,
}

/// Every drawing reaches as far, so that steps are whole.
const LEAST: f64 = 10.0;
/// No drawing reaches farther: eleven days in milliseconds.
const MOST: f64 = 1e9;

impl Scale {
    /// Even steps.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        Self::of(Kind::Linear, values)
    }

    /// A step for each power of ten, and zero at the left.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64>) -> Self {
        Self::of(Kind::Logarithmic, values)
    }

    fn of(kind: Kind, values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|value| value.is_finite()).fold(LEAST, f64::max).min(MOST);
        Self { kind, most: round_up(most, &FINE), left: 0.0, right: 100.0 }
    }

    /// Leaves room at the edges, in per cent.
    pub(super) const fn between(self, left: f64, right: f64) -> Self {
        Self { left, right, ..self }
    }

    /// Where the largest value is.
    pub(super) const fn right(&self) -> f64 {
        self.right
    }

    /// Where this value is; what is too small or too large is at an edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = value.clamp(0.0, self.most);
        let part = match self.kind {
            Kind::Linear => value / self.most,
            Kind::Logarithmic => value.ln_1p() / self.most.ln_1p(),
        };
        self.left + part * (self.right - self.left)
    }

    /// Values worth a line.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.kind {
            Kind::Linear => {
                let step = round_up(self.most / 6.0, &COARSE);
                (0..=6).map(|tick| f64::from(tick) * step).filter(|tick| *tick <= self.most).collect()
            }
            Kind::Logarithmic => {
                let powers = std::iter::successors(Some(1.0), |tick| Some(tick * 10.0));
                std::iter::once(0.0).chain(powers.take_while(|tick| *tick <= self.most)).collect()
            }
        }
    }
}

const COARSE: [f64; 3] = [1.0, 2.0, 5.0];
const FINE: [f64; 8] = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];

/// To one of these times a power of ten.
fn round_up(value: f64, digits: &[f64]) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    digits.iter().map(|digit| digit * power).find(|round| *round >= value).unwrap_or(10.0 * power)
}

/// What stands at a line: `10 ms`, `1 s`.
pub(super) fn time_at(ms: f64) -> String {
    match ms {
        0.0 => "0".to_owned(),
        ms if ms < 1e3 => format!("{ms} ms"),
        ms if ms < 1e6 => format!("{} s", ms / 1e3),
        ms => words::time(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_between_the_edges() {
        let scale = Scale::logarithmic([3.0, 72_000.0].into_iter()).between(10.0, 90.0);
        assert_eq!(scale.ticks(), [0.0, 1.0, 10.0, 100.0, 1e3, 1e4]);
        for value in [-1.0, 0.0, 0.5, 99.0, 1e5, f64::INFINITY] {
            assert!((10.0..=90.0 + 1e-9).contains(&scale.at(value)), "{value}");
        }
        assert!((scale.at(0.0), scale.at(8e4)) == (10.0, 90.0));
    }

    #[test]
    fn steps_are_round() {
        let ticks = |most| Scale::linear([most].into_iter()).ticks();
        assert_eq!(ticks(72_000.0), [0.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0]);
        assert_eq!(ticks(1e300).last(), Some(&MOST));
        assert_eq!(ticks(f64::NAN), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        let words: Vec<_> = [0.0, 10.0, 1e3, 1e5, 1e7].map(time_at).into();
        assert_eq!(words, ["0", "10 ms", "1 s", "100 s", "167 min"]);
    }
}
