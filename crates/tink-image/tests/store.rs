//! The store: sharing, budget, removal, imports, crashes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::server::{Served, Server};
use support::{pull, read, registries, small_image, store};
use tink_image::{
    Budget, Compression, Image, ImageBuilder, ImageError, ImageRef, IndexBuilder, LayerState, Platform, Progress,
    Store, Whiteouts,
};

fn name(text: &str) -> ImageRef {
    ImageRef::parse(text).unwrap()
}

async fn import(store: &Store, image: &ImageBuilder, reference: &str) -> Image {
    try_import(store, image, reference).await.unwrap_or_else(|error| panic!("{}", error.chain()))
}

async fn try_import(store: &Store, image: &ImageBuilder, reference: &str) -> Result<Image, ImageError> {
    let work = tempfile::tempdir().unwrap();
    image.write_layout(work.path(), &name(reference)).unwrap();
    let mut images = store.import(work.path(), None, &Progress::none()).await?;
    assert_eq!(images.len(), 1);
    Ok(images.remove(0))
}

/// An image of one layer of this many bytes.
fn sized(bytes: usize, fill: u8) -> ImageBuilder {
    let mut image = ImageBuilder::new();
    image.bytes("/data", vec![fill; bytes], 0o644);
    image
}

fn names(store: &Store) -> Vec<String> {
    store.list().unwrap().iter().map(|image| image.reference.to_string()).collect()
}

#[tokio::test]
async fn layouts_and_archives_in_every_packing_give_the_same_image() {
    let work = tempfile::tempdir().unwrap();
    let reference = name("quay.io/tinkerbell/actions/small:v1");
    let layout = work.path().join("layout");
    small_image().write_layout(&layout, &reference).unwrap();
    small_image().write_archive(&work.path().join("plain.tar"), &reference).unwrap();
    let plain = std::fs::read(work.path().join("plain.tar")).unwrap();
    std::fs::write(work.path().join("zstd.tar.zst"), zstd::encode_all(plain.as_slice(), 1).unwrap()).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    std::fs::write(work.path().join("gzip.tar.gz"), gzip.finish().unwrap()).unwrap();
    for file in ["layout", "plain.tar", "zstd.tar.zst", "gzip.tar.gz"] {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let images = store.import(&work.path().join(file), None, &Progress::none()).await.unwrap();
        assert_eq!(images[0].reference, reference, "{file}");
        assert_eq!(read(&images[0], "etc/motd"), b"hello\n", "{file}");
        drop(images);
        let again = store.get(&reference).unwrap().unwrap();
        assert_eq!(again.config.config.env, ["PATH=/bin"]);
    }
}

/// An image that says for which architecture it is.
fn saying(architecture: &str) -> ImageBuilder {
    let mut image = ImageBuilder::new();
    image.platform(Platform::linux(architecture)).bytes("/for", architecture, 0o644);
    image
}

#[tokio::test]
async fn of_an_index_the_image_for_this_machine_is_taken_from_a_layout_and_from_a_registry() {
    let ours = Platform::host().architecture;
    let other = if ours == "amd64" { "arm64" } else { "amd64" };
    let mut index = IndexBuilder::new();
    index.image(saying(other)).image(saying(&ours));
    let reference = name("quay.io/tinkerbell/tink-worker:v1");
    let (work, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let digest = index.write_layout(work.path(), &reference).unwrap();
    assert_eq!(index.write_layout(work.path(), &reference).unwrap(), digest, "the same images, the same digests");
    let store = store(directory.path());
    let images = store.import(work.path(), None, &Progress::none()).await.unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].reference, reference);
    assert_eq!(read(&images[0], "for"), ours.as_bytes());

    let registry = support::Registry::start();
    let reference = registry.image("tink-worker:v1");
    assert_eq!(index.push(&registries(), &reference, work.path()).await.unwrap(), digest);
    let pulled = pull(&store, &registries(), &reference).await;
    assert_eq!(read(&pulled.image, "for"), ours.as_bytes());
}

