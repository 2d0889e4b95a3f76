//! Compiles the .proto files with protox, in Rust: no protoc has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let services =
        ["containers", "content", "diff", "images", "introspection", "leases", "snapshots", "tasks", "version"];
    let files: Vec<_> = services.iter().map(|service| format!("containerd/{service}.proto")).collect();
    let set = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().build_server(false).build_transport(true).include_file("all.rs").compile_fds(set)?;
    Ok(())
}
