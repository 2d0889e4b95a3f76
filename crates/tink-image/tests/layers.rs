//! Layers are fetched side by side, and each is unpacked while it arrives.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use support::server::{Served, Server};
use support::{pull, read, registries, store};
use tink_image::{Compression, ImageBuilder};
use tokio::sync::watch;

/// Far below the silence after which a pull asks again.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn layers_are_asked_for_while_others_are_not_answered() {
    let mut image = ImageBuilder::new();
    // As many as are fetched at a time on the smallest machine.
    for layer in 0..4 {
        image.next_layer().bytes(&format!("/{layer}"), format!("{layer}"), 0o644);
    }
    let served = Served::new(&image);
    let layers = served.layers.len();
    let asked_for = watch::Sender::new(HashSet::new());
    let (asked_for_by_now, now) = (asked_for.clone(), asked_for.subscribe());
    let server = Server::plain(move |asked| {
        let answer = served.answer(asked);
        if !served.layers.iter().any(|layer| asked.target.contains(layer)) {
            return answer;
        }
        asked_for.send_modify(|targets| {
            targets.insert(asked.target.clone());
        });
        let mut all = asked_for.subscribe();
        answer.hold(0, async move { drop(all.wait_for(|targets| targets.len() == layers).await) })
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let (store, registries, name) = (store(directory.path()), registries(), server.image("a:v1"));
    let pulled = tokio::time::timeout(DEADLINE, pull(&store, &registries, &name)).await;
    let Ok(pulled) = pulled else {
        panic!("no layer is answered before all {layers} were asked for; only these were: {:?}", *now.borrow())
    };
    assert_eq!((asked_for_by_now.borrow().len(), read(&pulled.image, "3")), (layers, b"3".to_vec()));
}

#[tokio::test]
async fn a_layer_is_unpacked_while_its_rest_is_not_even_sent() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        unpacks_the_first_half(compression).await;
    }
}

async fn unpacks_the_first_half(compression: Compression) {
    // No compression makes the second file small.
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let noise: Vec<u8> = (0..1_000_000).map(|_| next()).collect();
    let mut image = ImageBuilder::new();
    image.compression(compression).bytes("/first", "unpacked", 0o644).bytes("/noise", noise.clone(), 0o644);
    let served = Served::new(&image);
    let directory = tempfile::tempdir().unwrap();
    let temporary = directory.path().join("tmp");
    let server = Server::plain(move |asked| {
        let answer = served.answer(asked);
        if !asked.target.contains(&served.layers[0]) {
            return answer;
        }
        let (half, temporary) = (answer.body.len() / 2, temporary.clone());
        answer.hold(half, async move {
            while !is_unpacked(&temporary, "first", b"unpacked") {
                tokio::task::yield_now().await;
            }
        })
    })
    .await;
    let (store, registries, name) = (store(directory.path()), registries(), server.image("a:v1"));
    let pulled = tokio::time::timeout(DEADLINE, pull(&store, &registries, &name)).await;
    let Ok(pulled) = pulled else {
        panic!("half of the layer ({compression:?}) is there, but its first file is not unpacked")
    };
    assert_eq!(read(&pulled.image, "noise"), noise);
    assert_eq!(server.asked_for("/blobs/").len(), 2, "the configuration, and the layer in one go");
}

/// Whether a layer that is being unpacked has that file already.
fn is_unpacked(temporary: &Path, name: &str, content: &[u8]) -> bool {
    let layers = std::fs::read_dir(temporary).unwrap().map(|layer| layer.unwrap().path());
    layers.into_iter().any(|layer| std::fs::read(layer.join(name)).is_ok_and(|found| found == content))
}
