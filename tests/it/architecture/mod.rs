//! The architecture: layers, circles between files, and rules for single files.

mod checker;
mod document;
mod graph;
mod imports;
mod layers;
mod modules;
mod rules;
