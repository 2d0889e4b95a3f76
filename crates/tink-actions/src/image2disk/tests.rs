use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicU64;

use super::*;

fn env(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let all: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    move |name| all.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// Data with a long run of zeros in it, which is written another way.
fn image() -> Vec<u8> {
    let mut data: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    data[500_000..2_700_000].fill(0);
    data
}

fn compressed(suffix: &str, data: &[u8]) -> Vec<u8> {
    match suffix {
        "gz" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "bz2" | "bzip2" => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "xz" => {
            let mut out = liblzma::write::XzEncoder::new(Vec::new(), 1);
            out.write_all(data).unwrap();
            out.finish().unwrap()
        }
        "zst" => zstd::stream::encode_all(data, 1).unwrap(),
        _ => data.to_vec(),
    }
}

/// How a connection is served.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// The body is cut after so many bytes.
    cut: Option<usize>,
    /// The connection stays open after the cut.
    silent: bool,
    /// A status of its own.
    status: Option<u16>,
    /// Ranges are not known.
    whole: bool,
    /// A range begins so many bytes too late.
    off_by: usize,
    /// Another file is there, with its name.
    changed: bool,
}

fn cut(bytes: usize) -> Manner {
    Manner { cut: Some(bytes), ..Manner::default() }
}

/// Serves `body`; the nth connection in the nth manner, the ones after that rightly.
fn serve(body: Vec<u8>, manners: Vec<Manner>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for (nth, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let manner = manners.get(nth).copied().unwrap_or_default();
            answer(&mut stream, &body, manner);
            if manner.silent {
                open.push(stream);
            }
        }
    });
    format!("http://{address}")
}

fn request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        request.push(byte[0]);
    }
    String::from_utf8_lossy(&request).to_ascii_lowercase()
}

fn answer(stream: &mut TcpStream, body: &[u8], manner: Manner) {
    let request = request(stream);
    let from = request.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    let from: usize = if manner.whole { 0 } else { from.unwrap_or(0) };
    let (from, body) = if manner.changed { (0, [&b"other"[..], body].concat()) } else { (from, body.to_vec()) };
    let begin = if from > 0 { from + manner.off_by } else { 0 };
    let rest = &body[begin..];
    let status = manner.status.unwrap_or(if from > 0 { 206 } else { 200 });
    let tag = if manner.changed { "two" } else { "one" };
    let mut head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n", rest.len());
    head.push_str(&format!("ETag: \"{tag}\"\r\n"));
    if status == 206 {
        head.push_str(&format!("Content-Range: bytes {begin}-{}/{}\r\n", body.len() - 1, body.len()));
    }
    head.push_str("\r\n");
    let sent = manner.cut.map_or(rest.len(), |cut| rest.len().min(cut));
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&rest[..sent]));
}

fn sha256(data: &[u8]) -> String {
    use sha2::Digest as _;
    format!("sha256:{}", sha2::Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect::<String>())
}

#[test]
fn every_compression_arrives_byte_for_byte_over_old_data() {
    let folder = tempfile::tempdir().unwrap();
    for suffix in ["img", "gz", "bz2", "bzip2", "xz", "zst"] {
        let body = compressed(suffix, &image());
        let digest = sha256(&body);
        let url = format!("{}/disk.img.{suffix}?token=1", serve(body, vec![]));
        let disk = folder.path().join(suffix);
        std::fs::write(&disk, vec![0xff; 4_000_000]).unwrap();
        let compressed = if suffix == "img" { "false" } else { "true" };
        let env = env(&[
            ("IMG_URL", &url),
            ("DEST_DISK", disk.to_str().unwrap()),
            ("COMPRESSED", compressed),
            ("IMG_CHECKSUM", &digest),
        ]);
        let mut out = Vec::new();
        run(&env, &mut out).unwrap_or_else(|error| panic!("{suffix}: {error}"));
        let written = std::fs::read(&disk).unwrap();
        assert!(written[..3_000_000] == image()[..], "{suffix}: other bytes");
        assert!(written[3_000_000..].iter().all(|byte| *byte == 0xff), "{suffix}: written past the image");
        assert!(String::from_utf8(out).unwrap().contains(&digest));
    }
}

#[test]
fn a_download_that_ends_early_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let url = format!("{}/disk.img", serve(image(), vec![cut(1_000_000)]));
    let error = run(&env(&[("IMG_URL", &url), ("DEST_DISK", disk.to_str().unwrap())]), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ActionError::Download { .. }), "{error}");
    assert_eq!(exit_code_of(error), std::process::ExitCode::FAILURE);
}

fn exit_code_of(error: ActionError) -> std::process::ExitCode {
    crate::exit_code(&Err(error))
}

