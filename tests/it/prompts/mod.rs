//! prompts

pub mod claim;
pub mod create;
pub mod publish;
pub mod races;
