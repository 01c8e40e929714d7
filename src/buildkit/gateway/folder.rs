//! The entries of a folder, as the engine lists them.

/// An entry of a folder in a [`Ref`], links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name in the folder; any bytes but `/` and 0.
    pub name: Vec<u8>,
    /// Its kind.
    pub kind: FileKind,
    /// Permissions with setuid, setgid and sticky, as `chmod` takes them: `0o4755`.
    pub mode: u32,
    /// The user it belongs to.
    pub uid: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// Bytes; 0 for a folder.
    pub size: u64,
    /// File capabilities (`security.capability`), a bit each.
    pub capabilities: u64,
}

/// The kinds of entries of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file with content.
    Regular,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

/// `ReadDir` with names as bytes: a name on a disk can be invalid UTF-8, the daemon sends it as it is,
/// and prost would refuse the whole answer (frontend/gateway/pb/gateway.proto; stat.proto of fsutil).
pub(super) mod wire {
    /// The request.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ReadDirRequest {
        /// The file system, see [`Ref`](super::super::Ref).
        #[prost(string, tag = "1")]
        pub at: String,
        /// A path.
        #[prost(bytes = "vec", tag = "2")]
        pub path: Vec<u8>,
    }

    /// The answer.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ReadDirResponse {
        /// The entries of the folder.
        #[prost(message, repeated, tag = "1")]
        pub entries: Vec<Stat>,
    }

    /// One entry.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Stat {
        /// A path.
        #[prost(bytes = "vec", tag = "1")]
        pub path: Vec<u8>,
        /// Bits of [`super::go_mode`].
        #[prost(uint32, tag = "2")]
        pub mode: u32,
        /// Its user.
        #[prost(uint32, tag = "3")]
        pub uid: u32,
        /// Its group.
        #[prost(uint32, tag = "4")]
        pub gid: u32,
        /// Bytes.
        #[prost(int64, tag = "5")]
        pub size: i64,
        /// Extended attributes.
        #[prost(message, repeated, tag = "10")]
        pub attributes: Vec<Attribute>,
    }

    /// An entry of a map on the wire.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Attribute {
        /// The name.
        #[prost(bytes = "vec", tag = "1")]
        pub name: Vec<u8>,
        /// The value.
        #[prost(bytes = "vec", tag = "2")]
        pub value: Vec<u8>,
    }
}

/// Bits of Go's `fs.FileMode`, which is what the daemon sends.
mod go_mode {
    /// `ModeDir`
    pub const FOLDER: u32 = 1 << 31;
    /// `ModeSymlink`
    pub const LINK: u32 = 1 << 27;
    /// `ModeDevice`
    pub const DEVICE: u32 = 1 << 26;
    /// `ModeNamedPipe`
    pub const PIPE: u32 = 1 << 25;
    /// `ModeSocket`
    pub const SOCKET: u32 = 1 << 24;
    /// `ModeSetuid`
    pub const SETUID: u32 = 1 << 23;
    /// `ModeSetgid`
    pub const SETGID: u32 = 1 << 22;
    /// `ModeCharDevice`
    pub const CHARACTER: u32 = 1 << 21;
    /// `ModeSticky`
    pub const STICKY: u32 = 1 << 20;
    /// `ModeIrregular`
    pub const IRREGULAR: u32 = 1 << 19;
}

impl FileEntry {
    /// Returns an entry as the engine sent it.
    pub(super) fn new(stat: wire::Stat) -> Self {
        let has = |bit: u32| stat.mode & bit != 0;
        let other = go_mode::DEVICE
            | go_mode::PIPE
            | go_mode::SOCKET
            | go_mode::CHARACTER
            | go_mode::IRREGULAR;
        let kind = if has(go_mode::FOLDER) {
            FileKind::Folder
        } else if has(go_mode::LINK) {
            FileKind::Link
        } else if has(other) {
            FileKind::Other
        } else {
            FileKind::Regular
        };
        let mut mode = stat.mode & 0o777;
        for (bit, unix) in [
            (go_mode::SETUID, 0o4000),
            (go_mode::SETGID, 0o2000),
            (go_mode::STICKY, 0o1000),
        ] {
            if has(bit) {
                mode |= unix;
            }
        }
        let name = stat.path.rsplit(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default().to_vec();
        Self {
            name,
            kind,
            mode,
            uid: stat.uid,
            gid: stat.gid,
            size: u64::try_from(stat.size).unwrap_or_default(),
            capabilities: stat
                .attributes
                .iter()
                .find(|attribute| attribute.name == b"security.capability")
                .map_or(0, |attribute| capabilities(&attribute.value)),
        }
    }
}

/// Returns the permitted and inheritable capabilities (`struct vfs_cap_data` in linux/capability.h: little-endian, the
/// version, then both sets by words). All of them for an unknown version: that is safer.
fn capabilities(value: &[u8]) -> u64 {
    let words: Vec<u64> = value
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])))
        .collect();
    match words[..] {
        [_, permitted, inheritable] => permitted | inheritable,
        // The third version also has the user that root is mapped to.
        [_, low, low_inheritable, high, high_inheritable]
        | [_, low, low_inheritable, high, high_inheritable, _] => {
            low | low_inheritable | (high | high_inheritable) << 32
        }
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::{FileEntry, capabilities, wire};

    #[test]
    fn a_name_can_have_any_bytes() {
        let entry = wire::ReadDirResponse {
            entries: vec![wire::Stat {
                path: b"srv/a\xff".to_vec(),
                mode: super::go_mode::SETUID | 0o755,
                ..wire::Stat::default()
            }],
        };
        let bytes = entry.encode_to_vec();
        let back = wire::ReadDirResponse::decode(&*bytes).expect("a valid message");
        let found = FileEntry::new(back.entries[0].clone());
        assert_eq!((&*found.name, found.mode), (&b"a\xff"[..], 0o4755));
    }

    #[test]
    fn capabilities_of_all_versions() {
        let words =
            |list: &[u32]| -> Vec<u8> { list.iter().flat_map(|word| word.to_le_bytes()).collect() };
        assert_eq!(
            capabilities(&words(&[0x0100_0001, 1 << 13, 1])),
            1 << 13 | 1
        );
        let second = words(&[0x0200_0001, 1 << 13, 0, 1 << 6, 0]);
        assert_eq!(capabilities(&second), 1 << 13 | 1 << 38);
        let third = words(&[0x0300_0001, 1 << 7, 0, 0, 0, 100_000]);
        assert_eq!(capabilities(&third), 1 << 7);
        assert_eq!(capabilities(b"what"), u64::MAX);
    }
}