#[tokio::test]
async fn what_docker_save_writes_is_imported_under_all_its_names() {
    let work = tempfile::tempdir().unwrap();
    small_image().compression(Compression::None).write_layout(&work.path().join("l"), &name("x:v1")).unwrap();
    // The layout of old engines: a folder for each layer, the second a link to a layer that occurs twice.
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(work.path().join("l/index.json")).unwrap()).unwrap();
    let blob =
        |digest: &serde_json::Value| work.path().join("l/blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(blob(&index["manifests"][0]["digest"])).unwrap()).unwrap();
    let old = work.path().join("old");
    for (at, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
        std::fs::create_dir_all(old.join(format!("layer{at}"))).unwrap();
        std::fs::copy(blob(&layer["digest"]), old.join(format!("layer{at}/layer.tar"))).unwrap();
    }
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(blob(&manifest["config"]["digest"])).unwrap()).unwrap();
    let first = config["rootfs"]["diff_ids"][0].clone();
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(first);
    std::fs::write(old.join("config.json"), config.to_string()).unwrap();
    std::fs::create_dir(old.join("again")).unwrap();
    std::os::unix::fs::symlink("../layer0/layer.tar", old.join("again/layer.tar")).unwrap();
    let list = r#"[{"Config":"config.json","RepoTags":["one:v1","registry.test:5000/two:v2"],
        "Layers":["layer0/layer.tar","layer1/layer.tar","again/layer.tar"]}]"#;
    std::fs::write(old.join("manifest.json"), list).unwrap();
    let packed = Command::new("tar")
        .arg("-C")
        .arg(&old)
        .args(["-cf"])
        .arg(work.path().join("old.tar"))
        .arg(".")
        .status()
        .unwrap();
    assert!(packed.success());
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let (progress, watcher) = Progress::new();
    let images = store.import(&work.path().join("old.tar"), None, &progress).await.unwrap();
    let (done, total) = watcher.borrow().bytes();
    assert!(done == total && total > 100_000, "{done} of {total}");
    assert_eq!(names(&store), ["docker.io/library/one:v1", "registry.test:5000/two:v2"]);
    assert_eq!(images[0].layers.len(), 2, "overlayfs takes no directory twice");
    assert_eq!(read(&images[1], "etc/motd"), b"hello\n");
}

#[tokio::test]
async fn a_damaged_layout_or_no_image_at_all_is_refused() {
    let work = tempfile::tempdir().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let built = small_image().write_layout(work.path(), &name("x:v1")).unwrap();
    let blobs = work.path().join("blobs/sha256");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(blobs.join(built.manifest.hex())).unwrap()).unwrap();
    let layer = blobs.join(manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:"));
    let mut bytes = std::fs::read(&layer).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&layer, bytes).unwrap();
    let error = store.import(work.path(), None, &Progress::none()).await.unwrap_err();
    assert!(matches!(error, ImageError::Layer { .. }), "{}", error.chain());
    let nothing = tempfile::tempdir().unwrap();
    let error = store.import(nothing.path(), None, &Progress::none()).await.unwrap_err();
    assert!(matches!(error, ImageError::Import { .. }));
    assert!(names(&store).is_empty());
    assert_eq!(entries(&directory.path().join("layers")), 0);
}

/// Layer directories below `layers`.
fn entries(directory: &Path) -> usize {
    let Ok(algorithms) = std::fs::read_dir(directory) else { return 0 };
    let folders = algorithms.flat_map(|algorithm| std::fs::read_dir(algorithm.unwrap().path()).unwrap());
    folders.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
}

