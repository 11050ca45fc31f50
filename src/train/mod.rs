//! What is made of models that were trained elsewhere.

pub mod factorize;
