//! Hand-made archives, honest and hostile.

use std::fs::{self, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::entry::Unpacker;
use super::root::Root;
use super::*;
use crate::tar::TarReader;

struct Room(u64);

impl Meter for Room {
    fn charge(&mut self, bytes: u64) -> Result<(), OverBudget> {
        let refused = OverBudget { bytes_max: 0, bytes_in_use: 0 };
        self.0 = self.0.checked_sub(bytes).ok_or(refused)?;
        Ok(())
    }
}

/// An archive, made header by header with no help from the code under test.
#[derive(Clone, Default)]
struct Tar(Vec<u8>);

struct Head<'a> {
    path: &'a [u8],
    flag: u8,
    link: &'a [u8],
    mode: u32,
    owner: u32,
    size: u64,
    device: (u32, u32),
    magic: &'a [u8; 8],
    extra: &'a [(usize, &'a [u8])],
}

impl Default for Head<'_> {
    fn default() -> Self {
        let (path, link): (&[u8], &[u8]) = (b"", b"");
        Self {
            path,
            flag: b'0',
            link,
            mode: 0o644,
            owner: 0,
            size: 0,
            device: (0, 0),
            magic: b"ustar\x0000",
            extra: &[],
        }
    }
}

impl Tar {
    fn head(mut self, head: Head<'_>) -> Self {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, head.path);
        put(100, format!("{:07o}", head.mode).as_bytes());
        put(108, format!("{:07o}", head.owner).as_bytes());
        put(116, format!("{:07o}", head.owner).as_bytes());
        put(124, format!("{:011o}", head.size).as_bytes());
        put(136, format!("{:011o}", 1_700_000_000).as_bytes());
        put(148, b"        ");
        put(156, &[head.flag]);
        put(157, head.link);
        put(257, head.magic);
        put(329, format!("{:07o}", head.device.0).as_bytes());
        put(337, format!("{:07o}", head.device.1).as_bytes());
        for (at, bytes) in head.extra {
            put(*at, bytes);
        }
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, data: &[u8]) -> Self {
        self.head(Head { path: path.as_bytes(), size: data.len() as u64, ..Head::default() }).data(data)
    }

    fn of(self, path: &str, flag: u8, link: &str) -> Self {
        let mode = if flag == b'5' { 0o755 } else { 0o644 };
        self.head(Head { path: path.as_bytes(), flag, link: link.as_bytes(), mode, ..Head::default() })
    }

    fn dir(self, path: &str) -> Self {
        self.of(path, b'5', "")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.of(path, b'2', target)
    }

    fn device(self, path: &str, flag: u8, device: (u32, u32)) -> Self {
        self.head(Head { path: path.as_bytes(), flag, device, ..Head::default() })
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length =
                (1..9).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.head(Head { path: b"pax", flag: b'x', size: data.len() as u64, ..Head::default() }).data(&data)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

fn tar() -> Tar {
    Tar::default()
}

/// The layer's directory inside another one that must stay as it is.
struct Place {
    outer: TempDir,
}

impl Place {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("layer")).unwrap();
        fs::write(outer.path().join("secret"), "untouched").unwrap();
        Self { outer }
    }

    fn root(&self) -> std::path::PathBuf {
        self.outer.path().join("layer")
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.root().join(path)
    }