#[tokio::test]
async fn layers_are_shared_and_stay_until_the_last_image_goes() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let mut with_more = small_image();
    with_more.next_layer().bytes("/more", "more", 0o644);
    drop(import(&store, &small_image(), "one:v1").await);
    drop(import(&store, &with_more, "two:v1").await);
    assert_eq!(entries(&directory.path().join("layers")), 3);
    store.remove(&name("one:v1")).unwrap();
    assert_eq!(entries(&directory.path().join("layers")), 3);
    let gone = store.remove(&name("two:v1")).unwrap();
    assert!(gone.bytes > 100_000);
    assert_eq!(entries(&directory.path().join("layers")), 0);
    assert!(matches!(store.remove(&name("two:v1")), Err(ImageError::NotHere { .. })));
}

#[tokio::test]
async fn an_image_in_use_is_neither_removed_nor_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let used = import(&store, &small_image(), "used:v1").await;
    drop(import(&store, &sized(10_000, 1), "idle:v1").await);
    assert!(matches!(store.remove(&name("used:v1")), Err(ImageError::InUse { .. })));
    let gone = store.gc(0).unwrap();
    assert_eq!(gone.images, [name("idle:v1")]);
    assert_eq!(read(&used, "etc/motd"), b"hello\n");
    drop(used);
    store.remove(&name("used:v1")).unwrap();
}

#[tokio::test]
async fn a_lock_taken_by_path_keeps_an_image_as_a_shim_would() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let image = import(&store, &small_image(), "used:v1").await;
    let mut holder = Command::new("flock")
        .arg("--shared")
        .arg(&image.layers[0])
        .args(["sh", "-c", "echo held; read end"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
    drop(image);
    // One of its layers alone is not the image: the image may go, the layer that is held may not.
    store.gc(0).unwrap();
    assert_eq!(entries(&directory.path().join("layers")), 1);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    store.gc(0).unwrap();
    assert_eq!(entries(&directory.path().join("layers")), 0);
}

#[tokio::test]
async fn the_budget_drops_what_was_not_used_for_longest() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Budget::bytes(1_000_000)).unwrap();
    for (at, reference) in ["a:v1", "b:v1", "c:v1"].iter().enumerate() {
        drop(import(&store, &sized(300_000, u8::try_from(at).unwrap()), reference).await);
    }
    drop(store.get(&name("a:v1")).unwrap().unwrap());
    drop(import(&store, &sized(300_000, 9), "d:v1").await);
    let left = names(&store);
    assert_eq!(left, ["c:v1", "a:v1", "d:v1"].map(|short| format!("docker.io/library/{short}")));
}

#[tokio::test]
async fn an_image_over_the_budget_is_refused_and_takes_no_room() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Budget::bytes(1_000_000)).unwrap();
    let used = import(&store, &sized(600_000, 1), "used:v1").await;
    let error = try_import(&store, &sized(600_000, 2), "more:v1").await.unwrap_err();
    assert!(error.chain().contains("1000000 bytes"), "{}", error.chain());
    assert_eq!(entries(&directory.path().join("layers")), 1);
    drop(used);
    drop(import(&store, &sized(600_000, 2), "more:v1").await);
    assert_eq!(names(&store), ["docker.io/library/more:v1"]);
}

#[tokio::test]
async fn a_killed_process_leaves_nothing_that_the_next_one_does_not_sweep_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    drop(import(&store(&path), &small_image(), "kept:v1").await);
    std::fs::create_dir_all(path.join("tmp/0123456789abcdef/half/made")).unwrap();
    std::fs::write(path.join("tmp/record.json"), "{").unwrap();
    // A layer without its record is not trusted.
    let orphan = path.join(format!("layers/sha256/{}", "a".repeat(64)));
    std::fs::create_dir(&orphan).unwrap();
    let store = store(&path);
    assert_eq!(std::fs::read_dir(path.join("tmp")).unwrap().count(), 0);
    assert!(!orphan.exists());
    assert!(store.get(&name("kept:v1")).unwrap().is_some());
}

