//! Compiles the .proto files with protox, in Rust: no protoc has to be installed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (file, include) in [("workflow.proto", "proto/v2025"), ("tink.proto", "proto/admin")] {
        let set = protox::compile([file], [include])?;
        // Reflection serves the same descriptors the types were made from.
        std::fs::write(out.join(format!("{file}.bin")), prost::Message::encode_to_vec(&set))?;
        tonic_prost_build::configure().build_transport(true).compile_fds(set)?;
    }
    Ok(())
}
