//! Inputs of fuzzers; see `fuzzing`.

use std::sync::Arc;

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use prost::Message as _;
use tokio::sync::mpsc;

use super::files::{Transfer, requests_of};
use crate::llb::{ServedContent, ServedEntry, ServedOrigin, ServedTree};
use crate::name::Digest;

/// The files that are served: one larger than a packet, an empty one, and one that changed.
fn tree() -> ServedTree {
    let mut tree = ServedTree::default();
    let large = vec![7; (32 << 10) + 1];
    for (path, bytes, written) in [
        ("a/large", large.as_slice(), large.as_slice()),
        ("a/empty", b"", b""),
        ("changed", b"new", b"old"),
    ] {
        let content = ServedContent {
            size: written.len() as u64,
            digest: Digest::of(written),
            origin: ServedOrigin::Memory(bytes.to_vec()),
        };
        let mode = 0o644;
        tree.insert(path.to_owned(), ServedEntry::File { mode, content });
    }
    tree.insert("a".to_owned(), ServedEntry::Folder(0o755));
    tree.insert("link".to_owned(), ServedEntry::Link("a/empty".to_owned()));
    tree
}

/// Packets of a daemon: it gets the list and files that it requests, each whole or with an error, and
/// nothing after that or after its end.
pub fn packets(mut bytes: &[u8]) {
    let tree = Arc::new(tree());
    let entries = tree.iter().count();
    let (sender, received) = requests_of(&tree);
    while let Ok(packet) = Packet::decode_length_delimited(&mut bytes) {
        if sender.take(&packet).is_err() {
            break;
        }
    }
    drop(sender);
    let (answers, mut stream) = mpsc::channel(1 << 10);
    let transfer = Transfer {
        tree: Arc::clone(&tree),
        answers,
    };
    assert!(transfer.run(received).is_ok());
    drop(transfer);
    let mut sent = Vec::new();
    while let Some(packet) = stream.blocking_recv() {
        sent.push(packet.expect("no status"));
    }
    let list = sent.iter().take_while(|packet| packet.stat.is_some());
    assert_eq!(list.count(), entries);
    let mut open = 0;
    let mut ended = false;
    for packet in sent.iter().skip(entries + 1) {
        assert!(!ended, "a packet after the end");
        match packet.r#type() {
            PacketType::PacketData if packet.data.is_empty() => open = 0,
            PacketType::PacketData => open += packet.data.len(),
            PacketType::PacketErr | PacketType::PacketFin => ended = true,
            other => panic!("unexpected {other:?}"),
        }
        assert!(open <= (32 << 10) + 1);
    }
}