#[tokio::test]
async fn what_another_process_is_making_is_not_swept_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    drop(store(&path));
    let busy = path.join("tmp/busy");
    std::fs::create_dir(&busy).unwrap();
    let file = std::fs::File::open(&busy).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    drop(store(&path));
    assert!(busy.is_dir());
    drop(file);
    drop(store(&path));
    assert!(!busy.exists());
}

#[tokio::test]
async fn layers_written_before_the_machine_stopped_are_trusted_only_if_they_were_settled() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    drop(import(&store(path), &sized(1000, 1), "settled:v1").await);
    store(path).settle().unwrap();
    drop(import(&store(path), &sized(1000, 2), "lost:v1").await);
    // Another boot: the records name one that never was.
    for entry in std::fs::read_dir(path.join("layers/sha256")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|extension| extension == "json") {
            let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&entry).unwrap()).unwrap();
            if record.get("boot").is_some() {
                record["boot"] = "another".into();
                std::fs::write(&entry, record.to_string()).unwrap();
            }
        }
    }
    let store = store(path);
    assert!(store.get(&name("settled:v1")).unwrap().is_some());
    assert!(store.get(&name("lost:v1")).unwrap().is_none());
}

#[tokio::test]
async fn a_damaged_image_record_is_set_aside_and_harms_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    drop(import(&store, &sized(1000, 1), "good:v1").await);
    drop(import(&store, &sized(1000, 2), "bad:v1").await);
    std::fs::write(directory.path().join("images/docker.io%2Flibrary%2Fbad:v1.json"), "{\"reference\":").unwrap();
    assert!(store.get(&name("bad:v1")).unwrap().is_none());
    assert_eq!(names(&store), ["docker.io/library/good:v1"]);
    assert!(directory.path().join("images/docker.io%2Flibrary%2Fbad:v1.damaged").exists());
}

#[tokio::test]
async fn a_record_that_leads_out_of_the_store_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    drop(import(&store, &sized(1000, 1), "evil:v1").await);
    let path = directory.path().join("images/docker.io%2Flibrary%2Fevil:v1.json");
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["needs"] = serde_json::json!(["layers/sha256/../../../../etc"]);
    std::fs::write(&path, record.to_string()).unwrap();
    assert!(store.get(&name("evil:v1")).unwrap().is_none());
}

#[tokio::test]
async fn two_pulls_at_the_same_time_fetch_a_layer_once() {
    let served = Served::new(&small_image());
    let layers = served.layers.clone();
    let server = Server::plain(move |asked| served.answer(asked)).await;
    let directory = tempfile::tempdir().unwrap();
    // Two stores over one directory lock each other out as two processes do.
    let (one, two) = (store(directory.path()), store(directory.path()));
    let image = server.image("a:v1");
    let registries = registries();
    let (first, second) = tokio::join!(pull(&one, &registries, &image), pull(&two, &registries, &image));
    assert_eq!(first.image.layers, second.image.layers);
    for layer in layers {
        assert_eq!(server.asked_for(&layer).len(), 1);
    }
}

/// A tar made by hand for what the builder does not make.
fn raw(entries: &[(&str, u8, u32, u32)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, flag, mode, owner) in entries {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, path.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, format!("{owner:07o}").as_bytes());
        put(116, format!("{owner:07o}").as_bytes());
        put(124, b"00000000000\0");
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[*flag]);
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&block);
    }
    tar.extend_from_slice(&[0; 1024]);
    tar
}

fn with_layers(layers: &[&[(&str, u8, u32, u32)]]) -> ImageBuilder {
    let mut image = ImageBuilder::new();
    for layer in layers {
        image.tar_layer(raw(layer));
    }
    image
}

/// Mode and owner of a directory as overlayfs shows it: the topmost layer that has it.
fn shown(image: &Image, path: &str) -> (u32, u32) {
    let found = image.layers.iter().rev().map(|layer| layer.join(path)).find(|path| path.is_dir()).unwrap();
    let meta = std::fs::metadata(found).unwrap();
    (meta.mode() & 0o7777, meta.uid())
}