    fn meta(&self, path: &str) -> Metadata {
        fs::symlink_metadata(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn assert_nothing_outside(&self) {
        let mut names: Vec<_> =
            fs::read_dir(self.outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["layer", "secret"]);
        assert_eq!(fs::read_to_string(self.outer.path().join("secret")).unwrap(), "untouched");
    }
}

/// Unpacks in both ways of walking, which must agree, and returns the second.
fn unpack(bytes: &[u8], whiteouts: Whiteouts) -> (Place, Result<Unpacked, LayerError>) {
    let quick = Place::new();
    let first = unpack_layer(bytes, &quick.root(), whiteouts, Limits::default(), &mut Room(1 << 30));
    quick.assert_nothing_outside();
    let slow = Place::new();
    let mut room = Room(1 << 30);
    let root = Root::open(&slow.root()).unwrap().without_openat2();
    let mut unpacker = Unpacker::new(root, whiteouts, Limits::default(), &mut room);
    let second = unpacker.run(&mut TarReader::new(bytes)).and_then(|()| unpacker.finish());
    slow.assert_nothing_outside();
    let shown = |result: &Result<Unpacked, LayerError>| format!("{result:?}");
    assert_eq!(shown(&first), shown(&second), "openat2 and the walk by hand must agree");
    assert_eq!(tree(&quick.root()), tree(&slow.root()));
    (slow, second)
}

/// Everything below a directory as text.
fn tree(root: &Path) -> Vec<String> {
    let mut list = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            list.push(format!("{} {:o} {}", path.strip_prefix(root).unwrap().display(), meta.mode(), meta.rdev()));
            if meta.is_dir() {
                todo.push(path);
            }
        }
    }
    list.sort();
    list
}

fn good(tar: Tar) -> (Place, Unpacked) {
    let (place, result) = unpack(&tar.end(), Whiteouts::Overlay);
    (place, result.unwrap_or_else(|error| panic!("{}", tink_error::chain(&error))))
}

fn refused(tar: Tar) -> LayerError {
    unpack(&tar.end(), Whiteouts::Overlay).1.unwrap_err()
}

fn is_whiteout_at(place: &Place, path: &str) -> bool {
    let meta = place.meta(path);
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn is_opaque_at(place: &Place, path: &str) -> bool {
    let mut value = [0; 8];
    matches!(rustix::fs::getxattr(place.at(path), OPAQUE_XATTR, &mut value[..]), Ok(1)) && value[0] == b'y'
}

#[test]
fn files_directories_and_links_are_made_with_owner_mode_and_time() {
    let tar = tar()
        .head(Head { path: b"./", flag: b'5', mode: 0o711, ..Head::default() })
        .head(Head { path: b"bin/", flag: b'5', mode: 0o2755, owner: 7, ..Head::default() })
        .head(Head { path: b"bin/su", mode: 0o4755, owner: 1000, size: 4, ..Head::default() })
        .data(b"data")
        .symlink("bin/sh", "/bin/su")
        .of("bin/hard", b'1', "bin/su");
    let (place, done) = good(tar);
    let su = place.meta("bin/su");
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.mtime()), (0o4755, 1000, 1000, 1_700_000_000));
    assert_eq!(su.nlink(), 2);
    assert_eq!((place.meta("bin").mode() & 0o7777, place.meta("bin").mtime()), (0o2755, 1_700_000_000));
    assert_eq!(place.meta("").mode() & 0o7777, 0o711);
    assert_eq!(fs::read_link(place.at("bin/sh")).unwrap(), Path::new("/bin/su"));
    assert!(done.implicit.is_empty());
    assert_eq!(done.entries, 5);
}

#[test]
fn a_path_that_climbs_out_is_refused() {
    for path in ["../evil", "a/../../evil", "/../evil", "a/b/../../../../evil"] {
        assert!(matches!(refused(tar().file(path, b"x")), LayerError::Escapes { .. }), "{path}");
    }
}

#[test]
fn an_absolute_path_lies_inside_the_layer() {
    let (place, _) = good(tar().file("/etc/passwd", b"inside"));
    assert_eq!(place.text("etc/passwd"), "inside");
}

#[test]
fn a_link_that_points_outside_is_made_but_followed_only_inside() {
    for target in ["..", "../..", "/", "../../../../../..", "/tmp/..", "."] {
        let (place, _) = good(tar().symlink("out", target).file("out/secret", b"caught"));
        assert_eq!(fs::read_link(place.at("out")).unwrap(), Path::new(target));
        assert_eq!(place.text("secret"), "caught", "through {target}");
    }
}

#[test]
fn an_absolute_link_to_the_real_target_leads_inside() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().display().to_string();
    let (place, _) = good(tar().symlink("out", &target).file("out/file", b"caught"));
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
    assert_eq!(place.text(&format!("{}/file", target.trim_start_matches('/'))), "caught");
}

