//! Everything, from the outside.
