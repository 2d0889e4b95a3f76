//! Images as archives that every engine imports.

use serde_json::json;
use tink_e2e::{BuiltImage, TestImage};

use super::{BUSYBOX, GREETER};

/// An archive with one image: both an OCI layout and what `docker save` writes.
pub fn archive_of(image: &BuiltImage, name: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content).expect("an entry fits");
    };
    let path = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    for (digest, content) in &image.blobs {
        add(&path(digest), content);
    }
    add(&path(&image.digest()), &image.manifest);
    add("oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes());
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": image.media_type,
            "digest": image.digest(),
            "size": image.manifest.len(),
            "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
        }],
    });
    add("index.json", index.to_string().as_bytes());
    let paths: Vec<_> = image.blobs.iter().map(|(digest, _)| path(digest)).collect();
    let manifest = json!([{"Config": paths[0], "RepoTags": [name], "Layers": paths[1..]}]);
    add("manifest.json", manifest.to_string().as_bytes());
    tar.into_inner().expect("an archive ends")
}

/// The images of the contract, with their names.
pub fn images() -> [(BuiltImage, &'static str); 2] {
    let greet =
        "echo greeting \"$@\"; echo \"uid=$(id -u) gid=$(id -g)\"; pwd; echo $FROM_IMAGE $OVERLAID; echo home=$HOME";
    let busybox = TestImage::busybox().expect("busybox-static is installed; `cargo xtask test` does it");
    let greeter = busybox
        .clone()
        .directory("srv/work", 0o755)
        .entrypoint(["sh", "-c", greet, "greet"])
        .cmd(["nobody"])
        .user("tink")
        .working_dir("/srv/work")
        .env("FROM_IMAGE", "image")
        .env("OVERLAID", "image");
    [(busybox, BUSYBOX), (greeter, GREETER)].map(|(image, name)| (image.build().expect("an image"), name))
}
