//! What stands for the client where the program is built without one.

use std::convert::Infallible;
use std::path::Path;

use super::{Mirrored, ObjectAddress, ObjectError};

/// There is no client.
#[derive(Debug)]
pub struct Objects(Infallible);

impl Objects {
    /// Refuses.
    ///
    /// # Errors
    /// Always.
    pub fn open(address: &ObjectAddress) -> Result<Self, ObjectError> {
        Err(ObjectError::NotBuilt(address.to_string()))
    }

    /// Never called.
    ///
    /// # Errors
    /// Never.
    pub fn mirror(&self, _: &str, _: &Path, _: u64, _: impl FnMut(usize, usize)) -> Result<Mirrored, ObjectError> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// Never.
    pub fn reserve(&self, _: bool) -> Result<(), ObjectError> {
        match self.0 {}
    }

    /// Never called.
    ///
    /// # Errors
    /// Never.
    pub fn put(&self, _: &[u8]) -> Result<(), ObjectError> {
        match self.0 {}
    }
}