#[test]
fn links_that_lead_in_a_circle_are_refused() {
    let tar = tar().symlink("a", "b").symlink("b", "a").file("a/file", b"x");
    assert!(matches!(refused(tar), LayerError::Depth { .. }));
}

#[test]
fn a_link_is_replaced_and_never_written_through() {
    let (place, _) = good(tar().symlink("file", "../secret").file("file", b"new"));
    assert!(place.meta("file").is_file());
    let (place, _) = good(tar().symlink("dir", "..").dir("dir").file("dir/x", b"new"));
    assert!(place.meta("dir").is_dir());
    assert_eq!(place.text("dir/x"), "new");
}

#[test]
fn a_hard_link_to_anything_outside_the_layer_is_refused() {
    assert!(matches!(refused(tar().of("link", b'1', "../secret")), LayerError::Escapes { .. }));
    for target in ["/etc/passwd", "missing", "missing/file", "", "/"] {
        assert!(matches!(refused(tar().of("link", b'1', target)), LayerError::HardLink { .. }), "{target}");
    }
    let through = tar().symlink("out", "..").of("link", b'1', "out/secret");
    assert!(matches!(refused(through), LayerError::HardLink { .. }));
    assert!(matches!(refused(tar().dir("dir").of("link", b'1', "dir")), LayerError::HardLink { .. }));
}

#[test]
fn a_hard_link_to_a_link_links_the_link() {
    let (place, _) = good(tar().symlink("a", "../secret").of("b", b'1', "a"));
    assert!(place.meta("b").is_symlink());
}

#[test]
fn a_hard_link_to_itself_keeps_the_file() {
    let (place, _) = good(tar().file("a", b"data").of("a", b'1', "a"));
    assert_eq!(place.text("a"), "data");
}

