//! Numbers that remember their arithmetic.

use std::cell::RefCell;

use serde::Serialize;

use super::arithmetic::Arithmetic;
use crate::estimate::request::input::Input;

/// One number and how it comes about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Derivation {
    /// The number, with its unit.
    pub name: String,
    /// Its arithmetic.
    pub arithmetic: String,
    /// The result of it, in that unit.
    pub value: f64,
}

/// A value, and what it was made of.
#[derive(Debug, Clone)]
pub(in crate::estimate) struct Traced {
    pub(in crate::estimate) value: f64,
    text: String,
    /// Whether the text is a sum, which needs brackets in a product.
    is_sum: bool,
}

impl Traced {
    pub(in crate::estimate) fn new(value: f64, text: impl Into<String>) -> Self {
        Self { value, text: text.into(), is_sum: false }
    }

    fn factor(&self) -> String {
        if self.is_sum { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// The arithmetic of [`Traced`]: every number that gets a name is written down.
#[derive(Debug, Default)]
pub(in crate::estimate) struct Trace(RefCell<Vec<Derivation>>);

impl Trace {
    /// What was written down.
    pub(in crate::estimate) fn into_lines(self) -> Vec<Derivation> {
        self.0.into_inner()
    }
}

impl Arithmetic for Trace {
    type Number = Traced;

    fn input(&self, input: &Input) -> Traced {
        let value = input.distribution.median();
        let unit = if input.unit == "1" { String::new() } else { format!(" {}", input.unit) };
        Traced::new(value, format!("{} {}{unit}", input.name, show(value)))
    }

    fn exactly(&self, value: f64, what: &str) -> Traced {
        Traced::new(value, format!("{} {what}", show(value)).trim_end())
    }

    fn add(&self, a: &Traced, b: &Traced) -> Traced {
        Traced { value: a.value + b.value, text: format!("{} + {}", a.text, b.text), is_sum: true }
    }

    fn multiply(&self, a: &Traced, b: &Traced) -> Traced {
        Traced::new(a.value * b.value, format!("{} x {}", a.factor(), b.factor()))
    }

    fn divide(&self, a: &Traced, b: &Traced) -> Traced {
        Traced::new(a.value / b.value, format!("{} / {}", a.factor(), b.factor()))
    }

    fn not_negative(&self, a: &Traced) -> Traced {
        Traced { value: a.value.max(0.0), ..a.clone() }
    }

    fn named(&self, name: &str, unit: &str, number: Traced) -> Traced {
        // What is its own name was written down before.
        if number.text != name {
            self.0.borrow_mut().push(Derivation {
                name: format!("{name}, {unit}"),
                arithmetic: number.text,
                value: number.value,
            });
        }
        Traced::new(number.value, name)
    }
}

/// Four significant digits.
pub(in crate::estimate) fn show(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if (1e-3..1e6).contains(&x.abs()) {
        #[expect(clippy::cast_possible_truncation, reason = "a decimal exponent between -3 and 5")]
        let decimals = usize::try_from(3 - x.abs().log10().floor() as i32).unwrap_or(0);
        return format!("{x:.decimals$}");
    }
    format!("{x:.3e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_four_digits_and_a_sum_in_a_product_in_brackets() {
        let shown = [0.0, 1234.6, 999_999.0, 1e6, 12.3456, -2.5, 0.001, 0.000_9].map(show);
        assert_eq!(shown, ["0", "1235", "999999", "1.000e6", "12.35", "-2.500", "0.001000", "9.000e-4"]);
        let a = Trace::default();
        let (x, y) = (a.exactly(2.0, "x"), a.exactly(-3.0, "y"));
        let sum = a.add(&x, &y);
        for (number, text, value) in [
            (a.multiply(&sum, &x), "(2.000 x + -3.000 y) x 2.000 x", -2.0),
            (a.divide(&x, &sum), "2.000 x / (2.000 x + -3.000 y)", -2.0),
            (a.add(&sum, &x), "2.000 x + -3.000 y + 2.000 x", 1.0),
            (a.not_negative(&sum), "2.000 x + -3.000 y", 0.0),
        ] {
            assert_eq!((number.text.as_str(), number.value), (text, value));
        }
        // What is called by its own name is not written down again.
        a.named("sum", "h", sum);
        a.named("sum", "h", Traced::new(-1.0, "sum"));
        let line = Derivation { name: "sum, h".to_owned(), arithmetic: "2.000 x + -3.000 y".to_owned(), value: -1.0 };
        assert_eq!(a.into_lines(), [line]);
    }
}