/// Writes `body`, served in these manners, with retries; answers with what is on the disk.
fn written(body: &[u8], manners: Vec<Manner>, change: impl FnOnce(&mut Config)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let url = format!("{}/disk.img", serve(body.to_vec(), manners));
    let pairs = [("IMG_URL", url.as_str()), ("DEST_DISK", disk.to_str().unwrap()), ("RETRY_ENABLED", "true")];
    let mut config = Config::from(&env(&pairs)).unwrap();
    change(&mut config);
    write_image(&config, &mut Vec::new()).unwrap();
    std::fs::read(&disk).unwrap()
}

#[test]
fn a_download_that_breaks_is_taken_up_where_it_broke() {
    let body = compressed("gz", &image());
    let manners = vec![cut(10_000), cut(50_000)];
    let found = written(&body, manners, |config| {
        (config.compression, config.text, config.checksum) = (Compression::Gzip, true, Some(sha256(&body)));
    });
    assert!(found == image());
}

#[test]
fn a_server_that_falls_silent_is_asked_again() {
    let silent = Manner { silent: true, ..cut(1_000_000) };
    let found = written(&image(), vec![silent], |config| config.timeouts.silence = Duration::from_millis(100));
    assert!(found == image());
}

#[test]
fn a_server_without_ranges_sends_again_what_is_skipped() {
    let whole = |bytes| Manner { whole: true, ..cut(bytes) };
    assert!(written(&image(), vec![whole(1_000_000), whole(500_000), whole(9_000_000)], |_| ()) == image());
}

#[test]
fn what_is_refused_or_not_there_at_first_is_asked_for_again() {
    let status = |status| Manner { status: Some(status), ..Manner::default() };
    assert!(written(&image(), vec![status(404), cut(1_000_000), status(503)], |_| ()) == image());
}

#[test]
fn a_wrong_range_is_never_joined_to_what_came_before() {
    let wrong = Manner { off_by: 1, ..Manner::default() };
    assert!(written(&image(), vec![cut(1_000_000), wrong], |_| ()) == image());
}

#[test]
fn two_versions_of_a_file_are_never_joined() {
    let changed = |bytes| Manner { changed: true, ..cut(bytes) };
    assert!(written(&image(), vec![cut(1_000_000), changed(9_000_000)], |_| ()) == image());
}

#[test]
fn what_cannot_be_decompressed_is_fetched_again() {
    let body = compressed("gz", &image());
    let garbage = Manner { changed: true, ..Manner::default() };
    assert!(written(&body, vec![garbage], |config| config.compression = Compression::Gzip) == image());
}

#[test]
fn a_disk_that_comes_late_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("later/disk");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/disk.img", listener.local_addr().unwrap());
    let parent = disk.parent().unwrap().to_owned();
    std::thread::spawn(move || {
        answer(&mut listener.accept().unwrap().0, &image(), Manner::default());
        let (mut stream, _) = listener.accept().unwrap();
        std::fs::create_dir(parent).unwrap();
        answer(&mut stream, &image(), Manner::default());
    });
    let pairs = [("IMG_URL", url.as_str()), ("DEST_DISK", disk.to_str().unwrap()), ("RETRY_ENABLED", "true")];
    run(&env(&pairs), &mut Vec::new()).unwrap();
    assert!(std::fs::read(&disk).unwrap() == image());
}

#[test]
fn tries_end_with_their_limit() {
    let limit = |minutes: &'static str| {
        let pairs = [("RETRY_DURATION_MINUTES", minutes)];
        retry_limit(&env(&pairs))
    };
    assert_eq!(limit("2"), Limit::For(Duration::from_secs(120)));
    assert_eq!((limit("0"), limit("-1")), (Limit::Endless, Limit::Once));
    assert_eq!(limit("soon"), Limit::For(Duration::from_secs(600)));
    assert!(!Retry::new(Limit::Once).pause() && !Retry::new(Limit::For(Duration::ZERO)).pause());
}

/// Takes output and opens a door when a progress line comes.
struct Door(mpsc::Sender<()>);

impl std::io::Write for Door {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn progress_is_told_while_nothing_moves() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/disk.img", listener.local_addr().unwrap());
    let (door, opened) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").unwrap();
        opened.recv().unwrap();
        stream.write_all(b"half").unwrap();
    });
    let disk = folder.path().join("disk");
    let pairs = [("IMG_URL", &*url), ("DEST_DISK", disk.to_str().unwrap()), ("PROGRESS_INTERVAL_SECONDS", "1")];
    run(&env(&pairs), &mut Door(door)).unwrap();
    assert_eq!(std::fs::read(&disk).unwrap(), b"halfhalf");
}