#[test]
fn devices_and_fifos_are_made() {
    let (place, done) = good(tar().device("null", b'3', (1, 3)).device("sda", b'4', (8, 0)).of("pipe", b'6', ""));
    assert_eq!(done.devices_dropped, 0);
    assert_eq!(place.meta("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(place.meta("sda").file_type().is_block_device());
    assert!(place.meta("pipe").file_type().is_fifo());
}

#[test]
fn whiteouts_become_what_overlayfs_wants() {
    let (place, done) = good(tar().dir("etc").file("etc/.wh.passwd", b"").file("var/lib/.wh..wh..opq", b""));
    assert!(is_whiteout_at(&place, "etc/passwd"));
    assert!(!place.at("etc/.wh.passwd").exists());
    assert!(is_opaque_at(&place, "var/lib"));
    assert!(!is_opaque_at(&place, "var") && !is_opaque_at(&place, "etc"));
    assert!(!done.root_opaque);
    assert_eq!(done.implicit, [&b""[..], b"var", b"var/lib"]);
}

#[test]
fn portable_whiteouts_stay_files() {
    let bytes = tar().dir("etc").file("etc/.wh.passwd", b"").file(".wh..wh..opq", b"").end();
    let (place, result) = unpack(&bytes, Whiteouts::Portable);
    assert!(result.unwrap().root_opaque);
    assert!(place.meta("etc/.wh.passwd").is_file() && place.meta(".wh..wh..opq").is_file());
}

#[test]
fn a_whiteout_hides_lower_layers_and_never_its_own() {
    for tar in [
        tar().file(".wh.file", b"").file("file", b"new").file(".wh.dir", b"").dir("dir").file("dir/x", b"new"),
        tar().file("file", b"new").file(".wh.file", b"").dir("dir").file("dir/x", b"new").file(".wh.dir", b""),
        tar().file("file", b"new").file(".wh.file", b"").file(".wh.dir", b"").file("dir/x", b"new"),
    ] {
        let (place, _) = good(tar);
        assert_eq!((place.text("file").as_str(), place.text("dir/x").as_str()), ("new", "new"));
        assert!(is_opaque_at(&place, "dir"), "what lower layers have in it is hidden");
    }
}

#[test]
fn a_character_device_0_0_is_a_whiteout() {
    let (place, _) = good(tar().device("gone", b'3', (0, 0)));
    assert!(is_whiteout_at(&place, "gone"));
    let (place, result) = unpack(&tar().device("gone", b'3', (0, 0)).end(), Whiteouts::Portable);
    result.unwrap();
    assert!(place.meta(".wh.gone").is_file());
}

#[test]
fn reserved_names_are_refused_or_skipped() {
    for path in [".wh.", ".wh..", ".wh...", "a/.wh..", ".wh.a/b"] {
        assert!(matches!(refused(tar().file(path, b"")), LayerError::Reserved { .. }), "{path}");
    }
    let (place, _) = good(tar().dir(".wh..wh.plnk").file(".wh..wh.plnk/1.2", b"x").file(".wh..wh.aufs", b""));
    assert!(tree(&place.root()).is_empty());
}

#[test]
fn the_later_of_two_entries_wins() {
    let (place, _) = good(
        tar()
            .file("a", b"first")
            .file("a", b"second")
            .dir("b")
            .file("b/old", b"x")
            .file("b", b"now a file")
            .file("c", b"x")
            .dir("c")
            .symlink("d", "a")
            .symlink("d", "c")
            .of("e", b'6', "")
            .of("e", b'1', "a"),
    );
    assert_eq!((place.text("a").as_str(), place.text("b").as_str()), ("second", "now a file"));
    assert!(place.meta("c").is_dir());
    assert_eq!(fs::read_link(place.at("d")).unwrap(), Path::new("c"));
    assert_eq!(place.text("e"), "second");
}

#[test]
fn two_entries_for_a_directory_are_one_directory_with_the_later_attributes() {
    let (place, _) = good(tar().dir("d").file("d/x", b"kept").head(Head {
        path: b"d",
        flag: b'5',
        mode: 0o700,
        owner: 5,
        ..Head::default()
    }));
    assert_eq!(place.text("d/x"), "kept");
    assert_eq!((place.meta("d").mode() & 0o7777, place.meta("d").uid()), (0o700, 5));
}

#[test]
fn a_path_below_a_file_is_refused() {
    assert!(matches!(refused(tar().file("f", b"").file("f/x", b"")), LayerError::NotADirectory { .. }));
}

#[test]
fn a_root_that_is_no_directory_is_refused() {
    assert!(matches!(refused(tar().symlink("./", "/tmp")), LayerError::NotADirectory { .. }));
    assert!(matches!(refused(tar().of("", b'6', "")), LayerError::NotADirectory { .. }));
}

#[test]
fn too_deep_a_tree_is_refused() {
    let path = "d/".repeat(300);
    assert!(matches!(refused(tar().pax(&[("path", path.as_bytes())]).file("x", b"")), LayerError::Depth { .. }));
    // Through links it would be deeper than any single path says.
    let deep = "d/".repeat(150);
    let tar = tar()
        .pax(&[("path", format!("{deep}f").as_bytes())])
        .file("x", b"")
        .pax(&[("linkpath", deep.as_bytes())])
        .symlink("l", "x")
        .pax(&[("path", format!("l/{deep}f").as_bytes())])
        .file("x", b"");
    assert!(matches!(refused(tar), LayerError::Depth { .. }));
    let long = "n".repeat(256);
    assert!(matches!(refused(tar_with_path(&long)), LayerError::Name { .. }));
}

fn tar_with_path(path: &str) -> Tar {
    tar().pax(&[("path", path.as_bytes())]).file("x", b"")
}

#[test]
fn pax_and_gnu_long_names_are_read() {
    let name = format!("{}/{}", "a".repeat(200), "ü".repeat(100));
    let (place, _) = good(tar_with_path(&name));
    assert!(place.meta(&name).is_file());
    let gnu = |flag: u8, text: &str| {
        let data = [text.as_bytes(), b"\0"].concat();
        tar().head(Head { path: b"././@LongLink", flag, size: data.len() as u64, ..Head::default() }).data(&data)
    };
    let (place, _) = good(gnu(b'L', &name).file("short", b"x"));
    assert_eq!(place.text(&name), "x");
    let target = "t/".repeat(200);
    let (place, _) = good(gnu(b'K', &target).symlink("link", "short"));
    assert_eq!(fs::read_link(place.at("link")).unwrap(), Path::new(&target));
}

#[test]
fn a_name_with_a_nul_is_refused() {
    let error = refused(tar().pax(&[("path", b"a\0b")]).file("x", b""));
    assert!(matches!(error, LayerError::Tar(TarError::Nul { .. })));
}

#[test]
fn huge_headers_are_refused_before_they_are_read() {
    for flag in [b'x', b'g', b'L', b'K'] {
        let tar = tar().head(Head { path: b"h", flag, size: 0o77_777_777_777, ..Head::default() });
        assert!(matches!(refused(tar), LayerError::Tar(TarError::TooLarge { .. })), "{flag}");
    }
    let long = vec![b'p'; 5000];
    assert!(matches!(
        refused(tar().pax(&[("path", &long)]).file("x", b"")),
        LayerError::Tar(TarError::TooLarge { .. })
    ));
    assert!(matches!(
        refused(tar().pax(&[("linkpath", &long)]).symlink("x", "y")),
        LayerError::Tar(TarError::TooLarge { .. })
    ));
}

#[test]
fn a_global_header_changes_nothing() {
    let data = b"16 path=evil/it\n";
    let tar = tar().head(Head { path: b"g", flag: b'g', size: data.len() as u64, ..Head::default() }).data(data);
    let (place, _) = good(tar.file("good", b"x"));
    assert_eq!(tree(&place.root()).len(), 1);
    assert_eq!(place.text("good"), "x");
}

#[test]
fn unknown_entry_types_are_refused_by_name() {
    for flag in [b'M', b'D', b'Z', 0xff] {
        assert!(matches!(refused(tar().of("odd", flag, "")), LayerError::Tar(TarError::Kind { .. })), "{flag}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let uid =
        tar().head(Head { path: b"f", extra: &[(108, &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])], ..Head::default() });
    assert!(matches!(refused(uid), LayerError::Tar(TarError::Number { field: "uid", .. })));
    let negative = tar().head(Head { path: b"f", extra: &[(124, &[0xff; 12])], ..Head::default() });
    assert!(matches!(refused(negative), LayerError::Tar(TarError::Number { field: "size", .. })));
    let size = tar().pax(&[("size", b"99999999999999999999")]).file("f", b"");
    assert!(matches!(refused(size), LayerError::Tar(TarError::Pax)));
}

#[test]
fn an_archive_cut_anywhere_is_no_archive() {
    let whole = tar().dir("d").file("d/f", &[7; 3000]).end();
    for cut in [100, 600, 1500, 3900] {
        let (_, result) = unpack(&whole[..cut], Whiteouts::Overlay);
        assert!(matches!(result.unwrap_err(), LayerError::Tar(TarError::Truncated)), "{cut}");
    }
}

#[test]
fn a_damaged_header_is_refused() {
    let mut bytes = tar().file("f", b"x").end();
    bytes[0] ^= 1;
    assert!(matches!(unpack(&bytes, Whiteouts::Overlay).1.unwrap_err(), LayerError::Tar(TarError::Checksum)));
}

#[test]
fn sparse_files_of_the_old_gnu_format_keep_their_holes() {
    let pair = |offset: u64, len: u64| format!("{offset:011o}\0{len:011o}\0").into_bytes();
    let map = [pair(0, 512), pair(1 << 20, 512)].concat();
    let real = format!("{:011o}\0", 1 << 21).into_bytes();
    let extra: &[(usize, &[u8])] = &[(386, &map), (483, &real)];
    let head = Head { path: b"sparse", flag: b'S', size: 1024, magic: b"ustar  \0", extra, ..Head::default() };
    let (place, done) = good(tar().head(head).data(&[7; 1024]));
    check_sparse(&place, &done);
    // The same with its map in a block of its own.
    let block: Vec<u8> = [map.clone(), vec![0; 512 - map.len()]].concat();
    let extra: &[(usize, &[u8])] = &[(482, &[1]), (483, &real)];
    let head = Head { path: b"sparse", flag: b'S', size: 1024, magic: b"ustar  \0", extra, ..Head::default() };
    let (place, done) = good(tar().head(head).data(&block).data(&[7; 1024]));
    check_sparse(&place, &done);
}

#[test]
fn sparse_files_of_the_pax_formats_keep_their_holes() {
    let size: &[u8] = b"2097152";
    let old = tar().pax(&[
        ("GNU.sparse.size", size),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"512"),
        ("GNU.sparse.offset", b"1048576"),
        ("GNU.sparse.numbytes", b"512"),
    ]);
    let newer = tar().pax(&[
        ("GNU.sparse.size", size),
        ("GNU.sparse.map", b"0,512,1048576,512"),
        ("GNU.sparse.name", b"sparse"),
    ]);
    for tar in [old.file("sparse", &[7; 1024]), newer.file("GNUSparseFile.1/sparse", &[7; 1024])] {
        let (place, done) = good(tar);
        check_sparse(&place, &done);
    }
    let newest = tar().pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", size),
    ]);
    let mut data = b"2\n0\n512\n1048576\n512\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(&[7; 1024]);
    let (place, done) = good(newest.file("GNUSparseFile.1/sparse", &data));
    check_sparse(&place, &done);
}

