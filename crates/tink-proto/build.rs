//! Compiles the .proto files with protox, in Rust: no protoc has to be installed.

use std::path::PathBuf;

use prost_types::{FileDescriptorProto, FileDescriptorSet};

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
    let mut all = FileDescriptorSet::default();
    for (generation, files) in GENERATIONS {
        let set = protox::compile(files, [format!("proto/{generation}")])?;
        // A directory each: two generations have the same package.
        let directory = out.join(generation);
        std::fs::create_dir_all(&directory)?;
        for file in set.file.clone() {
            let name = if files.contains(&file.name()) {
                format!("{generation}/{}", file.name())
            } else {
                file.name().to_owned()
            };
            add(&mut all, FileDescriptorProto { name: Some(name), ..file });
        }
        tonic_prost_build::configure().build_transport(true).out_dir(&directory).compile_fds(set)?;
    }
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&all))?;
    Ok(())
}

/// Adds a file to what reflection serves. Two generations have one service, of which reflection can show one description:
/// the older one's calls and messages are put into the newer one's file.
fn add(all: &mut FileDescriptorSet, file: FileDescriptorProto) {
    let of_services = |of: &FileDescriptorProto| -> Vec<String> {
        of.service.iter().map(|service| format!("{}.{}", of.package(), service.name())).collect()
    };
    let services = of_services(&file);
    let same = |known: &&mut FileDescriptorProto| {
        known.name() == file.name() || (!services.is_empty() && of_services(known) == services)
    };
    match all.file.iter_mut().find(same) {
        None => all.file.push(file),
        // Imported by several.
        Some(known) if known.name() == file.name() => {}
        Some(newer) => {
            // It counts messages by their places.
            newer.source_code_info = None;
            newer.message_type.extend(file.message_type);
            newer.enum_type.extend(file.enum_type);
            for (newer, older) in newer.service.iter_mut().zip(file.service) {
                let is_new = |name: &str| !newer.method.iter().any(|method| method.name() == name);
                let added: Vec<_> = older.method.into_iter().filter(|method| is_new(method.name())).collect();
                newer.method.extend(added);
            }
        }
    }
}
