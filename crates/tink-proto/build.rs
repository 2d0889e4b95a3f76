//! Compiles the .proto files with protox, in Rust: no protoc has to be installed.

use std::path::PathBuf;

/// Directory below `proto`, and the files in it.
const GENERATIONS: [(&str, &[&str]); 4] = [
    ("v2025", &["workflow.proto"]),
    ("v2023", &["workflow.proto"]),
    ("v2021", &["workflow.proto", "template.proto", "hardware.proto", "events.proto"]),
    ("admin", &["tink.proto"]),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (generation, files) in GENERATIONS {
        let set = protox::compile(files, [format!("proto/{generation}")])?;
        // A directory each: two generations have the same package.
        let directory = out.join(generation);
        std::fs::create_dir_all(&directory)?;
        // Reflection serves the same descriptors the types were made from.
        std::fs::write(directory.join("descriptors.bin"), prost::Message::encode_to_vec(&set))?;
        tonic_prost_build::configure().build_transport(true).out_dir(&directory).compile_fds(set)?;
    }
    Ok(())
}
