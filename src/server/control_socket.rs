//! The control socket, through which commands on this machine reach the server that owns a database. It lies next
//! to the database, and the kernel identifies the peer, so that no token is needed.
//!
//! Both ends check each other: the server accepts its own user and root, and a command only talks to root or the
//! owner of the database file, whoever may have put a socket there.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{FileTypeExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    task::{Context, Poll, ready},
};

use rustix::{
    fs::{Mode, OFlags, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
    process::getuid,
};
use tokio::net::{UnixListener, UnixStream};

use super::listener::{Accepted, Peer, Transport};

const ROOT: u32 = 0;
/// Maximum length of a path in `sockaddr_un` (unix(7)), without the final NUL.
const MAX_PATH_BYTES: usize = 107;
const BACKLOG: i32 = 128;

/// Path of the socket that belongs to the database at `database`.
pub fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".sock");
    name.into()
}

/// Whether there is a socket at `path`.
///
/// # Errors
/// There is a file of another type, which must not be overwritten.
pub fn is_taken(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => Err(io::Error::other("there is a file that is not a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The server's end. The socket file is removed when this is dropped.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    server_uid: u32,
    overflow_uid: u32,
}

impl ControlSocket {
    /// Binds to `path`, replacing the socket of a server that has gone: the caller owns the database.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        if is_taken(path)? {
            fs::remove_file(path)?;
        }
        Ok(Self {
            listener: listen_at(path, Mode::RUSR | Mode::WUSR)?,
            path: path.to_owned(),
            server_uid: getuid().as_raw(),
            overflow_uid: overflow_uid(),
        })
    }

    /// The peer, if its user may connect.
    fn admit(&self, uid: u32) -> Option<Peer> {
        // Users of other namespaces all appear as the overflow uid.
        let is_allowed = uid != self.overflow_uid && (uid == self.server_uid || uid == ROOT);
        is_allowed.then_some(Peer::Local { uid })
    }
}

/// Listens on a new socket file with these permissions.
pub(super) fn listen_at(path: &Path, mode: Mode) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // On Linux the new file is created with these permissions, so that nobody else can ever connect.
    // Other systems ignore this; there the permissions are set below.
    let _ = fchmod(&socket, mode);
    if path.as_os_str().len() <= MAX_PATH_BYTES {
        bind(&socket, &SocketAddrUnix::new(path)?)?;
    } else {
        bind_long(&socket, path)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))?;
    listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

impl Transport for ControlSocket {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        loop {
            let (stream, _) = ready!(self.listener.poll_accept(cx))?;
            let uid = stream.peer_cred()?.uid();
            if let Some(peer) = self.admit(uid) {
                return Poll::Ready(Ok(Accepted::ready(peer, stream)));
            }
            tracing::warn!(
                uid,
                "rejected another user's connection to the control socket"
            );
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Connects to the server at `path`, whose database is owned by the user `owner`. `None`: no server is listening.
///
/// # Errors
/// The socket cannot be used, or another user's process listens on it.
pub async fn connect(path: &Path, owner: u32) -> io::Result<Option<UnixStream>> {
    // A reset means that the server is just going away.
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    let connected = async {
        let socket = open(path, OFlags::PATH)?;
        UnixStream::connect(proc_fd_path(&socket)).await
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
            "it belongs to the user {uid}, who is neither root nor the owner {owner} of the database"
        ),
    ))
}

/// Binds to a path that is too long for a socket address: to a short name in the same directory, which is then
/// renamed.
fn bind_long(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY)?;
    let bound = tempfile::Builder::new()
        .suffix(".sock")
        .make_in(proc_fd_path(&folder), |short| {
            Ok(bind(socket, &SocketAddrUnix::new(short)?)?)
        })?;
    bound.into_temp_path().persist(path)?;
    Ok(())
}

/// Not by `custom_flags` of std, which drops `O_PATH` with musl: there it is a bit of `O_ACCMODE`.
fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// A path to an open file that is short, whatever the file's own path is.
fn proc_fd_path(file: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// The uid that stands for users without one in this namespace (`user_namespaces(7)`).
fn overflow_uid() -> u32 {
    const USUAL: u32 = 65_534;
    let text = fs::read_to_string("/proc/sys/kernel/overflowuid");
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, os::unix::fs::MetadataExt as _};

    use super::*;

    #[tokio::test]
    async fn only_the_owner_may_connect_and_the_socket_is_removed_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let path = path_of(&database);
        let own = getuid().as_raw();
        assert!(connect(&path, own).await.unwrap().is_none());
        let mut socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let stream = connect(&path, own).await.unwrap();
        let accepted = poll_fn(|cx| socket.poll_accept(cx)).await.unwrap();
        assert_eq!(accepted.peer, Peer::Local { uid: own });
        drop((stream, socket));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn socket_of_a_killed_server_is_replaced_and_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.sock");
        std::mem::forget(ControlSocket::bind(&path).unwrap());
        drop(ControlSocket::bind(&path).unwrap());
        fs::write(&path, "mine").unwrap();
        assert!(ControlSocket::bind(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn path_may_be_as_long_as_that_of_any_file() {
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
    async fn both_ends_reject_other_users() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db.sock");
        let mut socket = ControlSocket::bind(&path).unwrap();
        (socket.server_uid, socket.overflow_uid) = (1_000, 65_534);
        for (uid, admitted) in [(0, true), (1_000, true), (1_001, false), (65_534, false)] {
            assert_eq!(socket.admit(uid).is_some(), admitted, "{uid}");
        }
        socket.server_uid = 65_534;
        assert_eq!(socket.admit(65_534), None);
        let own = getuid().as_raw();
        if own != ROOT {
            let refusal = connect(&path, own + 1).await.unwrap_err();
            assert_eq!(refusal.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