/// Lower layers give the attributes, a higher one leaves the directories out.
const BELOW: &[(&str, u8, u32, u32)] = &[
    ("./", b'5', 0o711, 3),
    ("tmp/", b'5', 0o1777, 0),
    ("var/", b'5', 0o750, 8),
    ("var/gone/", b'5', 0o700, 9),
    ("same/", b'5', 0o755, 0),
];
const ABOVE: &[(&str, u8, u32, u32)] = &[
    ("tmp/x", b'0', 0o644, 0),
    ("var/lib/y", b'0', 0o644, 0),
    (".wh.other", b'0', 0o644, 0),
    ("same/z", b'0', 0o644, 0),
];

#[tokio::test]
async fn directories_that_a_layer_leaves_out_keep_the_attributes_from_below() {
    let directory = tempfile::tempdir().unwrap();
    for whiteouts in [Whiteouts::Overlay, Whiteouts::Portable] {
        let path = directory.path().join(format!("{whiteouts:?}"));
        let store = Store::open_with(&path, Budget::unlimited(), whiteouts).unwrap();
        let image = import(&store, &with_layers(&[BELOW, ABOVE]), "a:v1").await;
        assert_eq!(image.layers.len(), if whiteouts == Whiteouts::Overlay { 3 } else { 1 });
        assert_eq!(shown(&image, ""), (0o711, 3));
        assert_eq!(shown(&image, "tmp"), (0o1777, 0));
        assert_eq!(shown(&image, "var"), (0o750, 8));
        assert_eq!(shown(&image, "var/lib"), (0o755, 0));
        let plain =
            import(&store, &with_layers(&[&[("a/", b'5', 0o755, 0)], &[("a/b", b'0', 0o644, 0)]]), "b:v1").await;
        assert_eq!(
            plain.layers.len(),
            if whiteouts == Whiteouts::Overlay { 2 } else { 1 },
            "nothing differs: no further layer"
        );
        drop(image);
        assert_eq!(store.get(&name("a:v1")).unwrap().unwrap().config.rootfs.diff_ids.len(), 2);
    }
}

#[tokio::test]
async fn a_deleted_directory_that_comes_again_has_no_attributes_from_below() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let layers: &[&[(&str, u8, u32, u32)]] =
        &[&[("d/", b'5', 0o700, 9)], &[(".wh.d", b'0', 0o644, 0)], &[("d/x", b'0', 0o644, 0)]];
    let image = import(&store, &with_layers(layers), "a:v1").await;
    assert_eq!(shown(&image, "d"), (0o755, 0));
}

#[tokio::test]
async fn portable_layers_are_merged_with_their_whiteouts_and_take_no_second_copy() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_with(directory.path(), Budget::unlimited(), Whiteouts::Portable).unwrap();
    let layers: &[&[(&str, u8, u32, u32)]] = &[
        &[
            ("keep", b'0', 0o640, 5),
            ("gone", b'0', 0o644, 0),
            ("d/old", b'0', 0o644, 0),
            ("e/f/g", b'0', 0o644, 0),
            ("t", b'0', 0o644, 0),
        ],
        &[
            (".wh.gone", b'0', 0o644, 0),
            ("d/.wh..wh..opq", b'0', 0o644, 0),
            ("d/new", b'0', 0o644, 0),
            ("e/.wh.f", b'0', 0o644, 0),
            ("t/", b'5', 0o755, 0),
        ],
    ];
    let image = import(&store, &with_layers(layers), "a:v1").await;
    let [flat] = image.layers.as_slice() else { panic!("{:?}", image.layers) };
    for (path, there) in
        [("keep", true), ("gone", false), ("d/old", false), ("d/new", true), ("e/f", false), ("e", true), ("t", true)]
    {
        assert_eq!(flat.join(path).exists(), there, "{path}");
    }
    assert!(flat.join("t").is_dir());
    let keep = std::fs::metadata(flat.join("keep")).unwrap();
    assert_eq!((keep.nlink(), keep.uid()), (2, 5));
    assert!(!walk(flat).iter().any(|path| path.contains(".wh.")));
    let two = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(two.path(), Budget::unlimited()).unwrap().whiteouts(), Whiteouts::Overlay));
}