fn check_sparse(place: &Place, done: &Unpacked) {
    let mut data = Vec::new();
    fs::File::open(place.at("sparse")).unwrap().read_to_end(&mut data).unwrap();
    assert_eq!(data.len(), 1 << 21);
    assert!(data.iter().enumerate().all(|(at, byte)| *byte == if at % (1 << 20) < 512 { 7 } else { 0 }));
    assert!(place.meta("sparse").blocks() * 512 < 1 << 20, "holes take no room");
    assert!(done.bytes < 64 * 1024, "and are not charged");
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let with = |map: &[u8], data: &[u8]| {
        tar().pax(&[("GNU.sparse.size", b"4096"), ("GNU.sparse.map", map)]).file("sparse", data)
    };
    for map in [&b"0,512,256,512"[..], b"0,512,4000,512", b"0,512,18446744073709551615,512", b"0,512,1024", b"0,5"] {
        let error = refused(with(map, &[7; 1024]));
        assert!(matches!(error, LayerError::Tar(TarError::Sparse { .. })), "{error:?}");
    }
    let endless = tar().pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"4096")]);
    assert!(matches!(refused(endless.file("s", &[b'9'; 2048])), LayerError::Tar(TarError::Sparse { .. })));
}

#[test]
fn attributes_of_an_image_are_taken_and_those_of_a_machine_are_not() {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = tar()
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/evil"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"label"),
        ])
        .head(Head { path: b"ping", owner: 9, ..Head::default() })
        .pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")])
        .dir("dir");
    let (place, done) = good(tar);
    let mut value = [0; 64];
    let len = rustix::fs::getxattr(place.at("ping"), "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..len], capability, "set after the owner, which would clear it");
    assert_eq!(done.xattrs_dropped, 4);
    assert!(!is_opaque_at(&place, "dir") && !is_opaque_at(&place, "ping"));
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_disk() {
    use std::io::Write as _;
    let mut bomb = tar().head(Head { path: b"zeros", size: 1 << 30, ..Head::default() }).0;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.resize(512 + (64 << 20), 0);
    gzip.write_all(&bomb).unwrap();
    let bytes = gzip.finish().unwrap();
    let place = Place::new();
    let error =
        unpack_layer(bytes.as_slice(), &place.root(), Whiteouts::Overlay, Limits::default(), &mut Room(1 << 20));
    assert!(matches!(error, Err(LayerError::Budget(_))));
    assert!(place.meta("zeros").len() <= 1 << 20);
}

#[test]
fn many_empty_files_are_charged_and_counted() {
    let bytes = (0..50).fold(tar(), |tar, at| tar.file(&format!("f{at}"), b"")).end();
    let place = Place::new();
    let few =
        unpack_layer(bytes.as_slice(), &place.root(), Whiteouts::Overlay, Limits::default(), &mut Room(10 * 1024));
    assert!(matches!(few, Err(LayerError::Budget(_))));
    let limits = Limits { entries_max: 20, ..Limits::default() };
    let place = Place::new();
    let few = unpack_layer(bytes.as_slice(), &place.root(), Whiteouts::Overlay, limits, &mut Room(1 << 20));
    assert!(matches!(few, Err(LayerError::Entries { entries_max: 20 })));
}

#[test]
fn endless_padding_after_the_archive_is_refused() {
    let mut bytes = tar().file("f", b"x").end();
    bytes.resize(bytes.len() + 400_000, 0);
    let place = Place::new();
    let limits = Limits { trailing_bytes_max: 10_000, ..Limits::default() };
    let refused = unpack_layer(bytes.as_slice(), &place.root(), Whiteouts::Overlay, limits, &mut Room(1 << 20));
    assert!(matches!(refused, Err(LayerError::Tar(TarError::TooLarge { .. }))));
}

#[test]
fn gzip_zstd_and_plain_layers_are_told_by_their_first_bytes() {
    use std::io::Write as _;
    let plain = tar().file("f", b"x").end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain[..700]).unwrap();
    let mut two_members = gzip.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain[700..]).unwrap();
    two_members.extend(gzip.finish().unwrap());
    let mut zstd = zstd::encode_all(&plain[..700], 3).unwrap();
    zstd.extend(zstd::encode_all(&plain[700..], 3).unwrap());
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], zstd.as_slice()].concat();
    for bytes in [plain.clone(), two_members, zstd, skippable] {
        let place = Place::new();
        let expected = Expected { diff_id: Some(Digest::sha256(&plain)), ..Expected::default() };
        let whole = unpack_verified(
            &*bytes,
            &expected,
            &place.root(),
            Whiteouts::Overlay,
            Limits::default(),
            &mut Room(1 << 20),
        );
        whole.unwrap();
        assert_eq!(place.text("f"), "x");
    }
    for (bytes, name) in [(&b"\xfd7zXZ\0rest"[..], "xz"), (b"BZh91AY", "bzip2")] {
        let (place, limits) = (Place::new(), Limits::default());
        let refused = unpack_layer(bytes, &place.root(), Whiteouts::Overlay, limits, &mut Room(1 << 20));
        assert!(matches!(refused, Err(LayerError::Compression { found }) if found == name));
    }
}

