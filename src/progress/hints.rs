//! What a user tells the reader about the output.

use regex::Regex;

/// Why a pattern cannot find steps.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is no regular expression.
    #[error("not a regular expression: {0}")]
    Syntax(String),
    /// It has no group that could hold the step.
    #[error("the pattern has no group in parentheses; the first has to hold the step, a second may hold the total")]
    NoGroup,
}

/// What a user knows about the output.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    pub(super) step_pattern: Option<Regex>,
    pub(super) total_steps: Option<u64>,
}

impl Hints {
    /// Steps are what the first group of a pattern matches; a second may hold the total. Only these are read then. The
    /// pattern sees a line without colours, and without signs that are not ASCII.
    ///
    /// # Errors
    ///
    /// The text is no regular expression, or has no group.
    pub fn with_pattern(mut self, pattern: &str) -> Result<Self, PatternError> {
        let regex = Regex::new(pattern).map_err(|err| PatternError::Syntax(err.to_string()))?;
        if regex.captures_len() < 2 {
            return Err(PatternError::NoGroup);
        }
        self.step_pattern = Some(regex);
        Ok(self)
    }

    /// The whole run has so many steps, whatever the program says.
    #[must_use]
    pub fn with_total(mut self, steps: u64) -> Self {
        self.total_steps = Some(steps);
        self
    }

    /// The number of steps that the user names.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total_steps
    }
}
