//! What a number is.

use super::monte_carlo::MonteCarlo;
use super::quantity::Quantity;
use crate::estimate::request::input::Input;

/// A way to calculate: what a number is, and what may be done with it.
pub(in crate::estimate) trait Arithmetic {
    /// A number.
    type Number: Clone;

    /// An input, by what is known of it.
    fn input(&self, input: &Input) -> Self::Number;

    /// A number that is known exactly, and what it is; nothing is said of a factor that only changes the unit.
    fn exactly(&self, value: f64, what: &str) -> Self::Number;

    /// The sum of two numbers.
    fn add(&self, a: &Self::Number, b: &Self::Number) -> Self::Number;

    /// The product of two numbers.
    fn multiply(&self, a: &Self::Number, b: &Self::Number) -> Self::Number;

    /// One number over another.
    fn divide(&self, a: &Self::Number, b: &Self::Number) -> Self::Number;

    /// The number, or 0 where it is less.
    fn not_negative(&self, a: &Self::Number) -> Self::Number;

    /// A number that is a result, or that others are made of.
    fn named(&self, _name: &str, _unit: &str, number: Self::Number) -> Self::Number {
        number
    }

    /// A quantity.
    fn quantity(&self, quantity: Quantity, number: Self::Number) -> Self::Number {
        self.named(quantity.words(), quantity.unit(), number)
    }
}

/// Draws: each number is a list of what it is in each trial.
impl Arithmetic for MonteCarlo {
    type Number = Vec<f64>;

    fn input(&self, input: &Input) -> Vec<f64> {
        self.draws(input.name, input.distribution)
    }

    fn exactly(&self, value: f64, _: &str) -> Vec<f64> {
        vec![value; self.trials()]
    }

    fn add(&self, a: &Vec<f64>, b: &Vec<f64>) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a + b).collect()
    }

    fn multiply(&self, a: &Vec<f64>, b: &Vec<f64>) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a * b).collect()
    }

    fn divide(&self, a: &Vec<f64>, b: &Vec<f64>) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a / b).collect()
    }

    fn not_negative(&self, a: &Vec<f64>) -> Vec<f64> {
        a.iter().map(|a| a.max(0.0)).collect()
    }
}