fn walk(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] }).collect()
}

#[tokio::test]
async fn a_layer_that_hides_everything_below_is_the_lowest() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let layers: &[&[(&str, u8, u32, u32)]] =
        &[&[("old", b'0', 0o644, 0)], &[(".wh..wh..opq", b'0', 0o644, 0), ("new", b'0', 0o644, 0)]];
    let image = import(&store, &with_layers(layers), "a:v1").await;
    assert_eq!(image.layers.len(), 1);
    assert!(image.layers[0].join("new").exists());
}

#[tokio::test]
async fn an_image_without_layers_has_one_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    for whiteouts in [Whiteouts::Overlay, Whiteouts::Portable] {
        let store =
            Store::open_with(&directory.path().join(format!("{whiteouts:?}")), Budget::unlimited(), whiteouts).unwrap();
        let image = import(&store, &ImageBuilder::new(), "empty:v1").await;
        assert_eq!(image.layers.len(), 1);
        assert_eq!(std::fs::read_dir(&image.layers[0]).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn the_same_files_make_the_same_image() {
    let work = tempfile::tempdir().unwrap();
    let one = small_image().write_layout(&work.path().join("one"), &name("x:v1")).unwrap();
    let two = small_image().write_layout(&work.path().join("two"), &name("x:v1")).unwrap();
    assert_eq!(one, two);
}

#[tokio::test]
async fn overlayfs_mounts_the_layers_and_shows_what_the_image_says() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let layers: &[&[(&str, u8, u32, u32)]] = &[
        &[("gone", b'0', 0o644, 0), ("d/", b'5', 0o750, 8), ("d/old", b'0', 0o644, 0), ("tmp/", b'5', 0o1777, 0)],
        &[
            (".wh.gone", b'0', 0o644, 0),
            ("d/.wh..wh..opq", b'0', 0o644, 0),
            ("d/new", b'0', 0o644, 0),
            ("tmp/x", b'0', 0o644, 0),
        ],
    ];
    let image = import(&store, &with_layers(layers), "a:v1").await;
    let lower: Vec<String> = image.layers.iter().rev().map(|layer| layer.display().to_string()).collect();
    // In a mount namespace of its own, so that nothing is left behind.
    let script = "mount -t overlay overlay -o \"lowerdir=$1\" \"$2\" && cd \"$2\" && find . | sort | tr '\\n' ' ' && stat -c %a tmp d";
    let at = directory.path().join("mnt");
    std::fs::create_dir(&at).unwrap();
    let shown = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"])
        .arg(lower.join(":"))
        .arg(&at)
        .output()
        .unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), ". ./d ./d/new ./tmp ./tmp/x 1777\n750\n");
}

#[tokio::test]
async fn a_layer_that_lost_its_record_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let image = import(&store, &small_image(), "a:v1").await;
    let (layer, motd) = (image.layers[0].clone(), image.layers[0].join("etc/motd"));
    drop(image);
    std::fs::write(&motd, "damaged").unwrap();
    std::fs::remove_file(layer.with_extension("json")).unwrap();
    assert_eq!(read(&import(&store, &small_image(), "a:v1").await, "etc/motd"), b"hello\n");
}

#[tokio::test]
async fn what_other_processes_have_stored_counts() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Store::open(directory.path(), Budget::bytes(1_000_000)).unwrap();
    let (one, two) = (open(), open());
    drop(import(&one, &sized(600_000, 1), "a:v1").await);
    drop(import(&two, &sized(600_000, 2), "b:v1").await);
    assert_eq!(names(&one), ["docker.io/library/b:v1"]);
}

