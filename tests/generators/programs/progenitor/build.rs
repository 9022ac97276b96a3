//! Generates the client from the document.

use std::{env, fs, path::Path};

fn main() {
    let document = "../../../../openapi/openapi.json";
    println!("cargo::rerun-if-changed={document}");
    let document = fs::read_to_string(document).expect("the document");
    let document: openapiv3::OpenAPI = serde_json::from_str(&document).expect("OpenAPI 3.0");
    let client = progenitor::Generator::default().generate_tokens(&document).expect("a client");
    let directory = env::var("OUT_DIR").expect("a build");
    fs::write(Path::new(&directory).join("client.rs"), client.to_string()).expect("a file");
}
