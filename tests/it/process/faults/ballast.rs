//! A full file system.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use rand::{RngExt, rngs::StdRng};

use crate::process::faults::run::Fault;

/// A file that fills its file system.
pub struct Ballast(pub PathBuf);

impl Ballast {
    pub fn on(directory: &Path) -> Self {
        Self(directory.join("ballast"))
    }

    /// Fills the file system, except for this many bytes.
    pub fn fill_except(&self, bytes: u64) {
        let mut file = File::create(&self.0).expect("a file");
        let block = vec![0; 64 << 10];
        while let Ok(1..) = file.write(&block) {}
        let size = file.metadata().expect("a size").len();
        file.set_len(size.saturating_sub(bytes)).expect("a shorter file");
    }

    pub fn remove(&self) {
        fs::remove_file(&self.0).expect("a file to remove");
    }
}

impl Fault for Ballast {
    async fn strike(&mut self, random: &mut StdRng) {
        self.fill_except(random.random_range(0..100_000));
    }

    async fn heal(&mut self) {
        self.remove();
    }
}