#[test]
fn wrong_digests_and_sizes_are_told_even_if_the_archive_is_broken_by_them() {
    let bytes = zstd::encode_all(&*tar().file("f", &[7; 5000]).end(), 3).unwrap();
    let right = Expected { blob: Some(Digest::sha256(&bytes)), blob_bytes: Some(bytes.len() as u64), diff_id: None };
    let run = |bytes: &[u8], expected: &Expected| {
        let place = Place::new();
        unpack_verified(bytes, expected, &place.root(), Whiteouts::Overlay, Limits::default(), &mut Room(1 << 20))
    };
    run(&bytes, &right).unwrap();
    for at in [0, 5, 20, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        assert!(matches!(run(&damaged, &right), Err(LayerError::Digest { what: "digest", .. })), "byte {at}");
    }
    assert!(matches!(run(&bytes[..bytes.len() - 3], &right), Err(LayerError::Size { .. })));
    let longer = [bytes.as_slice(), &[0; 100]].concat();
    assert!(matches!(run(&longer, &right), Err(LayerError::Size { .. })));
    let other = Expected { diff_id: Some(Digest::sha256(b"other")), ..right.clone() };
    assert!(matches!(run(&bytes, &other), Err(LayerError::Digest { what: "content", .. })));
}

#[test]
fn our_own_writer_is_read_back() {
    let long = format!("{}/file", "d".repeat(150));
    let mut writer = crate::tar::TarWriter::new(Vec::new());
    let mut entry = crate::tar::Entry {
        path: long.clone().into_bytes(),
        link: Vec::new(),
        kind: crate::tar::Kind::File,
        mode: 0o640,
        uid: 3_000_000_000,
        gid: 12,
        size: 3,
        mtime: (1_700_000_000, 0),
        device: (0, 0),
        xattrs: Vec::new(),
        segments: None,
    };
    writer.add(&entry, &b"abc"[..]).unwrap();
    assert!(writer.add(&entry, &b"abcd"[..]).is_err(), "a file that grew");
    let mut writer = crate::tar::TarWriter::new(Vec::new());
    writer.add(&entry, &b"abc"[..]).unwrap();
    entry.path = b"link".to_vec();
    entry.kind = crate::tar::Kind::Symlink;
    entry.link = long.clone().into_bytes();
    entry.size = 0;
    writer.add(&entry, std::io::empty()).unwrap();
    let (place, result) = unpack(&writer.finish().unwrap(), Whiteouts::Overlay);
    result.unwrap();
    assert_eq!(place.text(&long), "abc");
    assert_eq!((place.meta(&long).uid(), place.meta(&long).permissions().mode() & 0o7777), (3_000_000_000, 0o640));
    assert_eq!(fs::read_link(place.at("link")).unwrap(), Path::new(&long));
}