/// A file system of its own, in memory; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(bytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "small"]).arg(directory.path()).status();
        assert!(mounted.unwrap().success());
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_takes_what_is_not_in_use_from_the_store() {
    let disk = SmallDisk::new(1 << 20);
    let store = store(disk.0.path());
    drop(import(&store, &sized(600_000, 1), "idle:v1").await);
    let used = import(&store, &sized(600_000, 2), "used:v1").await;
    assert_eq!(names(&store), ["docker.io/library/used:v1"]);
    let served = Served::new(&sized(600_000, 3));
    let server = Server::plain(move |asked| served.answer(asked)).await;
    let error = store.pull(&registries(), &server.image("a:v1"), &Progress::none()).await.unwrap_err();
    assert!(error.chain().contains("No space left"), "{}", error.chain());
    drop(used);
    pull(&store, &registries(), &server.image("a:v1")).await;
    assert_eq!(names(&store).len(), 1);
}

#[tokio::test]
async fn a_store_leaves_a_quarter_of_the_disk_to_others() {
    let disk = SmallDisk::new(2 << 20);
    let open = || Store::open(disk.0.path(), Budget::most_of_what_is_free()).unwrap();
    drop(import(&open(), &sized(800_000, 1), "a:v1").await);
    // What is stored already is no reason to take more, however often the store is opened.
    drop(import(&open(), &sized(800_000, 2), "b:v1").await);
    assert_eq!(names(&open()), ["docker.io/library/b:v1"]);
    std::fs::write(disk.0.path().join("of-others"), vec![0; 1 << 20]).unwrap();
    let error = try_import(&open(), &sized(900_000, 3), "c:v1").await.unwrap_err();
    assert!(error.chain().contains("no room"), "{}", error.chain());
}

#[tokio::test]
async fn attributes_are_charged() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Budget::bytes(1_000_000)).unwrap();
    let mut image = ImageBuilder::new();
    for at in 0..500 {
        image.symlink(&format!("/links/{at}"), &"x".repeat(4000));
    }
    let error = try_import(&store, &image, "links:v1").await.unwrap_err();
    assert!(error.chain().contains("1000000 bytes"), "{}", error.chain());
}

#[tokio::test]
async fn an_import_tells_how_far_it_is() {
    let mut image = ImageBuilder::new();
    image.compression(Compression::None).bytes("/large", vec![7; 1_000_000], 0o644);
    let work = tempfile::tempdir().unwrap();
    let built = image.write_layout(work.path(), &name("x:v1")).unwrap();
    let blobs = work.path().join("blobs/sha256");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(blobs.join(built.manifest.hex())).unwrap()).unwrap();
    let layer = blobs.join(manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:"));
    // Read no faster than it is written.
    let bytes = std::fs::read(&layer).unwrap();
    std::fs::remove_file(&layer).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &layer, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (store, (progress, mut watcher)) = (store(directory.path()), Progress::new());
    let total = bytes.len() as u64;
    let (go, may_go) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut pipe = std::fs::File::options().write(true).open(&layer).unwrap();
        pipe.write_all(&bytes[..500_000]).unwrap();
        may_go.recv().unwrap();
        pipe.write_all(&bytes[500_000..]).unwrap();
    });
    let feeding = async {
        watcher.wait_for(|progress| progress.bytes().0 > 300_000).await.unwrap();
        let seen = watcher.borrow().layers.clone();
        assert!(seen.len() == 1 && seen[0].state == LayerState::Fetching && seen[0].bytes_done <= 500_000, "{seen:?}");
        assert_eq!(seen[0].bytes_total, total);
        go.send(()).unwrap();
    };
    let (imported, ()) = tokio::join!(store.import(work.path(), None, &progress), feeding);
    imported.unwrap();
    writer.join().unwrap();
    assert_eq!(watcher.borrow().bytes(), (total, total));
}