#[test]
fn zeros_are_holes_in_a_plain_file() {
    use std::os::unix::fs::MetadataExt as _;
    let mut data = vec![0; 16 << 20];
    data[..4096].fill(7);
    for old in [0, 20 << 20] {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        std::fs::write(&disk, vec![0xff_u8; old]).unwrap();
        disk::write(disk.to_str().unwrap(), &mut &data[..], &AtomicU64::new(0)).unwrap_or_else(|_| panic!("failed"));
        let found = std::fs::metadata(&disk).unwrap();
        let kept = old.saturating_sub(data.len()) as u64;
        assert_eq!(found.len(), data.len() as u64 + kept);
        assert!(found.blocks() * 512 <= kept + (2 << 20), "{} bytes are taken", found.blocks() * 512);
        assert!(std::fs::read(&disk).unwrap()[..data.len()] == data);
    }
}

#[test]
fn an_image_is_written_to_a_block_device() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::write(&disk, vec![0xff; 4 << 20]).unwrap();
    let device = tink_oci::LoopDevice::attach(&disk).unwrap();
    let url = format!("{}/disk.img", serve(image(), vec![]));
    run(&env(&[("IMG_URL", &url), ("DEST_DISK", device.path().to_str().unwrap())]), &mut Vec::new()).unwrap();
    drop(device);
    let found = std::fs::read(&disk).unwrap();
    assert!(found[..3_000_000] == image()[..] && found[3_000_000..].iter().all(|byte| *byte == 0xff));
}

#[test]
fn an_image_that_is_too_large_for_its_device_fails() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let device = tink_oci::LoopDevice::attach(file.path()).unwrap();
    let url = format!("{}/disk.img", serve(image(), vec![]));
    let pairs = [("IMG_URL", &*url), ("DEST_DISK", device.path().to_str().unwrap())];
    let error = run(&env(&pairs), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, ActionError::Io { .. }), "{error}");
}

#[test]
fn a_wrong_checksum_fails() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let url = format!("{}/disk.img", serve(image(), vec![]));
    let wrong = format!("sha256:{}", "0".repeat(64));
    let pairs = [("IMG_URL", url.as_str()), ("DEST_DISK", disk.to_str().unwrap()), ("IMG_CHECKSUM", &wrong)];
    assert!(matches!(run(&env(&pairs), &mut Vec::new()), Err(ActionError::Checksum { .. })));
}

#[test]
fn wrong_variables_are_named_and_no_password_is_shown() {
    for (pairs, word) in [
        (vec![("DEST_DISK", "/d")], "IMG_URL"),
        (vec![("IMG_URL", "http://x/y")], "DEST_DISK"),
        (vec![("IMG_URL", "ftp://me:secret@x/y"), ("DEST_DISK", "/d")], "IMG_URL"),
        (vec![("IMG_URL", "me:secret@x/y"), ("DEST_DISK", "/d")], "IMG_URL"),
        (vec![("IMG_URL", "http://me:secret@x/y"), ("DEST_DISK", "/d"), ("COMPRESSED", "1")], "IMG_URL"),
        (vec![("IMG_URL", "http://x/y"), ("DEST_DISK", "/d"), ("IMG_CHECKSUM", "sha256:12")], "IMG_CHECKSUM"),
    ] {
        let error = run(&env(&pairs), &mut Vec::new()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(word), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn what_fails_later_shows_no_password_either() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let server = serve(image(), vec![Manner { status: Some(403), ..Manner::default() }]);
    let url = format!("{}/disk.gz", server.replace("http://", "http://me:secret@"));
    let wrong = format!("sha256:{}", "0".repeat(64));
    let pairs = [("IMG_URL", &*url), ("DEST_DISK", disk.to_str().unwrap()), ("IMG_CHECKSUM", &wrong)];
    let config = Config::from(&env(&pairs)).unwrap();
    let gzip = Config { compression: Compression::Gzip, ..Config::from(&env(&pairs)).unwrap() };
    for config in [&config, &config, &gzip] {
        let error = attempt(config, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("disk.gz") && !error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn switches_and_numbers_that_mean_nothing_have_their_defaults() {
    let pairs = [
        ("IMG_URL", "http://x/y"),
        ("DEST_DISK", "/d"),
        ("COMPRESSED", "maybe"),
        ("RETRY_ENABLED", "yes"),
        ("PROGRESS_INTERVAL_SECONDS", "often"),
    ];
    let config = Config::from(&env(&pairs)).unwrap();
    assert_eq!((config.compression, config.retry), (Compression::None, Limit::Once));
    assert_eq!(config.progress_interval, Duration::from_secs(3));
}
