//! The file of a Unix-domain socket: made, replaced if nobody listens on it any more, and removed with its listener.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixListener,
    },
    path::{self, Path, PathBuf},
    thread,
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::transport::listen::BACKLOG;

/// How often, and how long after each other, we try to be the only one who binds in a folder. Anybody who may read the folder can
/// lock it, so this must end.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// A listening socket that has a file.
#[derive(Debug)]
pub(crate) struct UnixBound {
    /// Dropped first: while the socket is open, the system gives its inode to no other file.
    pub(crate) file: SocketFile,
    pub(crate) listener: UnixListener,
}

/// Listens on a path. A socket file that nobody listens on is replaced; anything else stays.
///
/// # Errors
/// Those of the system, [`AddrInUse`](io::ErrorKind::AddrInUse) among them.
pub(crate) fn bind(path: &Path) -> io::Result<UnixBound> {
    let address = SockAddr::unix(path)?;
    // Two servers that start at once must not both find the same old file, nor one that is bound and does not listen yet.
    let _lock = lock_folder_of(path);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile::at(path)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(UnixBound {
        file,
        listener: socket.into(),
    })
}

/// The lock of the folder that a path is in. Without it everything works but for servers that start in the same instant.
fn lock_folder_of(path: &Path) -> Option<File> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).ok()?;
    for _ in 0..TRIES {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(fs::TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Removes a socket file that nobody listens on.
///
/// # Errors
/// [`AddrInUse`](io::ErrorKind::AddrInUse) if it is something else.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    let is_socket = |it: &fs::Metadata| it.file_type().is_socket();
    let found = fs::symlink_metadata(path).ok().filter(is_socket);
    let found = found.ok_or_else(in_use)?;
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if !probe.connect(address).is_err_and(refused) {
        return Err(in_use());
    }
    let still = fs::symlink_metadata(path)?;
    if identity(&still) != identity(&found) {
        return Err(in_use());
    }
    fs::remove_file(path)
}

/// What tells one file from another one in its place: device and inode.
fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// The file of a listening socket. Dropping it removes the file, if it is still this one.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// Absolute: the process may change its folder.
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            identity: identity(&fs::symlink_metadata(path)?),
            path: path::absolute(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|it| identity(&it) == self.identity) {
            // A folder that lets nobody write any more keeps the file; the next server replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
