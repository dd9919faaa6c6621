//! The control socket: how commands on this machine reach the server that owns a database. It lies beside the
//! database, and the kernel tells who is at the other end, so nobody needs a token.
//!
//! Each end checks the other: the server takes calls of its own user and of root alone, and a command calls
//! nobody but the owner of the database's file or root, whoever else put a socket there.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
    process::getuid,
};
use tokio::net::{UnixListener, UnixStream};

use super::listener::{Listener, Peer};

const ROOT: u32 = 0;
/// What a path within `sockaddr_un` may take (unix(7)), without its final NUL.
const MAX_PATH_BYTES: usize = 107;
const BACKLOG: i32 = 128;

/// Where the socket of the database at `database` is.
pub fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".sock");
    name.into()
}

/// Whether a socket is at `path`.
///
/// # Errors
/// What is there is no socket, and would be lost.
pub fn is_taken(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => Err(io::Error::other("there is a file that is no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The socket as its server has it. It is removed with it.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    own: u32,
    overflow: u32,
}

impl ControlSocket {
    /// Takes the place at `path`, also from a server that has gone: whoever calls this owns the database.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        if is_taken(path)? {
            fs::remove_file(path)?;
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // On Linux the new file gets these permissions, so that nobody else can connect at any moment.
        let owner_only = Mode::RUSR | Mode::WUSR;
        // Elsewhere it is done below.
        let _ = fchmod(&socket, owner_only);
        if path.as_os_str().len() <= MAX_PATH_BYTES {
            bind(&socket, &SocketAddrUnix::new(path)?)?;
        } else {
            bind_long(&socket, path)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(owner_only.bits()))?;
        listen(&socket, BACKLOG)?;
        Ok(Self {
            listener: UnixListener::from_std(socket.into())?,
            path: path.to_owned(),
            own: getuid().as_raw(),
            overflow: overflow_uid(),
        })
    }

    /// Who it is, if it may call.
    fn admit(&self, uid: u32) -> Option<Peer> {
        // A user of another namespace has the overflow's number, whoever it is.
        let is_known = uid != self.overflow && (uid == self.own || uid == ROOT);
        is_known.then_some(Peer::Local { uid })
    }
}

impl Listener for ControlSocket {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if let Some(peer) = self.admit(uid) {
                return Ok((stream, peer));
            }
            tracing::warn!(uid, "a stranger on the control socket was turned away");
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Connects to the server behind the socket at `path`, whose database belongs to the user `owner`. `None`: there
/// is no server.
///
/// # Errors
/// The socket cannot be used, or somebody else listens there.
pub async fn connect(path: &Path, owner: u32) -> io::Result<Option<UnixStream>> {
    // A reset: it was there and is going.
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    let connected = async {
        let socket = open(path, OFlags::PATH)?;
        UnixStream::connect(through(&socket)).await
    };
    let stream = match connected.await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ConnectionRefused | ConnectionReset | NotFound) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let uid = stream.peer_cred()?.uid();
    if uid != overflow_uid() && (uid == owner || uid == ROOT) {
        return Ok(Some(stream));
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "the user {uid} listens there, who is neither root nor the owner {owner} of the database"
        ),
    ))
}

/// Binds to a path that no socket's address holds: to a short name in its folder, which is then changed.
fn bind_long(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY)?;
    let bound = tempfile::Builder::new()
        .suffix(".sock")
        .make_in(through(&folder), |short| {
            Ok(bind(socket, &SocketAddrUnix::new(short)?)?)
        })?;
    bound.into_temp_path().persist(path)?;
    Ok(())
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = i32::try_from(flags.bits()).expect("flags of open(2) fit");
    File::options().read(true).custom_flags(flags).open(path)
}

/// A path to what is open, which is short whatever its own is.
fn through(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// The number that stands for users who have none in this namespace (`user_namespaces(7)`).
fn overflow_uid() -> u32 {
    const USUAL: u32 = 65_534;
    let text = fs::read_to_string("/proc/sys/kernel/overflowuid");
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[tokio::test]
    async fn only_the_owner_may_open_it_and_it_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let path = path_of(&database);
        let own = getuid().as_raw();
        assert!(connect(&path, own).await.unwrap().is_none());
        let mut socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let stream = connect(&path, own).await.unwrap();
        let (_, peer) = socket.accept().await.unwrap();
        assert_eq!(peer, Peer::Local { uid: own });
        drop((stream, socket));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_a_killed_server_left_is_taken_over_and_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.sock");
        std::mem::forget(ControlSocket::bind(&path).unwrap());
        drop(ControlSocket::bind(&path).unwrap());
        fs::write(&path, "mine").unwrap();
        assert!(ControlSocket::bind(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn a_path_and_a_name_may_be_as_long_as_any_files() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(200));
        fs::create_dir(&deep).unwrap();
        let own = getuid().as_raw();
        for name in ["a".to_owned(), "y".repeat(250)] {
            let path = deep.join(name + ".sock");
            let socket = ControlSocket::bind(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            assert!(connect(&path, own).await.unwrap().is_some());
            drop(socket);
            let left = fs::read_dir(&deep).unwrap().count();
            assert_eq!(left, 0, "{}", path.display());
        }
    }

    #[tokio::test]
    async fn neither_end_takes_a_stranger() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.sock");
        let mut socket = ControlSocket::bind(&path).unwrap();
        (socket.own, socket.overflow) = (1_000, 65_534);
        for (uid, admitted) in [(0, true), (1_000, true), (1_001, false), (65_534, false)] {
            assert_eq!(socket.admit(uid).is_some(), admitted, "{uid}");
        }
        socket.own = 65_534;
        assert_eq!(socket.admit(65_534), None);
        let own = getuid().as_raw();
        if own != ROOT {
            let refusal = connect(&path, own + 1).await.unwrap_err();
            assert_eq!(refusal.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