/// Archives of well-formed headers with any names and links: what a fuzzer needs long to find.
fn any_entry() -> impl Strategy<Value = (String, u8, String, Vec<u8>)> {
    let part = prop_oneof![
        Just("a"),
        Just("b"),
        Just("c"),
        Just(".."),
        Just("."),
        Just(""),
        Just(".wh.a"),
        Just(".wh..wh..opq"),
        Just("secret"),
    ];
    let path = proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"));
    let flag = prop_oneof![Just(b'0'), Just(b'1'), Just(b'2'), Just(b'5'), Just(b'6'), Just(b'3')];
    let link = prop_oneof![
        Just("..".to_owned()),
        Just("/".to_owned()),
        Just("../secret".to_owned()),
        Just("a".to_owned()),
        Just("a/b".to_owned()),
        Just("../layer/c".to_owned()),
        Just("/proc/self/root".to_owned()),
        Just("c/../..".to_owned()),
    ];
    (path, flag, link, proptest::collection::vec(any::<u8>(), 0..40))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_entries_touches_anything_outside(entries in proptest::collection::vec(any_entry(), 1..12)) {
        let mut archive = tar();
        for (path, flag, link, data) in &entries {
            archive = match flag {
                b'0' => archive.file(path, data),
                b'1' | b'2' => archive.of(path, *flag, link),
                _ => archive.of(path, *flag, ""),
            };
        }
        let bytes = archive.end();
        // The comparison of both walks and of what lies outside is inside.
        let _ = unpack(&bytes, Whiteouts::Overlay);
        let _ = unpack(&bytes, Whiteouts::Portable);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        // The walk by hand takes them for a plain archive, also where they begin as gzip, zstd, xz or bzip2 does.
        prop_assume!(!matches!(
            bytes.as_slice(),
            [0x1f, 0x8b, ..]
                | [0x28, 0xb5, 0x2f, 0xfd, ..]
                | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
                | [0xfd, b'7', b'z', b'X', b'Z', 0, ..]
                | [b'B', b'Z', b'h', ..]
        ));
        let _ = unpack(&bytes, Whiteouts::Overlay);
    }

    #[test]
    fn random_bytes_that_look_compressed_never_panic(
        magic in proptest::sample::select(vec![&b"\x1f\x8b\x08"[..], b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"\xfd7zXZ\0", b"BZh"]),
        bytes in proptest::collection::vec(any::<u8>(), 0..4000),
    ) {
        let place = Place::new();
        let bytes = [magic, &bytes].concat();
        let result = unpack_layer(&bytes[..], &place.root(), Whiteouts::Overlay, Limits::default(), &mut Room(1 << 30));
        prop_assert!(result.is_err(), "{result:?}");
        place.assert_nothing_outside();
    }

    #[test]
    fn damaged_archives_never_panic(at in 0_usize..4000, value: u8, flip in 0_usize..4000) {
        let mut bytes = tar()
            .pax(&[("path", b"long/name"), ("mtime", b"1.5"), ("SCHILY.xattr.user.x", b"v")])
            .file("short", &[7; 700])
            .symlink("l", "..")
            .dir("d")
            .end();
        let len = bytes.len();
        bytes[at % len] = value;
        bytes[flip % len] ^= 0x80;
        let _ = unpack(&bytes, Whiteouts::Overlay);
    }
}
